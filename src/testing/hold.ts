/**
 * Holds: points at which mints or answers wait until a test lets them continue.
 *
 * fake-grant.ts holds mints, scripted-server.ts holds answers.
 *
 * @module
 */
import { assertOptions } from "../base/options.ts";

/** A point at which callers wait until a test lets them continue. */
export interface Hold {
  /** The number of callers that wait now. */
  readonly waiting: number;
  /** Ends the hold: the waiting callers continue, and later callers do not wait. */
  release(): void;
  /** Ends the hold like {@link Hold.release}, but the waiting callers fail with this error. */
  fail(error: unknown): void;
}

/** Options of a hold. */
export interface HoldOptions {
  /**
   * Whether a caller goes on waiting after its signal was aborted, like code that ignores its signal.
   *
   * @defaultValue false
   */
  readonly ignoreSignal?: boolean | undefined;
}

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

class Barrier implements Hold {
  readonly #waiters = new Set<Waiter>();
  readonly #ignoreSignal: boolean;
  readonly #lift: (barrier: Barrier) => void;

  constructor(options: HoldOptions, lift: (barrier: Barrier) => void) {
    this.#ignoreSignal = options.ignoreSignal ?? false;
    this.#lift = lift;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  release(): void {
    this.#lift(this);
    for (const waiter of this.#waiters) waiter.resolve();
  }

  fail(error: unknown): void {
    this.#lift(this);
    for (const waiter of this.#waiters) waiter.reject(error);
  }

  wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiters.delete(waiter);
        signal.removeEventListener("abort", abandon);
      };
      const waiter: Waiter = {
        resolve: () => (leave(), resolve()),
        reject: (error) => (leave(), reject(error)),
      };
      const abandon = (): void => waiter.reject(signal.reason);
      this.#waiters.add(waiter);
      if (this.#ignoreSignal) return;
      signal.addEventListener("abort", abandon);
      if (signal.aborted) abandon();
    });
  }
}

/** The holds that were not released yet. A caller waits for the hold that was the newest when the caller came. */
export class Holds {
  readonly #inForce: Barrier[] = [];

  /** The number of callers that wait, in all holds together. */
  get waiting(): number {
    return this.#inForce.reduce((sum, barrier) => sum + barrier.waiting, 0);
  }

  /** Begins a hold: every later {@link Holds.pass} waits until it is released. */
  begin(options: HoldOptions = {}): Hold {
    assertOptions("hold", options, ["ignoreSignal"]);
    const barrier = new Barrier(options, (lifted) => {
      const index = this.#inForce.indexOf(lifted);
      if (index !== -1) this.#inForce.splice(index, 1);
    });
    this.#inForce.push(barrier);
    return barrier;
  }

  /**
   * Resolves at once if there is no hold, otherwise when the newest hold is released. Rejects with `signal.reason` if
   * the signal is aborted before.
   */
  pass(signal: AbortSignal): Promise<void> {
    return this.#inForce.at(-1)?.wait(signal) ?? Promise.resolve();
  }
}
