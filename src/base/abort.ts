/**
 * Waiting for a promise until an `AbortSignal` aborts.
 *
 * Not for cancelling the work behind the promise: the work goes on, and only the wait ends.
 *
 * @module
 */

/**
 * Settles as `promise` does, or rejects with the signal's reason as soon as the signal aborts.
 *
 * @param onLeave Called when the signal ended the wait.
 */
export function leaveOnAbort<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  onLeave?: () => void,
): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      onLeave?.();
      reject(signal.reason as Error);
    };
    const removeListener = (): void => signal.removeEventListener("abort", leave);
    promise.then(
      (value) => {
        removeListener();
        resolve(value);
      },
      (error: Error) => {
        removeListener();
        reject(error);
      },
    );
    // After `then`: a rejection of `promise` counts as handled even if the signal has aborted already.
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
  });
}
