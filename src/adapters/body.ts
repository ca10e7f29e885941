/**
 * Bodies of requests and of answers: which request bodies can be sent twice (Q6), how a discarded answer frees its
 * connection (Q7), and how a rejection rule reads an answer as text.
 *
 * @module
 */
import { readUpTo } from "../base/bytes.ts";
import { systemClock } from "../base/clock.ts";

/**
 * A discarded body up to this size is read to its end, so that its connection can be used again. A larger one is
 * cancelled.
 */
const DRAIN_BYTES = 64 * 1024;
const DRAIN_MS = 1000;

/**
 * Whether a request body can be sent only once: a web stream, a Node stream, an async iterable, or the `form-data`
 * package. A second send would have an empty body, or would never end.
 */
export function isOneShot(body: unknown): boolean {
  if (typeof body !== "object" || body === null) return false;
  const { pipe, getReader } = body as { pipe?: unknown; getReader?: unknown };
  return typeof pipe === "function" || typeof getReader === "function" || isAsyncIterable(body);
}

function isAsyncIterable(value: object): value is AsyncIterable<unknown> {
  return typeof (value as Partial<AsyncIterable<unknown>>)[Symbol.asyncIterator] === "function";
}

/**
 * Frees the connection of a discarded answer: reads a small body to its end, and cancels a large or slow one. Never
 * rejects.
 */
export async function drain(body: ReadableStream<Uint8Array> | null | undefined): Promise<void> {
  if (body === null || body === undefined || body.locked) return;
  const timeLimit = new AbortController();
  const timer = systemClock.setTimeout(() => timeLimit.abort(), DRAIN_MS);
  timer.hold(true);
  try {
    await readUpTo(body, DRAIN_BYTES, () => {}, timeLimit.signal);
  } catch {
    // A body that fails has freed its connection as well.
  } finally {
    timer.cancel();
  }
}

/**
 * The members of a Node stream that {@link drainNodeStream} needs. Declared here because Node's types are not
 * available.
 */
interface NodeStream {
  readonly destroyed?: boolean;
  readonly readableEnded?: boolean;
  on(event: string, listener: (chunk: { length: number }) => void): unknown;
  resume(): unknown;
  destroy?(): unknown;
}

/** Does what {@link drain} does, for a Node stream. */
export function drainNodeStream(stream: NodeStream): Promise<void> {
  // A stream that has ended emits none of the events below. axios 1.13 hands out bodies that it has already destroyed.
  if (stream.destroyed || stream.readableEnded) return Promise.resolve();
  return new Promise((resolve) => {
    let bytesLeft = DRAIN_BYTES;
    const finish = (): void => {
      timer.cancel();
      resolve();
    };
    const cancel = (): void => {
      stream.destroy?.();
      finish();
    };
    const timer = systemClock.setTimeout(cancel, DRAIN_MS);
    timer.hold(true);
    for (const event of ["end", "error", "close"]) stream.on(event, finish);
    stream.on("data", (chunk) => {
      bytesLeft -= chunk.length;
      if (bytesLeft < 0) cancel();
    });
    stream.resume();
  });
}

/** Whether `value` is a Node stream that {@link drainNodeStream} can free. */
export function isNodeStream(value: unknown): value is NodeStream {
  const { on, resume } = Object(value) as Partial<NodeStream>;
  return typeof on === "function" && typeof resume === "function";
}

/** Reads the start of a body as text, at most `maxBytes` bytes of it. */
export async function readText(body: ReadableStream<Uint8Array> | null | undefined, maxBytes: number): Promise<string> {
  if (body === null || body === undefined) return "";
  const decoder = new TextDecoder();
  let text = "";
  let bytesLeft = maxBytes;
  // `readUpTo` stops when its limit is exceeded. One byte less makes it stop at `maxBytes`, without waiting for the
  // next chunk.
  const isWhole = await readUpTo(body, maxBytes - 1, (chunk) => {
    text += decoder.decode(chunk.subarray(0, bytesLeft), { stream: true });
    bytesLeft -= chunk.byteLength;
  });
  return isWhole ? text + decoder.decode() : text;
}
