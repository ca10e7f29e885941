/**
 * Q6 Which bodies can be sent twice, and Q7 how a discarded one is freed.
 *
 * @module
 */
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
  const reader = body.getReader();
  const cancel = (): void => void reader.cancel().catch(() => {});
  const timer = systemClock.setTimeout(cancel, DRAIN_MS);
  timer.hold(true);
  try {
    for (let left = DRAIN_BYTES; ;) {
      const { done, value } = await reader.read();
      if (done) return;
      left -= value.byteLength;
      if (left < 0) return cancel();
    }
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
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (let left = maxBytes; left > 0;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    text += decoder.decode(value.subarray(0, left), { stream: true });
    left -= value.byteLength;
  }
  // The rest stays unread; the caller may still read the original.
  void reader.cancel().catch(() => {});
  return text;
}
