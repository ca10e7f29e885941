/**
 * One axios request, as the request policy sees it: what is changed in its config for a send, and restored when the
 * caller gets the outcome (Q10).
 *
 * Not here: the interceptor and the client seam (`index.ts`, `seam.ts`), bodies (`bodies.ts`), and the differences
 * between copies and versions of axios (`copies.ts`).
 *
 * @module
 */
import { systemClock } from "../../base/clock.ts";
import { isRemintError } from "../../base/errors.ts";
import { targetOf, withoutTrailingSlashes } from "../../base/url.ts";
import { createdBody } from "../../policy/choose-cache.ts";
import { isSetAuthorization, PROOF_HEADER } from "../../policy/client-seam.ts";
import { copyOfBody, endUnsent, isOneShot } from "../body.ts";
import { FORM_TYPE, KeptForm, transformed } from "./bodies.ts";
import type { RemintError } from "../../base/errors.ts";
import type { CheckedOverride, RequestOverrideOptions } from "../../policy/choose-cache.ts";
import type { PolicyRequest, TokenHeaders } from "../../policy/client-seam.ts";

/**
 * The members of an axios config that are read or changed. Declared here, because axios' own type differs between
 * versions and copies.
 */
export interface AxiosCallConfig {
  url?: string | undefined;
  method?: string | undefined;
  baseURL?: string | undefined;
  allowAbsoluteUrls?: unknown;
  params?: unknown;
  headers: Record<string, unknown>;
  data?: unknown;
  auth?: unknown;
  adapter?: unknown;
  socketPath?: unknown;
  httpAgent?: unknown;
  httpsAgent?: unknown;
  timeout?: number | string | undefined;
  timeoutErrorMessage?: string | undefined;
  transformRequest?: unknown;
  transformResponse?: unknown;
  transitional?:
    | { clarifyTimeoutError?: boolean | undefined; legacyInterceptorReqResOrdering?: boolean | undefined }
    | undefined;
  signal?: AxiosSignal | undefined;
  cancelToken?: AxiosCancelToken | undefined;
  beforeRedirect?: BeforeRedirect | undefined;
  remint?: unknown;
}

/** The members of an AbortSignal that axios requires of `config.signal`. */
interface AxiosSignal {
  readonly aborted: boolean;
  readonly reason?: unknown;
  addEventListener?(event: "abort", listener: () => void): void;
  removeEventListener?(event: "abort", listener: () => void): void;
}

interface AxiosCancelToken {
  readonly reason?: unknown;
  subscribe(listener: (reason: unknown) => void): void;
  unsubscribe(listener: (reason: unknown) => void): void;
}

type BeforeRedirect = (options: RedirectOptions, ...rest: unknown[]) => void;

interface RedirectOptions {
  readonly href?: string;
  readonly headers?: Record<string, unknown>;
}

/** An adapter, as `axios.getAdapter` returns it. */
export type ResolvedAdapter = (config: never) => Promise<unknown>;

/** What a call has to know about the axios that sends it. */
export interface AxiosTraits {
  /** Builds the error with which this axios itself reports that a send took all of `timeout` milliseconds. */
  timeoutError(config: AxiosCallConfig, timeout: number, adapter: ResolvedAdapter): Error;
  /** Makes an AxiosError of an error of this package. It is both (Q17). */
  errorFor(config: AxiosCallConfig, error: RemintError): Error;
  /** Builds the error with which this axios itself reports that the body stream failed or was closed (Q6). */
  bodyError(config: AxiosCallConfig, error: Error): Error;
  /** This axios keeps `Authorization` when it follows a redirect to a subdomain (Q3). Versions before 1.21 do. */
  readonly forwardsToSubdomains: boolean;
  /**
   * Whether `allowAbsoluteUrls: false` makes this axios append an absolute URL to `baseURL` (Q2). `undefined` when it is
   * not known.
   */
  readonly joinsAbsoluteUrls: boolean | undefined;
  /** Calls an adapter of another copy of axios than the config's. Absent when both come from one copy. */
  readonly translate?: ((adapter: ResolvedAdapter, config: AxiosCallConfig) => Promise<unknown>) | undefined;
}

/** axios' own test for a URL that ignores `baseURL`. */
const ABSOLUTE = /^([a-z][a-z\d+\-.]*:)?\/\//i;

/** The URL of a request when it is not known where axios sends it. No cache allows it. */
const NOWHERE = "data:,";

/** A member that was changed, and the value that it had. */
interface Change {
  readonly holder: Record<string, unknown>;
  readonly key: string;
  readonly value: unknown;
}

