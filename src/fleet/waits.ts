/**
 * How a flight of a fleet waits: pauses between two looks at the record, and at last its own mint.
 *
 * Callers that wait for the flight keep the process alive through its pauses and its mint (C12), and closing the cache
 * ends both at once. What the flight waits for is decided in flight.ts.
 *
 * @module
 */
import type { Clock, Timer } from "../base/clock.ts";
import type { Failure } from "../core/failures.ts";
import type { RunningMint } from "../core/mint.ts";

/** The pauses and the mint of one flight. */
export class Waits {
  readonly #clock: Clock;
  #isAwaited = false;
  #timer: Timer | undefined;
  #mint: RunningMint | undefined;
  #isAbortable = true;
  #abandoned: Failure | undefined;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param awaited Whether callers wait for the flight. While they do, it keeps the process alive. */
  hold(awaited: boolean): void {
    this.#isAwaited = awaited;
    this.#timer?.hold(awaited);
    this.#mint?.hold(awaited);
  }

  /** Ends the flight: its pause, and its mint if that may be aborted. */
  abandon(reason: Failure): void {
    this.#abandoned = reason;
    if (this.#isAbortable) this.#mint?.abort(reason);
    this.#wake?.();
  }

  get isAbandoned(): boolean {
    return this.#abandoned !== undefined;
  }

  /** @throws {Failure} When the flight was abandoned: the reason. */
  assertNotAbandoned(): void {
    if (this.#abandoned !== undefined) throw this.#abandoned;
  }

  /** Waits for so many milliseconds. @throws {Failure} When the flight is abandoned meanwhile: the reason. */
  async sleep(delay: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#timer = this.#clock.setTimeout(resolve, delay);
      this.#timer.hold(this.#isAwaited);
    });
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#wake = undefined;
    this.assertNotAbandoned();
  }

  /** The flight now waits for its own mint. @param isAbortable Nothing is lost when the mint is aborted. */
  follow(mint: RunningMint, isAbortable: boolean): void {
    this.#mint = mint;
    this.#isAbortable = isAbortable;
    mint.hold(this.#isAwaited);
    if (this.#abandoned !== undefined && isAbortable) mint.abort(this.#abandoned);
  }
}

/**
 * Returns how long a process waits before it looks again whether another process has published a token.
 *
 * The pauses are even at first, because most mints take a fraction of a second: a pause that grows at once would be
 * longest when the token arrives. Then they grow, because a mint that takes seconds is not found sooner by 20 looks a
 * second. A random factor from 0.5 to 1.5 takes processes that started together out of step after one look.
 *
 * A pause is never much shorter than the last look took. If a store answers slowly because too many processes look,
 * more looks would make it slower still, until calls time out and thousands of processes mint for themselves.
 *
 * `bench/fleet-sim.mjs` measures the result for 10 to 10,000 processes.
 *
 * @param polls The number of pauses before this one.
 * @param roundTrip Milliseconds the last look took.
 * @param random From 0 to 1.
 * @returns Milliseconds.
 */
export function pollDelay(polls: number, roundTrip = 0, random: number = Math.random()): number {
  const growing = Math.max(0, polls - EVEN_PAUSES + 1);
  return Math.max(roundTrip, Math.min(LONGEST_PAUSE, FIRST_PAUSE * GROWTH ** growing)) * (0.5 + random);
}

/**
 * Milliseconds. A published token is noticed after half a pause on average, so the pause is short; 1,000 processes make
 * 20,000 looks a second with it.
 */
const FIRST_PAUSE = 50;
/** The number of even pauses. They cover the first quarter of a second. */
const EVEN_PAUSES = 5;
const GROWTH = 1.15;
/** Milliseconds. */
const LONGEST_PAUSE = 300;
