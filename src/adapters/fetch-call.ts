/**
 * One call of fetch, as it was when it was made (Q14), and what fetch is called with for each of its sends.
 *
 * Not here: the copies of init (`init-copy.ts`), headers (`header-copy.ts`) and bodies (`body.ts`).
 *
 * @module
 */
import { leaveOnAbort } from "../base/abort.ts";
import { isThenable } from "../base/options.ts";
import { leftOrigin } from "../base/url.ts";
import { signalOf } from "../policy/bounded-wait.ts";
import { checkedOverride, createdBody } from "../policy/choose-cache.ts";
import { classOf, endUnsent, isOneShot, isWebStream } from "./body.ts";
import { bareHeaders, copyOfHeaders, hasAuthorization, haveSameFields, withTokenHeaders } from "./header-copy.ts";
import { cloneOfInit, copyOfInit } from "./init-copy.ts";
import type { CheckedOverride, RequestOverride, RequestOverrideOptions } from "../policy/choose-cache.ts";
import type { PolicyRequest, TokenHeaders } from "../policy/client-seam.ts";
import type { HeaderCopy } from "./header-copy.ts";

/** The first argument of fetch. */
export type FetchInput = string | URL | Request;
/** A body that fetch takes. The DOM's name for it, `BodyInit`, does not exist in Node's types. */
export type FetchBody = NonNullable<RequestInit["body"]>;
/** The options of fetch, and under `remint` what overrides the client's settings for one request. */
export type AuthRequestInit = RequestInit & {
  /** Overrides the client's settings for this request: `false`, another cache, or `{ retry, body, cache }`. */
  readonly remint?: RequestOverride<FetchBody> | undefined;
};

/** A fetch, as it is called here. */
export type SendFetch = (input: FetchInput, init?: RequestInit) => Promise<Response>;

/** The URL of a request when it is not known where fetch sends it. No cache allows it. */
const NOWHERE = "data:,";

/** One call of fetch, as the request policy sees it. */
export class FetchCall implements PolicyRequest {
  readonly url: string;
  readonly override: CheckedOverride<FetchBody>;
  /** The input, if it is a `Request`. */
  readonly #request: Request | undefined;
  /** A copy of init; what the caller gave if that is nothing. */
  readonly #init: RequestInit | null | undefined;
  readonly #headers: HeaderCopy | undefined;
  /** Whether the caller set an `Authorization` header. */
  readonly isAuthorized: boolean = false;
  #isSent = false;
  /** A clone of the `Request`, made before the first send, which uses up its body. */
  #clone: Request | undefined;
  /** The body of the clone, from the first resend on. */
  #bytes: Promise<ArrayBuffer> | undefined;

