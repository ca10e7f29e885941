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

/** Milliseconds. A longer delay overflows the 32-bit number that runtimes keep it in, and the timer fires at once. */
const LONGEST_DELAY = 2 ** 31 - 1;

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
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout: setSystemTimeout,
};

/**
 * Waits for work, for so many milliseconds at most. The process stays alive meanwhile.
 *
 * @param work Does not reject.
 * @returns `false` when the work takes longer. It goes on.
 */
export async function settledWithin(clock: Clock, work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: Timer | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = clock.setTimeout(() => resolve(false), Math.max(0, ms));
    timer.hold(true);
  });
  const isSettled = await Promise.race([work.then(() => true), late]);
  timer?.cancel();
  return isSettled;
}
