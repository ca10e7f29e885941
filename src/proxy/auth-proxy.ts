/**
 * Passes the requests of a web page on to APIs, each with the access token of the user who is signed in.
 *
 * The order of the checks: the path, its route, whether another site sent the request, the method, the session. Nothing is
 * sent to an API before all of them hold.
 *
 * Not here: the table of routes (`routes.ts`), which headers pass (`headers.ts`), what a cross-site request is
 * (`cross-site.ts`), the bodies (`request-body.ts`), the answers (`answers.ts`), and what happens to a request that needs a
 * token (`policy/request-policy.ts`).
 *
 * @module
 */
import { drain, endUnsent } from "../adapters/body.ts";
import { stepUpOf } from "../base/challenge.ts";
import { systemClock } from "../base/clock.ts";
import { findAmongCauses, isRemintError, RemintError } from "../base/errors.ts";
import { assertFunction, assertOptions, isThenable, kindOf, optionError } from "../base/options.ts";
import { policyHalf } from "../core/types.ts";
import { chooseCache, mayCarryToken } from "../policy/choose-cache.ts";
import { withToken } from "../policy/request-policy.ts";
import { passedOn, problem } from "./answers.ts";
import { crossSiteRule } from "./cross-site.ts";
import { copiedHeaders } from "./headers.ts";
import { BodyBroken, BodyTooLong, passedBody } from "./request-body.ts";
import { checkedRoutes, matchOf } from "./routes.ts";
import type { Timer } from "../base/clock.ts";
import type { TokenCache } from "../core/types.ts";
import type { ClientSeam, PolicyRequest, TokenHeaders, TokenObtained } from "../policy/client-seam.ts";
import type { CrossSiteOptions, CrossSiteRule } from "./cross-site.ts";
import type { PassedBody } from "./request-body.ts";
import type { ProxyRoute, Route, RouteMatch } from "./routes.ts";

/** Answers one request of a page. Rejects only when the proxy is set up wrongly, or when a function of the user's fails. */
export type AuthProxy = (request: Request) => Promise<Response>;

/**
 * Returns the token cache of the user who is signed in, such as `pool.get(sessionId)`, or `undefined` or `null` when nobody
 * is. May return a promise. `prefix` is the route that the request belongs to.
 */
export type ProxyTokenSource = (
  request: Request,
  prefix: string,
) => TokenCache | null | undefined | Promise<TokenCache | null | undefined>;

/** Options of {@link createAuthProxy}. */
export interface AuthProxyOptions {
  /**
   * Where requests go: the beginnings of paths, and the URL of the API for each, or {@link ProxyRoute}. The longest one
   * counts. It ends where a segment of the path ends.
   */
  readonly routes: Readonly<Record<string, string | URL | ProxyRoute>>;
  /**
   * How the requests of the application's own pages are recognized. Others are answered 403. `false` lets every site send
   * requests with the user's cookie: only for a server that checks this before.
   *
   * @defaultValue the header `x-bff: 1`, and `Sec-Fetch-Site` and `Origin`, where they are, of the request's own origin
   */
  readonly csrf?: false | CrossSiteOptions | undefined;
  /** The fetch that sends the requests. @defaultValue `globalThis.fetch`, looked up at every call */
  readonly fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /**
   * Called with what is behind an answer of 502, 503 or 504, which the browser is not told. For a log. An error that it throws
   * is ignored.
   */
  readonly onError?: ((error: unknown, request: Request) => void) | undefined;
}

