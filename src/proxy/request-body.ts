/**
 * The body of a request that is passed on: kept in memory when it is short, so that the request can be sent again after a
 * 401, and streamed otherwise.
 *
 * @module
 */
import { joined } from "../adapters/body.ts";
import { streamOf } from "./bounded-tee.ts";
import type { ChunkSource } from "./bounded-tee.ts";

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
export function passedBody(request: Request, maxBody: number): PassedBody | Promise<PassedBody> {
  const length = request.headers.get("content-length");
  if (Number(length) > maxBody) throw new BodyTooLong();
  // A server holds a body to its stated length. Read at once, it costs half the time.
  if (length !== null && Number(length) <= KEPT_BYTES) return wholeOf(request, maxBody);
  const { body, bodyUsed } = request;
  if (bodyUsed || body?.locked) throw wasReadBefore();
  if (body === null || body === undefined) return NO_BODY;
  return startOf(new LimitedReader(body, maxBody));
}

const NO_BODY: PassedBody = { body: undefined };

function wholeOf(request: Request, maxBody: number): Promise<PassedBody> {
  if (request.bodyUsed) throw wasReadBefore();
  return request.arrayBuffer().then(
    (bytes) => {
      // A request that was made by hand may state another length than it has.
      if (bytes.byteLength > maxBody) throw new BodyTooLong();
      return { body: bytes.byteLength === 0 ? undefined : new Uint8Array(bytes) };
    },
    (cause: unknown) => {
      // Where another reader has the body, nothing was read of it.
      throw request.bodyUsed ? new BodyBroken("the body of the request broke off", { cause }) : wasReadBefore();
    },
  );
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
  reader.putBack(chunks);
  return { body: streamOf(reader, KEPT_BYTES), sent: reader.ended };
}

/** Reads a stream, and fails it when it is too long. */
class LimitedReader implements ChunkSource {
  /** The bytes that were read. */
  read = 0;
  /** Resolves when there is nothing more to read, whatever the reason is. */
  readonly ended: Promise<void>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #most: number;
  readonly #waiting: Uint8Array[] = [];
  #end!: () => void;

  constructor(body: ReadableStream<Uint8Array>, most: number) {
    this.ended = new Promise((resolve) => (this.#end = resolve));
    this.#reader = body.getReader();
    this.#most = most;
  }

  next(): Promise<Uint8Array | undefined> {
    const chunk = this.#waiting.shift();
    return chunk === undefined ? this.#reader.read().then(this.#counted, this.#broken) : Promise.resolve(chunk);
  }

  /** Gives chunks back, which come next once more. */
  putBack(chunks: readonly Uint8Array[]): void {
    this.#waiting.push(...chunks);
  }

  cancel(reason: unknown): Promise<void> {
    this.#end();
    // Whoever cancels has an error of their own.
    return this.#reader.cancel(reason).catch(() => {});
  }

  readonly #counted = ({ value }: { readonly value?: Uint8Array | undefined }): Uint8Array | undefined => {
    if (value === undefined) this.#end();
    this.read += value?.byteLength ?? 0;
    if (this.read <= this.#most) return value;
    const error = new BodyTooLong();
    void this.cancel(error);
    throw error;
  };

  readonly #broken = (cause: unknown): never => {
    this.#end();
    throw new BodyBroken("the body of the request broke off", { cause });
  };
}
