/**
 * A {@link Store} in the memory of one process, for tests and simulations.
 *
 * It connects no processes: a fleet needs redis.ts or a store for another engine (store.ts).
 *
 * @module
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { assertClock, assertOptions } from "../base/options.ts";
import type { Store, StoreEntry, SwapResult } from "./store.ts";

/**
 * Creates a store in the memory of this process, for tests and simulations.
 *
 * Another process cannot see it, and its values end with the process. A fleet needs `redisStore` or a store for another
 * engine ({@link Store}). Versions are revision numbers, and values expire by `clock.monotonic()`. The store has no
 * timer: it removes expired values when others are written, so its size stays in proportion to the values that have not
 * expired.
 *
 * @throws {TypeError} When `clock` is not a clock, or an option is unknown.
 */
export function memoryStore(options: MemoryStoreOptions = {}): Store {
  assertOptions("memoryStore", options, ["clock"]);
  const { clock = systemClock } = options;
  assertClock(clock);
  return new MemoryStore(clock);
}

/** Options of {@link memoryStore}. */
export interface MemoryStoreOptions {
  /** The clock whose monotonic time decides when values expire. @defaultValue the clock of the machine */
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

/** The store that {@link memoryStore} returns. */
export class MemoryStore implements Store {
  readonly #clock: Clock;
  readonly #entries = new Map<string, MemoryEntry>();
  #revision = 0;
  #sweepAt = FIRST_SWEEP;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The number of entries in memory, including expired ones that were not removed yet. */
  get size(): number {
    return this.#entries.size;
  }

  // Without an `await` the function runs as one step. It is `async` so that an exception becomes a rejection.
  async swap(key: string, expected: string | undefined, next: string | undefined, ttl: number): Promise<SwapResult> {
    const now = this.#clock.monotonic();
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
