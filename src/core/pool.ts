/**
 * C13 One cache per user, tenant or scope: bounded, and never two caches for one key at the same time.
 *
 * The least recently used entry goes first; entries with a mint under way stay. While anybody still holds an evicted
 * cache, its key gives that same object again: two caches on one rotating refresh token would revoke each other.
 *
 * @module
 */
import { systemClock } from "../base/clock.ts";
import { RemintError } from "../base/errors.ts";
import { assertClock, assertFunction, assertOptions, count, duration, optionError } from "../base/options.ts";
import { withPoolKey } from "./options.ts";
import { PoolGuard } from "./pool-guard.ts";
import { CacheState } from "./token-cache.ts";
import { policyHalf } from "./types.ts";
import type { Clock } from "../base/clock.ts";
import type { CloseOptions, TokenCache } from "./types.ts";

/** What {@link createTokenPool} takes. */
export interface TokenPoolOptions {
  /** Creates the cache of a key, with {@link createTokenCache}. Called when the key has none; must not cache itself. */
  readonly create: (key: string) => TokenCache;
  /** How many caches are kept; those with a mint under way come on top. @defaultValue 10_000 */
  readonly maxSize?: number | undefined;
  /** Milliseconds after its last use from which a cache may go. Looked at when the pool is used, no timer runs. @defaultValue 3_600_000 (1 hour) */
  readonly idleTtl?: number | undefined;
  /** Where time comes from. @defaultValue the machine's clocks */
  readonly clock?: Clock | undefined;
}

/** Token caches by key. */
export interface TokenPool {
  /** How many caches are kept. */
  readonly size: number;
  /** The key's cache, created if there is none. @throws {RemintError} `ERR_CLOSED` after `close()`. */
  get(key: string): TokenCache;
  /** Closes and forgets the key's cache (a sign-out), revoking its tokens if told so. Resolves to whether there was one. */
  release(key: string, options?: CloseOptions): Promise<boolean>;
  /** Closes every cache, the evicted ones that are still held included. */
  close(): Promise<void>;
}

/**
 * Creates a pool of token caches, one per key.
 *
 * Keys never mix. Failures of a token endpoint are remembered for all keys that depend on it, and an origin that
 * accepted nothing from three keys gets one renewal a second for the whole pool (C13).
 *
 * @throws {TypeError} When an option is wrong; from `get`, when the key or what `create` returned is.
 * @example
 * ```ts
 * const pool = createTokenPool({ create: (user) => createTokenCache({ grant: grantOf(user), origins }) });
 * const authFetch = createAuthFetch((url, init) => pool.get(currentUser()));
 * ```
 */
export function createTokenPool(options: TokenPoolOptions): TokenPool {
  assertOptions("createTokenPool", options);
  if (options.create === undefined)
    throw optionError("create", options.create, "a function that returns a token cache");
  assertFunction("create", options.create);
  const { clock = systemClock } = options;
  assertClock(clock);
  return new LruTokenPool(
    options.create,
    count("maxSize", options.maxSize, 10_000, 1),
    duration("idleTtl", options.idleTtl, 3_600_000),
    clock,
  );
}

interface Entry {
  readonly state: CacheState;
  usedAt: number;
}

class LruTokenPool implements TokenPool {
  readonly #create: (key: string) => TokenCache;
  readonly #maxSize: number;
  readonly #idleTtl: number;
  readonly #clock: Clock;
  readonly #share: PoolGuard;
  /** In order of use: the first is the least recently used. */
  readonly #entries = new Map<string, Entry>();
  /** Evicted, but perhaps still held by somebody. */
  readonly #evicted = new Map<string, WeakRef<CacheState>>();
  readonly #gone = new FinalizationRegistry<string>((key) => {
    if (this.#evicted.get(key)?.deref() === undefined) this.#evicted.delete(key);
  });
  #closed = false;

  constructor(create: (key: string) => TokenCache, maxSize: number, idleTtl: number, clock: Clock) {
    this.#create = create;
    this.#maxSize = maxSize;
    this.#idleTtl = idleTtl;
    this.#clock = clock;
    this.#share = new PoolGuard(clock);
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): TokenCache {
    if (this.#closed) throw new RemintError("ERR_CLOSED", "this token pool was closed; create a new one to go on");
    if (typeof key !== "string" || key === "") throw optionError("key", key, "a non-empty string");
    const now = this.#clock.monotonic();
    const found = this.#entries.get(key);
    const entry = found ?? { state: this.#evicted.get(key)?.deref() ?? this.#new(key), usedAt: now };
    entry.usedAt = now;
    this.#evicted.delete(key);
    // Deleted and set: last in the order of use.
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    this.#evict(now, key);
    return entry.state.handle;
  }

  async release(key: string, options?: CloseOptions): Promise<boolean> {
    const state = this.#entries.get(key)?.state ?? this.#evicted.get(key)?.deref();
    if (options?.revoke === true) state?.assertRevocable();
    this.#entries.delete(key);
    this.#evicted.delete(key);
    await state?.close(options);
    return state !== undefined;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const states = [...this.#entries.values()].map((entry) => entry.state);
    for (const held of this.#evicted.values()) {
      const state = held.deref();
      if (state !== undefined) states.push(state);
    }
    this.#entries.clear();
    this.#evicted.clear();
    await Promise.all(states.map((state) => state.close()));
  }

  #new(key: string): CacheState {
    const cache: unknown = withPoolKey(key, () => this.#create(key));
    const state = policyHalf(Object(cache));
    if (!(state instanceof CacheState))
      throw optionError("create", cache, "a function that returns createTokenCache({ ... })");
    state.joinPool(this.#share);
    return state;
  }

  /** Idle entries go, and the least recently used ones above `maxSize`; one with a mint under way is passed over. */
  #evict(now: number, keep: string): void {
    let excess = this.#entries.size - this.#maxSize;
    for (const [key, { state, usedAt }] of this.#entries) {
      if (excess <= 0 && now - usedAt < this.#idleTtl) return;
      if (key === keep || state.busy) continue;
      this.#entries.delete(key);
      this.#evicted.set(key, new WeakRef(state));
      this.#gone.register(state, key);
      excess--;
    }
  }
}
