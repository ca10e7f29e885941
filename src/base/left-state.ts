/**
 * What a failed mint leaves for the next one: a grant may have replaced its refresh token before it failed. It is kept
 * beside the error and not in it, because an error is printed, and many callers hold the same one.
 *
 * @module
 */
const left = new WeakMap<object, unknown>();

/** Says which state a failed mint has left; `undefined` says nothing. @returns The error. */
export function leaveState<E extends object>(error: E, state: unknown): E {
  if (state !== undefined) left.set(error, state);
  return error;
}

/** The state that the mint which failed with this error has left; `undefined` when it changed nothing. */
export function stateLeftBy(error: object): unknown {
  return left.get(error);
}
