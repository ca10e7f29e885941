/**
 * `manualClock`: a clock for `createTokenCache({ clock })` whose time a test moves.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import { assertOptions, optionError } from "../base/options.ts";
import type { Clock, Timer } from "../base/clock.ts";

/**
 * Creates a clock for `createTokenCache({ clock })` that moves only when the test moves it.
 *
 * @throws {TypeError} When `now` is not a finite number, or an option is unknown.
 * @example
 * ```ts
 * const clock = manualClock();
 * const cache = createTokenCache({ grant, origins, clock });
 * await cache.get();
 * await clock.advance(3_600_000);
 * ```
 */
export function manualClock(options: ManualClockOptions = {}): ManualClock {
  assertOptions("manualClock", options, ["now"]);
  const { now = DEFAULT_NOW } = options;
  if (!Number.isFinite(now)) throw optionError("now", now, "a finite number of epoch milliseconds");
  return new SteppedClock(now);
}

/** Options of {@link manualClock}. */
export interface ManualClockOptions {
  /**
   * The first reading of the wall clock, in epoch milliseconds.
   *
   * @defaultValue 1_767_225_600_000 (2026-01-01T00:00:00Z)
   */
  readonly now?: number | undefined;
}

/** A {@link Clock} that stands still until a test moves it. All amounts of time are milliseconds. */
export interface ManualClock extends Clock {
  /**
   * Lets time pass: both clocks move together, and every timer that becomes due fires at its own time, in order. This
   * includes timers that are set meanwhile.
   *
   * Promise chains of any depth run before the first timer, between timers and after the last one. `advance` does not
   * wait for real I/O (sockets, files, WebCrypto). `advance(0)` fires the timers that are due and lets promise chains
   * run. Overlapping calls add up.
   *
   * @throws {TypeError} When `ms` is negative or not finite.
   */
  advance(ms: number): Promise<void>;
  /**
   * Steps the wall clock alone, forward or back, as NTP or an administrator does. It fires no timer.
   *
   * @throws {TypeError} When `ms` is not finite.
   */
  stepWall(ms: number): void;
  /**
   * Steps the monotonic clock alone, forward. Timers that become due fire with the next {@link ManualClock.advance}.
   *
   * @throws {TypeError} When `ms` is negative or not finite.
   */
  stepMonotonic(ms: number): void;
  /**
   * Suspends the machine, as Linux does: the wall clock moves on, the monotonic clock and the timers stand still.
   *
   * @throws {TypeError} When `ms` is negative or not finite.
   */
  suspend(ms: number): void;
  /** The number of pending timers. */
  readonly timers: number;
  /** The number of pending timers that would keep a real process alive (`hold(true)`). */
  readonly awaited: number;
}

/** A fixed moment, because a test that depends on the current date fails on another day. */
const DEFAULT_NOW = Date.UTC(2026, 0, 1);
/** One turn runs all microtasks. The other turns are for promise chains that include a macrotask. */
const SETTLING_TURNS = 10;

interface PendingTimer {
  readonly due: number;
  readonly fire: () => void;
  awaited: boolean;
}

class SteppedClock implements ManualClock {
  /** In the order in which they were set. Timers that are due at the same time fire in this order. */
  readonly #pending = new Set<PendingTimer>();
  #wall: number;
  #monotonic = 0;
  /** The monotonic time after all calls of {@link advance} that were made so far. */
  #goal = 0;

  constructor(now: number) {
    this.#wall = now;
  }

  get timers(): number {
    return this.#pending.size;
  }

  get awaited(): number {
    return [...this.#pending].filter((timer) => timer.awaited).length;
  }

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  setTimeout(fire: () => void, delay: number): Timer {
    // As in every runtime, a delay that is not a positive number counts as zero.
    const timer: PendingTimer = { due: this.#monotonic + (delay > 0 ? delay : 0), fire, awaited: false };
    this.#pending.add(timer);
    return {
      cancel: () => void this.#pending.delete(timer),
      hold: (awaited) => {
        timer.awaited = awaited;
      },
    };
  }

  async advance(ms: number): Promise<void> {
    this.#goal += forward("advance", ms);
    const goal = this.#goal;
    await turns(SETTLING_TURNS);
    for (let due = this.#earliest(goal); due !== undefined; due = this.#earliest(goal)) {
      this.#moveTo(due);
      await this.#fireAll(due);
      await turns(SETTLING_TURNS);
    }
    this.#moveTo(goal);
    await turns(SETTLING_TURNS);
  }

  stepWall(ms: number): void {
    if (!Number.isFinite(ms)) throw optionError("stepWall", ms, "a finite number of milliseconds");
    this.#wall += ms;
  }

  stepMonotonic(ms: number): void {
    this.#monotonic += forward("stepMonotonic", ms);
    this.#goal += ms;
  }

  suspend(ms: number): void {
    this.#wall += forward("suspend", ms);
  }

  #earliest(until: number): number | undefined {
    let earliest = Infinity;
    for (const timer of this.#pending) earliest = Math.min(earliest, timer.due);
    return earliest <= until ? earliest : undefined;
  }

  async #fireAll(due: number): Promise<void> {
    // The iteration of a set includes timers that are added meanwhile and skips timers that are deleted.
    for (const timer of this.#pending) {
      if (timer.due > due) continue;
      this.#pending.delete(timer);
      timer.fire();
      // One turn is enough between timers of the same moment, and thousands of timers may be due at the same moment.
      await turns(1);
    }
  }

  /** Never moves back: {@link stepMonotonic} may have moved past the time at which a timer was due. */
  #moveTo(monotonic: number): void {
    const elapsed = Math.max(0, monotonic - this.#monotonic);
    this.#monotonic += elapsed;
    this.#wall += elapsed;
  }
}

function forward(name: string, ms: number): number {
  if (!Number.isFinite(ms) || ms < 0) throw optionError(name, ms, "a non-negative number of milliseconds");
  return ms;
}

async function turns(left: number): Promise<void> {
  for (let turn = 0; turn < left; turn++) await new Promise<void>((resolve) => void setImmediate(resolve));
}
