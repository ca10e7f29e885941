/**
 * Waiting for a promise that a signal may cut short.
 *
 * @module
 */

/**
 * Settles as `promise` does, or rejects with the signal's reason as soon as it aborts.
 *
 * @param left Called when the signal cut the waiting short.
 */
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
    // After `then`: when the caller has left, a rejection of `promise` must not be unhandled.
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
  });
}