/** One request of axios. */
export class AxiosCall implements PolicyRequest {
  readonly override: CheckedOverride<unknown>;
  /** Whether the caller set `Authorization` or `auth`. `undefined` counts as not set, `null` and `false` as set (Q1). */
  readonly isAuthorized: boolean;
  readonly config: AxiosCallConfig;
  readonly #headers: Record<string, unknown>;
  readonly #adapter: ResolvedAdapter;
  readonly #traits: AxiosTraits;
  readonly #isTyped: boolean;
  /** The caller's timeout for the whole call, in milliseconds. 0 means no limit. */
  readonly #timeout: number;
  readonly #startedAt: number;
  /** The spelling of `Authorization` in the headers. */
  readonly #authorization: string;
  /** What was changed in the config and its headers, oldest first; the token itself apart, for speed. */
  #changes: Change[] | undefined;
  /** How many of the changes hold for the whole call: the copies of what the caller could change meanwhile (Q14). */
  #taken = 0;
  /** The headers of the last send. */
  #sent: TokenHeaders | undefined;
  #wasSent = false;
  #form: KeptForm | undefined;
  #combinedAbort: AbortController | undefined;
  #stopListening: (() => void) | undefined;

  /**
   * @param isTyped Whether the request had a content type before axios gave it one.
   * @throws {TypeError} When the caller's `Authorization` was made from an access token as text.
   */
  constructor(
    config: AxiosCallConfig,
    adapter: ResolvedAdapter,
    traits: AxiosTraits,
    override: CheckedOverride<unknown>,
    isTyped: boolean,
  ) {
    const { headers } = config;
    let spelling: string | undefined;
    let isAuthorized = Boolean(config.auth);
    for (const name in headers) {
      if (name.length !== 13 || name.toLowerCase() !== "authorization") continue;
      // A second spelling without a value would take the token's place when axios joins the two.
      if (spelling !== undefined) delete headers[spelling];
      spelling = name;
      if (isSetAuthorization(headers[name])) isAuthorized = true;
    }
    this.config = config;
    this.#headers = headers;
    this.#adapter = adapter;
    this.#traits = traits;
    this.#authorization = spelling ?? "Authorization";
    this.isAuthorized = isAuthorized;
    this.override = override;
    this.#isTyped = isTyped;
    // Parsed as axios parses it.
    this.#timeout = config.timeout ? parseInt(config.timeout as string, 10) : 0;
    this.#startedAt = this.#timeout > 0 ? systemClock.monotonic() : 0;
    // A URL object is accepted by axios, although its types do not have it.
    if (typeof config.url === "object" && config.url !== null) this.#change(config, "url", String(config.url));
    if (typeof config.params === "object") this.#take("params", copyOfBody(config.params));
    if (typeof config.data === "object" && config.data !== null) this.#takeBody(config.data);
    if (this.#changes !== undefined) this.#taken = this.#changes.length;
  }

  /** The URL that axios will send the request to, without `params`. */
  get url(): string {
    const { baseURL, url = "" } = this.config;
    const base = this.base;
    if (!baseURL || base === url || base === NOWHERE) return base ?? url;
    return url === "" ? baseURL : `${withoutTrailingSlashes(baseURL)}/${url.replace(/^\/+/, "")}`;
  }

  /**
   * A URL with the origin of {@link AxiosCall.url}. Joining base URL and path would be most of a warm request's cost.
   */
  get base(): string | undefined {
    const { baseURL } = this.config;
    const url = this.config.url ?? "";
    if (!baseURL) return url;
    // A path such as "/orders" is the usual case. It is told apart from "//host" without the slower regular expression.
    const isPath = url.charCodeAt(0) === 0x2f && url.charCodeAt(1) !== 0x2f;
    if (!isPath && ABSOLUTE.test(url)) {
      const joins = this.#joinsAbsoluteUrls();
      if (joins !== true) return joins === false || isSameOrigin(url, baseURL) ? url : NOWHERE;
    }
    // A base URL "/" and the path "\\host" are joined to a URL of another host, so the joined URL has to be checked.
    return baseURL.charCodeAt(0) === 0x2f ? undefined : baseURL;
  }

  /** The method as axios sends it: every adapter changes it to upper case. */
  get method(): string {
    return (this.config.method ?? "GET").toUpperCase();
  }

  get retry(): boolean {
    return this.override === undefined || (this.override !== false && this.override.retry !== false);
  }

  get body(): unknown {
    return this.createBody === undefined ? this.config.data : undefined;
  }

  get createBody(): RequestOverrideOptions["body"] {
    return this.override === false ? undefined : this.override?.body;
  }

  /** Whether a further send has the same body. */
  get canResend(): boolean {
    return this.createBody !== undefined || this.#form?.buffer !== undefined || !isOneShot(this.body);
  }

  /**
   * The caller's signal, cancel token and timeout as one signal (Q12). Created only when there is something to wait
   * for.
   */
  get signal(): AbortSignal | undefined {
    const { signal, cancelToken } = this.config;
    if (signal === undefined && cancelToken === undefined && !(this.#timeout > 0)) return undefined;
    return (this.#combinedAbort ??= this.#combineAborts()).signal;
  }

  /** Does what {@link ClientSeam.send} does. After a wait, the send gets only what is left of the timeout. */
  send(headers: TokenHeaders | undefined): Promise<unknown> | undefined {
    if (headers !== undefined && this.isAuthorized) return undefined;
    const { createBody } = this;
    if (createBody !== undefined) return this.#sendCreated(createBody, headers);
    this.#restore(this.#taken);
    return this.#sendWith(headers);
  }

  async #sendCreated(create: () => unknown, headers: TokenHeaders | undefined): Promise<unknown> {
    const body = await createdBody(create, this);
    this.#restore(this.#taken);
    const config = this.config;
    const [type, length] = [this.#spelled("Content-Type"), this.#spelled("Content-Length")];
    // axios gives every body a type. It is not the caller's, and must not decide how this body is transformed.
    const isDefault = !this.#isTyped && this.#headers[type] === FORM_TYPE;
    this.#change(this.#headers, type, isDefault ? undefined : this.#headers[type]);
    // Noted, because axios sets it for this body, and the next one may have another length.
    this.#change(this.#headers, length, this.#headers[length]);
    this.#change(config, "data", transformed(config, body));
    if (isDefault) this.#headers[type] ??= FORM_TYPE;
    return this.#sendWith(headers);
  }

  #sendWith(headers: TokenHeaders | undefined): Promise<unknown> {
    const config = this.config;
    if (this.#combinedAbort !== undefined && this.#timeout > 0) {
      const left = this.#timeLeft();
      if (left <= 0) throw this.#timeoutError();
      this.#change(config, "timeout", left);
    }
    if (this.#form?.isChanged) this.#useForm(this.#form);
    if (headers !== undefined) this.#attach(headers);
    this.#wasSent = true;
    const { translate } = this.#traits;
    const sent = translate === undefined ? this.#adapter(config as never) : translate(this.#adapter, config);
    // An adapter of the user's may return anything. `undefined` would mean to the policy that nothing was sent.
    return sent instanceof Promise ? sent : Promise.resolve(sent);
  }

  /** Sends a form from its buffer: the form itself was used up, or the caller has changed it. */
  #useForm({ buffer, headers }: KeptForm): void {
    if (buffer === undefined) return;
    this.#change(this.config, "data", buffer);
    for (const [name, value] of Object.entries(headers)) this.#change(this.#headers, this.#spelled(name), value);
  }

  /** Sets the headers of the token, and those that the grant adds. The caller's own stay, except a proof. */
  #attach(tokenHeaders: TokenHeaders): void {
    const headers = this.#headers;
    let set: string[] | undefined;
    for (const name in tokenHeaders) {
      // Not `headers.set()`, which takes 2 us: it checks the value, and the token was checked when it was minted.
      if (name === "authorization") headers[this.#authorization] = tokenHeaders[name];
      else {
        const spelling = this.#spelled(name);
        if (headers[spelling] !== undefined && name !== PROOF_HEADER) continue;
        this.#change(headers, spelling, tokenHeaders[name]);
        (set ??= []).push(name.toLowerCase());
      }
    }
    this.#sent = tokenHeaders;
    if (this.#traits.forwardsToSubdomains || set !== undefined)
      this.#removeOnRedirect(["authorization", ...(set ?? [])]);
  }

  /** Returns the error that the caller gets in place of one that axios did not throw itself. */
  errorFor(error: Error): Error {
    // oxlint-disable-next-line typescript/unbound-method -- it reads nothing of its object
    const { errorFor, bodyError } = this.#traits;
    return isRemintError(error) ? errorFor(this.config, error) : bodyError(this.config, error);
  }

  /** Restores the config to what it was when the call began. */
  finish(outcome: unknown): void {
    const config = this.config;
    this.#stopListening?.();
    if (this.#changes?.some(({ key }) => key === "timeout")) showWholeTimeout(outcome, config, String(this.#timeout));
    if (!this.#wasSent) void endUnsent(config.data, outcome);
    const sent = this.#sent;
    this.#restore(0);
    if (sent === undefined) return;
    const { config: reported, response } = Object(outcome) as { config?: object; response?: { config?: object } };
    for (const other of [reported, response?.config]) if (other !== config) removeHeaders(other, sent);
  }

  /** Undoes changes, the newest first, until so many are left. */
  #restore(left: number): void {
    const config = this.config;
    if (this.#sent !== undefined) this.#headers[this.#authorization] = undefined;
    this.#sent = undefined;
    // An adapter may have replaced them.
    if (config.headers !== this.#headers) config.headers = this.#headers;
    const changes = this.#changes;
    if (changes === undefined) return;
    while (changes.length > left) {
      const { holder, key, value } = changes.pop()!;
      holder[key] = value;
    }
  }

  #change(holder: object, key: string, value: unknown): void {
    const members = holder as Record<string, unknown>;
    (this.#changes ??= []).push({ holder: members, key, value: members[key] });
    members[key] = value;
  }

  /** Puts a copy of what the caller may change meanwhile into the config, for the whole call. */
  #take(key: "params" | "data", copy: unknown): void {
    if (copy !== this.config[key]) this.#change(this.config, key, copy);
  }

  #takeBody(data: object): void {
    if (this.createBody !== undefined) return;
    this.#form = KeptForm.of(data);
    if (this.#form === undefined) this.#take("data", copyOfBody(data));
  }

  /** Returns the spelling of a header in the caller's headers, or `name` if it is not there. */
  #spelled(name: string): string {
    const lower = name.toLowerCase();
    for (const other in this.#headers) if (other.toLowerCase() === lower) return other;
    return name;
  }

  /** Whether axios appends an absolute URL to the base URL. `undefined` when its versions differ about this config. */
  #joinsAbsoluteUrls(): boolean | undefined {
    const { allowAbsoluteUrls } = this.config;
    if (allowAbsoluteUrls === false) return this.#traits.joinsAbsoluteUrls;
    // Some versions compare with `==`, to which 0 and "" are false too.
    return allowAbsoluteUrls === 0 || allowAbsoluteUrls === "" ? undefined : false;
  }

  /** Removes headers from a request that axios redirects to another origin (Q3). */
  #removeOnRedirect(names: readonly string[]): void {
    const config = this.config;
    // Every redirect of a request to a socket goes to the same socket.
    if (config.socketPath) return;
    const ownCallback = config.beforeRedirect;
    this.#change(config, "beforeRedirect", (options: RedirectOptions, ...rest: unknown[]) => {
      if (targetOf(String(options.href)).origin !== targetOf(this.url).origin) {
        for (const name of Object.keys(options.headers ?? {})) {
          if (names.includes(name.toLowerCase())) delete options.headers?.[name];
        }
      }
      ownCallback?.(options, ...rest);
    });
  }

  #timeLeft(): number {
    return Math.ceil(this.#timeout - (systemClock.monotonic() - this.#startedAt));
  }

  #timeoutError(): Error {
    return this.#traits.timeoutError(this.config, this.#timeout, this.#adapter);
  }

  #combineAborts(): AbortController {
    const { signal, cancelToken } = this.config;
    const controller = new AbortController();
    // The reason does not matter: axios itself rejects with a CanceledError when the caller cancelled.
    const cancel = (): void => controller.abort(signal?.reason ?? cancelToken?.reason);
    const expire = (): void => controller.abort(this.#timeoutError());
    const timer = this.#timeout > 0 ? systemClock.setTimeout(expire, this.#timeLeft()) : undefined;
    timer?.hold(true);
    this.#stopListening = () => {
      timer?.cancel();
      signal?.removeEventListener?.("abort", cancel);
      cancelToken?.unsubscribe(cancel);
    };
    if (signal?.aborted || cancelToken?.reason !== undefined) cancel();
    // What is no signal is left to axios, which judges it when the request is sent.
    signal?.addEventListener?.("abort", cancel);
    cancelToken?.subscribe(cancel);
    return controller;
  }
}

