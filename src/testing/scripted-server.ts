import { createServer } from "node:http";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { count, duration } from "../base/options.ts";
import { Holds } from "./hold.ts";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";

/** Request headers as they came, names in lower case. */
export interface ReceivedHeaders {
  readonly authorization?: string | undefined;
  readonly [name: string]: string | readonly string[] | undefined;
}

/** What every test server knows of a request; recorded once its body is there to the last byte. */
export interface ReceivedRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: ReceivedHeaders;
  /** The exact bytes of the body. */
  readonly body: Uint8Array;
}

/** What a test can do with every server of this kit. */
export interface Scripted<Request> {
  /** For example `http://127.0.0.1:40123`. */
  readonly origin: string;
  /** Every request received, oldest first. */
  readonly requests: readonly Request[];
  /** Milliseconds from a request to its answer, where the answer does not say. */
  latency: number;
  /** How many requests are held back ({@link Scripted.holdAnswers}) and still wanted by their clients. */
  readonly waiting: number;
  /** Queues answers for the next requests, one each; they come before a standing answer. */
  respond(...answers: readonly Script<Request>[]): void;
  /** Sets the answer for every request that no queued answer is for; `undefined` brings the normal answer back. */
  respondAlways(answer: Script<Request> | undefined): void;
  /** Holds back the answers to requests that arrive from now on. What is answered is decided when they are let go. */
  holdAnswers(): () => void;
  /**
   * Resolves when so many requests have arrived, counted from the start of the server.
   *
   * @throws {TypeError} When `total` is not a non-negative integer.
   * @throws {Error} When the server is closed before that.
   */
  waitFor(total: number): Promise<void>;
  /** Ends every connection, also those that wait for an answer, and frees the port. */
  close(): Promise<void>;
}

interface Arrival {
  readonly total: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** The part the test servers share: scripts, holds, records. */
export abstract class ScriptedServer<Request> implements Scripted<Request> {
  readonly requests: Request[] = [];
  latency: number;
  readonly #holds = new Holds();
  readonly #queue: Script<Request>[] = [];
  #standing: Script<Request> | undefined;
  #arrivals: Arrival[] = [];
  #loopback: Loopback | undefined;
  #closed = false;

  constructor(latency: unknown) {
    this.latency = duration("latency", latency, 0);
  }

  /** The record of a request. */
  protected abstract record(received: ReceivedRequest): Request;
  /** What is answered when no script says otherwise; called when the answer is due. */
  protected abstract normalAnswer(request: Request): Answer;
  /** Takes note of an answer, and completes it, just before it is sent. */
  protected abstract answering(request: Request, answer: Answer): Answer;

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
    this.#standing = answer;
  }

  holdAnswers(): () => void {
    const hold = this.#holds.begin();
    return () => hold.release();
  }

  async waitFor(total: number): Promise<void> {
    count("total", total, 0);
    if (this.requests.length >= total) return;
    if (this.#closed) throw this.#missed(total);
    await new Promise<void>((resolve, reject) => this.#arrivals.push({ total, resolve, reject }));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#loopback?.close();
    for (const { total, reject } of this.#arrivals.splice(0)) reject(this.#missed(total));
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    try {
      const request = this.record({
        method: incoming.method ?? "",
        url: incoming.url ?? "",
        headers: incoming.headers,
        body: await readBody(incoming),
      });
      const script = this.#queue.shift() ?? this.#standing;
      const held = this.#holds.pass(gone.signal);
      this.#arrived(request);
      await held;
      await this.#answer(request, script, response, gone.signal);
    } catch (error) {
      if (!gone.signal.aborted) sayFailure(response, error);
    }
  }

  async #answer(
    request: Request,
    script: Script<Request> | undefined,
    response: ServerResponse,
    gone: AbortSignal,
  ): Promise<void> {
    const scripted = typeof script === "function" ? await script(request) : script;
    const delay = scripted?.delay ?? this.latency;
    if (delay > 0) await sleep(delay, undefined, { signal: gone });
    if (scripted?.reset === true) response.destroy();
    if (scripted?.hang === true || response.destroyed) return;
    const answer = withScript(scripted, () => this.normalAnswer(request));
    await send(response, this.answering(request, answer));
  }

  #arrived(request: Request): void {
    this.requests.push(request);
    const due = this.#arrivals.filter(({ total }) => total <= this.requests.length);
    this.#arrivals = this.#arrivals.filter((arrival) => !due.includes(arrival));
    for (const { resolve } of due) resolve();
  }

  #missed(total: number): Error {
    return new Error(`waitFor(${total}): the server was closed after ${this.requests.length} requests`);
  }
}

/** A script that throws, because of a failed expectation in it for example, is found where the answer is looked at. */
function sayFailure(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  for (const name of response.getHeaderNames()) response.removeHeader(name);
  response.statusCode = 500;
  response.end(`A script of this test server failed: ${String(error)}`);
}

/** What a test server is to do with one request. */
export interface Answer {
  /** @defaultValue 200 */
  readonly status?: number | undefined;
  /** Beside the server's own, and before them; `undefined` leaves one out that would be sent (`date`, for one). */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>> | undefined;
  /**
   * A string or bytes as they are, a Node.js `Readable` or another async iterable of them chunk by chunk, anything else
   * as JSON. A stream that fails cuts the connection off in the middle of the body.
   *
   * @defaultValue an empty body
   */
  readonly body?: string | Uint8Array | AsyncIterable<string | Uint8Array> | object | undefined;
  /** Milliseconds to wait before answering. @defaultValue the server's `latency` */
  readonly delay?: number | undefined;
  /** Never answers. */
  readonly hang?: true | undefined;
  /** Destroys the connection instead of answering. */
  readonly reset?: true | undefined;
}

/**
 * An {@link Answer}, or a function of the request that returns one, or `undefined` for the server's normal answer.
 *
 * An answer with neither `status` nor `body` is the normal one with those headers and that delay.
 */
export type Script<Request> = Answer | ((request: Request) => Answer | undefined | Promise<Answer | undefined>);

/** The normal answer, as far as the scripted one does not replace it. */
export function withScript(scripted: Answer | undefined, normal: () => Answer): Answer {
  if (scripted === undefined) return normal();
  if (scripted.status !== undefined || scripted.body !== undefined) return scripted;
  const usual = normal();
  return { ...usual, headers: { ...usual.headers, ...scripted.headers } };
}

/** A real HTTP server that only this machine reaches. */
export interface Loopback {
  /** For example `http://127.0.0.1:40123`. */
  readonly origin: string;
  /** Ends every connection, answered or not, and frees the port. */
  close(): Promise<void>;
}

/** Thousands of clients may connect at once; with the usual 511 the rest would wait a second for their next attempt. */
const BACKLOG = 4096;

/** Starts a server on 127.0.0.1, at a port the system picks. */
export async function listenOnLoopback(listener: RequestListener): Promise<Loopback> {
  const server = createServer(listener);
  // An idle connection stays open: closing it after 5 s, Node's default, races with a client that just reused it.
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

/** The exact bytes of a request's body. Rejects when the client leaves before it has sent all. */
export async function readBody(incoming: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of incoming) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

/**
 * Sends an answer; resolves when the last byte was handed to the system.
 *
 * Rejects when the answer cannot be sent, or its stream fails; the connection is then destroyed if the client has got
 * a part of it.
 */
export async function send(response: ServerResponse, answer: Answer): Promise<void> {
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
