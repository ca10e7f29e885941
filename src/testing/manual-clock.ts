import { setImmediate } from "node:timers";
import { assertOptions, optionError } from "../base/options.ts";
import type { Clock, Timer } from "../base/clock.ts";

/** Where a {@link manualClock} starts. */
export interface ManualClockOptions {
  /** Epoch milliseconds of the wall clock. @defaultValue 1_767_225_600_000 (2026-01-01T00:00:00Z) */
  readonly now?: number | undefined;
}

/** A {@link Clock} that stands still until a test moves it. All amounts of time are milliseconds. */
export interface ManualClock extends Clock {
  /**
   * Lets time pass: both clocks move together, and every timer fires at its own time, in order, those set on the way
   * included.
   *
   * Promise chains of any depth run before the first timer, between timers and after the last. What waits for real
   * I/O (sockets, files, WebCrypto) is not waited for. `advance(0)` fires what is due and lets promise chains run.
   * Calls that overlap add up.
   *
   * @throws {TypeError} When `ms` is negative or not finite.
   */
  advance(ms: number): Promise<void>;
  /**
   * Steps the wall clock alone, forward or back, as NTP or an administrator does. Timers do not notice.
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
   * Suspends the machine: the wall clock goes on, the monotonic clock and the timers stand still, as on Linux.
   *
   * @throws {TypeError} When `ms` is negative or not finite.
   */
  suspend(ms: number): void;
  /** How many timers are pending. */
  readonly timers: number;
  /** How many of them somebody awaits: in a real process they would keep it alive ({@link Timer.hold}). */
  readonly awaited: number;
}

/** A fixed moment: a test that depends on today's date fails on another day. */
const DEFAULT_NOW = Date.UTC(2026, 0, 1);
/** One turn drains the microtask queue whatever its depth; the others are for chains that hop over a macrotask. */
const SETTLING_TURNS = 10;

interface PendingTimer {
  readonly due: number;
  readonly fire: () => void;
  awaited: boolean;
}

class SteppedClock implements ManualClock {
  /** In the order they were set, which decides between timers due at the same time. */
  readonly #pending = new Set<PendingTimer>();
  #wall: number;
  #monotonic = 0;
  /** Where the monotonic clock will be when every {@link advance} that was called is done. */
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
    // As in every runtime, a delay that is not a positive number means none.
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
    // A set's iteration sees what is added and skips what is deleted on the way.
    for (const timer of this.#pending) {
      if (timer.due > due) continue;
      this.#pending.delete(timer);
      timer.fire();
      // The timers of one instant need only microtasks run between them: thousands of waiters may share one.
      await turns(1);
    }
  }

  /** Never back: {@link stepMonotonic} may have passed the time a timer was due. */
  #moveTo(monotonic: number): void {
    const elapsed = Math.max(0, monotonic - this.#monotonic);
    this.#monotonic += elapsed;
    this.#wall += elapsed;
  }
}

/**
 * Makes a clock for `createTokenCache({ clock })` that moves only when the test says so.
 *
 * @throws {TypeError} When `now` is not a finite number.
 * @example
 * ```ts
 * const clock = manualClock();
 * const cache = createTokenCache({ grant, origins, clock });
 * await cache.get();
 * await clock.advance(3_600_000);
 * ```
 */
export function manualClock(options: ManualClockOptions = {}): ManualClock {
  assertOptions("manualClock", options);
  const { now = DEFAULT_NOW } = options;
  if (!Number.isFinite(now)) throw optionError("now", now, "a finite number of epoch milliseconds");
  return new SteppedClock(now);
}

function forward(name: string, ms: number): number {
  if (!Number.isFinite(ms) || ms < 0) throw optionError(name, ms, "a non-negative number of milliseconds");
  return ms;
}

async function turns(left: number): Promise<void> {
  for (let turn = 0; turn < left; turn++) await new Promise<void>((resolve) => void setImmediate(resolve));
}
