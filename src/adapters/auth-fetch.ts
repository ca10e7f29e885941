/**
 * Translates fetch to the request policy; shared by `remint/fetch` and `remint/ofetch`.
 *
 * @module
 */
import { leaveOnAbort } from "../base/abort.ts";
import { assertFunction, assertOptions, assertStatuses } from "../base/options.ts";
import { policyHalf } from "../core/types.ts";
import {
  assertTokenSource,
  chooseCache,
  isTokenCache,
  overrideOptions,
  overridingCache,
} from "../policy/choose-cache.ts";
import { PROOF_HEADER } from "../policy/client-seam.ts";
import { sendBare, withToken } from "../policy/request-policy.ts";
import { drain, isOneShot, readText } from "./body.ts";
import type { AccessToken, RejectionRule } from "../core/types.ts";
import type { RequestOverride, RequestOverrideOptions, TokenSource } from "../policy/choose-cache.ts";
import type { ClientSeam, ExtraHeaders, PolicyRequest } from "../policy/client-seam.ts";

/** What fetch takes as its first argument. */
export type FetchInput = string | URL | Request;
/** What fetch takes as a body. Not `BodyInit`: only the DOM's types know that name, and a server has Node's. */
export type FetchBody = NonNullable<RequestInit["body"]>;
/** fetch's options, and under `remint` what this one request wants. */
export type AuthRequestInit = RequestInit & { readonly remint?: RequestOverride<FetchBody> | undefined };
/** `fetch`, with tokens. */
export type AuthFetch = (input: FetchInput, init?: AuthRequestInit) => Promise<Response>;
/** Where the token of a fetch comes from. */
export type FetchTokenSource = TokenSource<[url: string, init: AuthRequestInit | undefined]>;

/** What {@link createAuthFetch} takes beside the source. */
export interface AuthFetchOptions {
  /** The fetch beneath. @defaultValue `globalThis.fetch`, looked up at every call, because test tools and frameworks replace it */
  readonly fetch?: ((input: FetchInput, init?: RequestInit) => Promise<Response>) | undefined;
  /** Decides whether an answer rejects the token, before the grant's rule and rule Q4. */
  readonly isRejected?: RejectionRule | undefined;
  /** Statuses beside 401 about which `isRejected` is asked. */
  readonly inspectStatuses?: readonly number[] | undefined;
}

/** One call of fetch on its way through the policy. */
class FetchRequest implements PolicyRequest {
  readonly input: FetchInput;
  readonly init: AuthRequestInit | undefined;
  readonly url: string;
  /** The input, if it is a Request. */
  readonly request: Request | undefined;
  readonly override: RequestOverrideOptions<FetchBody> | undefined;
  /** A copy of a Request whose body the next send would use up. */
  spare: Request | undefined;

  constructor(input: FetchInput, init: AuthRequestInit | undefined) {
    this.input = input;
    this.init = init;
    this.request = typeof input === "string" || !isRequest(input) ? undefined : input;
    // oxlint-disable-next-line typescript/no-base-to-string -- a URL, or whatever else fetch itself would stringify
    this.url = typeof input === "string" ? input : (this.request?.url ?? String(input));
    this.override = init?.remint === undefined ? undefined : overrideOptions(init.remint);
    this.spare = undefined;
  }

  get signal(): AbortSignal | undefined {
    return this.init?.signal ?? this.request?.signal;
  }

  get retry(): boolean {
    return this.override?.retry !== false;
  }

  /** As fetch sends it: a few names in capitals, all others as they are written. */
  get method(): string {
    const method = this.init?.method ?? this.request?.method ?? "GET";
    return /^(?:delete|get|head|options|post|put)$/i.test(method) ? method.toUpperCase() : method;
  }

  get headers(): HeadersInit | undefined {
    return this.init?.headers ?? this.request?.headers;
  }

  /** What to give fetch now. A Request with a body is cloned, and the clone kept for a later send. */
  nextInput(): FetchInput {
    const { request, init } = this;
    if (request === undefined) return this.input;
    const current = this.spare ?? request;
    const sendsOther = this.override?.body !== undefined || (init?.body !== undefined && init.body !== null);
    if (!this.retry || sendsOther || current.body === null || current.bodyUsed) return current;
    this.spare = current.clone();
    return current;
  }
}

class FetchClient implements ClientSeam<FetchRequest, Response> {
  readonly isRejected: RejectionRule | undefined;
  readonly inspectStatuses: readonly number[] | undefined;
  readonly #fetch: NonNullable<AuthFetchOptions["fetch"]>;

  constructor(options: AuthFetchOptions) {
    this.#fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
    this.isRejected = options.isRejected;
    this.inspectStatuses = options.inspectStatuses;
  }

