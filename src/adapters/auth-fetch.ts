/**
 * The client seam for fetch, shared by `remint/fetch` (`fetch.ts`) and `remint/ofetch` (`ofetch.ts`).
 *
 * Not here: what happens to a request that needs a token (`policy/request-policy.ts`).
 *
 * @module
 */
import { assertFunction, assertOptions, assertStatuses } from "../base/options.ts";
import { policyHalf } from "../core/types.ts";
import { assertTokenSource, checkedOverride, chooseCache, createdBody, isTokenCache } from "../policy/choose-cache.ts";
import { PROOF_HEADER } from "../policy/client-seam.ts";
import { sendBare, sendSkipped, sendWith, withToken } from "../policy/request-policy.ts";
import { isThenable } from "../policy/bounded-wait.ts";
import { drain, isOneShot, readText } from "./body.ts";
import type { RejectionRule } from "../core/types.ts";
import type { CheckedOverride, RequestOverride, RequestOverrideOptions, TokenSource } from "../policy/choose-cache.ts";
import type { ClientSeam, PolicyRequest, TokenHeaders } from "../policy/client-seam.ts";

/** The first argument of fetch. */
export type FetchInput = string | URL | Request;
/** A body that fetch takes. The DOM's name for it, `BodyInit`, does not exist in Node's types. */
export type FetchBody = NonNullable<RequestInit["body"]>;
/** The options of fetch, and under `remint` what overrides the client's settings for one request. */
export type AuthRequestInit = RequestInit & {
  /** Overrides the client's settings for this request: `false`, another cache, or `{ retry, body, cache }`. */
  readonly remint?: RequestOverride<FetchBody> | undefined;
};
/** A fetch that attaches tokens. */
export type AuthFetch = (input: FetchInput, init?: AuthRequestInit) => Promise<Response>;
/** Where the token of a request comes from: a cache, several caches, or a function of the fetch's arguments. */
export type FetchTokenSource = TokenSource<[url: string, init: AuthRequestInit | undefined]>;

/** Options of {@link createAuthFetch}. */
export interface AuthFetchOptions {
  /**
   * The fetch that sends the requests.
   *
   * @defaultValue `globalThis.fetch`, looked up at every call, because test tools and frameworks replace it
   */
  readonly fetch?: ((input: FetchInput, init?: RequestInit) => Promise<Response>) | undefined;
  /**
   * Decides whether an answer rejects the token. Asked before the grant's own rule and the `WWW-Authenticate` header.
   */
  readonly isRejected?: RejectionRule | undefined;
  /** HTTP statuses for which `isRejected` is asked, besides 401. @defaultValue none */
  readonly inspectStatuses?: readonly number[] | undefined;
}

/**
 * Creates the fetch of `remint/fetch` and `remint/ofetch`.
 *
 * @param where The public function that was called, for error messages.
 * @throws {TypeError} When the source or an option is wrong.
 */
export function authFetchOf(where: string, source: FetchTokenSource, options: AuthFetchOptions = {}): AuthFetch {
  assertTokenSource(where, source);
  assertOptions(where, options);
  assertFunction("fetch", options.fetch);
  assertFunction("isRejected", options.isRejected);
  assertStatuses("inspectStatuses", options.inspectStatuses);
  const client = new FetchClient(options);
  const onlyCache = isTokenCache(source) ? source : undefined;

  return function authFetch(input, init) {
    try {
      const request = new FetchRequest(input, init);
      if (request.override === false) {
        if (onlyCache === undefined) return sendBare(request, client);
        return sendSkipped(policyHalf(onlyCache), "opted-out", request, client);
      }
      const cache = request.override?.cache ?? onlyCache;
      if (cache !== undefined) return withToken(cache, request, client);
      if (client.isAuthorized(request)) return sendBare(request, client);
      return sendWith(chooseCache(source, request, [request.url, request.init]), request, client);
    } catch (error) {
      return Promise.reject(error); // fetch never throws synchronously; nothing has been sent yet
    }
  };
}

/** One call of fetch, as the request policy sees it. */
class FetchRequest implements PolicyRequest {
  readonly input: FetchInput;
  readonly init: AuthRequestInit | undefined;
  readonly url: string;
  /** The input, if it is a `Request`. */
  readonly request: Request | undefined;
  readonly override: CheckedOverride<FetchBody>;
  /** A clone of {@link FetchRequest.request} for a later send, because a send uses up the body. */
  unsentClone: Request | undefined;

  constructor(input: FetchInput, init: AuthRequestInit | undefined) {
    this.input = input;
    this.init = init;
    this.request = typeof input === "string" || !isRequest(input) ? undefined : input;
    // oxlint-disable-next-line typescript/no-base-to-string -- a URL, or whatever else fetch itself would stringify
    this.url = typeof input === "string" ? input : (this.request?.url ?? String(input));
    this.override = checkedOverride(init?.remint);
    this.unsentClone = undefined;
  }

  get signal(): AbortSignal | undefined {
    return this.init?.signal ?? this.request?.signal;
  }

  get retry(): boolean {
    return this.override === undefined || (this.override !== false && this.override.retry !== false);
  }

  /** The method as fetch sends it: fetch changes these six names to upper case and no others. */
  get method(): string {
    const method = this.init?.method ?? this.request?.method ?? "GET";
    return /^(?:delete|get|head|options|post|put)$/i.test(method) ? method.toUpperCase() : method;
  }

  get createBody(): RequestOverrideOptions<FetchBody>["body"] {
    return this.override === false ? undefined : this.override?.body;
  }

  /** The body, if the caller gave one that is not created for every send. */
  get body(): unknown {
    return this.createBody === undefined ? this.init?.body : undefined;
  }

