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
import { isPlain } from "../base/bytes.ts";
import { assertFunction, assertOptions, duration, flag, optionError } from "../base/options.ts";
import { Holds } from "./hold.ts";
import { Tally } from "./tally.ts";
import type { Hold } from "./hold.ts";
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
  /**
   * Queues answers for the next requests, one for each request. They are used before the answer of `respondAlways`. An
   * answer with a `path` stays in the queue until a request for that path arrives.
   *
   * @throws {TypeError} When an answer is no {@link Answer}: a member is unknown, or cannot be what it is.
   */
  respond(...answers: readonly Script<Request>[]): void;
  /**
   * Sets the answer to every request for which no answer is queued; `undefined` restores the normal answer.
   *
   * @throws {TypeError} When the answer is no {@link Answer}, as for `respond`.
   */
  respondAlways(answer: Script<Request> | undefined): void;
  /**
   * Holds back the answers to requests that arrive from now on, until the returned function is called. The content of
   * an answer is decided then, unless the hold has `processFirst`.
   *
   * @throws {TypeError} When an option is wrong.
   */
  holdAnswers(options?: HoldAnswersOptions): () => void;
  /**
   * Receives requests from now on, and neither processes nor answers them until the returned function is called, like a
   * process that was stopped.
   *
   * Then the requests are processed in the order in which they arrived, including those whose clients have left. If the
   * server is closed before, they are never processed.
   */
  freeze(): () => void;
  /**
   * Resolves when this many requests have arrived since the server was started.
   *
   * @throws {TypeError} When `total` is not a non-negative integer.
   * @throws {Error} When the server is closed before.
   */
  waitFor(total: number): Promise<void>;
  /**
   * Closes all connections, including those that wait for an answer, and frees the port.
   *
   * @throws What a script of the server threw, once: an expectation that failed in a script fails the test that closes the
   *   server, also when its client tried again and was content.
   */
  close(): Promise<void>;
}

/** Options of {@link Scripted.holdAnswers}. */
export interface HoldAnswersOptions {
  /**
   * Processes requests when they arrive, although their clients may leave while the answers are held back.
   *
   * @defaultValue false: a request is processed when the hold ends, if its client still waits
   */
  readonly processFirst?: boolean | undefined;
}

/**
 * A scripted answer: an {@link Answer}, or a function that returns one for a request. If the function returns
 * `undefined`, the server gives its normal answer. If it fails, or returns no {@link Answer}, the client gets a 500 with the
 * reason, and {@link Scripted.close} rejects with it.
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
  /**
   * Processes the request before the `delay`, although the client may leave meanwhile.
   *
   * @defaultValue false: the request is processed after the `delay`, if its client still waits
   */
  readonly processFirst?: boolean | undefined;
  /** Changes the answer after the request was processed. `damagedAnswer` makes such an answer. */
  readonly change?: ((answer: Answer) => Answer) | undefined;
  /** Processes the request, and then destroys the connection before a byte of the answer is sent. */
  readonly lost?: true | undefined;
  /** Leaves the request without an answer. It is not processed. */
  readonly hang?: true | undefined;
  /** Destroys the connection instead of answering. The request is not processed. */
  readonly reset?: true | undefined;
  /**
   * The path of the requests that this answer is for, without the query. A function that returns an answer cannot use
   * it.
   *
   * @defaultValue every path
   */
  readonly path?: string | undefined;
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

/** A received request on the way to its answer. */
interface Exchange<Request> {
  readonly request: Request;
  readonly script: Script<Request> | undefined;
  readonly response: ServerResponse;
  /** Aborts when the connection is closed, by whichever side. */
  readonly disconnected: AbortSignal;
  /** Resolves when the freeze ends that the request arrived in; `undefined` if there was none. */
  readonly thawed: Promise<void> | undefined;
  /** As {@link Exchange.thawed}, for a hold without `processFirst`. Rejects when the client leaves before. */
  readonly held: Promise<void> | undefined;
  /** As {@link Exchange.held}, for a hold with `processFirst`. */
  readonly heldAfterwards: Promise<void> | undefined;
}

/** What became of the answer to a request that was processed. */
export interface Outcome {
  /** The HTTP status; `undefined` if the connection was closed before the whole answer was handed to the system. */
  readonly status: number | undefined;
  /** Whether a script changed the answer after the request was processed. */
  readonly changed: boolean;
}

/** Tells what became of an answer: its status, or `undefined` if it is lost. Only the first call counts. */
type Settle = (status: number | undefined) => void;

