/**
 * The only file that names `Date.now`, `performance.now` and `setTimeout`, so that tests move time instead of sleeping.
 *
 * @module
 */

/** A timer that was set. */
export interface Timer {
  /** Keeps it from firing; after that, and after it has fired, nothing happens. */
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
  /** Lets a burst of calls share one reading of the clocks; a clock without it is read by every call. */
  readonly bursts?: Bursts | undefined;
}

/** Longer delays overflow the 32-bit field of every runtime's timers and fire at once. */
const LONGEST_DELAY = 2 ** 31 - 1;

/**
 * Bursts of calls, which share one reading of the clocks: two readings cost 100 ns, as much as all else a warm request
 * pays. A burst begins with two readings within a millisecond and ends as soon as the event loop gets round to a timer,
 * so no decision is older than a few milliseconds and an idle process is not woken.
 */
export class Bursts {
  /** The number of the burst that is on; 0 for none. */
  current = 0;
  /** Calls it may still serve: runtimes that never run the timer must not go without a clock for ever. */
  left = 0;
  readonly #clock: Pick<Clock, "setTimeout">;
  #count = 0;
  #lastReading = -Infinity;

  constructor(clock: Pick<Clock, "setTimeout">) {
    this.#clock = clock;
  }

  /** Takes note of a reading. @returns The burst it belongs to. */
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
    // Node, Bun and Deno give an object or a number with ref/unref beside it; browsers have nothing to keep alive.
    if (typeof id === "object" && id !== null) {
      const timer = id as { ref?: () => void; unref?: () => void };
      if (awaited) timer.ref?.();
      else timer.unref?.();
    }
  };
  hold(false);
  return { cancel: () => clearTimeout(id as number), hold };
};

/** The machine's own time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout: setSystemTimeout,
  bursts: new Bursts({ setTimeout: setSystemTimeout }),
};
