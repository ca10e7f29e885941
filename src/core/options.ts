/**
 * The options of a token cache: their documentation, checks and defaults.
 *
 * Checks of single values are in `base/options.ts`, the options of a pool in `pool.ts`.
 *
 * @module
 */
import { systemClock } from "../base/clock.ts";
import { assertClock, assertOptions, count, duration, flag, optionError } from "../base/options.ts";
import { copiedOrigins } from "../base/url.ts";
import { schemeOf, usableValue } from "./access-token.ts";
import { CacheListeners } from "./events.ts";
import { receivedAtOf } from "./expiry.ts";
import { mintedBefore } from "./mint.ts";
import { grantDefinition } from "./custom-grant.ts";
import { requestRules } from "./origins.ts";
import { ownSupply, storeDefinitionOf } from "./supply.ts";
import type { Clock } from "../base/clock.ts";
import type { MintFunction } from "./custom-grant.ts";
import type { Grant, StateSource } from "./grant.ts";
import type { FleetCache, FleetStore, SupplySettings, TokenSupply } from "./supply.ts";
import type { EventListener, InitialToken, Origins, RequestRules } from "./types.ts";

/** The options of `createTokenCache`. */
export interface TokenCacheOptions {
  /**
   * How a token is obtained: `clientCredentialsGrant({ ... })` or another grant, or a function
   * `({ signal }) => ({ access_token, expires_in })`, sync or async. A function that returns `null` says that nobody is
   * signed in: requests then go without a token. A function is never called again to repeat a failed call, and is not
   * aborted before `landingTimeout`, because it may use something up.
   */
  readonly grant: Grant | MintFunction;
  /**
   * Where the token may be sent: a list such as `["https://api.example"]`, `"any"` for every https origin, or a function of
   * the token that returns a list. The grant's own token and revocation endpoints never get the token.
   *
   * An entry is a string or a URL object, with a scheme and a host, and a port where it is not the default. A path in an
   * entry, or a wildcard, is an error: every host has to be listed. `"self"` in the list stands for the page's own origin in
   * a browser, and for relative URLs elsewhere. The list is copied.
   *
   * @defaultValue the grant's; required if the grant has none
   */
  readonly origins?: Origins | undefined;
  /**
   * A token that exists already, or an async function that may return one. The function is called once, before the
   * first mint. If it fails or returns an expired token, the grant is used. It is a hint: what a store or a sign-in has
   * counts more.
   */
  readonly initial?: InitialToken | (() => Promise<InitialToken | undefined>) | undefined;
  /**
   * Where processes share the token: `redisStore(client, { encryptionKey })` of `remint/redis`, or `fleetStore(...)` of
   * `remint/fleet`; or where the caches of one process do, `memoryStore()`. With a store, the grant needs a `key`, or the
   * cache has to be created by a pool.
   *
   * @defaultValue none: every process mints tokens of its own
   */
  readonly store?: FleetStore | undefined;
  /** Where the cache reads the time and sets timers. @defaultValue the machine's clocks */
  readonly clock?: Clock | undefined;
  /**
   * Receives every event of the cache, synchronously: a function, or a list of them. The list is copied, and a function that
   * is in it twice is called once. A function that fails keeps no other from being called.
   */
  readonly onEvent?: EventListener | readonly EventListener[] | undefined;
  /**
   * Milliseconds before expiry from which the token is refreshed in the background. At most half of the lifetime.
   *
   * @defaultValue 60_000 (1 minute)
   */
  readonly refreshBuffer?: number | undefined;
  /**
   * Milliseconds before expiry from which callers wait for a new token. They wait for at most half of the time that is
   * left; then they get the old token, which is still valid. At most a quarter of the lifetime.
   *
   * @defaultValue 10_000 (10 seconds)
   */
  readonly minValidity?: number | undefined;
  /**
   * Milliseconds a token lives if the token response does not say. With 0, such a token is not cached.
   *
   * @defaultValue the grant's, else 1_800_000 (30 minutes)
   */
  readonly defaultTtl?: number | undefined;
  /**
   * Milliseconds that a token is kept at most, whatever the token response says. With 0, no token is cached.
   *
   * @defaultValue none: as long as the response says
   */
  readonly maxTtl?: number | undefined;
  /** Milliseconds that callers wait for a mint, retries included. @defaultValue 10_000 (10 seconds) */
  readonly mintTimeout?: number | undefined;
  /**
   * Milliseconds after which a mint is cut that must not be aborted sooner, because only its answer holds the next refresh
   * token. Its callers have left after `mintTimeout`. At least `mintTimeout`.
   *
   * @defaultValue 60_000 (1 minute)
   */
  readonly landingTimeout?: number | undefined;
  /**
   * How often a mint of a grant with a token endpoint is repeated after a transient failure. With a refresh token it is
   * repeated only when the request was never sent. Functions and `customGrant` are not repeated: see the option
   * `mintRetries` of `customGrant`.
   *
   * @defaultValue 2
   */
  readonly mintRetries?: number | undefined;
  /**
   * Makes `origins: "any"` allow http URLs too. Only for networks that encrypt connections themselves, such as a
   * service mesh.
   *
   * @defaultValue false
   */
  readonly allowHttp?: boolean | undefined;
  /** `false`: nothing is printed as a warning. @defaultValue true */
  readonly warnings?: boolean | undefined;
}