/**
 * Creates the proxy of a server behind a web page: it passes requests on to APIs with the access token of the user who is
 * signed in, and renews the token when an API rejects it. The browser gets no token, and the API no cookie.
 *
 * The proxy keeps no sessions. It takes and returns what fetch has, `Request` and `Response`. Bodies are streamed in both
 * directions. A request body of at most 64 KiB is kept, so that the request can be sent again after a 401. When the browser
 * goes away, the request to the API ends: `request.signal` says so.
 *
 * The proxy's own answers are problem details (RFC 9457) with a `code`: 400 `path`, 401 `sign-in`, 401 `step-up` (with
 * `acr_values` and `max_age`, when the API wants a stronger sign-in, RFC 9470), 403 `csrf`, 404 `route`, 405 `method`, 413
 * `body`, 499 `gone`, 501 `upgrade`, 502 `api` and `api-rejects` (the API answers 401 to a new token), 503 `token` and `retry`
 * with `Retry-After` (`retry`: the body was too long to be sent again; the next request gets a new token), 504 `timeout`.
 * See [docs/errors.md#the-proxys-answers](../../docs/errors.md#the-proxys-answers).
 *
 * @param source Returns the token cache of a request.
 * @throws {TypeError} When the source or an option is wrong. From the created function, when the source returns something
 *   else, when the body of the request was read before, or when the `origins` of the cache do not allow the route's target.
 * @see [RFC 10017 section 6.1](https://www.rfc-editor.org/rfc/rfc10017.html#section-6.1)
 * @example
 * ```ts
 * const proxy = createAuthProxy(
 *   (request) => {
 *     const session = sessionOf(request);
 *     return session === undefined ? null : pool.get(session);
 *   },
 *   { routes: { "/api/orders": "https://orders.example/v1" } },
 * );
 * ```
 */
export function createAuthProxy(source: ProxyTokenSource, options: AuthProxyOptions): AuthProxy {
  if (typeof source !== "function") throw sourceError(source);
  assertOptions("createAuthProxy", options, ["routes", "csrf", "fetch", "onError"]);
  const routes = checkedRoutes(options.routes);
  const isCrossSite = crossSiteRule(options.csrf);
  assertFunction("fetch", options.fetch);
  assertFunction("onError", options.onError);
  const { fetch = (url: string, init: RequestInit) => globalThis.fetch(url, init) } = options;
  const tell = (error: unknown, request: Request): void => {
    try {
      options.onError?.(error, request);
    } catch {
      // A log that fails must not fail the request.
    }
  };

  return async function authProxy(request) {
    const found = routeOf(request, routes, isCrossSite);
    if (found instanceof Response) return found;
    const call = new ProxiedCall(request, found, fetch);
    try {
      return await call.answer(source);
    } catch (error) {
      const answer = answerFor(error, request);
      if (answer === undefined) throw error;
      if (answer.status > 500) tell(causeOf(error), request);
      return answer;
    }
  };
}

/** A cache, in place of a function, would be the same for every user. */
function sourceError(source: unknown): TypeError {
  const expected = "a function of the request that returns the token cache of the user who is signed in";
  return new TypeError(`The first argument of createAuthProxy must be ${expected}, got ${kindOf(source)}`);
}

/** @throws {TypeError} When a server of Node called the proxy with its own kind of request, which has a path as its URL. */
function assertRequest(request: unknown): void {
  const { headers } = Object(request) as Partial<Request>;
  if (typeof headers?.get === "function") return;
  throw optionError(
    "request",
    request,
    "a Request (that of Node, as in Express, has to be translated: see examples/proxy)",
  );
}

/** Returns the route of a request, or the answer for one that may not pass. */
function routeOf(request: Request, routes: readonly Route[], isCrossSite: CrossSiteRule): RouteMatch | Response {
  assertRequest(request);
  const url = new URL(request.url);
  const match = matchOf(routes, url);
  if (typeof match === "string") return problem(match);
  const { route } = match;
  if (isCrossSite(request, url, route)) return problem("csrf");
  if (!route.methods.has(request.method)) return problem("method", { allow: [...route.methods].join(", ") });
  return request.headers.has("upgrade") ? problem("upgrade") : match;
}

/** The API did not answer: it cannot be reached, or the time was up. */
class NoAnswer extends Error {
  readonly isLate: boolean;

  constructor(cause: unknown, isLate: boolean) {
    super("the API did not answer", { cause });
    this.isLate = isLate;
  }
}

/** The API's 401 to a token that cannot be replaced by a better one. */
class Rejected extends Error {}

/** A token was renewed for a request whose body is gone. */
class MustRepeat extends Error {}

