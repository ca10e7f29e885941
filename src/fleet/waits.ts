/**
 * What one flight of a fleet waits for: pauses, and at last a mint. Whoever waits for the flight keeps the process alive
 * through it (C12); closing the cache ends it at once.
 *
 * @module
 */
import type { Clock, Timer } from "../base/clock.ts";
import type { RemintError } from "../base/errors.ts";
import type { RunningMint } from "../core/mint.ts";

/** The waiting of one flight. */
export class Waits {
  readonly #clock: Clock;
  #isAwaited = false;
  #timer: Timer | undefined;
  #mint: RunningMint | undefined;
  #abandoned: RemintError | undefined;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `true`: somebody waits for the flight. */
  hold(awaited: boolean): void {
    this.#isAwaited = awaited;
    this.#timer?.hold(awaited);
    this.#mint?.hold(awaited);
  }

  /** Ends the flight: the mint is aborted, a pause ends. */
  abandon(reason: RemintError): void {
    this.#abandoned = reason;
    this.#mint?.abandon(reason);
    this.#wake?.();
  }

  get isAbandoned(): boolean {
    return this.#abandoned !== undefined;
  }

  /** @throws {RemintError} When the flight was ended. */
  assertWanted(): void {
    if (this.#abandoned !== undefined) throw this.#abandoned;
  }

  /** @throws {RemintError} When the flight is ended meanwhile. */
  async sleep(delay: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#timer = this.#clock.setTimeout(resolve, delay);
      this.#timer.hold(this.#isAwaited);
    });
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#wake = undefined;
    this.assertWanted();
  }

  /** The mint this flight has come to. */
  follow(mint: RunningMint): RunningMint["promise"] {
    this.#mint = mint;
    mint.hold(this.#isAwaited);
    if (this.#abandoned !== undefined) mint.abandon(this.#abandoned);
    return mint.promise;
  }
}

// MERGED How long a process waits before it looks again whether somebody else's mint has come to something.
// MERGED
// MERGED Even at first, because most mints take a fraction of a second and a growing pause is at its longest when the token
// MERGED comes; longer and longer then, because a mint that takes seconds is no better for being asked after 20 times a second.
// MERGED `bench/fleet-sim.mjs` has the numbers, from 10 processes to 10,000.
/** Half of it is what a token lies there unnoticed, so it is short; a fleet of 1,000 makes 20,000 looks a second of it. */
const FIRST = 50;
/** So many looks are even: they cover the first quarter of a second. */
const EVEN_LOOKS = 5;
const GROWTH = 1.15;
const LONGEST = 300;

/**
 * Milliseconds before the next look. Half of it or half as much again at random, so that processes that came in step are
 * out of it after one look. Never much less than the last look took: a store that is slow to answer because all look at
 * once would be slower with every look, until calls time out and thousands of processes mint for themselves.
 *
 * @param polls How many pauses there were.
 * @param roundTrip Milliseconds the last look took.
 * @param random From 0 to 1.
 */
export function pollDelay(polls: number, roundTrip = 0, random: number = Math.random()): number {
  const growing = Math.max(0, polls - EVEN_LOOKS + 1);
  return Math.max(roundTrip, Math.min(LONGEST, FIRST * GROWTH ** growing)) * (0.5 + random);
}
