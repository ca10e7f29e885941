/**
 * What a fleet of processes works against: a token endpoint and an API, in the parent, which counts what arrives and from
 * whom. Plain servers: they answer many thousands of requests and remember none.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** The header that says which process sent a request. */
export const PROCESS_HEADER = "x-process";

/** Every process of a fleet may connect with all its callers at once. */
const BACKLOG = 4096;

/** A server on a port the system picks. */
abstract class Loopback implements AsyncDisposable {
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      this.answer(request, response).catch((error: unknown) => response.destroy(error as Error));
    });
    // A connection that is closed for being idle may just have been used again.
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

/** Mints a new token for every request, and counts them. */
export class TokenEndpoint extends Loopback {
  /** Milliseconds from a request to its answer. */
  delay = 0;
  /** `expires_in` of the answers, in seconds. */
  expiresIn = 3600;
  /** Runs when a request has arrived and before it is answered, with the number of the process that is minting. */
  onMint: ((process: number) => unknown) | undefined;
  /** Requests that arrived: more than mints, if a process died meanwhile. */
  mints = 0;
  /** The most requests there were at the same time since {@link TokenEndpoint.reset}. */
  mostAtOnce = 0;
  /** The tokens that were handed out since the start, oldest first. */
  readonly issued: string[] = [];
  /** Who was minting, since {@link TokenEndpoint.reset}. */
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

  /** Every token handed out so far is worth nothing from now on. */
  revokeAll(): void {
    this.#live.clear();
  }

  /** Begins to count again, and forgets what a test asked for. */
  reset(): void {
    this.delay = 0;
    this.expiresIn = 3600;
    this.onMint = undefined;
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
    const token = `at-${this.issued.length + 1}-${randomBytes(24).toString("base64url")}`;
    this.issued.push(token);
    this.#live.add(token);
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ access_token: token, token_type: "Bearer", expires_in: this.expiresIn }));
  }
}

/** Lets in who brings a live token; `/slow` is answered when {@link Api.release} is called, and judged then. */
export class Api extends Loopback {
  /** No token is good enough. */
  refusesAll = false;
  /** Answers of 401. */
  unauthorized = 0;
  requests = 0;
  /** The tokens each process was let in with, since {@link Api.reset}. */
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

  /** The tokens a process was let in with, in that order. */
  used(process: number): readonly string[] {
    return [...(this.#used.get(process) ?? [])];
  }

  /** Resolves when so many requests are held back. */
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
