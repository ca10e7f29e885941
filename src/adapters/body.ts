/**
 * Q6 Which bodies can be sent twice, and Q7 how a discarded one is freed.
 *
 * @module
 */
import { readUpTo } from "../base/bytes.ts";
import { systemClock } from "../base/clock.ts";

/** A discarded 401 is read up to this, so that its connection can be used again; larger ones are cancelled. */
const DRAIN_BYTES = 64 * 1024;
const DRAIN_MS = 1000;

/**
 * Whether one send uses the body up: web and Node streams, async iterables and the `form-data` package would go out
 * empty, or hang, the second time.
 */
export function isOneShot(body: unknown): boolean {
  if (typeof body !== "object" || body === null) return false;
  const { pipe, getReader } = body as { pipe?: unknown; getReader?: unknown };
  return typeof pipe === "function" || typeof getReader === "function" || isAsyncIterable(body);
}

function isAsyncIterable(value: object): value is AsyncIterable<unknown> {
  return typeof (value as Partial<AsyncIterable<unknown>>)[Symbol.asyncIterator] === "function";
}

/** Reads a body nobody wants to its end if that is near, else cancels it. Never rejects. */
export async function drain(body: ReadableStream<Uint8Array> | null | undefined): Promise<void> {
  if (body === null || body === undefined || body.locked) return;
  const tooLong = new AbortController();
  const timer = systemClock.setTimeout(() => tooLong.abort(), DRAIN_MS);
  timer.hold(true);
  try {
    await readUpTo(body, DRAIN_BYTES, () => {}, tooLong.signal);
  } catch {
    // A body that breaks off has freed its connection too.
  } finally {
    timer.cancel();
  }
}

/** The parts of a Node stream that are needed to free it, without Node's types. */
interface NodeStream {
  readonly destroyed?: boolean;
  readonly readableEnded?: boolean;
  on(event: string, listener: (chunk: { length: number }) => void): unknown;
  resume(): unknown;
  destroy?(): unknown;
}

/** {@link drain} for a Node stream. */
export function drainNodeStream(stream: NodeStream): Promise<void> {
  // One that is over (axios 1.13 hands out bodies it has destroyed) would tell nobody so.
  if (stream.destroyed || stream.readableEnded) return Promise.resolve();
  return new Promise((resolve) => {
    let left = DRAIN_BYTES;
    const done = (): void => {
      timer.cancel();
      resolve();
    };
    const cancel = (): void => {
      stream.destroy?.();
      done();
    };
    const timer = systemClock.setTimeout(cancel, DRAIN_MS);
    timer.hold(true);
    for (const event of ["end", "error", "close"]) stream.on(event, done);
    stream.on("data", (chunk) => {
      left -= chunk.length;
      if (left < 0) cancel();
    });
    stream.resume();
  });
}

/** Whether `value` is a Node stream that can be freed. */
export function isNodeStream(value: unknown): value is NodeStream {
  const { on, resume } = Object(value) as Partial<NodeStream>;
  return typeof on === "function" && typeof resume === "function";
}

/** The start of a body as text, at most `maxBytes` of it. */
export async function readText(body: ReadableStream<Uint8Array> | null | undefined, maxBytes: number): Promise<string> {
  if (body === null || body === undefined) return "";
  const decoder = new TextDecoder();
  let text = "";
  let left = maxBytes;
  // One less than the limit: the text is there with its last byte, and the next chunk may take its time.
  const isWhole = await readUpTo(body, maxBytes - 1, (chunk) => {
    text += decoder.decode(chunk.subarray(0, left), { stream: true });
    left -= chunk.byteLength;
  });
  return isWhole ? text + decoder.decode() : text;
}
