/**
 * One axios request, as the request policy sees it: what is changed in its config for a send, and restored when the
 * caller gets the outcome (Q10).
 *
 * Not here: the interceptor and the client seam (`index.ts`), and the differences between axios versions (`copies.ts`).
 *
 * @module
 */
import { systemClock } from "../../base/clock.ts";
import { isRemintError } from "../../base/errors.ts";
import type { RemintError } from "../../base/errors.ts";
import { targetOf, withoutTrailingSlashes } from "../../base/url.ts";
import { createdBody } from "../../policy/choose-cache.ts";
import { PROOF_HEADER } from "../../policy/client-seam.ts";

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
  allowAbsoluteUrls?: boolean | undefined;
  headers: Record<string, unknown>;
  data?: unknown;
  auth?: unknown;
  adapter?: unknown;
  timeout?: number | string | undefined;
  timeoutErrorMessage?: string | undefined;
  transformResponse?: unknown;
  transitional?: { clarifyTimeoutError?: boolean | undefined } | undefined;
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
  /** This axios keeps `Authorization` when it follows a redirect to a subdomain (Q3). Versions before 1.21 do. */
  readonly forwardsToSubdomains: boolean;
  /**
   * This axios ignores `allowAbsoluteUrls: false`: an absolute URL wins over `baseURL` (Q2). Versions before 1.8.2 do.
   * It is assumed of all versions before 1.9.
   */
  readonly absoluteUrlsWin: boolean;
  /** Calls an adapter of another copy of axios than the config's. Absent when both come from one copy. */
  readonly translate?: ((adapter: ResolvedAdapter, config: AxiosCallConfig) => Promise<unknown>) | undefined;
}

/** axios' own test for a URL that ignores `baseURL`. */
const ABSOLUTE = /^([a-z][a-z\d+\-.]*:)?\/\//i;

/** One request of axios. */
export class AxiosCall implements PolicyRequest {
  readonly override: CheckedOverride<unknown>;
  readonly #config: AxiosCallConfig;
  readonly #adapter: ResolvedAdapter;
  readonly #traits: AxiosTraits;
  /** The caller's timeout for the whole call, in milliseconds. 0 means no limit. */
  readonly #timeout: number;
  readonly #startedAt: number;
  /** The caller's values of the config members that were changed. */
  #originals: Partial<AxiosCallConfig> | undefined;
  /** The caller's values of the headers that were changed, apart from `Authorization`. */
  #originalHeaders: Map<string, unknown> | undefined;
  #combinedAbort: AbortController | undefined;
  #stopListening: (() => void) | undefined;

  constructor(
    config: AxiosCallConfig,
    adapter: ResolvedAdapter,
    traits: AxiosTraits,
    override: CheckedOverride<unknown>,
  ) {
    this.#config = config;
    this.#adapter = adapter;
    this.#traits = traits;
    this.override = override;
    // Parsed as axios parses it.
    this.#timeout = config.timeout ? parseInt(config.timeout as string, 10) : 0;
    this.#startedAt = this.#timeout > 0 ? systemClock.monotonic() : 0;
  }

