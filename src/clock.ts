/**
 * The only file that names `Date.now`, `performance.now` and `setTimeout`, so that tests move time instead of sleeping.
 *
 * @module
 */

/** A timer that was set. */
export interface Timer {
  cancel(): void;
  /** `true`: somebody waits for this timer, so it keeps the process alive. Background timers do not (C12). */
  hold(awaited: boolean): void;
}

/** Where a cache takes the time from; `manualClock()` of `remint/testing` is one that tests move. */
export interface Clock {
  /** Epoch milliseconds: the wall clock, which may be stepped. */
  now(): number;
  /** Milliseconds since any fixed moment: never stepped, but may stand still while the machine sleeps. */
  monotonic(): number;
  /** Calls `fire` once, after `delay` milliseconds at the earliest. Starts as a background timer. */
  setTimeout(fire: () => void, delay: number): Timer;
}

/** Longer delays overflow the 32-bit field of every runtime's timers and fire at once. */
const LONGEST_DELAY = 2 ** 31 - 1;

/** The machine's own time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout(fire, delay) {
    const id: unknown = setTimeout(fire, Math.min(Math.max(delay, 0), LONGEST_DELAY));
    const hold = (awaited: boolean): void => {
      // Node, Bun and Deno give an object or a number with ref/unref beside it; browsers have nothing to keep alive.
      if (typeof id === "object" && id !== null) {
        const timer = id as { ref?: () => void; unref?: () => void };
        if (awaited) timer.ref?.();
        else timer.unref?.();
      }
    };
    hold(false);
    return { cancel: () => clearTimeout(id as number), hold };
  },
};
