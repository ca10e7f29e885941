/** A point where callers wait until a test lets them go on. */
export interface Hold {
  /** How many wait here now. */
  readonly waiting: number;
  /** Lets everybody who waits go on, and later callers pass. */
  release(): void;
  /** Like {@link Hold.release}, but those who wait get this error. */
  fail(error: unknown): void;
}

/** How a hold treats those who wait. */
export interface HoldOptions {
  /** Keeps a caller waiting even after its signal fired, like code that never looks at its signal. @defaultValue false */
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

/** The holds in force. Each caller waits for the newest one there was when it came. */
export class Holds {
  readonly #inForce: Barrier[] = [];

  /** How many callers wait, over all holds in force. */
  get waiting(): number {
    return this.#inForce.reduce((sum, barrier) => sum + barrier.waiting, 0);
  }

  /** Makes every later {@link Holds.pass} wait until the hold is released. */
  begin(options: HoldOptions = {}): Hold {
    const barrier = new Barrier(options, (lifted) => {
      const index = this.#inForce.indexOf(lifted);
      if (index !== -1) this.#inForce.splice(index, 1);
    });
    this.#inForce.push(barrier);
    return barrier;
  }

  /** Resolves at once, or when the hold in force is released; rejects with `signal.reason` when the signal fires first. */
  pass(signal: AbortSignal): Promise<void> {
    return this.#inForce.at(-1)?.wait(signal) ?? Promise.resolve();
  }
}
