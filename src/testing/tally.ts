/**
 * A number of events that grows, and callers that wait until it is large enough: for requests that arrive
 * (scripted-server.ts), and for entries of a log (auth-log.ts).
 *
 * @module
 */
import { count } from "../base/options.ts";

/** A caller that waits. */
interface Waiter {
  readonly total: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** The number of events of one kind. */
export class Tally {
  #value = 0;
  #isClosed = false;
  #waiters: Waiter[] = [];
  /** Makes the error for callers who wait for more events than there were. */
  readonly #tooFew: (total: number, value: number) => Error;

  constructor(tooFew: (total: number, value: number) => Error) {
    this.#tooFew = tooFew;
  }

  /** Counts one event. */
  add(): void {
    const value = ++this.#value;
    const due = this.#waiters.filter(({ total }) => total <= value);
    this.#waiters = this.#waiters.filter(({ total }) => total > value);
    for (const { resolve } of due) resolve();
  }

  /**
   * Resolves when there were this many events. Rejects when the tally is closed before.
   *
   * @throws {TypeError} When `total` is not a non-negative integer.
   */
  async reaches(total: number): Promise<void> {
    count("total", total, undefined);
    if (this.#value >= total) return;
    if (this.#isClosed) throw this.#tooFew(total, this.#value);
    await new Promise<void>((resolve, reject) => this.#waiters.push({ total, resolve, reject }));
  }

  /** No further event is expected. */
  close(): void {
    this.#isClosed = true;
    for (const { total, reject } of this.#waiters.splice(0)) reject(this.#tooFew(total, this.#value));
  }
}
