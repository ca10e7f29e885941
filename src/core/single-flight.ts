/**
 * A flight: the one mint in progress that all waiting callers share (C2). A caller may stop waiting at any time, and
 * the mint goes on (C10).
 *
 * The cache starts flights and decides what their results mean (`token-cache.ts`).
 *
 * @module
 */
import { leaveOnAbort } from "../base/abort.ts";
import type { MintCause } from "./types.ts";

/** One mint in progress. */
export class Flight<T> {
  /** The number of the flight within its cache. Flights are ordered by this counter and never by a clock (C7). */
  readonly number: number;
  readonly cause: MintCause;
  readonly promise: Promise<T>;
  /**
   * Token values that were rejected while the flight was in progress. If it yields one of them, the cache drops it
   * (C5).
   */
  readonly rejected: Set<string>;
  /**
   * A caller with a valid token has waited for as long as such a caller has to. Others with a valid token do not wait
   * (C4).
   */
  outwaited = false;
  readonly #hold: (awaited: boolean) => void;
  #waiters = 0;

  /** @param hold Keeps the process alive while callers wait. */
  constructor(
    number: number,
    cause: MintCause,
    promise: Promise<T>,
    hold: (awaited: boolean) => void,
    rejected: Set<string> = new Set(),
  ) {
    this.rejected = rejected;
    this.number = number;
    this.cause = cause;
    this.promise = promise;
    this.#hold = hold;
    // No caller waits for a background flight: its failure is an event and must not be an unhandled rejection (C12).
    promise.catch(() => {});
  }

  /**
   * Returns the flight's result. When `signal` aborts, this wait alone ends at once and rejects with the signal's
   * reason.
   */
  wait(signal?: AbortSignal): Promise<T> {
    if (this.#waiters++ === 0) this.#hold(true);
    // A caller without a signal cannot leave, so it gets the shared promise and needs no promise of its own.
    if (signal === undefined) return this.promise;
    return leaveOnAbort(this.promise, signal, () => {
      if (--this.#waiters === 0) this.#hold(false);
    });
  }
}
