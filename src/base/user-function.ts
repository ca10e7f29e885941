/**
 * Calls of the functions that a user gave to a grant: `clientSecret`, `subjectToken`, `onRotate` and the like.
 *
 * While one is awaited, the mint knows its name (`pending.ts`). What it throws is never taken for a failure of the server,
 * also when it is an error of this package: such a function may use another token cache.
 *
 * Not here: the function of a `customGrant`, which is the grant itself (`core/mint.ts`).
 *
 * @module
 */
import { isRemintError, isTransientStatus, RemintError, safeCause } from "./errors.ts";
import { networkFailureOf, statusOf } from "./network.ts";
import { optionMessageOf } from "./options.ts";
import { awaitUnder } from "./pending.ts";

/** What is known of a function that failed. */
interface UserFunctionFailure {
  /** What else the operator should know. One sentence, without a full stop. */
  readonly consequence?: string | undefined;
  /** @defaultValue whether the error itself is transient: no connection, or a status of 408, 429 or 5xx */
  readonly retryable?: boolean | undefined;
  /** Returns what may be kept of the error that the function threw. @defaultValue {@link safeCause} */
  readonly causeOf?: ((error: unknown) => unknown) | undefined;
}

/**
 * Calls a function of the user's and awaits it.
 *
 * @param name The option that the function was given as.
 * @throws {RemintError} `ERR_GRANT` when the function fails. When the signal has aborted: its reason.
 */
export async function callUserFunction<T>(
  name: string,
  signal: AbortSignal | undefined,
  call: () => T | PromiseLike<T>,
  failure?: UserFunctionFailure,
): Promise<T> {
  try {
    return await awaitUnder(signal, { what: `the function "${name}"`, isServer: false }, call);
  } catch (error) {
    if (signal?.aborted === true) throw signal.reason;
    throw userFunctionError(name, error, failure);
  }
}

/** Returns the error for a function of the user's that threw, or that returned something which cannot be used. */
export function userFunctionError(
  name: string,
  error: unknown,
  { consequence, retryable = isTransient(error), causeOf = safeCause }: UserFunctionFailure = {},
): RemintError {
  const why = isRemintError(error) ? error.hint : optionMessageOf(error);
  const hint = `the function "${name}" failed${reasonIn(why)}${consequence === undefined ? "" : `. ${consequence}`}`;
  const message = "no token is available: a function that was given to the grant failed";
  return new RemintError("ERR_GRANT", message, { hint, cause: causeOf(error), retryable });
}

/** The end of a hint that something failed. @param why What may be told of the reason. */
export function reasonIn(why: string | undefined): string {
  return why === undefined ? "; see the cause" : `: ${why}`;
}

/** Whether the same call may succeed later. */
function isTransient(error: unknown): boolean {
  if (isRemintError(error)) return error.retryable;
  const status = statusOf(error);
  return networkFailureOf(error) !== undefined || (status !== undefined && isTransientStatus(status));
}
