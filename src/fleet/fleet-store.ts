/**
 * `fleetStore`: makes the option `store` of a cache out of an engine with compare-and-swap.
 *
 * This file checks the options and makes one supply per cache. The supply is in supply.ts, one flight in flight.ts, the
 * contract with the engine in store.ts.
 *
 * @module
 */
import { LruMap } from "../base/lru.ts";
import { assertOptions, assertString, duration, optionError } from "../base/options.ts";
import { storeOf } from "../core/supply.ts";
import { StoreLink } from "./link.ts";
import { sealsOf } from "./seal.ts";
import { FleetSupply } from "./supply.ts";
import type { Clock } from "../base/clock.ts";
import type { FleetStore } from "../core/supply.ts";
import type { Fleet } from "./link.ts";
import type { OpenSupplies } from "./supply.ts";
import type { EncryptionKey, Seal } from "./seal.ts";
import type { Store } from "./store.ts";

/**
 * Creates a store that shares tokens through any engine with compare-and-swap: one mint for all processes of the fleet.
 *
 * One process mints, and the other processes wait and use the token that it publishes. A rejected token is replaced by
 * value, once. A cache does not call the store while its token is valid and not about to expire. When the store fails,
 * each process mints for itself until the store works again. A grant with a rotating refresh token fails with
 * `ERR_STORE` instead, because a refresh token that two processes use ends the session.
 *
 * @param store The engine. {@link Store} is its contract.
 * @param options The encryption key, and how the fleet uses the store.
 * @throws {TypeError} When the store or an option is wrong.
 * @example
 * ```ts
 * const store = fleetStore(postgresStore(database), { encryptionKey });
 * const tokens = createTokenCache({ grant, origins, store });
 * ```
 */
export function fleetStore(store: Store, options: FleetOptions): FleetStore {
  if (typeof (Object(store) as Store).swap !== "function") throw optionError("store", store, "an object with swap()");
  return storeOfEngine("fleetStore", store, options);
}

/** Does what {@link fleetStore} does, for a function that makes the engine itself. `where` is its name, for messages. */
export function storeOfEngine(where: string, store: Store, options: FleetOptions): FleetStore {
  assertOptions(where, options, [
    "encryptionKey",
    "prefix",
    "lease",
    "callTimeout",
    "stateTtl",
    "endedTtl",
    "maxStaleness",
  ]);
  const { prefix = "remint" } = options;
  assertString("prefix", prefix);
  if (!/^[\w:.-]+$/.test(prefix)) throw new TypeError(`"prefix" must consist of letters, digits and _ : . - only`);
  return sharedStore(store, sealsOf(options.encryptionKey), { ...options, prefix }).store;
}

/** How a store shares tokens: checked here, but for the prefix. */
export interface SharedOptions extends Omit<FleetOptions, "encryptionKey"> {
  readonly prefix: string;
  /** Names a record whose grant and cache say nothing of whose token it is. */
  readonly defaultKey?: string | undefined;
  readonly loadedAt?: number | undefined;
  /** Every cache counts as a process: two of one session may be open. */
  readonly isFleetOfCaches?: boolean | undefined;
}

/** A store, and a way to make its caches look at what others have written. */
interface SharedStore {
  readonly store: FleetStore;
  /** The caches whose record has this key look at it; all of them without a key. */
  look(key?: string): void;
}