/** @throws {TypeError} When a scripted answer has a member that means nothing, or one that cannot be what it is. */
function assertAnswer(where: string, answer: Answer): void {
  assertOptions(where, answer, [
    "status",
    "headers",
    "body",
    "delay",
    "processFirst",
    "change",
    "lost",
    "hang",
    "reset",
    "path",
  ]);
  // A Response has members of these names, and no answer in them that could be read here.
  if (!isPlain(answer)) throw optionError(`${where} answer`, answer, "an object such as { status: 503 }");
  const { status, body, delay, change, path } = answer;
  // Below 200 there is no answer yet, and the client would wait for one.
  if (status !== undefined && (!Number.isInteger(status) || status < 200 || status > 999)) {
    throw optionError("status", status, "the status of an answer, from 200 on");
  }
  duration("delay", delay, 0);
  assertFunction("change", change);
  for (const name of ["processFirst", "lost", "hang", "reset"] as const) flag(name, answer[name]);
  if (path !== undefined && !/^\/[^?#]*$/.test(path)) throw optionError("path", path, 'a path such as "/orders"');
  if (body !== undefined && !isSendable(body)) {
    throw optionError("body", body, "text, a Uint8Array, a stream of them, or an object that JSON can hold");
  }
}

/** Whether a body is sent as it is meant. JSON would make `{}` of a Blob, a Map or URLSearchParams. */
function isSendable(body: unknown): boolean {
  if (typeof body !== "object") return typeof body !== "function";
  if (body === null) return false;
  return isPlain(body) || body instanceof Uint8Array || isStream(body) || JSON.stringify(body) !== "{}";
}

/** Some requests wait although their client has left. */
const NEVER = new AbortController().signal;

/** The base class of the test servers. */
export abstract class ScriptedServer<Request> implements Scripted<Request> {
  readonly requests: Request[] = [];
  latency: number;
  /** Before the processing, whether or not the client still waits. */
  readonly #freezes = new Gate();
  /** Before the processing. */
  readonly #holds = new Gate();
  /** Between the processing and the answer. */
  readonly #lateHolds = new Gate();
  readonly #queue: Script<Request>[] = [];
  #standingAnswer: Script<Request> | undefined;
  readonly #arrivals = new Tally((total, arrived) => {
    return new Error(`waitFor(${total}): the server was closed after ${arrived} requests`);
  });
  /** Of the requests that were processed and not answered yet. */
  readonly #unsettled = new Set<Settle>();
  #loopback: Loopback | undefined;
  #closed = false;
  /** What the first script that failed threw. */
  #failure: { readonly error: unknown } | undefined;

  constructor(latency: unknown) {
    this.latency = duration("latency", latency, 0);
  }

  /** Makes the record of a request. */
  protected abstract record(received: ReceivedRequest): Request;
  /** Processes a request that no script answers, and makes the answer. */
  protected abstract normalAnswer(request: Request): Answer;
  /** Records an answer directly before it is sent. @returns The answer, completed. */
  protected abstract beforeAnswer(request: Request, answer: Answer): Answer;
  /** Processes a request whose whole answer is scripted. */
  protected scriptedAnswer?(request: Request, answer: Answer): void;
  /** Records what became of the answer to a request that was processed. */
  protected afterAnswer?(request: Request, outcome: Outcome): void;

  async listen(): Promise<this> {
    this.#loopback = await listenOnLoopback((incoming, response) => void this.#serve(incoming, response));
    return this;
  }

  get origin(): string {
    return this.#loopback?.origin ?? "";
  }

  get waiting(): number {
    return this.#holds.waiting + this.#lateHolds.waiting;
  }

  respond(...answers: readonly Script<Request>[]): void {
    for (const answer of answers) if (typeof answer !== "function") assertAnswer("respond", answer);
    this.#queue.push(...answers);
  }

  respondAlways(answer: Script<Request> | undefined): void {
    if (answer !== undefined && typeof answer !== "function") assertAnswer("respondAlways", answer);
    this.#standingAnswer = answer;
  }

  holdAnswers(options: HoldAnswersOptions = {}): () => void {
    assertOptions("holdAnswers", options, ["processFirst"]);
    return (flag("processFirst", options.processFirst) ? this.#lateHolds : this.#holds).shut();
  }

  freeze(): () => void {
    return this.#freezes.shut();
  }

  waitFor(total: number): Promise<void> {
    return this.#arrivals.reaches(total);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const settle of this.#unsettled) settle(undefined);
    await this.#loopback?.close();
    this.#arrivals.close();
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const closing = new AbortController();
    const disconnected = closing.signal;
    response.once("close", () => closing.abort());
    try {
      const body = await readBody(incoming);
      const { method = "", url = "", headers } = incoming;
      const request = this.record({ method, url, headers, body });
      const exchange: Exchange<Request> = {
        request,
        script: this.#scriptFor(url.replace(/\?.*$/s, "")),
        response,
        disconnected,
        thawed: this.#freezes.pass(NEVER),
        held: this.#holds.pass(disconnected),
        heldAfterwards: this.#lateHolds.pass(disconnected),
      };
      this.requests.push(request);
      this.#arrivals.add();
      await this.#answer(exchange);
    } catch (error) {
      if (!disconnected.aborted) this.#fail(response, error);
    }
  }

  /** Answers 500 with the error of a script. A body that fails in the middle is what a script wanted, and is cut off. */
  #fail(response: ServerResponse, error: unknown): void {
    if (response.headersSent) {
      response.destroy();
      return;
    }
    this.#failure ??= { error };
    for (const name of response.getHeaderNames()) response.removeHeader(name);
    response.statusCode = 500;
    response.end(`A script of this test server failed: ${String(error)}`);
  }

  /** Takes the first queued script for this path, or returns the standing one. */
  #scriptFor(path: string): Script<Request> | undefined {
    const index = this.#queue.findIndex((script) => isFor(script, path));
    if (index !== -1) return this.#queue.splice(index, 1)[0];
    const standing = this.#standingAnswer;
    return standing !== undefined && isFor(standing, path) ? standing : undefined;
  }

  async #answer(exchange: Exchange<Request>): Promise<void> {
    const { request, script, disconnected, thawed, held, heldAfterwards } = exchange;
    await thawed;
    if (this.#closed) return;
    await held;
    const scripted = typeof script === "function" ? await script(request) : script;
    if (typeof script === "function" && scripted !== undefined) assertAnswer("a script", scripted);
    const isEarly = scripted?.processFirst === true || heldAfterwards !== undefined || thawed !== undefined;
    const wait = async (): Promise<void> => {
      await heldAfterwards;
      const delay = scripted?.delay ?? this.latency;
      if (delay > 0) await sleep(delay, undefined, { signal: disconnected });
    };
    if (scripted?.reset === true || scripted?.hang === true) {
      await wait();
      if (scripted.reset === true) exchange.response.destroy();
    } else if (isEarly) {
      await this.#processAndAnswer(exchange, scripted, wait);
    } else {
      await wait();
      if (!disconnected.aborted) await this.#processAndAnswer(exchange, scripted);
    }
  }

  async #processAndAnswer(
    { request, response }: Exchange<Request>,
    scripted: Answer | undefined,
    wait?: () => Promise<void>,
  ): Promise<void> {
    const processed = this.#process(request, scripted);
    const changed = scripted?.change !== undefined;
    const settle = this.#watch(response, (status) => this.afterAnswer?.(request, { status, changed }));
    await wait?.();
    if (scripted?.lost === true) {
      settle(undefined);
      response.destroy();
    }
    if (response.destroyed) return;
    await send(response, this.beforeAnswer(request, scripted?.change?.(processed) ?? processed));
  }

  /**
   * Tells what becomes of a response, once: its status, or `undefined` if its connection is closed before its end.
   *
   * @returns The function that tells it before the connection is closed.
   */
  #watch(response: ServerResponse, tell: (status: number | undefined) => void): Settle {
    const settle: Settle = (status) => {
      if (this.#unsettled.delete(settle)) tell(status);
    };
    this.#unsettled.add(settle);
    response.once("finish", () => settle(response.statusCode));
    response.once("close", () => settle(undefined));
    if (response.destroyed) settle(undefined);
    return settle;
  }

  /** Returns the scripted answer, or the normal one with the headers of a script that sets neither status nor body. */
  #process(request: Request, scripted: Answer = {}): Answer {
    if (scripted.status !== undefined || scripted.body !== undefined) {
      this.scriptedAnswer?.(request, scripted);
      return scripted;
    }
    const usual = this.normalAnswer(request);
    return { ...usual, headers: { ...usual.headers, ...scripted.headers } };
  }
}

function isFor<Request>(script: Script<Request>, path: string): boolean {
  return typeof script === "function" || script.path === undefined || script.path === path;
}

/** A point on the way of a request that a test can shut. */
class Gate {
  readonly #holds = new Holds();
  readonly #shut = new Set<Hold>();

  /** The number of requests that wait. */
  get waiting(): number {
    return this.#holds.waiting;
  }

  /** Shuts the gate for later requests. @returns The function that opens it again. */
  shut(): () => void {
    const hold = this.#holds.begin();
    this.#shut.add(hold);
    return () => {
      this.#shut.delete(hold);
      hold.release();
    };
  }

  /** Returns `undefined` if the gate is open. Otherwise the promise rejects when the signal aborts. */
  pass(signal: AbortSignal): Promise<void> | undefined {
    if (this.#shut.size === 0) return undefined;
    const passed = this.#holds.pass(signal);
    // A request may wait at another gate when it is rejected here.
    passed.catch(() => {});
    return passed;
  }
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
