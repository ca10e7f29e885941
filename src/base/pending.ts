/**
 * What a mint is waiting for right now. When the time of the mint is over, its error can then say what has not answered:
 * the token endpoint, or a function of the user's.
 *
 * Functions of the user's are called through `user-function.ts`.
 *
 * @module
 */

/** Something that is awaited. */
export interface Pending {
  /** As it stands in a message: `the token endpoint`, `"clientSecret"`. */
  readonly what: string;
  /** A server has been asked. `false`: a function of the user's. */
  readonly isServer: boolean;
}

/** By the signal of the mint: it is handed to everything that the mint waits for. */
const pendingBySignal = new WeakMap<AbortSignal, Pending | AbortSignal>();

/** What is awaited under this signal; `undefined` when that is not known. */
export function pendingUnder(signal: AbortSignal): Pending | undefined {
  const pending = pendingBySignal.get(signal);
  return pending === undefined || "what" in pending ? pending : pendingUnder(pending);
}

/** Work that was begun under a signal, and has awaited nothing since. */
interface RunningWork {
  readonly signal: AbortSignal;
  /** The work that has called it. */
  readonly outer: RunningWork | undefined;
}

let running: RunningWork | undefined;
/** Where work that was begun under one signal is awaited under another: the other signal, by the first one. */
const waiters = new WeakMap<AbortSignal, AbortSignal>();

/**
 * Whether the calling code was begun under such a signal and has awaited nothing since. Work that is awaited under such a
 * signal counts too.
 */
export function runsUnder(isMeant: (signal: AbortSignal) => boolean): boolean {
  for (let work = running; work !== undefined; work = work.outer) {
    for (let signal: AbortSignal | undefined = work.signal; signal !== undefined; signal = waiters.get(signal)) {
      if (isMeant(signal)) return true;
    }
  }
  return false;
}

/**
 * Awaits `work`, and says so meanwhile.
 *
 * @param pending A signal stands for what is awaited under that signal: the work was begun under it.
 */
export async function awaitUnder<T>(
  signal: AbortSignal | undefined,
  pending: Pending | AbortSignal,
  work: () => T | PromiseLike<T>,
): Promise<T> {
  if (signal === undefined) return work();
  const outer = pendingBySignal.get(signal);
  pendingBySignal.set(signal, pending);
  if (!("what" in pending)) waiters.set(pending, signal);
  try {
    return await callUnder(signal, work);
  } finally {
    if (outer === undefined) pendingBySignal.delete(signal);
    else pendingBySignal.set(signal, outer);
  }
}

function callUnder<T>(signal: AbortSignal, work: () => T): T {
  const outer = running;
  running = { signal, outer };
  try {
    return work();
  } finally {
    running = outer;
  }
}

/** Requests that were sent under a signal and may change something at a server. */
const sent = new WeakSet<AbortSignal>();

/** Records that such a request is being sent (`true`), or that none has been sent yet (`false`). */
export function noteSent(signal: AbortSignal, isSent: boolean): void {
  if (isSent) sent.add(signal);
  else sent.delete(signal);
}

/** Whether such a request was sent under this signal. */
export function wasSentUnder(signal: AbortSignal): boolean {
  return sent.has(signal);
}
