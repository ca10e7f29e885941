/**
 * Waiting for functions of the user's that a request depends on. The wait ends when the caller aborts, and after a time in
 * any case: a function that never settles must not hang the request.
 *
 * Not here: the functions that a mint depends on, which `mintTimeout` bounds (`core/mint.ts`).
 *
 * @module
 */
import { leaveOnAbort } from "../base/abort.ts";
import { systemClock } from "../base/clock.ts";
import { RemintError } from "../base/errors.ts";
import { isThenable } from "../base/options.ts";
import type { Timer } from "../base/clock.ts";
import type { ClientSeam, PolicyRequest } from "./client-seam.ts";

/** Milliseconds that a function of the user's may take: the default of `mintTimeout`. */
const FUNCTION_MS = 10_000;
/** Milliseconds that the connection of a discarded answer may take to become free. */
const DISCARD_MS = 1000;

/**
 * Awaits what a function of the user's returned. What is no promise is returned as it is.
 *
 * @param name The function, for the operator: `the function "prove" of the grant`.
 * @throws {RemintError} When the promise does not settle in time. The promise's own error is passed on.
 */
export function awaitFunction<T>(name: string, returned: T | PromiseLike<T>, request: PolicyRequest): T | Promise<T> {
  if (!isThenable(returned)) return returned;
  const fail = (_resolve: unknown, reject: (error: Error) => void): void => {
    const hint = `${name} did not settle within ${FUNCTION_MS / 1000} seconds`;
    const message = "a function that the request depends on did not settle in time";
    reject(new RemintError("ERR_TOKEN_TIMEOUT", message, { hint, retryable: true }));
  };
  return withTimeLimit(returned, FUNCTION_MS, fail, signalOf(request));
}

/**
 * Checks what a function of the user's returned where it must not be a promise.
 *
 * @param name The function: the subject of the message.
 * @throws {TypeError} When it is one. What the promise rejects with is dropped, so that it does not end the process.
 */
export function assertNoPromise(name: string, returned: unknown): void {
  if (!isThenable(returned)) return;
  Promise.resolve(returned).then(undefined, () => {});
  throw new TypeError(`${name} must not return a promise`);
}

/**
 * Frees the connection of an answer that may not reach the caller (Q7). A client that fails to do so, or takes too long,
 * does not fail the request. Rejects only when the caller aborts.
 *
 * @returns The answer for a caller who gets it after all.
 */
export async function freeConnection<Request extends PolicyRequest, Answer>(
  request: Request,
  client: ClientSeam<Request, Answer>,
  answer: Answer,
): Promise<Answer> {
  const freed = (async () => client.discard?.(answer))().catch(() => {});
  const kept = await withTimeLimit(freed, DISCARD_MS, (resolve) => resolve(), signalOf(request));
  return kept ?? answer;
}

/**
 * Returns the signal of a request. Whatever else the caller gave as a signal is left to the client, which judges it when
 * the request is sent.
 */
export function signalOf({ signal }: PolicyRequest): AbortSignal | undefined {
  return typeof (Object(signal) as Partial<AbortSignal>).addEventListener === "function" ? signal : undefined;
}

function withTimeLimit<T>(
  pending: PromiseLike<T>,
  milliseconds: number,
  onTimeout: (resolve: (value: T | PromiseLike<T>) => void, reject: (error: Error) => void) => void,
  signal: AbortSignal | undefined,
): Promise<T> {
  let timer: Timer | undefined;
  const limited = new Promise<T>((resolve, reject) => {
    timer = systemClock.setTimeout(() => onTimeout(resolve, reject), milliseconds);
    timer.hold(true);
    // Not `pending.then`, which may throw where it is not a promise's own.
    Promise.resolve(pending).then(resolve, reject);
  });
  return leaveOnAbort(limited, signal).finally(() => timer?.cancel());
}
