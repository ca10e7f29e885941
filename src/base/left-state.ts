/**
 * The state that a failed mint leaves for the next mint: a grant may have replaced its refresh token before it failed.
 *
 * The state is stored beside the error and not in the error. Errors are printed, and many callers hold the same error.
 *
 * @module
 */
const left = new WeakMap<object, unknown>();

/** Records the state that a failed mint had already rotated to; `undefined` records nothing. @returns The error. */
export function leaveState<E extends object>(error: E, state: unknown): E {
  if (state !== undefined) left.set(error, state);
  return error;
}

/** Returns the state that was recorded for this error, or `undefined` when the failed mint did not change the state. */
export function stateLeftBy(error: object): unknown {
  return left.get(error);
}