/** The errors of a body that failed while it was sent. Where fetch has them depends on the runtime. */
function isBodyError(error: unknown): error is BodyTooLong | BodyBroken {
  return error instanceof BodyTooLong || error instanceof BodyBroken;
}

/** What is behind an answer, for a log. */
function causeOf(error: unknown): unknown {
  return error instanceof NoAnswer ? error.cause : error;
}

/** Returns the answer for a request that failed. `undefined` when the failure is not one that a running proxy has to expect. */
function answerFor(error: unknown, { signal }: Request): Response | undefined {
  const bodyError = findAmongCauses(error, isBodyError);
  if (bodyError instanceof BodyTooLong) return problem("body");
  if (signal.aborted || bodyError !== undefined) return problem("gone");
  if (error instanceof NoAnswer) return problem(error.isLate ? "timeout" : "api");
  if (error instanceof Rejected) return problem("api-rejects");
  if (error instanceof MustRepeat) return problem("retry", { "retry-after": "0" });
  if (!isRemintError(error)) return undefined;
  if (error.status === 401) return problem("sign-in");
  return problem("token", { "retry-after": error.headers["retry-after"] ?? "1" });
}

/**
 * The request whose answer is being read, as a member of the body. In Node, the signal of a `Request` aborts only as long as
 * somebody holds the `Request`: without this, a stream would outlive the session that it was opened in. No `WeakMap`: it
 * takes more time than all the checks of a request.
 */
const heldRequest = Symbol("request");

/** One request that is passed on, as the request policy sees it. */
class ProxiedCall implements PolicyRequest {
  readonly url: string;
  readonly base: string;
  readonly method: string;
  readonly signal: AbortSignal;
  readonly request: Request;
  readonly #route: Route;
  readonly #fetch: NonNullable<AuthProxyOptions["fetch"]>;
  #cache!: TokenCache;
  #passed!: PassedBody;
  /** Ends what the request waits for at the moment. */
  #leave: (reason: unknown) => void = () => {};
  #how: TokenObtained = "cached";
  /** The headers with the token of the last send. */
  #tokenHeaders: TokenHeaders = {};
  /** When the last send began, and how long the API took until it began to answer. Milliseconds. */
  #sentAt = 0;
  #duration = 0;

