/**
 * The token endpoint and the API of a fleet of processes. They run in the parent and count requests per process. They answer
 * many thousands of requests, so they record none of them.
 */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** The request header with the number of the sending process. */
export const PROCESS_HEADER = "x-process";

/** The length of the queue of connections: all callers of all processes may connect at once. */
const BACKLOG = 4096;

/** A server on loopback, on a port that the system picks. */
abstract class Loopback implements AsyncDisposable {
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      this.answer(request, response).catch((error: unknown) => response.destroy(error as Error));
    });
    // Without this, the server may close an idle connection at the moment a client uses it again.
    this.#server.keepAliveTimeout = 0;
  }

  get origin(): string {
    const { port } = this.#server.address() as { port: number };
    return `http://127.0.0.1:${port}`;
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) =>
      this.#server.listen({ host: "127.0.0.1", port: 0, backlog: BACKLOG }, resolve),
    );
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  protected abstract answer(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

/** A token endpoint that mints a new token for every request and counts the requests. */
export class TokenEndpoint extends Loopback {
  /** Milliseconds from a request to its answer. */
  delay = 0;
  /** `expires_in` of the answers, in seconds. */
  expiresIn = 3600;
  /** Runs when a request has arrived and before it is answered, with the number of the process that is minting. */
  onMint: ((process: number) => unknown) | undefined;
  /** Processes that the server refuses, or does not answer. */
  readonly sick: Map<number, "wrong secret" | "silent"> = new Map();
  /** The number of requests that arrived, also those whose process died before the answer. */
  mints = 0;
  /** The largest number of requests at the same time since {@link TokenEndpoint.reset}. */
  mostAtOnce = 0;
  /** The tokens that were issued since the start, oldest first. */
  readonly issued: string[] = [];
  /** The numbers of the processes that sent the requests since {@link TokenEndpoint.reset}, oldest first. */
  readonly minters: number[] = [];
  readonly #live = new Set<string>();
  #atOnce = 0;
  #arrivals: { readonly mints: number; readonly resolve: () => void }[] = [];

  get tokenEndpoint(): string {
    return `${this.origin}/token`;
  }

  isLive(token: string): boolean {
    return this.#live.has(token);
  }

  /** Revokes every token that was issued so far. */
  revokeAll(): void {
    this.#live.clear();
  }

  /** Resets the counters and the settings of a test. */
  reset(): void {
    this.delay = 0;
    this.expiresIn = 3600;
    this.onMint = undefined;
    this.sick.clear();
    this.mints = 0;
    this.minters.length = 0;
    this.mostAtOnce = this.#atOnce;
    this.#arrivals = [];
  }

  /** Resolves when so many requests have arrived since {@link TokenEndpoint.reset}. */
  async reached(mints: number): Promise<void> {
    if (this.mints >= mints) return;
    await new Promise<void>((resolve) => this.#arrivals.push({ mints, resolve }));
  }

  protected async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const minter = Number(request.headers[PROCESS_HEADER]);
    request.resume();
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#atOnce);
    this.minters.push(minter);
    this.mints++;
    for (const { mints, resolve } of this.#arrivals) if (this.mints >= mints) resolve();
    await this.onMint?.(minter);
    await sleep(this.delay);
    this.#atOnce--;
    const sickness = this.sick.get(minter);
    if (sickness === "silent") return;
    response.setHeader("content-type", "application/json");
    if (sickness === "wrong secret") {
      response.writeHead(401).end(JSON.stringify({ error: "invalid_client" }));
      return;
    }
    const token = `at-${this.issued.length + 1}-${randomBytes(24).toString("base64url")}`;
    this.issued.push(token);
    this.#live.add(token);
    response.end(JSON.stringify({ access_token: token, token_type: "Bearer", expires_in: this.expiresIn }));
  }
}

/** An API that accepts live tokens. A request to `/slow` is held until {@link Api.release} is called, and judged then. */
export class Api extends Loopback {
  /** Answers every request with 401. */
  refusesAll = false;
  /** The number of answers with 401. */
  unauthorized = 0;
  requests = 0;
  /** For each process, the tokens of its accepted requests since {@link Api.reset}. */
  readonly #used = new Map<number, Set<string>>();
  readonly #endpoint: TokenEndpoint;
  #held: (() => void)[] = [];
  #arrivals: { readonly held: number; readonly resolve: () => void }[] = [];

  constructor(endpoint: TokenEndpoint) {
    super();
    this.#endpoint = endpoint;
  }

  reset(): void {
    this.refusesAll = false;
    this.unauthorized = 0;
    this.requests = 0;
    this.#used.clear();
  }

  /** Returns the tokens of a process's accepted requests, in the order of their first use. */
  used(process: number): readonly string[] {
    return [...(this.#used.get(process) ?? [])];
  }

  /** Resolves when so many requests are held. */
  async holds(held: number): Promise<void> {
    if (this.#held.length >= held) return;
    await new Promise<void>((resolve) => this.#arrivals.push({ held, resolve }));
  }

  release(): void {
    const held = this.#held;
    this.#held = [];
    this.#arrivals = [];
    for (const answer of held) answer();
  }

  protected async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests++;
    const token = String(request.headers.authorization).replace("Bearer ", "");
    if (request.url === "/slow") await this.#hold();
    if (this.#endpoint.isLive(token) && !this.refusesAll) {
      this.#note(Number(request.headers[PROCESS_HEADER]), token);
    } else {
      this.unauthorized++;
      response.statusCode = 401;
      response.setHeader("www-authenticate", 'Bearer error="invalid_token"');
    }
    response.end();
  }

  #note(process: number, token: string): void {
    const used = this.#used.get(process);
    if (used === undefined) this.#used.set(process, new Set([token]));
    else used.add(token);
  }

  #hold(): Promise<void> {
    return new Promise((resolve) => {
      this.#held.push(resolve);
      for (const arrival of this.#arrivals) if (this.#held.length >= arrival.held) arrival.resolve();
    });
  }
}
