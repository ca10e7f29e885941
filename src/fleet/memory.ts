/**
 * A store in the memory of one process: what tests and simulations share tokens through.
 *
 * @module
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { assertClock, assertOptions } from "../base/options.ts";
import type { Store, StoreEntry, SwapResult } from "./store.ts";

/** Options of {@link memoryStore}. */
export interface MemoryStoreOptions {
  /** Whose monotonic time decides when values expire. @defaultValue the machine's own */
  readonly clock?: Clock | undefined;
}

interface Kept {
  readonly value: string;
  readonly version: string;
  /** By the clock's monotonic time. */
  readonly expiresAt: number;
}

/** So many entries may lie there before the first sweep. */
const FIRST_SWEEP = 64;

/** What {@link memoryStore} makes. */
export class MemoryStore implements Store {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Kept>();
  #revision = 0;
  #sweepAt = FIRST_SWEEP;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many values lie there, the expired ones that were not swept yet included. */
  get size(): number {
    return this.#entries.size;
  }

  // `async` and without an `await`: one step for everybody in this process, and what it throws is a rejection.
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
    const kept = this.#entries.get(key);
    if (kept === undefined || kept.expiresAt <= now) return undefined;
    return { value: kept.value, version: kept.version, ttl: kept.expiresAt - now };
  }

  /**
   * Forgets what has expired. A timer would wake the process for nothing; at twice the size the last sweep left, each
   * write pays for a bounded part of it and the dead never outnumber the living by more than a constant.
   */
  #sweep(now: number): void {
    for (const [key, { expiresAt }] of this.#entries) if (expiresAt <= now) this.#entries.delete(key);
    this.#sweepAt = Math.max(FIRST_SWEEP, 2 * this.#entries.size);
  }
}

/**
 * Makes a store that lives in this process: for tests and simulations.
 *
 * It shares nothing with another process, and nothing survives this one: a fleet needs `redisStore` or a store for
 * another engine ({@link Store}). Versions are revision numbers; values expire by `clock.monotonic()`. It has no timer
 * and forgets expired values as others are written, so it grows with what is alive, not with what ever was.
 *
 * @throws {TypeError} When `clock` is not a clock.
 */
export function memoryStore(options: MemoryStoreOptions = {}): Store {
  assertOptions("memoryStore", options);
  const { clock = systemClock } = options;
  assertClock(clock);
  return new MemoryStore(clock);
}