function isSameOrigin(one: string, other: string): boolean {
  return targetOf(one).origin === targetOf(other).origin;
}

/**
 * Removes the headers of a send from another config than that of the request: an adapter of the user's may have made a
 * copy, and answers with it.
 */
function removeHeaders(config: object | undefined, sent: TokenHeaders): void {
  const { headers } = Object(config) as { headers?: Record<string, unknown> };
  const values = Object.values(sent);
  for (const name in headers) if (values.includes(headers[name] as string)) headers[name] = undefined;
}

/**
 * Changes the message of a timeout error to the timeout that the caller set. axios prints the timeout of the send,
 * which was only what was left.
 */
function showWholeTimeout(outcome: unknown, { timeout, timeoutErrorMessage }: AxiosCallConfig, whole: string): void {
  const { code, response } = Object(outcome) as { code?: unknown; response?: unknown };
  if (response !== undefined || (code !== "ECONNABORTED" && code !== "ETIMEDOUT")) return;
  // axios' fetch adapter wraps one error in another.
  for (const error of [outcome, (outcome as Error).cause]) {
    if (!(error instanceof Error) || error.message === timeoutErrorMessage) continue;
    const { message, stack } = error;
    error.message = message.replace(String(timeout), whole);
    // Loggers print the stack, which begins with the message.
    if (stack !== undefined) error.stack = stack.replace(message, error.message);
  }
}