  constructor(request: Request, { route, url }: RouteMatch, fetch: NonNullable<AuthProxyOptions["fetch"]>) {
    this.request = request;
    this.url = url;
    // No request leaves the origin of its route.
    this.base = route.origin;
    this.method = request.method;
    this.signal = request.signal;
    // One listener for all that a request waits for here: each costs more than the checks of the request.
    this.signal.addEventListener("abort", () => this.#leave(this.signal.reason), { once: true });
    this.#route = route;
    this.#fetch = fetch;
  }

  async answer(source: ProxyTokenSource): Promise<Response> {
    const route = this.#route;
    // Awaited only where there is something to wait for: each step of a promise costs as much as a check.
    const choosing = chooseCache(source, this, [this.request, route.prefix]);
    const chosen = isThenable(choosing) ? await choosing : choosing;
    if (chosen === undefined) throw noSession();
    this.#cache = route.target === undefined ? chosen : chosen.for(route.target);
    const passed = passedBody(this.request, route.maxBody);
    this.#passed = isThenable(passed) ? await this.#untilGone(passed) : passed;
    const answer = await withToken(this.#cache, this, SEAM);
    if (answer.status === 401) return this.#answerTo401(answer);
    const body: (ReadableStream & { [heldRequest]?: Request }) | null = answer.body;
    if (body !== null) body[heldRequest] = this.request;
    return passedOn(answer, route, this.url, `token;desc=${this.#how}, api;dur=${this.#duration.toFixed(1)}`);
  }

  /** Settles as the promise does, or rejects when the browser goes away. */
  #untilGone<T>(pending: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#whenGone(reject);
      pending.then(resolve, reject);
    });
  }

  /** Says what is to happen when the browser goes away from now on. */
  #whenGone(leave: (reason: unknown) => void): void {
    this.#leave = leave;
    if (this.signal.aborted) leave(this.signal.reason);
  }

  get canResend(): boolean {
    return !(this.#passed.body instanceof ReadableStream);
  }

  /** The body, for the policy to watch: nobody else does while a token is awaited. */
  get body(): unknown {
    return this.#passed.body;
  }

  async send(headers: TokenHeaders | undefined, how: TokenObtained | undefined): Promise<Response> {
    // Only a request without a token comes without them.
    if (headers === undefined) throw this.#withoutToken();
    this.#how = how ?? this.#how;
    this.#tokenHeaders = headers;
    const sent = copiedHeaders(this.request.headers, this.#route.requestHeaders);
    for (const name in headers) sent[name.toLowerCase()] = headers[name]!;
    const limit = new AbortController();
    this.#whenGone((reason) => limit.abort(reason));
    const timer = this.#limitTime(() => {
      limit.abort(new Error(`the API did not begin to answer within ${this.#route.timeout} ms`));
    });
    const { body } = this.#passed;
    const init: RequestInit & { duplex?: "half" } = {
      method: this.method,
      headers: sent,
      redirect: "manual",
      signal: limit.signal,
    };
    if (body !== undefined) init.body = body;
    if (body instanceof ReadableStream) init.duplex = "half";
    this.#sentAt = performance.now();
    try {
      const answer = await this.#fetch(this.url, init);
      if (answer.status >= 200 && answer.status < 600) return answer;
      throw new Error(`the API answered with the status ${answer.status}, which no answer can have`);
    } catch (error) {
      throw new NoAnswer(error, limit.signal.aborted);
    } finally {
      this.#duration = performance.now() - this.#sentAt;
      timer.cancel();
    }
  }

  /** Ends a body that was never sent. */
  finish(reason: unknown): void {
    if (this.#sentAt === 0) void endUnsent(this.body, reason);
  }

  /** Calls `end` when the API has not begun to answer in time after the body was sent. */
  #limitTime(end: () => void): { cancel(): void } {
    const { sent } = this.#passed;
    if (sent === undefined) return systemClock.setTimeout(end, this.#route.timeout);
    let timer: Timer | undefined;
    let isOver = false;
    void sent.then(() => {
      if (!isOver) timer = systemClock.setTimeout(end, this.#route.timeout);
    });
    return {
      cancel() {
        isOver = true;
        timer?.cancel();
      },
    };
  }

  #withoutToken(): Error {
    const { rules } = policyHalf(this.#cache);
    if (mayCarryToken(rules, this.url, this.#cache.peek())) return noSession();
    const { prefix, origin } = this.#route;
    return new TypeError(
      `routes["${prefix}"] leads to ${origin}, where the token may not go: add it to the "origins" of the token cache`,
    );
  }

  /** The browser never gets the API's own 401, because it cannot do anything about the token. */
  async #answerTo401(answer: Response): Promise<Response> {
    await drain(answer.body);
    const stepUp = stepUpOf(answer.headers.get("www-authenticate"));
    if (stepUp !== undefined) return problem("step-up", {}, stepUp);
    if (this.canResend)
      throw new Rejected("the API answered 401 to a new token, or more tokens are not minted for it now");
    // The policy has reported the token. What comes of that is the answer: a new token for the next request, or none.
    const { value } = await this.#cache.get({ signal: this.signal });
    const isSame = Object.values(this.#tokenHeaders).some((header) => header.includes(value));
    throw isSame
      ? new Rejected("the API answered 401, and another token is not minted for it now")
      : new MustRepeat("the API answered 401, and the body of the request was too long to be sent again");
  }
}

function noSession(): RemintError {
  return new RemintError("ERR_NO_SESSION", "nobody is signed in", { terminal: true });
}

/** The client seam over the calls: one for all proxies, because each call knows its own fetch. */
const SEAM: ClientSeam<ProxiedCall, Response> = {
  // "Session over" and "the API's 401 stands" must stay apart.
  failedRenewal: "throw",
  send: (call, headers, how) => call.send(headers, how),
  status: (answer) => answer.status,
  header: (answer, name) => answer.headers.get(name),
  canResend: (call) => call.canResend,
  discard: (answer) => drain(answer.body),
  finish: (call, outcome) => call.finish(outcome),
};
