/**
 * A store in the memory of one process: for tests and simulations of a fleet, and for caches of one process that share a session.
 *
 * It is both an engine and the store of a fleet. It connects no processes: that takes redis.ts, or a store for another engine
 * (store.ts).
 *
 * @module
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { assertClock, assertOptions } from "../base/options.ts";
import { storeDefinitionOf, storeOf } from "../core/supply.ts";
import { sharedStore } from "./fleet-store.ts";
import { plain } from "./seal.ts";
import type { FleetStore } from "../core/supply.ts";
import type { Store, StoreEntry, SwapResult } from "./store.ts";

/**
 * Creates a store in the memory of this process.
 *
 * As the option `store` it makes a fleet of the caches that have it, each as if it were a process: two caches of one session
 * share it, with one refresh at a time. Nothing leaves the process, so there is no encryption key. It is also an engine
 * ({@link Store}) for `fleetStore`, in tests of how a fleet meets a store that fails.
 *
 * Another process cannot see it, and what it holds ends with the process, refresh tokens too: give the grant `onRotate`, or
 * several processes `redisStore` or a store for another engine. Versions are revision numbers. The store has no timer: it
 * removes expired values when others are written, so its size stays in proportion to the values that have not expired.
 *
 * @throws {TypeError} When `clock` is not a clock, or an option is unknown.
 * @example
 * ```ts
 * const store = memoryStore();
 * const [one, other] = [1, 2].map(() => createTokenCache({ grant, origins, store }));
 * ```
 */
export function memoryStore(options: MemoryStoreOptions = {}): FleetStore & Store {
  assertOptions("memoryStore", options, ["clock"]);
  const { clock } = options;
  if (clock !== undefined) assertClock(clock);
  const engine = new MemoryEngine(clock);
  const shared = storeDefinitionOf(sharedStore(engine, [plain], { prefix: "remint", isFleetOfCaches: true }).store);
  return Object.assign(
    engine,
    storeOf({
      supply(cache) {
        engine.follow(cache.clock);
        return shared.supply(cache);
      },
    }),
  );
}

/** Options of {@link memoryStore}. */
export interface MemoryStoreOptions {
  /**
   * The clock whose monotonic time decides when values expire.
   *
   * @defaultValue the clock of the first cache that has the store; the machine's where it is an engine only
   */
  readonly clock?: Clock | undefined;
}

interface MemoryEntry {
  readonly value: string;
  readonly version: string;
  /** In milliseconds of the clock's monotonic time. */
  readonly expiresAt: number;
}

/** The number of entries at which the store looks for expired ones for the first time. */
const FIRST_SWEEP = 64;

/** Compare-and-swap in memory. */
export class MemoryEngine implements Store {
  #clock: Clock | undefined;
  readonly #entries = new Map<string, MemoryEntry>();
  #revision = 0;
  #sweepAt = FIRST_SWEEP;

  /** @param clock Decides when values expire. @defaultValue what {@link MemoryEngine.follow} is told first */
  constructor(clock?: Clock) {
    this.#clock = clock;
  }

  /** Whoever uses the engine has this clock. */
  follow(clock: Clock): void {
    this.#clock ??= clock;
  }

  /** The number of entries in memory, including expired ones that were not removed yet. */
  get size(): number {
    return this.#entries.size;
  }

  // Without an `await` the function runs as one step. It is `async` so that an exception becomes a rejection.
  async swap(key: string, expected: string | undefined, next: string | undefined, ttl: number): Promise<SwapResult> {
    const now = (this.#clock ??= systemClock).monotonic();
    const current = this.#entry(key, now);
    if (current?.version !== expected) return { ok: false, current };
    if (next === undefined) {
      this.#entries.delete(key);
      return { ok: true, version: undefined };
    }
    if (this.#entries.size >= this.#sweepAt) this.#sweep(now);
    const version = String(++this.#revision);
    this.#entries.set(key, { value: next, version, expiresAt: now + ttl });
    return { ok: true, version };
  }

  #entry(key: string, now: number): StoreEntry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.expiresAt <= now) return undefined;
    return { value: entry.value, version: entry.version, ttl: entry.expiresAt - now };
  }

  /**
   * Removes expired entries. A timer would wake the process without need. The next sweep comes when the number of
   * entries has doubled, so each write pays for a bounded share of a sweep, and expired entries never outnumber the
   * others by more than a constant.
   */
  #sweep(now: number): void {
    for (const [key, { expiresAt }] of this.#entries) if (expiresAt <= now) this.#entries.delete(key);
    this.#sweepAt = Math.max(FIRST_SWEEP, 2 * this.#entries.size);
  }
}
