/**
 * One send of a request, and its answer as the request policy sees it. The events of undici go to the caller while they
 * arrive, unless the policy has to judge the answer first: then undici is paused, and what comes nevertheless is kept, until the
 * policy hands the answer on or discards it.
 *
 * Not here: the caller (`caller.ts`), and what is sent (`call.ts`).
 *
 * @module
 */
import { systemClock } from "../../base/clock.ts";
import { DRAIN_BYTES, joined, READ_MS, readText } from "../body.ts";
import type { Caller, Connection, CurrentSend, Head, HeaderFields, RawHeaders, SendEvents } from "./caller.ts";

/** One send. */
export class Send implements SendEvents, CurrentSend {
  /** Resolves when the head of the answer has arrived, and rejects when none comes. */
  readonly answered: Promise<Send>;
  readonly #caller: Caller;
  /** Whether the policy judges an answer with this status. */
  readonly #isJudged: (status: number) => boolean;
  #answer!: (send: Send) => void;
  #fail!: (error: unknown) => void;
  #connection: Connection | undefined;
  /** What undici says of the request beside the answer: the URLs of redirects. */
  #context: unknown;
  #head: Head | undefined;
  /** The events go to the caller. Those that came before wait in `#chunks` and `#end`. */
  #isHandedOn = false;
  /** undici says nothing more. */
  #isOver = false;
  #isWhole = false;
  #isDiscarded = false;
  #isFlowing = false;
  #chunks: Uint8Array[] = [];
  #size = 0;
  #end: (() => void) | undefined;
  /** How many bytes may be kept, and what is called when there is more news of an answer that is read. */
  #limit = -1;
  #onNews: (() => void) | undefined;

  constructor(caller: Caller, isJudged: (status: number) => boolean) {
    this.#caller = caller;
    this.#isJudged = isJudged;
    this.answered = new Promise((resolve, reject) => {
      this.#answer = resolve;
      this.#fail = reject;
    });
  }

