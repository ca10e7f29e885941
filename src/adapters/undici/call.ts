/**
 * One request of undici, as it was when it was dispatched (Q14), and what undici's `dispatch` is called with for each of its
 * sends.
 *
 * Not here: headers (`headers.ts`), bodies that are kept (`kept-body.ts`), and the events of a send (`send.ts`).
 *
 * @module
 */
import { isThenable } from "../../base/options.ts";
import { withoutTrailingSlashes } from "../../base/url.ts";
import { checkedOverride, createdBody } from "../../policy/choose-cache.ts";
import { isJudged } from "../../policy/client-seam.ts";
import { copyOfBody, endUnsent, isOneShot } from "../body.ts";
import { copyOfHeaders, hasAuthorization, valueOf, withTokenHeaders } from "./headers.ts";
import { keptBody } from "./kept-body.ts";
import { Send } from "./send.ts";
import type { CheckedOverride, RequestOverride, RequestOverrideOptions } from "../../policy/choose-cache.ts";
import type { PolicyRequest, SeamOptions, TokenHeaders } from "../../policy/client-seam.ts";
import type { Caller } from "./caller.ts";
import type { HeaderCopy } from "./headers.ts";
import type { KeptBody } from "./kept-body.ts";

/** The members of undici's options of a request that a source may look at. */
export interface UndiciRequestOptions {
  /** Scheme, host and port. A `Client` or a `Pool` need not be told. */
  readonly origin?: string | URL | null | undefined;
  /** Path and query. */
  readonly path: string;
  /** The HTTP method, in upper case. */
  readonly method: string;
  /** Names and values in turn, an object, or an iterable of pairs. */
  readonly headers?: unknown;
  /** The body. fetch hands over an iterable. */
  readonly body?: unknown;
  /** Overrides the interceptor's settings for this request: `false`, another cache, or `{ cache, retry, body }`. */
  readonly remint?: RequestOverride | undefined;
}

/** What is known of where a dispatcher sends requests, beside what they state themselves. */
export interface Origins {
  /** Where it sends every request, whatever origin the request states: a `Client` and a `Pool` of undici 8 say so. */
  readonly fixed: string | undefined;
  /** Where it sends a request that states no origin, as the user says. */
  readonly own: string | undefined;
}

/** The URL of a request when it is not known where undici sends it. No cache allows it. */
const NOWHERE = "data:,";

/**
 * Under this key, the options of a send with a token have `true`, so that another interceptor of this package beneath it
 * knows the token for one of ours (Q13).
 */
const sentKey = Symbol.for("remint.undici/1");

/** Whether a request is handed to undici as it is: what is none, a `CONNECT`, and one that has a token of this package. */
export function isPassedOn(options: object | null | undefined): boolean {
  if (typeof options !== "object" || options === null) return true;
  const { method, headers, [sentKey]: wasSent } = options as UndiciRequestOptions & { readonly [sentKey]?: true };
  if (method === "CONNECT") return true;
  return wasSent === true && valueOf(copyOfHeaders(headers), "authorization") !== undefined;
}

/** One request of undici, as the request policy sees it. */
export class UndiciCall implements PolicyRequest {
  readonly url: string;
  readonly method: string;
  readonly options: UndiciRequestOptions;
  readonly override: CheckedOverride<unknown>;
  /** Whether the caller set an `Authorization` header. */
  readonly isAuthorized: boolean;
  /** What undici's `dispatch` returned: whether it takes more requests at once. `true` for a request that waits. */
  mayDispatchMore = true;
  /** What undici's `dispatch` threw. It refuses a request or a handler so, before anything is sent. */
  thrown: { readonly error: unknown } | undefined;
  readonly #dispatch: (options: object, handler: object) => boolean;
  readonly #caller: Caller;
  readonly #headers: HeaderCopy | undefined;
  readonly #body: unknown;
  readonly #kept: KeptBody | undefined;
  #send: Send | undefined;

