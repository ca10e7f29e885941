/**
 * `refreshEndpoint`: a grant for an endpoint that is not OAuth, such as `POST /auth/refresh` of one's own server, with a
 * cookie or with something that the last answer brought.
 *
 * Each answer may use up what the next request needs, such as a cookie that rotates. So a request is not repeated, not made
 * twice at a time, and not aborted before `landingTimeout`.
 *
 * Not here: OAuth's refresh tokens (`grants/refresh-token.ts`), and how tabs share one session (`tab-store.ts`).
 *
 * @module
 */
import { RemintError, TokenEndpointError } from "../base/errors.ts";
import { assertFunction, assertObject, optionError, requireFunction } from "../base/options.ts";
import { retryAfterOf } from "../base/server-time.ts";
import { endpointName, hasCredentials, isWeb, parseUrl, printableUrl } from "../base/url.ts";
import { callUserFunction } from "../base/user-function.ts";
import { customDefinition } from "../core/custom-grant.ts";
import { grantOf } from "../core/grant.ts";
import type { CustomGrantMembers, CustomToken } from "../core/custom-grant.ts";
import type { Grant, GrantTraits, MintContext, SaveContext } from "../core/grant.ts";

type MaybePromise<T> = T | PromiseLike<T>;
type Headers = RequestInit["headers"];
type Body = RequestInit["body"];

/** What `read` may return: the token, its life, and the state of the next request. */
export type RefreshedToken<State = unknown> =
  | string
  | (Exclude<CustomToken, string> & { readonly state?: State | undefined });

/** Options of {@link refreshEndpoint}: those of fetch, and how the answer is read. */
export interface RefreshEndpointOptions<State = string> extends Omit<
  RequestInit,
  "body" | "headers" | "method" | "signal"
> {
  /**
   * Reads an answer of status 2xx. Returns the token as a string, or an object with `accessToken` or `access_token`,
   * `expiresIn` (seconds) or `expiresAt`, and `state` for what the next request needs. `null` or `undefined`: nobody is signed
   * in.
   */
  readonly read: (response: Response) => MaybePromise<RefreshedToken<State> | null | undefined>;
  /** The HTTP method. @defaultValue "POST" */
  readonly method?: string | undefined;
  /** The headers of the request. A function, which may be async, gets the state. @defaultValue none */
  readonly headers?: Headers | ((state: State) => MaybePromise<Headers | undefined>) | undefined;
  /** The body of the request. A function, which may be async, gets the state. A stream has to come from a function. @defaultValue none */
  readonly body?: Body | ((state: State) => MaybePromise<Body | undefined>) | undefined;
  /**
   * The state of the first request, where it is not in a cookie, or a function that is asked for the state before every
   * request. `null` or `undefined`: nobody is signed in. A function needs `onState`, unless the cache has a store.
   *
   * @defaultValue what `signIn` brings as `refresh_token`, if the headers or the body are a function with a parameter;
   *   otherwise no state
   */
  readonly state?: State | ((context: { readonly signal: AbortSignal }) => MaybePromise<State | null | undefined>);
  /** Saves the next state. Awaited before the token is used; repeated when it fails. */
  readonly onState?: ((next: State, context: SaveContext<State>) => MaybePromise<unknown>) | undefined;
  /** The fetch that sends the request. @defaultValue `globalThis.fetch`, looked up at every call */
  readonly fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /** Names the session in a store of servers, without any secret: a user's id. @defaultValue none */
  readonly key?: string | undefined;
  /** Headers to send with the token; `authorization: null` where a cookie carries the session. @defaultValue none */
  readonly tokenHeaders?: GrantTraits["headers"];
}

const LATE_COOKIE =
  "a refresh of the session before was answered after this sign-in, and has set its cookie: await signOut() first";

/**
 * Creates a grant for a refresh endpoint of one's own server.
 *
 * The request is `POST url` with the given options of fetch. 401 and 403 mean that nobody is signed in: requests then go
 * without a token, and no other refresh is made until `signIn` or until the page is loaded anew. So does a redirect, which leads
 * to a sign-in page most often. 408, 429 and 5xx pass, and their `Retry-After` holds. A request to the endpoint never gets the token, so the endpoint may be called through the
 * same client. The request has `keepalive`: the browser takes the next cookie also when the tab is closed meanwhile.
 *
 * @param url A relative URL is resolved against the page, when this is called.
 * @throws {TypeError} When the URL or an option is wrong.
 * @example
 * ```ts
 * const grant = refreshEndpoint("/auth/refresh", {
 *   credentials: "include",
 *   read: async (response) => (await response.json()).accessToken,
 * });
 * ```
 */
