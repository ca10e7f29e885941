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
    let stopListening: (() => void) | undefined;
    promise.then(
      (value) => {
        stopListening?.();
        resolve(value);
      },
      (error: Error) => {
        stopListening?.();
        reject(error);
      },
    );
    // After `then`: a rejection of `promise` counts as handled even if the signal has aborted already.
    if (signal.aborted) {
      leave();
      return;
    }
    // Throws when it is no signal: then the caller's promise rejects with that.
    stopListening = onAbort(signal, leave);
  });
}

/** Those who wait for the abort of a signal. It gets one listener for all of them: Node warns of more than ten. */
interface Listeners {
  readonly all: Set<() => void>;
  readonly callAll: () => void;
}
const listenersOf = new WeakMap<AbortSignal, Listeners>();

/**
 * Calls `listener` when the signal aborts.
 *
 * @returns The function that removes the listener. It never throws.
 */
function onAbort(signal: AbortSignal, listener: () => void): () => void {
  const { all, callAll } = listenersOf.get(signal) ?? listenTo(signal);
  all.add(listener);
  return () => {
    if (!all.delete(listener) || all.size > 0) return;
    listenersOf.delete(signal);
    try {
      signal.removeEventListener("abort", callAll);
    } catch {
      // A hand-made signal must not keep the promise from settling.
    }
  };
}

function listenTo(signal: AbortSignal): Listeners {
  const all = new Set<() => void>();
  const listeners = { all, callAll: () => all.forEach((listener) => listener()) };
  signal.addEventListener("abort", listeners.callAll, { once: true });
  listenersOf.set(signal, listeners);
  return listeners;
}

/** Returns why a signal has aborted. The signal of an old polyfill has no `reason`. */
export function abortReason(signal: AbortSignal): Error {
  const { reason } = signal as { reason: Error | undefined };
  return reason === undefined ? new DOMException("This operation was aborted", "AbortError") : reason;
}
