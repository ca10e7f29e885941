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
      reject(abortReason(signal));
    };
    let isListening = false;
    const removeListener = (): void => {
      try {
        if (isListening) signal.removeEventListener("abort", leave);
      } catch {
        // A hand-made signal must not keep the promise from settling.
      }
    };
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
    if (signal.aborted) {
      leave();
      return;
    }
    // Throws when it is no signal: then the caller's promise rejects with that.
    signal.addEventListener("abort", leave, { once: true });
    isListening = true;
  });
}

/** Returns why a signal has aborted. The signal of an old polyfill has no `reason`. */
export function abortReason(signal: AbortSignal): Error {
  const { reason } = signal as { reason: Error | undefined };
  return reason === undefined ? new DOMException("This operation was aborted", "AbortError") : reason;
}