export function refreshEndpoint<State = string>(url: string | URL, options: RefreshEndpointOptions<State>): Grant {
  const text = endpointText(url);
  assertObject("refreshEndpoint options", options);
  const { read, headers, body, state, onState, fetch, key, tokenHeaders, ...init } = options;
  requireFunction("read", read);
  assertFunction("fetch", fetch);
  assertSendable(options, body);
  const send = fetch ?? ((target: string, given: RequestInit) => globalThis.fetch(target, given));
  const taken = { method: "POST", keepalive: true, redirect: "manual", ...definedIn(init) };
  const copied = copyOf(headers);
  const mint = async ({ signal, state: presented }: MintContext<State>): Promise<unknown> => {
    const given = presented as State;
    const response = await send(text, {
      ...taken,
      headers: typeof copied === "function" ? await callUserFunction("headers", signal, () => copied(given)) : copied,
      body: typeof body === "function" ? await callUserFunction("body", signal, () => body(given)) : body,
      signal,
    } as RequestInit);
    if (!isSuccess(response)) throw refusalOf(response, text);
    return callUserFunction("read", signal, () => read(response));
  };
  const members = { mint, state, onState, key, headers: tokenHeaders };
  const hasState = usesState(headers) || usesState(body);
  const definition = customDefinition(members as CustomGrantMembers<never>, "", "read", hasState);
  const lateCookie = definition.source === undefined ? () => nobody(LATE_COOKIE) : undefined;
  let own: readonly string[] | undefined;
  return grantOf({ ...definition, lateCookie, endpoints: () => (own ??= ownEndpoints(text)) });
}

/**
 * A relative URL on a page is resolved at once: the address of the page, which it may be relative to, changes while the
 * application goes from place to place.
 *
 * @throws {TypeError} When it is no URL of http or https.
 */
function endpointText(url: unknown): string {
  const text = url instanceof URL ? url.href : url;
  const parsed = typeof text === "string" && text !== "" ? parseUrl(text) : undefined;
  if (parsed !== undefined && !hasCredentials(parsed)) {
    if (isWeb(parsed)) return parsed.href;
    if (!URL.canParse(text as string)) return text as string;
  }
  throw optionError("url", url, "the URL of the refresh endpoint, without credentials");
}

/** @throws {TypeError} When something is given that cannot hold for every request. */
function assertSendable(options: object, body: unknown): void {
  if ((options as { readonly signal?: unknown }).signal) {
    throw new TypeError(`refreshEndpoint takes no "signal": an aborted refresh may use up the cookie`);
  }
  if (typeof body === "object" && body !== null && ("getReader" in body || Symbol.asyncIterator in body)) {
    throw new TypeError(`"body" must not be a stream, but may be a function that returns one`);
  }
}

/** A function without a parameter says something else of each request, such as a token against CSRF. */
function usesState(source: unknown): boolean {
  return typeof source === "function" && source.length > 0;
}

/** As fetch reads its init, a member that is `undefined` is not there. */
function definedIn(init: object): object {
  return Object.fromEntries(Object.entries(init).filter(([, value]) => value !== undefined));
}

/** What is given may be changed later. */
function copyOf<T>(headers: T): T {
  if (typeof headers !== "object" || headers === null) return headers;
  return (Symbol.iterator in headers ? [...(headers as Iterable<unknown> & T)] : { ...headers }) as T;
}

/** Outside of a page, a relative URL is the server's own until there is a page. */
function ownEndpoints(text: string): readonly string[] {
  const url = parseUrl(text);
  return url === undefined ? [] : [endpointName(url)];
}

/** Answers made by hand, as in tests, may have a status only. */
function isSuccess({ status, type }: Response): boolean {
  return type !== "opaqueredirect" && status >= 200 && status < 300;
}

function nobody(hint: string): RemintError {
  return new RemintError("ERR_NO_SESSION", "no token is available: nobody is signed in", { hint, terminal: true });
}

/** The statuses that lead elsewhere. 304 does not. */
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

/** The error for an answer that brings no token. The body is not read: it may hold anything. */
function refusalOf({ status, type, headers }: Response, url: string): RemintError {
  const isRedirect = type === "opaqueredirect" || REDIRECTS.includes(status);
  const hint = `the refresh endpoint ${printableUrl(url)} answered ${isRedirect ? "with a redirect" : `${status}`}`;
  if (isRedirect || status === 401 || status === 403) {
    // Requests go without a token then, as they did before this page had one.
    return nobody(hint);
  }
  const retryAfter = (headers as { get?: unknown } | undefined)?.get === undefined ? undefined : retryAfterOf(headers);
  return new TokenEndpointError(status, "no token is available: the refresh endpoint failed", { hint, retryAfter });
}
