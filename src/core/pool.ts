/**
 * The token pool: one cache per user, tenant or scope, in a bounded number (C13).
 *
 * What the caches of a pool share is in `rejections.ts`, `failures.ts` and `mint-queue.ts`, one cache in `token-cache.ts`.
 *
 * @module
 */
import { systemClock } from "../base/clock.ts";
import { RemintError } from "../base/errors.ts";
import { assertClock, assertOptions, count, duration, optionError, requireFunction } from "../base/options.ts";
import { listenersOf } from "./events.ts";
import { PoolFailures } from "./failures.ts";
import { withPoolKey } from "./options.ts";
import { MintQueue } from "./mint-queue.ts";
import { EvidenceAccounts } from "./rejections.ts";
import { assertCloseOptions, isPooledCache } from "./token-cache.ts";
import { policyHalf } from "./types.ts";
import type { Clock } from "../base/clock.ts";
import type { Listeners } from "./events.ts";
import type { PooledCache, PoolShare } from "./token-cache.ts";
import type {
  CloseOptions,
  CloseReport,
  KeyDescription,
  PoolEventListener,
  SignInResponse,
  SignOutOptions,
  TokenCache,
} from "./types.ts";

/** The options of `createTokenPool`. */
export interface TokenPoolOptions {
  /**
   * Creates the cache of a key, with `createTokenCache`. Called when the key has no cache. It has to be synchronous and
   * to return a new cache every time.
   */
  readonly create: (key: string) => TokenCache;
  /** How many caches are kept. Caches with a mint or a save in progress are kept beyond it. @defaultValue 10_000 */
  readonly maxSize?: number | undefined;
  /**
   * Milliseconds after its last use from which a cache is removed. Checked when the pool is used; there is no timer.
   *
   * @defaultValue 3_600_000 (1 hour)
   */
  readonly idleTtl?: number | undefined;
  /** Where the pool reads the time. @defaultValue the machine's clocks */
  readonly clock?: Clock | undefined;
  /**
   * Receives every event of every cache from the moment `create` has returned it, and the cache's key: a function
   * `(event, key) => ...`, or a list of them. It is called after the cache's own listeners. A function that the cache has too
   * is called once, with the key. See {@link TokenCacheOptions.onEvent}.
   */
  readonly onEvent?: PoolEventListener | readonly PoolEventListener[] | undefined;
}

/** What the close of a pool found unfinished, by key. */
export interface PoolCloseReport {
  /** Mints that were still in progress. */
  readonly inFlight: readonly string[];
  /** New states, such as refresh tokens, that could not be saved. */
  readonly unsaved: readonly string[];
}

/** Token caches by key, for example one per user. */
export interface TokenPool {
  /** How many caches are kept at the moment. */
  readonly size: number;
  /**
   * Returns the cache of a key, and creates it if there is none.
   *
   * @throws {TypeError} When the key is not a non-empty string, or `create` did not return a cache of
   *   `createTokenCache`.
   * @throws {RemintError} With the code `ERR_CLOSED`, after `close()`.
   */
  get(key: string): TokenCache;
  /**
   * Takes over a sign-in for a key: {@link TokenCache.signIn}. A key names a sign-in, and not a user or a browser: take a new
   * one for every sign-in where you can.
   *
   * @throws {TypeError} As `get` and `signIn` of the cache do.
   * @throws {RemintError} When the sign-in could not be stored.
   */
  signIn(key: string, response: SignInResponse): Promise<void>;
  /**
   * Ends the session of a key, in every process: {@link TokenCache.signOut}.
   *
   * @throws {TypeError} When an option is wrong, when it is to revoke and the grant cannot, or when the grant stands for no
   *   user.
   * @throws {RemintError} When the revocation failed, or the store: the session is over in this process nevertheless.
   */
  signOut(key: string, options?: SignOutOptions): Promise<void>;
  /**
   * Closes the cache of a key and forgets it: this process lets go of it, and the session goes on. Resolves to what was
   * unfinished, or to `undefined` when the key had no cache.
   *
   * @throws {TypeError} When an option is wrong. The cache is kept then.
   */
  release(key: string, options?: CloseOptions): Promise<CloseReport | undefined>;
  /**
   * Says what is known of a key: the record in the store and its phase, version, age, expiry, holder and time to live. For
   * operators. Holds no secret. Durations are milliseconds.
   *
   * @throws {TypeError} As `get` does.
   * @throws {RemintError} `ERR_STORE` when the store fails.
   */
  describe(key: string): Promise<KeyDescription>;
  /**
   * Closes every cache, including those that were removed from the pool and are still in use.
   *
   * @returns The keys for which something was unfinished when the time was up.
   * @throws {TypeError} When an option is wrong. Nothing is closed then.
   */
  close(options?: CloseOptions): Promise<PoolCloseReport>;
}