  /**
   * @throws {unknown} What a getter or an iterator of the caller's throws: fetch would fail with that too.
   * @throws {TypeError} When the option `remint` is wrong, or the header `Authorization` was made from a token as text.
   */
  constructor(input: FetchInput, init: AuthRequestInit | null | undefined) {
    if (typeof input === "string") {
      this.url = input;
    } else if (isRequest(input)) {
      this.url = urlOf(input);
      this.#request = input;
    } else {
      // oxlint-disable-next-line typescript/no-unnecessary-template-expression, typescript/no-unnecessary-type-conversion -- a URL, or what fetch itself makes a text of
      this.url = `${input as unknown as string}`;
    }
    this.#init = init === undefined || init === null ? init : copyOfInit(init);
    const headers = this.#init?.headers ?? this.#request?.headers;
    if (headers !== undefined && headers !== null) {
      this.#headers = copyOfHeaders(headers);
      this.isAuthorized = hasAuthorization(this.#headers);
    }
    const override = init?.remint;
    if (override !== undefined) this.override = checkedOverride(override);
  }

  get signal(): AbortSignal | undefined {
    const signal = this.#init?.signal;
    // `null` says that the signal of the `Request` does not count.
    return signal === undefined ? this.#request?.signal : (signal ?? undefined);
  }

  get retry(): boolean {
    return this.override === undefined || (this.override !== false && this.override.retry !== false);
  }

  /** The method as fetch sends it: fetch changes these six names to upper case and no others. */
  get method(): string {
    const method: unknown = this.#init?.method ?? this.#request?.method ?? "GET";
    const text = String(method);
    return /^(?:delete|get|head|options|post|put)$/i.test(text) ? text.toUpperCase() : text;
  }

  /** The body, if the caller gave one that is not created for every send. */
  get body(): unknown {
    return this.#createBody === undefined ? (this.#init?.body ?? this.#request?.body) : undefined;
  }

  /** Whether the body can be sent again. It is known after the first send. */
  get canResend(): boolean {
    if (this.#createBody !== undefined) return true;
    if (this.#isBodyReplaced) return !isOneShot(this.#init?.body);
    // node-fetch does not use up the body of a `Request`.
    return this.#clone !== undefined || this.#request?.bodyUsed !== true;
  }

  /** Sends the request once. Returns `undefined` when headers are given and the caller set an `Authorization` header. */
  send(fetch: SendFetch, tokenHeaders: TokenHeaders | undefined): Promise<Response> | undefined {
    if (tokenHeaders !== undefined && this.isAuthorized) return undefined;
    const isFirst = !this.#isSent;
    this.#isSent = true;
    if (this.#request !== undefined || this.override !== undefined) return this.#send(fetch, tokenHeaders, isFirst);
    // Not every hand-made fetch returns a promise.
    return Promise.resolve(fetch(this.url, this.#initFor(tokenHeaders, isFirst)));
  }

  /** Awaits only what is a promise: the first send is made during the call, if nothing has to be waited for. */
  async #send(fetch: SendFetch, tokenHeaders: TokenHeaders | undefined, isFirst: boolean): Promise<Response> {
    let input = this.#request === undefined ? this.url : this.#nextInput(this.#request, tokenHeaders !== undefined);
    if (isThenable(input)) input = await input;
    const createBody = this.#createBody;
    if (createBody === undefined) return fetch(input, this.#initFor(tokenHeaders, isFirst));
    let body = createdBody(createBody, this);
    if (isThenable(body)) body = await body;
    return fetch(input, this.#initFor(tokenHeaders, isFirst, isOneShot(body) ? { body, duplex: "half" } : { body }));
  }

  /** Ends the bodies that were not sent. */
  finish(reason: unknown): void {
    if (!this.#isSent) void endUnsent(this.body, reason);
    if (this.#clone !== undefined && this.#bytes === undefined) void endUnsent(this.#clone.body, reason);
  }

  get #createBody(): RequestOverrideOptions<FetchBody>["body"] {
    return this.override === false ? undefined : this.override?.body;
  }

  get #isBodyReplaced(): boolean {
    return (this.#createBody ?? this.#init?.body ?? undefined) !== undefined;
  }

  /** The first send is that of the caller's own `Request`, which may hold what cannot be read, such as a dispatcher. */
  #nextInput(request: Request, mayBeRejected: boolean): Request | Promise<Request> {
    if (this.#clone !== undefined) return this.#requestAgain(request, this.#clone);
    if (mayBeRejected && this.retry && !this.#isBodyReplaced && isUsedUpBySend(request)) this.#clone = request.clone();
    return request;
  }

  /** Makes another `Request` of the caller's, which passes on more than a clone does, with the body of the clone. */
  async #requestAgain(request: Request, clone: Request): Promise<Request> {
    this.#bytes ??= clone.arrayBuffer();
    const body = await leaveOnAbort(this.#bytes, signalOf(this));
    return new (classOf(request, Request))(request, { body, ...referrerOf(request) });
  }

  /** Returns the init of a send; what the caller gave if there is nothing to add to it. */
  #initFor(tokenHeaders: TokenHeaders | undefined, isFirst: boolean, created?: CreatedBody): RequestInit | undefined {
    const init = this.#init;
    const request = this.#request;
    if (!init && tokenHeaders === undefined && created === undefined && !this.#wasChanged) return init as undefined;
    const headers = this.#headersFor(tokenHeaders, isFirst);
    if (!init && request === undefined && created === undefined) return { headers: headers! };
    const isCopyFree = init && isFirst && request === undefined && created === undefined;
    const sent = isCopyFree ? init : cloneOfInit(init, request && referrerOf(request), created);
    if (headers === undefined) delete sent.headers;
    else sent.headers = headers;
    return sent;
  }

  /** Whether the caller has changed the headers of the `Request` since the call. */
  get #wasChanged(): boolean {
    return this.#request !== undefined && !haveSameFields(this.#request.headers, this.#headers);
  }

  #headersFor(tokenHeaders: TokenHeaders | undefined, isFirst: boolean): HeadersInit | undefined {
    const own = this.#headers;
    if (own === undefined) return tokenHeaders;
    return tokenHeaders === undefined ? bareHeaders(own) : withTokenHeaders(own, tokenHeaders, isFirst);
  }
}

type CreatedBody = Pick<RequestInit, "body"> & { duplex?: "half" };

/** Whether the input is a `Request`. No `instanceof`: undici and test tools have classes of their own. */
function isRequest(input: unknown): input is Request {
  return typeof input === "object" && input !== null && "bodyUsed" in input && "url" in input;
}

/**
 * Returns the URL of a `Request`. A class derived from it may say another one than that to which fetch sends the request: if
 * they have two origins, it gets no token.
 */
function urlOf(request: Request): string {
  const { url } = request;
  const members: PropertyDescriptor[] = [];
  for (let holder: unknown = request; holder !== null; holder = Object.getPrototypeOf(holder)) {
    const member = Object.getOwnPropertyDescriptor(holder, "url");
    if (member !== undefined) members.push(member);
  }
  const own: unknown = members.length > 1 ? members.at(-1)?.get?.call(request) : url;
  return leftOrigin(url, own as string | undefined) ? NOWHERE : url;
}

/** Whether a `Request` has a body that one send uses up, and a clone keeps it. Firefox does not tell whether there is one. */
function isUsedUpBySend(request: Request): boolean {
  const { body, bodyUsed, method } = request;
  if (bodyUsed || typeof request.clone !== "function") return false;
  return body === undefined ? !/^(?:GET|HEAD)$/.test(method) : isWebStream(body) && !body.locked;
}

/** What fetch takes from a `Request` only if there is no init beside it. */
function referrerOf({ referrer, referrerPolicy }: Request): Pick<RequestInit, "referrer" | "referrerPolicy"> {
  const isDefault = referrer === undefined || referrer === "about:client";
  return { ...(!isDefault && { referrer }), ...(referrerPolicy && { referrerPolicy }) };
}