  get headers(): HeadersInit | undefined {
    return this.init?.headers ?? this.request?.headers;
  }

  /**
   * Returns the input for the next send. A `Request` with a body is cloned first, and the clone is kept for a later
   * send.
   */
  nextInput(): FetchInput {
    const { request, init } = this;
    if (request === undefined) return this.input;
    const current = this.unsentClone ?? request;
    const isBodyReplaced = this.createBody !== undefined || (init?.body !== undefined && init.body !== null);
    if (!this.retry || isBodyReplaced || current.body === null || current.bodyUsed) return current;
    this.unsentClone = current.clone();
    return current;
  }
}

/** The client seam over one fetch. */
class FetchClient implements ClientSeam<FetchRequest, Response> {
  readonly isRejected: RejectionRule | undefined;
  readonly inspectStatuses: readonly number[] | undefined;
  readonly #fetch: NonNullable<AuthFetchOptions["fetch"]>;

  constructor(options: AuthFetchOptions) {
    this.#fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
    this.isRejected = options.isRejected;
    this.inspectStatuses = options.inspectStatuses;
  }

  send(request: FetchRequest, tokenHeaders: TokenHeaders | undefined): Promise<Response> | undefined {
    const { init, createBody } = request;
    if (init === undefined && tokenHeaders !== undefined && request.request === undefined) {
      return this.#fetch(request.input, { headers: tokenHeaders });
    }
    if (tokenHeaders === undefined && createBody === undefined) return this.#fetch(request.input, init);
    const headers = tokenHeaders === undefined ? request.headers : withHeaders(request.headers, tokenHeaders);
    if (tokenHeaders !== undefined && headers === undefined) return undefined;
    // `headers` stands before the spread and is assigned after it: adding a key to a spread copy is 50 times slower on
    // Node 20.
    const copy: RequestInit & { duplex?: "half" } = { headers: undefined as never, ...init };
    if (headers !== undefined) copy.headers = headers;
    if (createBody === undefined) return this.#fetch(request.nextInput(), copy);
    const sendBody = (body: FetchBody): Promise<Response> => {
      copy.body = body;
      if (isOneShot(body)) copy.duplex = "half";
      return this.#fetch(request.nextInput(), copy);
    };
    const body = createdBody(createBody, request);
    return isThenable(body) ? body.then(sendBody) : sendBody(body);
  }

  isAuthorized(request: FetchRequest): boolean {
    return hasAuthorization(request.headers);
  }

  status(answer: Response): number {
    return answer.status;
  }

  header(answer: Response, name: string): string | null {
    return answer.headers.get(name);
  }

  finalUrl(answer: Response): string | undefined {
    return answer.redirected ? answer.url : undefined;
  }

  canResend({ createBody, init }: FetchRequest): boolean {
    return createBody !== undefined || !isOneShot(init?.body);
  }

  discard(answer: Response): Promise<void> {
    return drain(answer.body);
  }

  text(answer: Response, maxBytes: number): Promise<string> {
    return readText(answer.clone().body, maxBytes);
  }

  finish({ unsentClone }: FetchRequest): void {
    unsentClone?.body?.cancel().catch(() => {});
  }
}

/** Whether the input is a `Request`. No `instanceof`: undici and test tools have classes of their own. */
function isRequest(input: unknown): input is Request {
  return typeof input === "object" && input !== null && "bodyUsed" in input && "url" in input;
}

/**
 * Whether the caller set `Authorization`, in upper or lower case (Q1). The value `undefined` counts as not set, `null`
 * and `false` as set.
 */
function hasAuthorization(headers: HeadersInit | undefined): boolean {
  if (headers === undefined || headers === null) return false;
  if (headers instanceof Headers) {
    const value = headers.get("authorization");
    // ofetch calls `new Headers({ authorization: undefined })`, which stores the text "undefined".
    return value !== null && value !== "undefined";
  }
  if (isIterable(headers)) {
    for (const [name] of headers) if (isAuthorization(name)) return true;
    return false;
  }
  for (const name in headers) {
    if (isAuthorization(name) && (headers as Record<string, unknown>)[name] !== undefined) return true;
  }
  return false;
}

/**
 * Returns a copy of the caller's headers with those of the token. The caller's object is not changed (Q10). A header of the
 * token does not replace the caller's, except a proof: only this library's proof fits the token, and a request with two
 * proofs is refused.
 *
 * @returns `undefined` when the caller set `Authorization` (Q1).
 */
function withHeaders(headers: HeadersInit | undefined, added: TokenHeaders): HeadersInit | undefined {
  if (headers === undefined || headers === null) return { ...added };
  if (hasAuthorization(headers)) return undefined;
  const pairs =
    isIterable(headers) && !(headers instanceof Headers)
      ? [...headers].map(([name, value]): [string, string] => [name, value])
      : undefined;
  const copy = new Headers(headers instanceof Headers ? headers : (pairs ?? withoutUndefined(headers as never)));
  for (const [name, value] of Object.entries(added)) {
    if (name === PROOF_HEADER || name === "authorization" || !copy.has(name)) copy.set(name, value);
  }
  return copy;
}

/** Removes an `authorization: undefined`, of which `new Headers()` would make the text "undefined". */
function withoutUndefined(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name, value]) => value !== undefined || !isAuthorization(name)),
  );
}

function isIterable(headers: unknown): headers is Iterable<readonly [string, string]> {
  return typeof (headers as Partial<Iterable<unknown>> | undefined)?.[Symbol.iterator] === "function";
}

function isAuthorization(name: unknown): boolean {
  return typeof name === "string" && name.length === 13 && name.toLowerCase() === "authorization";
}