  /**
   * @param origins The origin of every request, if the dispatcher has one, and that of a request which states none.
   * @throws {TypeError} When there is no origin, the option `remint` is wrong, or the header `Authorization` was made from a
   *   token as text.
   */
  constructor(
    dispatch: (options: object, handler: object) => boolean,
    options: UndiciRequestOptions,
    caller: Caller,
    origins: Origins,
  ) {
    this.#dispatch = dispatch;
    this.#caller = caller;
    this.options = copyOfOptions(options);
    this.method = options.method;
    this.#headers = copyOfHeaders(options.headers);
    this.isAuthorized = hasAuthorization(this.#headers);
    this.override = options.remint === undefined ? undefined : checkedOverride(options.remint);
    this.#kept = keptBody(options.body, textOrNothing(valueOf(this.#headers, "content-length")));
    this.#body = this.#kept ?? copyOfBody(options.body);
    this.url = urlOf(this.options, origins);
  }

  get signal(): AbortSignal {
    return this.#caller.signal;
  }

  get retry(): boolean {
    return this.override === undefined || (this.override !== false && this.override.retry !== false);
  }

  get body(): unknown {
    return this.#createBody === undefined ? this.options.body : undefined;
  }

  /** Whether a further send has the same body, and the caller has nothing of the answer yet. */
  get canResend(): boolean {
    if (this.#send?.isHandedOn === true) return false;
    return (
      this.#createBody !== undefined || this.#kept !== undefined || (!isOneShot(this.#body) && !isIterator(this.#body))
    );
  }

  /** Sends the request once. Returns `undefined` when headers are given and the caller set an `Authorization` header. */
  send(
    tokenHeaders: TokenHeaders | undefined,
    seam: SeamOptions,
    judged: readonly number[] | undefined,
  ): Promise<Send> | undefined {
    if (tokenHeaders !== undefined && this.isAuthorized) return undefined;
    const isHeld = (status: number): boolean => tokenHeaders !== undefined && isJudged(seam, judged, status);
    const send = new Send(this.#caller, isHeld);
    const create = this.#createBody;
    if (create === undefined) return this.#begin(send, tokenHeaders, this.#body);
    const body = createdBody(create, this);
    return isThenable(body)
      ? Promise.resolve(body).then((made) => this.#begin(send, tokenHeaders, made))
      : this.#begin(send, tokenHeaders, body);
  }

  #begin(send: Send, tokenHeaders: TokenHeaders | undefined, body: unknown): Promise<Send> {
    if (this.#caller.isAborted) return Promise.reject(this.#caller.reason);
    this.#send = send;
    this.#caller.current = send;
    const headers = tokenHeaders === undefined ? this.#headers : withTokenHeaders(this.#headers, tokenHeaders);
    const options = { ...this.options, headers, body, ...(tokenHeaders !== undefined && { [sentKey]: true }) };
    try {
      this.mayDispatchMore = this.#dispatch(options, this.#caller.handlerFor(send));
    } catch (error) {
      this.thrown = { error };
      send.failed(error);
    }
    return send.answered;
  }

  /** Ends the request with an error, unless the caller has the answer. */
  fail(error: unknown): void {
    if (this.#send?.isHandedOn === true) return;
    try {
      this.#caller.failed(error);
    } catch {
      // The handler fails at being told of a failure: nobody is left to be told.
    }
  }

  /** Ends the bodies that were not sent. */
  finish(reason: unknown): void {
    if (this.#kept !== undefined) this.#kept.close();
    else if (this.#send === undefined) void endUnsent(this.body, reason);
  }

  get #createBody(): RequestOverrideOptions["body"] {
    return this.override === false ? undefined : this.override?.body;
  }
}

/** Copies the options, and of those that a caller may change after the call what undici reads of them at a send. */
function copyOfOptions(options: UndiciRequestOptions): UndiciRequestOptions {
  const { origin, query } = options as UndiciRequestOptions & { readonly query?: unknown };
  return {
    ...options,
    ...(origin instanceof URL && { origin: new URL(origin) }),
    ...(typeof query === "object" && query !== null && { query: copyOfQuery(query) }),
  };
}

function copyOfQuery(query: object): object {
  const members = Object.entries(query) as [string, unknown][];
  return Object.fromEntries(
    members.map(([name, value]) => [name, Array.isArray(value) ? [...(value as unknown[])] : value]),
  );
}

/** The URL that undici sends a request to, without the members of `query`. */
function urlOf({ origin: stated, path }: UndiciRequestOptions, { fixed, own }: Origins): string {
  // A path may be a whole URL, for a proxy. A token for the one would reach the other.
  if (typeof path !== "string" || !path.startsWith("/")) return NOWHERE;
  const origin = fixed ?? stated;
  if (origin === undefined || origin === null || origin === "") {
    if (own !== undefined) return own + path;
    throw new TypeError(
      "the request has no origin, and this undici does not tell an interceptor where its dispatcher sends it. " +
        'Write createAuthInterceptor(tokens, { origin: "https://api.example" }), or send it by request(url, { dispatcher })',
    );
  }
  return withoutTrailingSlashes(String(origin)) + path;
}

function textOrNothing(value: unknown): string | undefined {
  return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
}

/** Whether a body is an iterator, such as a generator: it has nothing for a second send. */
function isIterator(body: unknown): boolean {
  return typeof (Object(body) as { next?: unknown }).next === "function";
}
