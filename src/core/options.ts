/**
 * The options of a token cache: checked, copied and given their defaults.
 *
 * @module
 */
import { systemClock } from "../base/clock.ts";
import { assertClock, assertFunction, assertOptions, count, duration, flag, optionError } from "../base/options.ts";
import { usableValue } from "./access-token.ts";
import { definitionOf } from "./grant.ts";
import { requestRules } from "./origins.ts";
import { ownSupply, storeDefinitionOf } from "./supply.ts";
import type { Clock } from "../base/clock.ts";
import type { Grant, GrantDefinition, MintFunction } from "./grant.ts";
import type { FleetCache, FleetStore, TokenSupply } from "./supply.ts";
import type { EventListener, InitialToken, Origins, RequestRules } from "./types.ts";

/** What {@link createTokenCache} takes. */
export interface TokenCacheOptions {
  /** How a token is obtained: `clientCredentialsGrant({ ... })`, or an async function `({ signal }) => ({ access_token, expires_in })`. */
  readonly grant: Grant | MintFunction;
  /**
   * Where the token may be sent (Q2): a list such as `["https://api.example"]`, `"any"` for every https origin, or a
   * function of the token. `"self"` on the list means relative URLs outside browsers. Required, unless the grant brings it.
   */
  readonly origins?: Origins | undefined;
  /** A token that is already there, or an async function that may have one; it is asked before the first mint. */
  readonly initial?: InitialToken | (() => Promise<InitialToken | undefined>) | undefined;
  /**
   * Where a fleet shares the token: `redisStore(client, { encryptionKey })` of `remint/redis`, or `fleetStore(...)` of
   * `remint/fleet`. The grant needs a `key` then, or the cache a pool.
   *
   * @defaultValue none: every process mints for itself
   */
  readonly store?: FleetStore | undefined;
  /** Where time comes from. @defaultValue the machine's clocks */
  readonly clock?: Clock | undefined;
  /** Gets every event, synchronously; what it throws is ignored. */
  readonly onEvent?: EventListener | undefined;
  /** Milliseconds before expiry from which one background refresh runs (C3). At most half of the lifetime. @defaultValue 60_000 (1 minute) */
  readonly refreshBuffer?: number | undefined;
  /** Milliseconds before expiry from which callers wait for a new token (C4). At most a quarter of the lifetime. @defaultValue 10_000 (10 seconds) */
  readonly minValidity?: number | undefined;
  /** Milliseconds a token lives when nothing else says so; 0 does not cache it (E3). @defaultValue the grant's, else 1_800_000 (30 minutes) */
  readonly defaultTtl?: number | undefined;
  /** Milliseconds a mint may take, retries included (C10). @defaultValue 10_000 (10 seconds) */
  readonly mintTimeout?: number | undefined;
  /** How often a mint is tried again after a transient failure (C11). @defaultValue 2 */
  readonly mintRetries?: number | undefined;
  /** Lets `origins: "any"` mean http too, where a trusted network does TLS beneath (S1). @defaultValue false */
  readonly allowHttp?: boolean | undefined;
}

/** {@link TokenCacheOptions}, ready to use. */
export interface CacheSettings {
  readonly grant: GrantDefinition;
  readonly clock: Clock;
  readonly rules: RequestRules;
  readonly initial: InitialToken | undefined;
  readonly seed: (() => Promise<InitialToken | undefined>) | undefined;
  readonly notify: EventListener | undefined;
  readonly refreshBuffer: number;
  readonly minValidity: number;
  readonly defaultTtl: number;
  readonly mintTimeout: number;
  readonly retries: number;
  readonly supply: TokenSupply;
  /** Other processes use the token too. */
  readonly isShared: boolean;
}

/** @throws {TypeError} When an option is wrong; it names the option and what is expected. */
export function cacheSettings(options: TokenCacheOptions): CacheSettings {
  assertOptions("createTokenCache", options);
  const { initial, onEvent, clock = systemClock } = options;
  const grant = definitionOf(options.grant);
  assertFunction("onEvent", onEvent);
  assertClock(clock);
  const mintTimeout = duration("mintTimeout", options.mintTimeout, 10_000);
  if (mintTimeout === 0) throw optionError("mintTimeout", mintTimeout, "more than 0 milliseconds");
  const notify = quietly(onEvent);
  const minting = {
    grant,
    clock,
    mintTimeout,
    defaultTtl: duration("defaultTtl", options.defaultTtl ?? grant.defaultTtl, 30 * 60_000),
    retries: count("mintRetries", options.mintRetries, 2),
  };
  const minValidity = duration("minValidity", options.minValidity, 10_000);
  return {
    ...minting,
    rules: requestRules(options.origins, grant, flag("allowHttp", options.allowHttp)),
    initial: typeof initial === "function" ? undefined : checkedInitial(initial),
    seed: typeof initial === "function" ? initial : undefined,
    notify,
    refreshBuffer: duration("refreshBuffer", options.refreshBuffer, 60_000),
    minValidity,
    supply: supplyOf(options, { ...minting, minValidity, notify }),
    isShared: options.store !== undefined,
  };
}

function supplyOf(options: TokenCacheOptions, member: Omit<FleetCache, "origins" | "poolKey">): TokenSupply {
  const { store } = options;
  if (store === undefined) return ownSupply(member);
  return storeDefinitionOf(store).supply({
    ...member,
    origins: options.origins ?? member.grant.origins,
    poolKey: currentPoolKey(),
  });
}

function checkedInitial(initial: InitialToken | undefined): InitialToken | undefined {
  if (initial === undefined) return undefined;
  const expected = "a token response { access_token, expires_in, receivedAt } or an async function that returns one";
  if (typeof initial !== "object" || initial === null) throw optionError("initial", initial, expected);
  try {
    usableValue(initial.access_token);
  } catch (error) {
    throw new TypeError(`"initial" must be ${expected}: ${(error as Error).message}`, { cause: error });
  }
  if (initial.receivedAt !== undefined) duration("initial.receivedAt", initial.receivedAt, 0);
  return { ...initial };
}

/** A listener that can be called without care. */
export function quietly(listener: EventListener | undefined): EventListener | undefined {
  if (listener === undefined) return undefined;
  return (event) => {
    try {
      listener(event);
    } catch {
      // Told to nobody: the listener is where we would tell it.
    }
  };
}

// MERGED Whose cache is being created: a pool knows, and the cache it creates has to say so to the fleet.
/** The key of the pool that is creating a cache right now. `create` is synchronous, so it can be nobody else's. */
let poolKey: string | undefined;

/** Runs a pool's `create`, so that the cache it creates knows whose it is. */
export function withPoolKey<T>(key: string, create: () => T): T {
  const outer = poolKey;
  poolKey = key;
  try {
    return create();
  } finally {
    poolKey = outer;
  }
}

/** The key of the pool that is creating a cache; `undefined` outside of one. */
export function currentPoolKey(): string | undefined {
  return poolKey;
}