/**
 * Creates a pool of token caches, one per key.
 *
 * A token is only used for the key it was minted for. When there are more than `maxSize` caches, the least recently
 * used one is removed. As long as the application still uses a removed cache, its key gets that same cache again.
 *
 * The caches share what they learn about servers. A failure of a token endpoint is remembered for all keys that use the
 * endpoint. When an API rejects the tokens of many keys, their renewals take turns until the API has accepted a new one.
 *
 * @throws {TypeError} When an option is wrong. The message names the option and says what is expected.
 * @example
 * ```ts
 * const pool = createTokenPool({ create: (user) => createTokenCache({ grant: grantOf(user), origins }) });
 * const authFetch = createAuthFetch(() => pool.get(currentUser()));
 * ```
 */
export function createTokenPool(options: TokenPoolOptions): TokenPool {
  assertOptions("createTokenPool", options, ["create", "maxSize", "idleTtl", "clock", "onEvent"]);
  requireFunction("create", options.create, "a function that returns a token cache");
  const { clock = systemClock } = options;
  assertClock(clock);
  return new LruTokenPool(
    options.create,
    count("maxSize", options.maxSize, 10_000, 1),
    duration("idleTtl", options.idleTtl, 3_600_000),
    clock,
    listenersOf(options.onEvent),
  );
}

/** The first number of released caches at which it is looked which of them are needed. */
const FIRST_SWEEP = 64;

interface Entry {
  readonly state: PooledCache;
  /** Monotonic milliseconds. */
  readonly usedAt: number;
}

