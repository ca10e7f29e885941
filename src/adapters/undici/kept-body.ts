/**
 * A body that is an iterable, kept while it is sent, so that it can be sent again after a 401. fetch hands every body to a
 * dispatcher in this form, also a string.
 *
 * Not here: which bodies can be sent twice as they are (`body.ts`).
 *
 * @module
 */
import { isAsyncIterable, isNodeStream, isWebStream } from "../body.ts";

/** The longest body that is kept, in bytes. */
const KEPT_BYTES = 1024 * 1024;

/**
 * Returns a body to be sent in place of this one, as often as needed. `undefined` when this one is a stream, or when it does
 * not state a length of at most 1 MiB.
 *
 * @param contentLength The header that the caller set.
 */
export function keptBody(body: unknown, contentLength: string | undefined): KeptBody | undefined {
  if (!isAsyncIterable(body) || isWebStream(body) || isNodeStream(body) || contentLength === undefined)
    return undefined;
  return Number(contentLength) <= KEPT_BYTES ? new KeptBody(body) : undefined;
}

/** An iterable that can be iterated again. */
export class KeptBody implements AsyncIterable<unknown> {
  readonly #given: AsyncIterable<unknown>;
  #source: AsyncIterator<unknown> | undefined;
  readonly #chunks: unknown[] = [];
  #isWhole = false;
  #isClosed = false;
  /** How many sends read it. */
  #readers = 0;
  /** The chunk that is being read. A send that was broken off may have asked for it, and the next send gets it. */
  #next: Promise<void> | undefined;

  constructor(given: AsyncIterable<unknown>) {
    this.#given = given;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<unknown, void, undefined> {
    this.#readers++;
    try {
      for (let index = 0; ; index++) {
        while (index >= this.#chunks.length && !this.#isWhole) await (this.#next ??= this.#read());
        if (index >= this.#chunks.length) return;
        yield this.#chunks[index];
      }
    } finally {
      this.#readers--;
      this.#endSource();
    }
  }

  /** Says that no further send begins. */
  close(): void {
    this.#isClosed = true;
    this.#endSource();
  }

  async #read(): Promise<void> {
    try {
      this.#source ??= this.#given[Symbol.asyncIterator]();
      const { done, value } = await this.#source.next();
      if (done === true) this.#isWhole = true;
      else this.#chunks.push(value);
    } finally {
      this.#next = undefined;
    }
  }

  /** Ends the source where it was left. Until then it stays open: a send that is broken off does not end it. */
  #endSource(): void {
    if (!this.#isClosed || this.#readers > 0 || this.#isWhole) return;
    this.#isWhole = true;
    void endIterator(this.#source ?? this.#given[Symbol.asyncIterator]());
  }
}

async function endIterator(source: AsyncIterator<unknown>): Promise<void> {
  try {
    await source.return?.();
  } catch {
    // The request has its answer, or an error of its own.
  }
}
