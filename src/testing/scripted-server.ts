/**
 * The part that the test servers of this kit share: scripted answers, holds, and records of the received requests.
 *
 * The servers themselves are in auth-server.ts and api.ts.
 *
 * @module
 */
import { createServer } from "node:http";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { count, duration } from "../base/options.ts";
import { Holds } from "./hold.ts";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";

/** What a test can do with every server of this kit. */
export interface Scripted<Request> {
  /** The origin of the server, for example `http://127.0.0.1:40123`. */
  readonly origin: string;
  /** The requests that were received, oldest first. */
  readonly requests: readonly Request[];
  /** Milliseconds from a request to its answer, unless the answer has a `delay`. */
  latency: number;
  /** The number of requests that {@link Scripted.holdAnswers} holds back and whose clients still wait. */
  readonly waiting: number;
  /** Queues answers for the next requests, one for each request. They are used before the answer of `respondAlways`. */
  respond(...answers: readonly Script<Request>[]): void;
  /** Sets the answer to every request for which no answer is queued; `undefined` restores the normal answer. */
  respondAlways(answer: Script<Request> | undefined): void;
  /**
   * Holds back the answers to requests that arrive from now on, until the returned function is called. The content of
   * an answer is decided then.
   */
  holdAnswers(): () => void;
  /**
   * Resolves when this many requests have arrived since the server was started.
   *
   * @throws {TypeError} When `total` is not a non-negative integer.
   * @throws {Error} When the server is closed before.
   */
  waitFor(total: number): Promise<void>;
  /** Closes all connections, including those that wait for an answer, and frees the port. */
  close(): Promise<void>;
}

/**
 * A scripted answer: an {@link Answer}, or a function that returns one for a request. If the function returns
 * `undefined`, the server gives its normal answer.
 *
 * An answer with neither `status` nor `body` is the normal answer with these headers and this delay.
 */
export type Script<Request> = Answer | ((request: Request) => Answer | undefined | Promise<Answer | undefined>);

/** How a test server answers one request. */
export interface Answer {
  /** The HTTP status. @defaultValue 200 */
  readonly status?: number | undefined;
  /**
   * Headers that are added to those of the server or replace them. A header whose value is `undefined` is not sent
   * (`date`, for example).
   */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>> | undefined;
  /**
   * The body. A string or bytes are sent as they are. A Node.js `Readable` or another async iterable of strings and
   * bytes is sent chunk by chunk; if it fails, the connection is closed in the middle of the body. Anything else is
   * sent as JSON.
   *
   * @defaultValue an empty body
   */
  readonly body?: string | Uint8Array | AsyncIterable<string | Uint8Array> | object | undefined;
  /** Milliseconds to wait before the answer. @defaultValue the server's `latency` */
  readonly delay?: number | undefined;
  /** Leaves the request without an answer. */
  readonly hang?: true | undefined;
  /** Destroys the connection instead of answering. */
  readonly reset?: true | undefined;
}

/** A request as every test server records it, after its whole body has arrived. */
export interface ReceivedRequest {
  /** The HTTP method. */
  readonly method: string;
  /** The path and the query. */
  readonly url: string;
  /** The headers, with names in lower case. */
  readonly headers: ReceivedHeaders;
  /** The exact bytes of the body. */
  readonly body: Uint8Array;
}

/** The headers of a received request, with names in lower case. */
export interface ReceivedHeaders {
  /** The `Authorization` header. */
  readonly authorization?: string | undefined;
  readonly [name: string]: string | readonly string[] | undefined;
}

/** A call of `waitFor` that was not resolved yet. */
interface Arrival {
  readonly total: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** The base class of the test servers. */
export abstract class ScriptedServer<Request> implements Scripted<Request> {
  readonly requests: Request[] = [];
  latency: number;
  readonly #holds = new Holds();
  readonly #queue: Script<Request>[] = [];
  #standingAnswer: Script<Request> | undefined;
  #arrivals: Arrival[] = [];
  #loopback: Loopback | undefined;
  #closed = false;

  constructor(latency: unknown) {
    this.latency = duration("latency", latency, 0);
  }

  /** Makes the record of a request. */
  protected abstract record(received: ReceivedRequest): Request;
  /** Makes the answer to a request that no script answers. It is called when the answer is due. */
  protected abstract normalAnswer(request: Request): Answer;
  /** Records an answer directly before it is sent. @returns The answer, completed. */
  protected abstract beforeAnswer(request: Request, answer: Answer): Answer;

  async listen(): Promise<this> {
    this.#loopback = await listenOnLoopback((incoming, response) => void this.#serve(incoming, response));
    return this;
  }

  get origin(): string {
    return this.#loopback?.origin ?? "";
  }

  get waiting(): number {
    return this.#holds.waiting;
  }

  respond(...answers: readonly Script<Request>[]): void {
    this.#queue.push(...answers);
  }

  respondAlways(answer: Script<Request> | undefined): void {
    this.#standingAnswer = answer;
  }

  holdAnswers(): () => void {
    const hold = this.#holds.begin();
    return () => hold.release();
  }