class LruTokenPool implements TokenPool {
  readonly #create: (key: string) => TokenCache;
  readonly #maxSize: number;
  readonly #idleTtl: number;
  readonly #clock: Clock;
  readonly #share: PoolShare;
  /** In order of use: the first is the least recently used. */
  readonly #entries = new Map<string, Entry>();
  /**
   * Evicted caches that the application may still hold. A key gets such a cache again: two caches with one rotating
   * refresh token would invalidate each other's.
   */
  readonly #evicted = new Map<string, WeakRef<PooledCache>>();
  /** The released caches in which something was in progress: the next cache of the key goes on with it. */
  readonly #released = new Map<string, PooledCache>();
  /** How many of them there are when those are looked for in which nothing is in progress any more. */
  #sweepAt = FIRST_SWEEP;
  /** Forgets evicted caches that were garbage-collected. */
  readonly #collected = new FinalizationRegistry<string>((key) => {
    if (this.#evicted.get(key)?.deref() === undefined) this.#evicted.delete(key);
  });
  #closed = false;

  constructor(
    create: (key: string) => TokenCache,
    maxSize: number,
    idleTtl: number,
    clock: Clock,
    listeners: Listeners<PoolEventListener>,
  ) {
    this.#create = create;
    this.#maxSize = maxSize;
    this.#idleTtl = idleTtl;
    this.#clock = clock;
    this.#share = {
      accounts: new EvidenceAccounts(clock),
      failures: new PoolFailures(clock),
      mints: new MintQueue(),
      toldReasons: new Set(),
      listeners,
    };
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): TokenCache {
    if (this.#closed) throw new RemintError("ERR_CLOSED", "this token pool was closed; create a new one to go on");
    if (typeof key !== "string" || key === "") throw optionError("key", key, "a non-empty string");
    const now = this.#clock.monotonic();
    const found = this.#entries.get(key)?.state ?? this.#evicted.get(key)?.deref();
    // Whoever holds the cache of a key may have closed it: the pool then lets go of it too.
    if (found?.isClosed === true) this.#keepReleased(key, found);
    const state = found === undefined || found.isClosed ? this.#createCache(key) : found;
    this.#evicted.delete(key);
    // Deleting the key first moves it to the end of the order.
    this.#entries.delete(key);
    this.#entries.set(key, { state, usedAt: now });
    this.#evict(now, key);
    return state.handle;
  }

  async signIn(key: string, response: SignInResponse): Promise<void> {
    await this.get(key).signIn(response);
  }

  async signOut(key: string, options?: SignOutOptions): Promise<void> {
    await this.get(key).signOut(options);
  }

  async release(key: string, options: CloseOptions = {}): Promise<CloseReport | undefined> {
    assertCloseOptions("release", options);
    const state = this.#entries.get(key)?.state ?? this.#evicted.get(key)?.deref();
    this.#entries.delete(key);
    this.#evicted.delete(key);
    const closed = state?.close(options);
    if (state !== undefined) this.#keepReleased(key, state);
    return closed;
  }

  async describe(key: string): Promise<KeyDescription> {
    this.get(key);
    return this.#entries.get(key)!.state.describe();
  }

  async close(options: CloseOptions = {}): Promise<PoolCloseReport> {
    assertCloseOptions("close", options);
    this.#closed = true;
    const states = [...this.#entries].map(([key, entry]) => ({ key, state: entry.state as PooledCache | undefined }));
    for (const [key, reference] of this.#evicted) states.push({ key, state: reference.deref() });
    for (const [key, state] of this.#released) states.push({ key, state });
    this.#entries.clear();
    this.#evicted.clear();
    this.#released.clear();
    const reports = await Promise.all(
      states.map(async ({ key, state }) => ({ key, ...(await state?.close(options)) })),
    );
    return {
      inFlight: reports.filter((report) => report.inFlight === true).map((report) => report.key),
      unsaved: reports.filter((report) => report.unsaved === true).map((report) => report.key),
    };
  }

  /** Remembers a closed cache in which something is in progress. */
  #keepReleased(key: string, state: PooledCache): void {
    if (!state.supply.isBusy) return;
    if (this.#released.size >= this.#sweepAt) {
      for (const [other, { supply }] of this.#released) if (!supply.isBusy) this.#released.delete(other);
      this.#sweepAt = Math.max(FIRST_SWEEP, 2 * this.#released.size);
    }
    this.#released.set(key, state);
  }

  #createCache(key: string): PooledCache {
    const cache: unknown = withPoolKey(key, () => this.#create(key));
    const state: unknown = policyHalf(Object(cache));
    if (!isPooledCache(state)) {
      // An async function by mistake: its own failure is not to end the process beside this error.
      Promise.resolve(cache).catch(() => {});
      throw optionError("create", cache, "a function that returns createTokenCache({ ... })");
    }
    if (state.isPooled) {
      throw new TypeError(
        `"create" must return a new token cache for every key, got one that belongs to a pool already`,
      );
    }
    const before = this.#released.get(key)?.supply;
    this.#released.delete(key);
    state.joinPool(this.#share, key, before?.isBusy === true ? before : undefined);
    return state;
  }

  /**
   * Removes idle caches, and the least recently used ones above `maxSize`. A cache with a mint, a save or a revocation in progress stays.
   *
   * @param keptKey The key that is in use right now.
   */
  #evict(now: number, keptKey: string): void {
    let excess = this.#entries.size - this.#maxSize;
    for (const [key, { state, usedAt }] of this.#entries) {
      if (excess <= 0 && now - usedAt < this.#idleTtl) return;
      if (key === keptKey || state.isBusy) continue;
      this.#entries.delete(key);
      this.#evicted.set(key, new WeakRef(state));
      this.#collected.register(state, key);
      excess--;
    }
  }
}
