/**
 * A stream of a body whose copies hold little.
 *
 * The fetch of Node splits the body of every request (`tee`), sends one half and never reads the other. An ordinary stream
 * keeps for the other half all that was sent: the whole upload. A half of this stream that nobody reads is given up.
 *
 * @module
 */

/** Where the chunks of a stream come from. */
export interface ChunkSource {
  /** Resolves to the next chunk, to `undefined` at the end. Rejects when the body broke off. */
  next(): Promise<Uint8Array | undefined>;
  /** Called when nobody will read the rest. */
  cancel(reason: unknown): Promise<void>;
}

/**
 * Makes a stream of these chunks.
 *
 * @param kept How many bytes are kept for a half that is read more slowly than the other.
 */
export function streamOf(source: ChunkSource, kept: number): ReadableStream<Uint8Array> {
  const body = branchOf(new Branches(source, kept));
  body.tee = () => {
    // Nobody can read the stream itself any more. Throws where somebody does already, as `tee` has to.
    body.getReader();
    const branches = new Branches(source, kept);
    return [branchOf(branches), branchOf(branches)];
  };
  return body;
}

/** Streams that get the same chunks. */
class Branches {
  readonly open: Set<ReadableStreamDefaultController<Uint8Array>> = new Set();
  readonly #source: ChunkSource;
  readonly #kept: number;
  #pulled: Promise<void> | undefined;

  constructor(source: ChunkSource, kept: number) {
    this.#source = source;
    this.#kept = kept;
  }

  pull(): Promise<void> {
    this.#pulled ??= this.#source.next().then(this.#pass, this.#fail);
    return this.#pulled;
  }

  /** @returns When the source has been cancelled too, because none of the others is left. */
  cancel(branch: ReadableStreamDefaultController<Uint8Array>, reason: unknown): Promise<void> | undefined {
    this.open.delete(branch);
    return this.open.size === 0 ? this.#source.cancel(reason) : undefined;
  }

  readonly #pass = (chunk: Uint8Array | undefined): void => {
    this.#pulled = undefined;
    for (const branch of this.open) {
      if (chunk === undefined) {
        branch.close();
      } else if (branch.desiredSize! < -this.#kept) {
        this.open.delete(branch);
        branch.error(
          new Error("this half of the body was not read while the other one was, and is not kept any longer"),
        );
      } else {
        branch.enqueue(chunk);
      }
    }
  };

  readonly #fail = (error: unknown): void => {
    this.#pulled = undefined;
    for (const branch of this.open) branch.error(error);
  };
}

function branchOf(branches: Branches): ReadableStream<Uint8Array> {
  let own: ReadableStreamDefaultController<Uint8Array>;
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        own = controller;
        branches.open.add(own);
      },
      pull: () => branches.pull(),
      cancel: (reason) => branches.cancel(own, reason),
    },
    new ByteLengthQueuingStrategy({ highWaterMark: 0 }),
  );
}
