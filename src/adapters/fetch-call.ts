/**
 * One call of fetch, as it was when it was made (Q14), and what fetch is called with for each of its sends.
 *
 * Not here: the copies of init (`init-copy.ts`), headers (`header-copy.ts`) and bodies (`body.ts`).
 *
 * @module
 */
import { leaveOnAbort } from "../base/abort.ts";
import { isThenable, signalOf } from "../policy/bounded-wait.ts";
import { checkedOverride, createdBody } from "../policy/choose-cache.ts";
import { classOf, endUnsent, isOneShot, isWebStream } from "./body.ts";
import { copyOfHeaders, hasAuthorization, withTokenHeaders } from "./header-copy.ts";
import { copyOfInit, initForSend } from "./init-copy.ts";
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

/** One call of fetch, as the request policy sees it. */
export class FetchCall implements PolicyRequest {
  readonly url: string;
  readonly override: CheckedOverride<FetchBody>;
  /** The input, if it is a `Request`. */
  readonly #request: Request | undefined;
  /** A copy of init; what the caller gave if that is nothing. */
  readonly #init: RequestInit | null | undefined;
  readonly #headers: HeaderCopy | undefined;
  #isSent = false;
  /** A clone of the `Request`, made before the first send, which uses up its body. */
  #clone: Request | undefined;
  /** The body of the clone, from the first resend on. */
  #bytes: Promise<ArrayBuffer> | undefined;

  /** @throws {unknown} What a getter or an iterator of the caller's throws: fetch would fail with that too. */
  constructor(input: FetchInput, init: AuthRequestInit | null | undefined) {
    if (typeof input === "string") {
      this.url = input;
    } else if (isRequest(input)) {
      this.url = input.url;
      this.#request = input;
    } else {
      this.url = `${input as unknown as string}`; // as fetch makes a text of it
    }
    this.#init = init === undefined || init === null ? init : copyOfInit(init);
    this.#headers = copyOfHeaders(this.#init?.headers ?? this.#request?.headers);
    this.override = checkedOverride(init?.remint);
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
    const method = String(this.#init?.method ?? this.#request?.method ?? "GET");
    return /^(?:delete|get|head|options|post|put)$/i.test(method) ? method.toUpperCase() : method;
  }

  /** The body, if the caller gave one that is not created for every send. */
  get body(): unknown {
    return this.#createBody === undefined ? (this.#init?.body ?? this.#request?.body) : undefined;
  }

  get isAuthorized(): boolean {
    return hasAuthorization(this.#headers);
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
    const input = this.#isSent ? this.#inputAgain() : this.#firstInput(tokenHeaders !== undefined);
    this.#isSent = true;
    const createBody = this.#createBody;
    if (createBody !== undefined) return this.#sendCreated(fetch, input, tokenHeaders, createBody);
    const init = this.#initFor(tokenHeaders);
    if (isThenable(input)) return input.then((request) => fetch(request, init));
    // Not every hand-made fetch returns a promise.
    return Promise.resolve(fetch(input, init));
  }

  /** Ends the bodies that were not sent. */
  finish(reason: unknown): void {
    if (!this.#isSent) endUnsent(this.body, reason);
    if (this.#bytes === undefined) endUnsent(this.#clone?.body, reason);
  }

  get #createBody(): RequestOverrideOptions<FetchBody>["body"] {
    return this.override === false ? undefined : this.override?.body;
  }

  get #isBodyReplaced(): boolean {
    return (this.#createBody ?? this.#init?.body ?? undefined) !== undefined;
  }

  /** The first send is that of the caller's own `Request`, which may hold what cannot be read, such as a dispatcher. */
  #firstInput(hasToken: boolean): FetchInput {
    const request = this.#request;
    if (request === undefined) return this.url;
    if (hasToken && this.retry && !this.#isBodyReplaced && isUsedUpBySend(request)) this.#clone = request.clone();
    return request;
  }

  #inputAgain(): FetchInput | Promise<Request> {
    if (this.#request === undefined) return this.url;
    return this.#clone === undefined ? this.#request : this.#requestAgain(this.#request, this.#clone);
  }

  /** Makes another `Request` of the caller's, which passes on more than a clone does, with the body of the clone. */
  async #requestAgain(request: Request, clone: Request): Promise<Request> {
    this.#bytes ??= clone.arrayBuffer();
    const body = await leaveOnAbort(this.#bytes, signalOf(this));
    return new (classOf(request, Request))(request, { body, ...referrerOf(request) });
  }

  async #sendCreated(
    fetch: SendFetch,
    input: FetchInput | Promise<Request>,
    tokenHeaders: TokenHeaders | undefined,
    createBody: () => FetchBody | Promise<FetchBody>,
  ): Promise<Response> {
    const body = await createdBody(createBody, this);
    return fetch(await input, this.#initFor(tokenHeaders, isOneShot(body) ? { body, duplex: "half" } : { body }));
  }

  /** Returns the init of a send; what the caller gave if there is nothing to add to it. */
  #initFor(tokenHeaders: TokenHeaders | undefined, changes?: InitChanges): RequestInit | undefined {
    const headers = tokenHeaders === undefined ? this.#headers : withTokenHeaders(this.#headers, tokenHeaders);
    if (this.#init || changes !== undefined || (this.#request !== undefined && tokenHeaders !== undefined)) {
      const referrer = this.#request && referrerOf(this.#request);
      return initForSend(this.#init, headers as HeadersInit | undefined, referrer, changes);
    }
    return tokenHeaders === undefined ? (this.#init as undefined) : { headers: headers as HeadersInit };
  }
}

type InitChanges = Pick<RequestInit, "body"> & { duplex?: "half" };

/** Whether the input is a `Request`. No `instanceof`: undici and test tools have classes of their own. */
function isRequest(input: unknown): input is Request {
  return typeof input === "object" && input !== null && "bodyUsed" in input && "url" in input;
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
