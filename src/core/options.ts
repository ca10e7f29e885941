/**
 * The options of a token cache: checked, copied and given their defaults.
 *
 * @module
 */
import { usableValue } from "./access-token.ts";
import { systemClock } from "../base/clock.ts";
import { toGrant } from "./types.ts";
import { assertClock, assertFunction, assertOptions, count, duration, flag, optionError } from "../base/options.ts";
import { requestRules } from "./origins.ts";
import { currentPoolKey } from "./pool-key.ts";
import { quietly } from "./events.ts";
import type { Clock } from "../base/clock.ts";
import type { Grant, InitialToken, MintFunction, Origins } from "./types.ts";
import type { EventListener } from "./events.ts";
import type { RequestRules } from "../policy/choose-cache.ts";
import { ownSupply, type FleetMember, type FleetStore, type TokenSupply } from "./supply.ts";

/** What {@link createTokenCache} takes. */
export interface TokenCacheOptions {
  /** How a token is obtained: `clientCredentials({ ... })`, or an async function `({ signal }) => ({ access_token, expires_in })`. */
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
  readonly retries?: number | undefined;
  /** Lets `origins: "any"` mean http too, where a trusted network does TLS beneath (S1). @defaultValue false */
  readonly allowHttp?: boolean | undefined;
}

/** {@link TokenCacheOptions}, ready to use. */
export interface CacheSettings {
  readonly grant: Grant;
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
  const grant = toGrant(options.grant);
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
    retries: count("retries", options.retries, 2),
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

function supplyOf(options: TokenCacheOptions, member: Omit<FleetMember, "origins" | "poolKey">): TokenSupply {
  const { store } = options;
  if (store === undefined) return ownSupply(member);
  if (typeof (Object(store) as FleetStore).supply !== "function") {
    throw optionError("store", store, "what redisStore(client, { encryptionKey }) or fleetStore(...) returns");
  }
  return store.supply({ ...member, origins: options.origins ?? member.grant.origins, poolKey: currentPoolKey() });
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