  async waitFor(total: number): Promise<void> {
    count("total", total, 0);
    if (this.requests.length >= total) return;
    if (this.#closed) throw this.#closedTooEarly(total);
    await new Promise<void>((resolve, reject) => this.#arrivals.push({ total, resolve, reject }));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#loopback?.close();
    for (const { total, reject } of this.#arrivals.splice(0)) reject(this.#closedTooEarly(total));
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const disconnected = new AbortController();
    response.once("close", () => disconnected.abort());
    try {
      const request = this.record({
        method: incoming.method ?? "",
        url: incoming.url ?? "",
        headers: incoming.headers,
        body: await readBody(incoming),
      });
      const script = this.#queue.shift() ?? this.#standingAnswer;
      const held = this.#holds.pass(disconnected.signal);
      this.#arrived(request);
      await held;
      await this.#answer(request, script, response, disconnected.signal);
    } catch (error) {
      if (!disconnected.signal.aborted) sendScriptError(response, error);
    }
  }

  async #answer(
    request: Request,
    script: Script<Request> | undefined,
    response: ServerResponse,
    disconnected: AbortSignal,
  ): Promise<void> {
    const scripted = typeof script === "function" ? await script(request) : script;
    const delay = scripted?.delay ?? this.latency;
    if (delay > 0) await sleep(delay, undefined, { signal: disconnected });
    if (scripted?.reset === true) response.destroy();
    if (scripted?.hang === true || response.destroyed) return;
    const answer = withScript(scripted, () => this.normalAnswer(request));
    await send(response, this.beforeAnswer(request, answer));
  }

  #arrived(request: Request): void {
    this.requests.push(request);
    const due = this.#arrivals.filter(({ total }) => total <= this.requests.length);
    this.#arrivals = this.#arrivals.filter((arrival) => !due.includes(arrival));
    for (const { resolve } of due) resolve();
  }

  #closedTooEarly(total: number): Error {
    return new Error(`waitFor(${total}): the server was closed after ${this.requests.length} requests`);
  }
}

/** Answers 500 with the error of a script, so that a failed expectation in a script shows in the client's answer. */
function sendScriptError(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  for (const name of response.getHeaderNames()) response.removeHeader(name);
  response.statusCode = 500;
  response.end(`A script of this test server failed: ${String(error)}`);
}

/** Returns the scripted answer, or the normal answer with the headers of a script that sets neither status nor body. */
function withScript(scripted: Answer | undefined, normal: () => Answer): Answer {
  if (scripted === undefined) return normal();
  if (scripted.status !== undefined || scripted.body !== undefined) return scripted;
  const usual = normal();
  return { ...usual, headers: { ...usual.headers, ...scripted.headers } };
}

/** A real HTTP server that only this machine can reach. */
interface Loopback {
  /** The origin of the server, for example `http://127.0.0.1:40123`. */
  readonly origin: string;
  /** Closes all connections, answered or not, and frees the port. */
  close(): Promise<void>;
}

/** Thousands of clients may connect at once. With the default of 511 the others would wait a second to try again. */
const BACKLOG = 4096;

/** Starts a server on 127.0.0.1, on a port that the system chooses. */
async function listenOnLoopback(listener: RequestListener): Promise<Loopback> {
  const server = createServer(listener);
  // Idle connections stay open. By default Node closes them after 5 s, just when a client may be reusing one.
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: "127.0.0.1", port: 0, backlog: BACKLOG }, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  let closed: Promise<void> | undefined;
  return {
    origin: `http://127.0.0.1:${address.port}`,
    close: () =>
      (closed ??= new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      })),
  };
}

/** Reads the exact bytes of a request's body. Rejects when the client disconnects before it has sent all of them. */
async function readBody(incoming: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of incoming) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

/**
 * Sends an answer. Resolves when the last byte was handed to the system.
 *
 * Rejects when the answer cannot be sent, or when its stream fails. If the client has received a part of the answer by
 * then, the connection is destroyed.
 */
async function send(response: ServerResponse, answer: Answer): Promise<void> {
  const { body = "" } = answer;
  response.statusCode = answer.status ?? 200;
  setHeaders(response, { "content-type": contentType(body), ...answer.headers });
  if (isStream(body)) {
    response.flushHeaders();
    await pipeline(body, response);
    return;
  }
  const bytes = typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
  await new Promise<void>((resolve) => response.end(bytes, resolve));
}

function setHeaders(response: ServerResponse, headers: NonNullable<Answer["headers"]>): void {
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) response.setHeader(name, value);
    else if (name.toLowerCase() === "date") response.sendDate = false;
    else response.removeHeader(name);
  }
}

function contentType(body: NonNullable<Answer["body"]>): string | undefined {
  if (body === "") return undefined;
  if (typeof body === "string") return "text/plain; charset=utf-8";
  return body instanceof Uint8Array || isStream(body) ? "application/octet-stream" : "application/json";
}

function isStream(body: NonNullable<Answer["body"]>): body is AsyncIterable<string | Uint8Array> {
  return typeof body === "object" && Symbol.asyncIterator in body;
}