/** {@link TokenCacheOptions} after the checks, with defaults. */
export interface CacheSettings extends SupplySettings {
  readonly rules: RequestRules;
  /** Makes the rules of a target that has origins of its own. */
  readonly rulesFor: (origins: Origins) => RequestRules;
  /** The user's `initial`, if it is a token. */
  readonly initial: InitialToken | undefined;
  /** The user's `initial`, if it is a function. */
  readonly seed: (() => Promise<InitialToken | undefined>) | undefined;
  readonly refreshBuffer: number;
  readonly minValidity: number;
  readonly supply: TokenSupply;
  /** The cache has a store, so other processes use the token too. */
  readonly isShared: boolean;
}

/**
 * Checks the options of a cache and fills in the defaults.
 *
 * @throws {TypeError} When an option is wrong. The message names the option and says what is expected.
 */
export function cacheSettings(options: TokenCacheOptions): CacheSettings {
  assertOptions("createTokenCache", options, [
    "grant",
    "origins",
    "initial",
    "store",
    "clock",
    "onEvent",
    "refreshBuffer",
    "minValidity",
    "defaultTtl",
    "maxTtl",
    "mintTimeout",
    "landingTimeout",
    "mintRetries",
    "allowHttp",
    "warnings",
  ]);
  const { initial, onEvent, clock = systemClock } = options;
  const grant = grantDefinition(options.grant);
  assertClock(clock);
  assertKeeper(grant.source, options.store);
  const mintTimeout = duration("mintTimeout", options.mintTimeout, 10_000);
  if (mintTimeout === 0) throw optionError("mintTimeout", mintTimeout, "more than 0 milliseconds");
  const landingTimeout = duration("landingTimeout", options.landingTimeout, Math.max(60_000, mintTimeout));
  if (landingTimeout < mintTimeout) throw optionError("landingTimeout", landingTimeout, "at least mintTimeout");
  const minting: SupplySettings = {
    grant,
    clock,
    mintTimeout,
    landingTimeout,
    defaultTtl: duration("defaultTtl", options.defaultTtl ?? grant.defaultTtl, 30 * 60_000),
    maxTtl: options.maxTtl === undefined ? Infinity : duration("maxTtl", options.maxTtl, 0),
    retries: count("mintRetries", options.mintRetries, 2),
    listeners: new CacheListeners(onEvent),
    warns: flag("warnings", options.warnings, true),
  };
  const allowHttp = flag("allowHttp", options.allowHttp);
  const refreshBuffer = duration("refreshBuffer", options.refreshBuffer, 60_000);
  const minValidity = duration("minValidity", options.minValidity, 10_000);
  const isShared = options.store !== undefined;
  const initialToken = typeof initial === "function" ? undefined : checkedInitial(initial);
  if (initialToken !== undefined) {
    // Before the supply is made, which takes over the grant.
    mintedBefore(initialToken, { now: clock.now(), defaultTtl: minting.defaultTtl, maxTtl: minting.maxTtl });
  }
  const origins = Array.isArray(options.origins) ? (copiedOrigins(options.origins) as Origins) : options.origins;
  const rules = requestRules(origins, grant, allowHttp);
  const settings: Omit<CacheSettings, "supply"> = {
    ...minting,
    rules,
    rulesFor: (others) => requestRules(others, grant, allowHttp),
    // With a store, the token may be older than what the store has: the store is asked first.
    initial: isShared ? undefined : initialToken,
    seed: typeof initial === "function" ? initial : isShared && initialToken ? async () => initialToken : undefined,
    refreshBuffer,
    minValidity,
    isShared,
  };
  // Last, because a supply takes over the state of its grant.
  return { ...settings, supply: supplyOf(options.store, origins, { ...minting, refreshBuffer, minValidity }) };
}

/** @throws {TypeError} When a function gives the state, and nothing would keep the next one. */
function assertKeeper(source: StateSource | undefined, store: FleetStore | undefined): void {
  if (source?.load === undefined || source.save !== undefined || store !== undefined) return;
  const { load, save } = source.names;
  throw new TypeError(
    `"${load}" is a function, so "${save}" must be given too, or the cache a "store": otherwise a new ${load} that the ` +
      `server returns would be lost, and the function would return the one that is used up`,
  );
}

function supplyOf(
  store: FleetStore | undefined,
  origins: Origins | undefined,
  settings: Omit<FleetCache, "origins" | "poolKey">,
): TokenSupply {
  if (store === undefined) return ownSupply(settings);
  return storeDefinitionOf(store).supply({
    ...settings,
    origins: origins ?? settings.grant.origins,
    poolKey: globals[poolKey],
  });
}

function checkedInitial(initial: InitialToken | undefined): InitialToken | undefined {
  if (initial === undefined) return undefined;
  const expected = "a token response { access_token, expires_in, receivedAt } or an async function that returns one";
  if (typeof initial !== "object" || initial === null) throw optionError("initial", initial, expected);
  try {
    usableValue(initial.access_token);
    schemeOf(initial.token_type);
  } catch (error) {
    throw new TypeError(`"initial" must be ${expected}: ${(error as Error).message}`, { cause: error });
  }
  receivedAtOf(initial);
  return { ...initial };
}

/**
 * Where the key is for which a pool is creating a cache at the moment. A store needs it, because it tells whose token it is.
 * A variable is enough, because a pool's `create` is synchronous; a global one, because the cache may be one of another copy
 * of this package.
 */
const poolKey = Symbol.for("remint.pool-key/1");
const globals = globalThis as { [poolKey]?: string | undefined };

/** Runs a pool's `create` for a key. A cache that is created meanwhile belongs to that key. */
export function withPoolKey<T>(key: string, create: () => T): T {
  const outer = globals[poolKey];
  globals[poolKey] = key;
  try {
    return create();
  } finally {
    globals[poolKey] = outer;
  }
}