  connected(connection: Connection, context: unknown): void {
    if (this.#isOver) {
      // Aborted before undici had a connection.
      connection.abort(this.#caller.reason);
      return;
    }
    this.#connection = connection;
    this.#context = context;
    this.#caller.connected(context);
  }

  headed(head: Head): boolean {
    if (head.status < 200) {
      this.#caller.informed(head);
      return true;
    }
    this.#head = head;
    const isJudged = this.#isJudged(head.status);
    this.#answer(this);
    if (isJudged) return false;
    this.#handOn();
    return !this.#caller.isPaused;
  }

  arrived(chunk: Uint8Array): boolean {
    if (this.#isDiscarded) return true;
    if (this.#isHandedOn && this.#chunks.length === 0) {
      this.#caller.arrived(chunk);
      return !this.#caller.isPaused;
    }
    this.#chunks.push(chunk);
    this.#size += chunk.byteLength;
    this.#onNews?.();
    return this.#size <= this.#limit;
  }

  ended(trailers: unknown, rawTrailers: unknown): void {
    this.#isOver = true;
    this.#isWhole = true;
    this.#finally(() => this.#caller.ended(trailers, rawTrailers));
  }

  failed(error: unknown): void {
    this.#isOver = true;
    if (this.#head === undefined) this.#fail(error);
    else if (!this.#isDiscarded) this.#finally(() => this.#caller.failed(error));
  }

  upgraded(head: Head, socket: unknown): void {
    this.#head = head;
    this.#isOver = true;
    this.#isHandedOn = true;
    this.#answer(this);
    this.#caller.upgraded(head, socket);
  }

  /** Hands the last event on, after what came before it. */
  #finally(end: () => void): void {
    if (this.#isHandedOn && this.#chunks.length === 0) end();
    else {
      this.#end = end;
      this.#onNews?.();
    }
  }

  #handOn(): void {
    this.#isHandedOn = true;
    this.#caller.headed(this.#head!);
  }

  /** Hands the answer on, if that has not been done. */
  release(): void {
    if (this.#isHandedOn) return;
    if (this.#caller.isAborted) {
      this.#break(this.#caller.reason);
      return;
    }
    try {
      this.#handOn();
    } catch (error) {
      this.#break(error);
      return;
    }
    if (!this.#caller.isPaused) this.resume();
  }

  /** Hands on what was kept, as long as the caller wants more, and then lets undici go on. */
  resume(): void {
    if (!this.#isHandedOn || this.#isFlowing) return;
    this.#isFlowing = true;
    try {
      while (this.#chunks.length > 0 && !this.#caller.isPaused) this.#caller.arrived(this.#chunks.shift()!);
      if (this.#chunks.length === 0 && this.#end !== undefined) {
        const end = this.#end;
        this.#end = undefined;
        end();
      }
    } catch (error) {
      this.#break(error);
    } finally {
      this.#isFlowing = false;
    }
    if (!this.#isOver && !this.#caller.isPaused) this.#connection?.resume();
  }

  pause(): void {
    if (this.#isHandedOn && !this.#isOver) this.#connection?.pause();
  }

  /** Ends the send because a handler threw, as undici does, or because the caller has aborted. */
  #break(error: unknown): void {
    this.#chunks = [];
    this.#end = undefined;
    this.#isHandedOn = true;
    try {
      if (!this.#isOver) this.#connection?.abort(error);
      this.#caller.failed(error);
    } catch {
      // The handler fails at being told of a failure: nobody is left to be told.
    }
  }

  abort(reason: unknown): void {
    if (this.#connection === undefined) this.failed(reason);
    else if (!this.#isOver) this.#connection.abort(reason);
    else if (this.#isHandedOn) this.#break(reason);
  }

  get status(): number {
    return this.#head?.status ?? 0;
  }

  /** Whether the caller has the answer, or its beginning. */
  get isHandedOn(): boolean {
    return this.#isHandedOn;
  }

  header(name: string): string | null {
    const values: string[] = [];
    forEachHeader(this.#head?.headers ?? [], (key, value) => {
      if (key.toLowerCase() === name.toLowerCase()) values.push(textOf(value));
    });
    return values.length === 0 ? null : values.join(", ");
  }

  /**
   * The URL that the answer came from, if an interceptor beneath this one has followed redirects. If they led to another
   * origin, that: the redirects that follow carry no token, also not back.
   */
  get finalUrl(): string | undefined {
    const { history } = Object(this.#context) as { readonly history?: readonly URL[] };
    if (!Array.isArray(history) || history.length < 2) return undefined;
    const urls = history as readonly URL[];
    return String(urls.find(({ origin }) => origin !== urls[0]!.origin) ?? urls.at(-1));
  }

  /** Reads the start of the body as text. It is kept for the caller. */
  async text(maxBytes: number): Promise<string> {
    await this.#read(maxBytes - 1);
    const body = new Blob([joined(this.#chunks)]).stream();
    const coding = this.header("content-encoding")?.toLowerCase();
    if (coding !== "gzip" && coding !== "deflate") return readText(body, maxBytes);
    return readText(body.pipeThrough(new DecompressionStream(coding)), maxBytes);
  }

  /**
   * Frees the connection: reads a small body to its end, and aborts a large or slow one. What was read is kept for a caller
   * who gets the answer after all.
   */
  async discard(): Promise<void> {
    await this.#read(DRAIN_BYTES);
    if (this.#isWhole) return;
    this.#isDiscarded = true;
    if (!this.#isOver) this.#connection?.abort(new Error("the answer was discarded"));
    this.#chunks = [joined(this.#chunks).subarray(0, DRAIN_BYTES)];
    const { headers, rawHeaders, ...head } = this.#head!;
    this.#head = { ...head, headers: withoutLength(headers), rawHeaders: withoutLength(rawHeaders) };
    const { noTrailers } = this.#caller;
    this.#end = () => this.#caller.ended(noTrailers, []);
  }

  /** Reads until more than `limit` bytes are kept, until the end, or for a moment. */
  async #read(limit: number): Promise<void> {
    if (this.#isOver || this.#size > limit) return;
    this.#limit = limit;
    await new Promise<void>((resolve) => {
      const timer = systemClock.setTimeout(done, READ_MS);
      timer.hold(true);
      function done(): void {
        timer.cancel();
        resolve();
      }
      this.#onNews = () => {
        if (this.#isOver || this.#size > limit) done();
      };
      this.#connection?.resume();
    });
    this.#onNews = undefined;
    this.#limit = -1;
  }
}

function forEachHeader(
  headers: RawHeaders | HeaderFields,
  visit: (name: string, value: unknown, index: number) => void,
): void {
  if (Array.isArray(headers)) {
    for (let index = 0; index < headers.length; index += 2) visit(textOf(headers[index]), headers[index + 1], index);
  } else for (const [name, value] of Object.entries(headers)) visit(name, value, 0);
}

/** Returns a name or a value of a header as text. undici 6 has bytes, of Latin-1. */
function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.map(textOf).join(", ");
  return ArrayBuffer.isView(value) ? LATIN1.decode(value) : String(value);
}

const LATIN1 = new TextDecoder("latin1");

/** Returns headers without the length of a body that was cut. */
function withoutLength<Headers>(headers: Headers): Headers {
  if (Array.isArray(headers)) {
    return headers.filter((_, index) => !isLength(textOf(headers[index - (index % 2)]))) as Headers;
  }
  if (typeof headers !== "object" || headers === null) return headers;
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !isLength(name))) as Headers;
}

function isLength(name: string): boolean {
  return name.toLowerCase() === "content-length";
}
