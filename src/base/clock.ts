/**
 * Time: the interface that the library reads time through, and the machine's own clocks.
 *
 * No other file names `Date.now`, `performance.now` or `setTimeout`, so that tests move a clock
 * (`testing/manual-clock.ts`) instead of sleeping.
 *
 * @module
 */

/** Where a cache reads the time and sets its timers. `manualClock()` of `remint/testing` is a clock that tests move. */
export interface Clock {
  /** Returns the wall clock in epoch milliseconds. The wall clock jumps when the system time is corrected. */
  now(): number;
  /**
   * Returns the monotonic clock: milliseconds since some fixed moment. This clock never jumps. It may stand still while
   * the machine sleeps.
   */
  monotonic(): number;
  /**
   * Sets a timer that calls `fire` once, after `delay` milliseconds at the earliest. The timer does not keep the
   * process alive until `hold(true)` is called.
   */
  setTimeout(
    fire: () => void,
    delay: number,
  ): {
    /** Stops the timer. Does nothing when the timer has fired or was stopped before. */
    cancel(): void;
    /** Keeps the process alive until the timer fires (`true`), or no longer (`false`). */
    hold(awaited: boolean): void;
  };
}

/** A timer that was set with {@link Clock.setTimeout}. Held while a caller waits for it (C12). */
export type Timer = ReturnType<Clock["setTimeout"]>;

/** A clock with a reading that a burst of calls may share. A clock without `bursts` is read by every call. */
export interface BurstClock extends Clock {
  readonly bursts?: Bursts | undefined;
}

/** Milliseconds. A longer delay overflows the 32-bit number that runtimes keep it in, and the timer fires at once. */
const LONGEST_DELAY = 2 ** 31 - 1;

/**
 * Bursts of calls that share one reading of the clocks. Two readings cost 100 ns, as much as the rest of a warm
 * request. A burst begins with two readings within a millisecond. It ends as soon as the event loop runs a timer, so no
 * decision is based on a reading that is older than a few milliseconds, and an idle process is not woken.
 */
export class Bursts {
  /** The number of the current burst; 0 when there is none. */
  current = 0;
  /** How many more calls the burst may serve. A limit, because some runtimes may never run the timer that ends it. */
  left = 0;
  readonly #clock: Pick<Clock, "setTimeout">;
  #count = 0;
  #lastReading = -Infinity;

  constructor(clock: Pick<Clock, "setTimeout">) {
    this.#clock = clock;
  }

  /** Records a reading of the clock. @returns The number of the burst that the reading belongs to; 0 for none. */
  read(now: number): number {
    const sinceLast = now - this.#lastReading;
    this.#lastReading = now;
    if (this.current === 0 && sinceLast >= 0 && sinceLast <= 1) {
      this.current = ++this.#count;
      this.#clock.setTimeout(() => (this.current = 0), BURST_LENGTH);
    }
    this.left = BURST_CALLS;
    return this.current;
  }
}

const BURST_LENGTH = 5;
const BURST_CALLS = 1000;

const setSystemTimeout: Clock["setTimeout"] = (fire, delay) => {
  const id: unknown = setTimeout(fire, Math.min(Math.max(delay, 0), LONGEST_DELAY));
  const hold = (awaited: boolean): void => {
    // Node and Bun return an object with `ref` and `unref`. In browsers the id is a number, and `hold` does nothing.
    if (typeof id === "object" && id !== null) {
      const timer = id as { ref?: () => void; unref?: () => void };
      if (awaited) timer.ref?.();
      else timer.unref?.();
    }
  };
  hold(false);
  return { cancel: () => clearTimeout(id as number), hold };
};

/** The machine's own clocks and timers. */
export const systemClock: BurstClock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout: setSystemTimeout,
  bursts: new Bursts({ setTimeout: setSystemTimeout }),
};
