/**
 * Translates fetch to the request policy; shared by `remint/fetch` and `remint/ofetch`.
 *
 * @module
 */
import { assertFunction, assertOptions, assertStatuses } from "../base/options.ts";
import { sendBare, withToken } from "../policy/request-policy.ts";
import { leaveOnAbort } from "../core/single-flight.ts";
import { assertTokenSource, chooseCache, isTokenCache, overrideOptions, overridingCache } from "../policy/choose-cache.ts";
import { drain, isOneShot, readText } from "./body.ts";
import { hasAuthorization, withHeaders } from "./fetch-headers.ts";
import type { AccessToken } from "../core/access-token.ts";
import type { RejectionRule } from "../core/types.ts";
import type { Exchange, ExtraHeaders, PolicyRequest } from "../policy/request-policy.ts";
import type { RequestOverride, RequestOverrideOptions, TokenSource } from "../policy/choose-cache.ts";

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

class FetchExchange implements Exchange<FetchRequest, Response> {
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
  const exchange = new FetchExchange(options);
  const only = isTokenCache(source) ? source : undefined;

  return function authFetch(input, init) {
    const request = new FetchRequest(input, init);
    const override = init?.remint;
    if (override === false) {
      only?.skipped("opted-out", request.url);
      return sendBare(request, exchange);
    }
    const own = override === undefined ? undefined : overridingCache(override);
    const cache = own ?? only;
    if (cache !== undefined) return withToken(cache, request, exchange);
    if (exchange.isAuthorized(request)) return sendBare(request, exchange);
    return sendWithChosen(source, request, exchange);
  };
}

async function sendWithChosen(
  source: FetchTokenSource,
  request: FetchRequest,
  exchange: FetchExchange,
): Promise<Response> {
  const cache = await leaveOnAbort(
    Promise.resolve(chooseCache(source, request.url, [request.url, request.init])),
    request.signal,
  );
  return cache === undefined ? sendBare(request, exchange) : withToken(cache, request, exchange);
}

/** A Request of any implementation: undici's, the platform's, a test tool's. */
function isRequest(input: unknown): input is Request {
  return typeof input === "object" && input !== null && "bodyUsed" in input && "url" in input;
}
