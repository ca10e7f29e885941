/**
 * C9 A failed mint is shared by those who waited for it and, for a moment, by those who come later: one frozen error,
 * no request. The moment is 1 s and doubles, to 5 s while callers are failing, to 30 s for background refreshes and
 * OAuth refusals; a `Retry-After` is honoured up to 60 s. A success resets it.
 *
 * @module
 */
import type { Clock } from "../base/clock.ts";
import { type RemintError, TokenEndpointError } from "../base/errors.ts";

const FIRST_DELAY = 1000;
const LONGEST_WHILE_CALLERS_FAIL = 5000;
const LONGEST = 30_000;
const LONGEST_RETRY_AFTER = 60_000;

/** Remembers that minting fails. */
export class FailureMemory {
  readonly #clock: Clock;
  /** Where failures of the server itself go, when several caches depend on it (C13). */
  readonly #shared: FailureMemory | undefined;
  #error: RemintError | undefined;
  #until = 0;
  #failures = 0;

  constructor(clock: Clock, shared?: FailureMemory) {
    this.#clock = clock;
    this.#shared = shared;
  }

  /** The failure that would only be repeated now. */
  active(): RemintError | undefined {
    if (this.#error !== undefined && this.#clock.monotonic() < this.#until) return this.#error;
    return this.#shared?.active();
  }

  /**
   * @param callersFail Nobody could be served an older token instead.
   * @param mayRecover What is terminal here can end elsewhere: the user signs in at another process of the fleet.
   * @returns The error to throw, frozen, because many callers will hold the same one.
   */
  remember(error: RemintError, callersFail: boolean, mayRecover = false): RemintError {
    Object.freeze(error);
    // The store's failures, and the fleet's, are no failures of the server.
    if (this.#shared !== undefined && error.retryable && error.code !== "ERR_STORE")
      return this.#shared.remember(error, callersFail);
    this.#failures++;
    this.#error = error;
    const delay = delayAfter(error, this.#failures, callersFail);
    this.#until = this.#clock.monotonic() + (mayRecover ? Math.min(delay, LONGEST_RETRY_AFTER) : delay);
    return error;
  }

  clear(): void {
    this.#error = undefined;
    this.#failures = 0;
    this.#shared?.clear();
  }
}

/** Milliseconds for which a failure is remembered; `Infinity` when it is terminal. */
export function delayAfter(error: RemintError, failures: number, callersFail: boolean): number {
  const answer = error instanceof TokenEndpointError ? error : undefined;
  if (answer?.terminal === true) return Infinity;
  const refused = answer !== undefined && !answer.retryable;
  const longest = callersFail && !refused ? LONGEST_WHILE_CALLERS_FAIL : LONGEST;
  const delay = Math.min(FIRST_DELAY * 2 ** (failures - 1), longest);
  return Math.max(delay, Math.min(answer?.retryAfter ?? 0, LONGEST_RETRY_AFTER));
}