/** Makes a store of an engine and of what writes its records. */
export function sharedStore(engine: Store, seals: readonly Seal[], options: SharedOptions): SharedStore {
  const { prefix, defaultKey, loadedAt, isFleetOfCaches = false } = options;
  const callTimeout =
    options.callTimeout === undefined ? undefined : positiveDuration("callTimeout", options.callTimeout, CALL);
  const maxStaleness =
    options.maxStaleness === undefined ? Infinity : positiveDuration("maxStaleness", options.maxStaleness, 0);
  const lease = options.lease === undefined ? undefined : positiveDuration("lease", options.lease, LEASE);
  const ttls = {
    stateTtl: positiveDuration("stateTtl", options.stateTtl, 90 * 86_400_000),
    endedTtl: positiveDuration("endedTtl", options.endedTtl, 86_400_000),
    refusedTtl: REFUSED_TTL,
  };
  const failing = new LruMap<string, true>(MOST_SERVERS);
  /** The caches with the same clock share what is needed here: there may be one for each user. */
  const fleets = new WeakMap<Clock, Fleets>();
  const fleetsOn = (clock: Clock): Fleets => {
    const link = new StoreLink(engine, clock);
    const shared = { link, clock, seals, ttls, prefix, maxStaleness, loadedAt, failing };
    return {
      repeatable: { ...shared, duration: lease ?? LEASE, callTimeout: callTimeout ?? CALL },
      stateful: { ...shared, duration: lease ?? LEASE_WITH_STATE, callTimeout: callTimeout ?? CALL_WITH_STATE },
    };
  };
  const open: OpenSupplies = new Map();
  const store = storeOf({
    supply(cache) {
      const { clock, grant, poolKey } = cache;
      let known = fleets.get(clock);
      if (known === undefined) fleets.set(clock, (known = fleetsOn(clock)));
      const named = grant.key === undefined && poolKey === undefined ? { ...cache, poolKey: defaultKey } : cache;
      const fleet = grant.isRepeatable ? known.repeatable : known.stateful;
      return new FleetSupply(fleet, named, isFleetOfCaches ? new Map() : open);
    },
  });
  const look = (key?: string): void => {
    for (const [name, supply] of open) if (key === undefined || key === name) supply.deref()?.look();
  };
  return { store, look };
}

/** How the caches with the same clock use a store: those whose mints use nothing up, and the others. */
interface Fleets {
  readonly repeatable: Fleet;
  readonly stateful: Fleet;
}

/** Options of `fleetStore` and `redisStore`. */
export interface FleetOptions {
  /**
   * The key that encrypts the values in the store, the same in every process: 32 bytes, or base64 of 32 bytes
   * (`openssl rand -base64 32`). Give `[new, old]` while you change the key. With `"none"` the store holds tokens
   * unencrypted, and every program that can read the store can use them.
   */
  readonly encryptionKey: EncryptionKey | readonly EncryptionKey[];
  /**
   * The text with which every key in the store begins: letters, digits and any of `_ : . -`.
   *
   * @defaultValue "remint"
   */
  readonly prefix?: string | undefined;
  /**
   * Milliseconds after which another process takes over from a process that holds the lease and no longer renews it.
   * The holder renews its lease every third of this time, so a mint may take longer than a lease.
   *
   * @defaultValue 3_000 (3 seconds); 10_000 for grants with a refresh token or another state
   */
  readonly lease?: number | undefined;
  /**
   * Milliseconds after which a call to the store counts as failed. A grant with a refresh token or another state gets no
   * token without the store, so its calls have more time.
   *
   * @defaultValue 500; 2_000 (2 seconds) for grants with a refresh token or another state
   */
  readonly callTimeout?: number | undefined;
  /**
   * Milliseconds for which a process serves the token of a session without a look at the store. Afterwards, a sign-out or a
   * sign-in in another process holds in this one too. A look costs one call for each session in use. When the store
   * fails for so long, callers get `ERR_STORE`. Grants that stand for no user, such as client credentials, have no
   * sign-out, and ignore it.
   *
   * @defaultValue no limit: a process looks when the token is about to expire, or is rejected
   */
  readonly maxStaleness?: number | undefined;
  /**
   * Milliseconds for which the store keeps the state of a grant (a refresh token) after its last use.
   *
   * @defaultValue 7_776_000_000 (90 days)
   */
  readonly stateTtl?: number | undefined;
  /**
   * Milliseconds for which the store keeps the note that a session was signed out. A process that has not looked for longer
   * asks the grant's function before it brings a session back. At least as long as access tokens live.
   *
   * @defaultValue 86_400_000 (24 hours)
   */
  readonly endedTtl?: number | undefined;
}

/** Milliseconds for which the note is kept that a state was refused: the user may take a while to sign in again. */
const REFUSED_TTL = 3_600_000;
const LEASE = 3000;
const CALL = 500;
/** Longer, because no token can be had without the store. */
const CALL_WITH_STATE = 2000;
/** How many authorization servers are remembered at which mints fail. */
const MOST_SERVERS = 1000;
/** Longer, because a refresh token is lost when two processes use it: a holder that was suspended gets more time. */
const LEASE_WITH_STATE = 10_000;

function positiveDuration(name: string, value: unknown, fallback: number): number {
  const given = duration(name, value, fallback);
  if (given === 0) throw optionError(name, given, "more than 0 milliseconds");
  return given;
}
