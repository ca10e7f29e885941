/**
 * How long the failure of a mint is remembered (C9).
 *
 * Callers that waited for a failed mint share its error. Callers that come shortly after get the same error without
 * another request. The time is 1 s at first and doubles with each failure: up to 5 s while callers are failing, up to
 * 30 s for background refreshes and refusals. A `Retry-After` is honoured up to 60 s. A success ends it.
 *
 * Retries within one mint are in `mint.ts`. What a pool's caches share is in `pool-guard.ts`.
 *
 * @module
 */
import type { Clock } from "../base/clock.ts";
import { type RemintError, TokenEndpointError } from "../base/errors.ts";

const FIRST_DELAY = 1000;
const LONGEST_WHILE_CALLERS_FAIL = 5000;
const LONGEST = 30_000;
const LONGEST_RETRY_AFTER = 60_000;

/** The last failure of one cache, or of all caches of a pool that use the same token endpoint. */
export class FailureMemory {
  readonly #clock: Clock;
  /** Remembers the failures of the server for every cache of a pool that depends on it (C13). */
  readonly #shared: FailureMemory | undefined;
  #error: RemintError | undefined;
  /** Monotonic milliseconds. */
  #until = 0;
  #failures = 0;

  constructor(clock: Clock, shared?: FailureMemory) {
    this.#clock = clock;
    this.#shared = shared;
  }

  /** Returns the failure that is still remembered, so that a mint now would only repeat it. */
  active(): RemintError | undefined {
    if (this.#error !== undefined && this.#clock.monotonic() < this.#until) return this.#error;
    return this.#shared?.active();
  }

  /**
   * Remembers a failure.
   *
   * @param callersFail There is no older token that callers could get instead.
   * @param mayRecover A terminal failure may end without this process: the user may sign in at another process of the
   *   fleet.
   * @returns The error to throw. It is frozen, because many callers get the same object.
   */
  remember(error: RemintError, callersFail: boolean, mayRecover = false): RemintError {
    Object.freeze(error);
    // Only failures of the server are shared. The others concern this cache alone, and so do failures of the store.
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

/**
 * Returns for how long a failure is remembered, in milliseconds: `Infinity` when it is terminal.
 *
 * @param failures How many mints have failed in a row, this one included.
 */
export function delayAfter(error: RemintError, failures: number, callersFail: boolean): number {
  const answer = error instanceof TokenEndpointError ? error : undefined;
  if (answer?.terminal === true) return Infinity;
  const refused = answer !== undefined && !answer.retryable;
  const longest = callersFail && !refused ? LONGEST_WHILE_CALLERS_FAIL : LONGEST;
  const delay = Math.min(FIRST_DELAY * 2 ** (failures - 1), longest);
  return Math.max(delay, Math.min(answer?.retryAfter ?? 0, LONGEST_RETRY_AFTER));
}
