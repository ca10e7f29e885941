/**
 * The body of a request that is passed on: kept in memory when it is short, so that the request can be sent again after a
 * 401, and streamed otherwise.
 *
 * @module
 */
import { joined } from "../adapters/body.ts";
import { leaveOnAbort } from "../base/abort.ts";

/** The longest body that is kept, in bytes. */
const KEPT_BYTES = 64 * 1024;

/** A body to pass on. */
export interface PassedBody {
  readonly body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | undefined;
  /** Settles when the whole body was read, or will not be. `undefined` when it has been read. */
  readonly sent?: Promise<void>;
}

/** The error of a body that is longer than the route allows. */
export class BodyTooLong extends Error {}

/** The error of a body that broke off: whoever sent it has gone away. */
export class BodyBroken extends Error {}

/**
 * Reads the beginning of a request's body.
 *
 * @throws {BodyTooLong} When it is longer than `maxBody` bytes; later, as the error of the stream, when that shows later.
 * @throws {BodyBroken} When it fails, in the same way.
 * @throws {TypeError} When somebody has read the body before.
 */
export async function passedBody(request: Request, maxBody: number): Promise<PassedBody> {
  const length = request.headers.get("content-length");
  if (Number(length) > maxBody) throw new BodyTooLong();
  // A server holds a body to its stated length. Read at once, it costs half the time.
  if (length !== null && Number(length) <= KEPT_BYTES) return leaveOnAbort(wholeOf(request, maxBody), request.signal);
  if (request.bodyUsed || request.body?.locked) throw wasReadBefore();
  if (request.body === null || request.body === undefined) return { body: undefined };
  return leaveOnAbort(startOf(new LimitedReader(request.body, maxBody)), request.signal);
}

async function wholeOf(request: Request, maxBody: number): Promise<PassedBody> {
  if (request.bodyUsed) throw wasReadBefore();
  const bytes = await request.arrayBuffer().catch((cause: unknown) => {
    // Where another reader has the body, nothing was read of it.
    throw request.bodyUsed ? new BodyBroken("the body of the request broke off", { cause }) : wasReadBefore();
  });
  // A request that was made by hand may state another length than it has.
  if (bytes.byteLength > maxBody) throw new BodyTooLong();
  return { body: bytes.byteLength === 0 ? undefined : new Uint8Array(bytes) };
}

function wasReadBefore(): TypeError {
  return new TypeError("the body of the request was read before the proxy got it: mount the proxy before body parsers");
}

async function startOf(reader: LimitedReader): Promise<PassedBody> {
  const chunks: Uint8Array[] = [];
  while (reader.read <= KEPT_BYTES) {
    const chunk = await reader.next();
    if (chunk === undefined) return { body: joined(chunks) };
    chunks.push(chunk);
  }
  return streamOf(chunks, reader);
}

/** Reads a stream, and fails it when it is too long. */
class LimitedReader {
  /** The bytes that were read. */
  read = 0;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #most: number;

  constructor(body: ReadableStream<Uint8Array>, most: number) {
    this.#reader = body.getReader();
    this.#most = most;
  }

  async next(): Promise<Uint8Array | undefined> {
    const { value } = await this.#reader.read().catch((cause: unknown) => {
      throw new BodyBroken("the body of the request broke off", { cause });
    });
    this.read += value?.byteLength ?? 0;
    if (this.read <= this.#most) return value;
    const error = new BodyTooLong();
    void this.cancel(error);
    throw error;
  }

  cancel(reason: unknown): Promise<void> {
    // Whoever cancels has an error of their own.
    return this.#reader.cancel(reason).catch(() => {});
  }
}

function streamOf(chunks: readonly Uint8Array[], reader: LimitedReader): PassedBody {
  let settle!: () => void;
  const sent = new Promise<void>((resolve) => (settle = resolve));
  const waiting = [...chunks];
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const chunk = waiting.shift() ?? (await reader.next());
          if (chunk !== undefined) return controller.enqueue(chunk);
          controller.close();
        } catch (error) {
          controller.error(error);
        }
        settle();
      },
      cancel(reason) {
        settle();
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
  return { body, sent };
}