  /** The URL that axios will send the request to, without `params`. */
  get url(): string {
    const { baseURL } = this.#config;
    const url = this.#target;
    if (!baseURL || this.#ignoresBase(url)) return url;
    return url === "" ? baseURL : `${withoutTrailingSlashes(baseURL)}/${url.replace(/^\/+/, "")}`;
  }

  /**
   * A URL with the origin of {@link AxiosCall.url}. Joining base URL and path would be most of a warm request's cost.
   */
  get base(): string | undefined {
    const { baseURL } = this.#config;
    const url = this.#target;
    if (!baseURL || this.#ignoresBase(url)) return url;
    // A base URL "/" and the path "\\host" are joined to a URL of another host, so the joined URL has to be checked.
    return baseURL.charCodeAt(0) === 0x2f ? undefined : baseURL;
  }

  /** The config's `url` as text. axios accepts a URL object, although its types do not. */
  get #target(): string {
    const url = this.#config.url as string | URL | null | undefined;
    return typeof url === "string" ? url : String(url ?? "");
  }

  /** The method as axios sends it: every adapter changes it to upper case. */
  get method(): string {
    return (this.#config.method ?? "GET").toUpperCase();
  }

  get retry(): boolean {
    return this.override === undefined || (this.override !== false && this.override.retry !== false);
  }

  get body(): unknown {
    return this.createBody === undefined ? this.#config.data : undefined;
  }

  get createBody(): RequestOverrideOptions["body"] {
    return this.override === false ? undefined : this.override?.body;
  }

  /**
   * The caller's signal, cancel token and timeout as one signal (Q12). Created only when there is something to wait
   * for.
   */
  get signal(): AbortSignal | undefined {
    const { signal, cancelToken } = this.#config;
    if (signal === undefined && cancelToken === undefined && !(this.#timeout > 0)) return undefined;
    return (this.#combinedAbort ??= this.#combineAborts()).signal;
  }

  /** Sends the request once. After a wait, the send gets only what is left of the timeout. */
  async send(headers: TokenHeaders | undefined): Promise<unknown> {
    const config = this.#config;
    const { createBody } = this;
    if (createBody !== undefined) this.#changeConfig("data", await createdBody(createBody, this));
    if (headers === undefined) return this.#callAdapter();
    if (this.#combinedAbort !== undefined && this.#timeout > 0) {
      const left = this.#timeLeft();
      if (left <= 0) throw this.#timeoutError();
      this.#changeConfig("timeout", left);
    }
    if (this.#traits.forwardsToSubdomains || headers[PROOF_HEADER] !== undefined) this.#removeTokenOnRedirects();
    // Not `headers.set()`, which takes 2 us: it checks the value, and the token was checked when it was minted.
    const { authorization, ...extra } = headers;
    if (authorization !== undefined) config.headers["Authorization"] = authorization;
    this.#setExtraHeaders(extra);
    return this.#callAdapter();
  }

  /** Sends the request as the caller made it (Q1). `withBody` says whether `remint.body` creates its body. */
  async sendAsIs(withBody: boolean): Promise<unknown> {
    const { data } = this.#config;
    const createBody = withBody ? this.createBody : undefined;
    try {
      if (createBody !== undefined) this.#config.data = await createdBody(createBody, this);
      return await this.#callAdapter();
    } finally {
      if (createBody !== undefined) this.#config.data = data;
    }
  }

  /** Returns the error that the caller gets in place of one of this package. */
  errorFor(error: Error): Error {
    if (!isRemintError(error)) return error;
    return this.#traits.errorFor(this.#config, error);
  }

  /** Restores the config to what it was when the call began. */
  finish(outcome: unknown): void {
    const { headers } = this.#config;
    if (headers["Authorization"] !== undefined) headers["Authorization"] = undefined;
    if (this.#originalHeaders !== undefined) {
      for (const [name, value] of this.#originalHeaders) headers[name] = value;
    }
    this.#stopListening?.();
    if (this.#originals === undefined) return;
    if ("timeout" in this.#originals) showWholeTimeout(outcome, this.#config, String(this.#timeout));
    Object.assign(this.#config, this.#originals);
  }

  #callAdapter(): Promise<unknown> {
    const { translate } = this.#traits;
    return translate === undefined ? this.#adapter(this.#config as never) : translate(this.#adapter, this.#config);
  }

  #ignoresBase(url: string): boolean {
    // A path such as "/orders" is the usual case. It is told apart from "//host" without the slower regular expression.
    if (url.charCodeAt(0) === 0x2f && url.charCodeAt(1) !== 0x2f) return false;
    return ABSOLUTE.test(url) && (this.#traits.absoluteUrlsWin || this.#config.allowAbsoluteUrls !== false);
  }

  #changeConfig<Key extends "data" | "timeout" | "beforeRedirect">(key: Key, value: AxiosCallConfig[Key]): void {
    this.#originals ??= {};
    if (!(key in this.#originals)) this.#originals[key] = this.#config[key];
    this.#config[key] = value;
  }

  /** Sets the headers that the grant adds. The caller's own header stays, unless the added one is a proof. */
  #setExtraHeaders(extra: TokenHeaders): void {
    const { headers } = this.#config;
    const originals = (this.#originalHeaders ??= new Map<string, unknown>());
    for (const [name, value] of Object.entries(extra)) {
      if (!originals.has(name)) {
        const lower = name.toLowerCase();
        const existing = Object.keys(headers).filter(
          (key) => headers[key] !== undefined && key.toLowerCase() === lower,
        );
        if (existing.length > 0 && name !== PROOF_HEADER) continue;
        for (const key of [name, ...existing]) {
          if (!originals.has(key)) originals.set(key, headers[key]);
          headers[key] = undefined;
        }
      }
      headers[name] = value;
    }
  }

  /** Removes token and proof from a request that axios redirects to another origin (Q3). */
  #removeTokenOnRedirects(): void {
    if (this.#originals !== undefined && "beforeRedirect" in this.#originals) return;
    const ownCallback = this.#config.beforeRedirect;
    this.#changeConfig("beforeRedirect", (options, ...rest) => {
      if (targetOf(String(options.href)).origin !== targetOf(this.url).origin) {
        for (const name of Object.keys(options.headers ?? {})) {
          if (/^(?:authorization|dpop)$/i.test(name)) delete options.headers?.[name];
        }
      }
      ownCallback?.(options, ...rest);
    });
  }

  #timeLeft(): number {
    return Math.ceil(this.#timeout - (systemClock.monotonic() - this.#startedAt));
  }

  #timeoutError(): Error {
    return this.#traits.timeoutError(this.#config, this.#timeout, this.#adapter);
  }

  #combineAborts(): AbortController {
    const { signal, cancelToken } = this.#config;
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

/**
 * Changes the message of a timeout error to the timeout that the caller set. axios prints the timeout of the send,
 * which was only what was left.
 */
function showWholeTimeout(outcome: unknown, { timeout, timeoutErrorMessage }: AxiosCallConfig, whole: string): void {
  const { code, response } = Object(outcome) as { code?: unknown; response?: unknown };
  if (!(outcome instanceof Error) || response !== undefined) return;
  if (code !== "ECONNABORTED" && code !== "ETIMEDOUT") return;
  const { message, stack } = outcome;
  if (message === timeoutErrorMessage) return;
  outcome.message = message.replace(String(timeout), whole);
  // Loggers print the stack, which begins with the message.
  if (stack !== undefined) outcome.stack = stack.replace(message, outcome.message);
}
