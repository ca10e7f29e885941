/**
 * Waiting for a promise that a signal may cut short.
 *
 * @module
 */

/** `promise`, or the signal's reason as soon as it fires. */
export function leaveOnAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined, left?: () => void): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      left?.();
      reject(signal.reason as Error);
    };
    const stay = (): void => signal.removeEventListener("abort", leave);
    promise.then(
      (value) => {
        stay();
        resolve(value);
      },
      (error: Error) => {
        stay();
        reject(error);
      },
    );
    // After `then`: what a caller that has left does not hear of must not be an unhandled rejection.
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
  });
}
