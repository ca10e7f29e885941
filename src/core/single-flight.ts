/**
 * C2 One mint at a time, shared by everybody who waits for it. C10 Waiters may leave; that never ends the mint.
 *
 * @module
 */
import { leaveOnAbort } from "../base/abort.ts";
import type { MintCause } from "./types.ts";

/** The one mint in progress that all waiters share. */
export class Flight<T> {
  /** Its place in the order of flights; order is a counter, never a clock (C7). */
  readonly number: number;
  readonly cause: MintCause;
  readonly promise: Promise<T>;
  /** Values that were rejected while it was under way: if it yields one of them, it is not kept (C5). */
  readonly rejected: Set<string>;
  /** Somebody waited for it as long as a caller with a valid token has to (C4). */
  outwaited = false;
  readonly #hold: (awaited: boolean) => void;
  #waiters = 0;

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
    // A background flight has no waiters; its failure is an event, not an unhandled rejection (C12).
    promise.catch(() => {});
  }

  /** Its result; an aborted `signal` rejects with its reason, at once and for this waiter only. */
  wait(signal?: AbortSignal): Promise<T> {
    if (this.#waiters++ === 0) this.#hold(true);
    // Without a signal nobody can leave: the shared promise itself, no object per caller.
    if (signal === undefined) return this.promise;
    return leaveOnAbort(this.promise, signal, () => {
      if (--this.#waiters === 0) this.#hold(false);
    });
  }
}
