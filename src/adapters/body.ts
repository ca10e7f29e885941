/**
 * Bodies of requests: which of them can be sent twice (Q6), which are copied when the call is made (Q14), and what becomes
 * of one that is never sent. Bodies of answers: how the start of one is read, for a discarded answer, which so frees its
 * connection (Q7), and for a rejection rule.
 *
 * Not here: the answer that is made of what was read (`kept-answer.ts`).
 *
 * @module
 */
import { isNodeStream, isWebStream, readUpTo } from "../base/bytes.ts";
import { systemClock } from "../base/clock.ts";
import type { NodeStream } from "../base/bytes.ts";

export { isNodeStream, isWebStream };

/** A discarded body up to this size is read to its end, so that its connection can be used again. */
export const DRAIN_BYTES: number = 64 * 1024;
/** How long a body is read. A little less than the second for which the request policy waits. */
export const READ_MS: number = 900;

/**
 * Matches the media types of answers that arrive part by part, such as GraphQL's `@defer` and subscriptions (multipart). Such an
 * answer may never end.
 */
export const HAS_PARTS: RegExp = /event-stream|ndjson|jsonl|json-seq|^multipart\//i;

/**
 * Whether a request body can be sent only once: a web stream, a Node stream, an async iterable, or the `form-data`
 * package. A second send would have an empty body, or would never end.
 */
export function isOneShot(body: unknown): boolean {
  if (typeof body !== "object" || body === null) return false;
  return typeof (body as { pipe?: unknown }).pipe === "function" || isWebStream(body) || isAsyncIterable(body);
}

export function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof Object(value)[Symbol.asyncIterator] === "function";
}

/**
 * Copies the kinds of bodies to which a caller may append after the call. Others are returned as they are; the bytes of a
 * buffer too, which are the caller's.
 */
export function copyOfBody<Body>(body: Body): Body {
  if (typeof body !== "object" || body === null) return body;
  const kind = Object.prototype.toString.call(body);
  if (kind === "[object URLSearchParams]") return new (classOf(body, URLSearchParams))(body as never) as Body;
  // The `form-data` package calls its forms so too.
  if (kind !== "[object FormData]" || isOneShot(body) || !(Symbol.iterator in body)) return body;
  const copy = new (classOf(body, FormData))();
  for (const [name, value] of body as unknown as FormData) copy.append(name, value);
  return copy as Body;
}

/**
 * Returns the class to make a copy of an object with: the runtime's if the object is one of its, because a class derived
 * from it may want other arguments; otherwise that of the object's own implementation.
 */
export function classOf<Class extends abstract new (...args: never) => object>(object: object, own: Class): Class {
  return object instanceof own ? own : (object.constructor as unknown as Class);
}

/**
 * Ends a body that is never sent, as fetch does. A Node stream is left alone: it may be the request that a server is
 * answering. Never rejects.
 */
export async function endUnsent(body: unknown, reason: unknown): Promise<void> {
  try {
    if (isWebStream(body)) await body.cancel(reason);
    else if (isAsyncIterable(body) && !isNodeStream(body)) await body[Symbol.asyncIterator]().return?.();
  } catch {
    // The call has failed already, with an error of its own.
  }
}

/** The start of a body. */
export interface BodyStart {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Whether this is the whole body. */
  readonly isWhole: boolean;
}

/**
 * Reads a body until its end, until more than `maxBytes` bytes have arrived, or for a second. In the last two cases the rest
 * is cancelled. A body that fails counts as cut there: it has freed its connection as well. Never rejects.
 */
export async function readStart(body: ReadableStream<Uint8Array> | NodeStream, maxBytes: number): Promise<BodyStart> {
  const timeLimit = new AbortController();
  const timer = systemClock.setTimeout(() => timeLimit.abort(), READ_MS);
  timer.hold(true);
  const chunks: Uint8Array[] = [];
  const take = (chunk: Uint8Array): void => void chunks.push(chunk);
  const isWhole = await readUpTo(body, maxBytes, take, timeLimit.signal).catch(() => false);
  timer.cancel();
  return { bytes: joined(chunks), isWhole };
}

/** Puts chunks together. */
export function joined(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(chunks.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}

/**
 * Frees the connection of a discarded answer: reads a small body to its end, and cancels a large or slow one. Never
 * rejects.
 *
 * @returns What was read; `undefined` when there is nothing that can be read.
 */
export async function drained(body: unknown): Promise<BodyStart | undefined> {
  if (isWebStream(body) ? body.locked : !isNodeStream(body)) return undefined;
  if (isNodeStream(body)) cancelSourcesOf(body);
  return readStart(body as NodeStream, DRAIN_BYTES);
}

/** Makes the streams that are piped into a stream end with it: the connection is that of the first one. */
function cancelSourcesOf(stream: NodeStream): void {
  stream.on("unpipe", (source: NodeStream) => {
    cancelSourcesOf(source);
    source.destroy?.();
  });
}

/** Reads the start of a body as text, at most `maxBytes` bytes of it. */
export async function readText(body: unknown, maxBytes: number): Promise<string> {
  if (!isWebStream(body) && !isNodeStream(body)) return "";
  // Reading stops when the limit is exceeded. One byte less makes it stop at `maxBytes`, without waiting for more.
  const { bytes, isWhole } = await readStart(body, maxBytes - 1);
  return new TextDecoder().decode(bytes.subarray(0, maxBytes), { stream: !isWhole });
}

/** Does what {@link drained} does, for a client that has no use for what was read. */
export async function drain(body: unknown): Promise<void> {
  await drained(body);
}

/** The same. */
export const drainNodeStream: (stream: unknown) => Promise<void> = drain;