  send(
    request: FetchRequest,
    token: AccessToken | undefined,
    extra: ExtraHeaders | undefined,
  ): Promise<Response> | undefined {
    const { init, override } = request;
    if (init === undefined && token !== undefined && request.request === undefined && extra === undefined) {
      return this.#fetch(request.input, { headers: { authorization: token.header } });
    }
    if (token === undefined && override?.body === undefined) return this.#fetch(request.input, init);
    const headers = token === undefined ? request.headers : withHeaders(request.headers, token.header, extra);
    if (token !== undefined && headers === undefined) return undefined;
    // A key first and the value later: spreading and then adding a key is 50 times slower on Node 20.
    const copy: RequestInit & { duplex?: "half" } = { headers: undefined as never, ...init };
    if (headers !== undefined) copy.headers = headers;
    if (override?.body !== undefined) {
      copy.body = override.body();
      if (isOneShot(copy.body)) copy.duplex = "half";
    }
    return this.#fetch(request.nextInput(), copy);
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

  canResend({ override, init }: FetchRequest): boolean {
    return override?.body !== undefined || !isOneShot(init?.body);
  }

  discard(answer: Response): Promise<void> {
    return drain(answer.body);
  }

  text(answer: Response, maxBytes: number): Promise<string> {
    return readText(answer.clone().body, maxBytes);
  }

  finish({ spare }: FetchRequest): void {
    spare?.body?.cancel().catch(() => {});
  }
}

/**
 * A fetch that attaches tokens; the one both `remint/fetch` and `remint/ofetch` are made of.
 *
 * @throws {TypeError} When the source or an option is wrong.
 */
export function authFetchOf(where: string, source: FetchTokenSource, options: AuthFetchOptions = {}): AuthFetch {
  assertTokenSource(where, source);
  assertOptions(where, options);
  assertFunction("fetch", options.fetch);
  assertFunction("isRejected", options.isRejected);
  assertStatuses("inspectStatuses", options.inspectStatuses);
  const client = new FetchClient(options);
  const only = isTokenCache(source) ? source : undefined;

  return function authFetch(input, init) {
    const request = new FetchRequest(input, init);
    const override = init?.remint;
    if (override === false) {
      if (only !== undefined) policyHalf(only).skipped("opted-out", request.url);
      return sendBare(request, client);
    }
    const own = override === undefined ? undefined : overridingCache(override);
    const cache = own ?? only;
    if (cache !== undefined) return withToken(cache, request, client);
    if (client.isAuthorized(request)) return sendBare(request, client);
    return sendWithChosen(source, request, client);
  };
}

async function sendWithChosen(source: FetchTokenSource, request: FetchRequest, client: FetchClient): Promise<Response> {
  const cache = await leaveOnAbort(
    Promise.resolve(chooseCache(source, request.url, [request.url, request.init])),
    request.signal,
  );
  return cache === undefined ? sendBare(request, client) : withToken(cache, request, client);
}

/** A Request of any implementation: undici's, the platform's, a test tool's. */
function isRequest(input: unknown): input is Request {
  return typeof input === "object" && input !== null && "bodyUsed" in input && "url" in input;
}

// MERGED Reads and extends the headers of a fetch without touching the caller's object (Q1, Q10).
type Entries = Iterable<readonly [string, string]>;

/** Q1: whether the caller set `Authorization`, in any spelling. `undefined` is not set; `null` and `false` are. */
function hasAuthorization(headers: HeadersInit | undefined): boolean {
  if (headers === undefined || headers === null) return false;
  if (headers instanceof Headers) {
    const value = headers.get("authorization");
    // What `new Headers({ authorization: undefined })` makes of it, which is what ofetch does with its headers.
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
 * The caller's headers with ours added: `Authorization`, and the grant's own unless the caller set them, but for a proof:
 * no other than ours fits our token, and two are none.
 *
 * @returns `undefined` when the caller set `Authorization` himself (Q1): found on the way, so that plain headers are
 * gone through once.
 */
function withHeaders(
  headers: HeadersInit | undefined,
  authorization: string,
  extra: ExtraHeaders | undefined,
): HeadersInit | undefined {
  if (headers === undefined || headers === null) return { authorization, ...extra };
  if (extra !== undefined || isIterable(headers)) {
    return hasAuthorization(headers) ? undefined : withPairs(headers, authorization, extra);
  }
  // The new key last; `{ ...headers, authorization }` is 20 times slower on Node 20.
  const copy: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    if (!isAuthorization(name)) copy[name] = value as string;
    else if (value !== undefined) return undefined;
  }
  copy["authorization"] = authorization;
  return copy;
}

function withPairs(headers: HeadersInit, authorization: string, extra: ExtraHeaders | undefined): HeadersInit {
  if (extra === undefined && Array.isArray(headers)) return [...headers, ["authorization", authorization]];
  const pairs =
    isIterable(headers) && !(headers instanceof Headers)
      ? [...headers].map(([name, value]): [string, string] => [name, value])
      : undefined;
  const all = new Headers(headers instanceof Headers ? headers : (pairs ?? withoutUndefined(headers as never)));
  for (const [name, value] of Object.entries(extra ?? {})) {
    if (name === PROOF_HEADER || !all.has(name)) all.set(name, value);
  }
  all.set("authorization", authorization);
  return all;
}

/** `new Headers({ authorization: undefined })` would send the word. */
function withoutUndefined(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name, value]) => value !== undefined || !isAuthorization(name)),
  );
}

function isIterable(headers: unknown): headers is Entries {
  return typeof (headers as Partial<Entries> | undefined)?.[Symbol.iterator] === "function";
}

function isAuthorization(name: unknown): boolean {
  return typeof name === "string" && name.length === 13 && name.toLowerCase() === "authorization";
}
