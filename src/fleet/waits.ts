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
