/**
 * A flight: the one mint in progress that all waiting callers share (C2). A caller may stop waiting at any time, and
 * the mint goes on (C10).
 *
 * The cache starts flights and decides what their results mean (`token-cache.ts`).
 *
 * @module
 */
import { leaveOnAbort } from "../base/abort.ts";
import { throwOwnError } from "./failures.ts";
import type { Rejection } from "../base/errors.ts";
import type { MintCause, Session } from "./types.ts";

/** One mint in progress. */
export class Flight<T> {
  /** The number of the flight within its cache. Flights are ordered by this counter and never by a clock (C7). */
  readonly number: number;
  readonly cause: MintCause;
  /** The session under which its callers wait; `undefined` while it is not known. */
  session: Session | undefined;
  /** Rejects with a {@link Failure} that many callers share: see {@link Flight.wait}. */
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

  /** @param hold Keeps the process alive while callers wait. Called for each of them. */
  constructor(
    { number, cause, session }: Pick<Flight<T>, "number" | "cause" | "session">,
    promise: Promise<T>,
    hold: (awaited: boolean) => void,
    rejected: Set<string> = new Set(),
  ) {
    this.rejected = rejected;
    this.number = number;
    this.cause = cause;
    this.session = session;
    this.promise = promise;
    this.#hold = hold;
    // No caller waits for a background flight: its failure is an event and must not be an unhandled rejection (C12).
    promise.catch(() => {});
  }

  /**
   * Returns the flight's result. A failure becomes an error of this caller's own (C9). When `signal` aborts, this wait
   * alone ends at once and rejects with the signal's reason.
   *
   * @param rejected The API's answer that made the wait necessary, for the error.
   */
  wait(signal?: AbortSignal, rejected?: Rejection): Promise<T> {
    this.#waiters++;
    this.#hold(true);
    // `then` and no async function: 559 bytes for each of a million waiting callers in place of 800.
    const ownError = rejected === undefined ? throwOwnError : (reason: unknown) => throwOwnError(reason, rejected);
    if (signal === undefined) return this.promise.then(undefined, ownError);
    return leaveOnAbort(this.promise, signal, () => {
      if (--this.#waiters === 0) this.#hold(false);
    }).then(undefined, ownError);
  }

  /** How many callers wait. */
  get waiters(): number {
    return this.#waiters;
  }

  /** Lets the callers of this flight wait for another, because this one yielded nothing for them. */
  continueWith(next: Flight<T>): Promise<T> {
    if (this.#waiters > 0) next.#hold(true);
    return next.promise;
  }
}
