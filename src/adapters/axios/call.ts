/**
 * One axios request on its way through the policy: what is changed in its config for a send, and put back after (Q10).
 *
 * @module
 */
import { systemClock } from "../../base/clock.ts";
import { targetOf, withoutTrailingSlashes } from "../../base/url.ts";
import { PROOF_HEADER } from "../../policy/client-seam.ts";
import type { AccessToken } from "../../core/types.ts";
import type { RequestOverrideOptions } from "../../policy/choose-cache.ts";
import type { ExtraHeaders, PolicyRequest } from "../../policy/client-seam.ts";

// MERGED axios' config as the adapter sees it: structural, because its type differs between versions and copies.
/** The parts of an axios config that are read or written; structural, because its type differs between versions. */
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
  transitional?: { clarifyTimeoutError?: boolean | undefined } | undefined;
  signal?: AxiosSignal | undefined;
  cancelToken?: AxiosCancelToken | undefined;
  beforeRedirect?: BeforeRedirect | undefined;
  remint?: unknown;
}

/** axios' idea of an AbortSignal. */
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

/** What a call has to know of the axios that will send it. */
export interface AxiosFacts {
  /** Builds the error this axios itself would reject with, were all of `timeout` spent on one send by `send`. */
  timeoutError(config: AxiosCallConfig, timeout: number, send: AxiosSend): Error;
  /** axios before 1.21 forwards `Authorization` to subdomains when it follows a redirect (Q3). */
  readonly forwardsToSubdomains: boolean;
  /** axios before 1.8.2 does not know `allowAbsoluteUrls: false`: an absolute URL wins over `baseURL` (Q2). */
  readonly absoluteUrlsWin: boolean;
  /** Set when the config comes from another copy of axios than the adapter: sends it in words the adapter knows. */
  readonly translate?: ((send: AxiosSend, config: AxiosCallConfig) => Promise<unknown>) | undefined;
}

/** An adapter, as axios resolves it. */
export type AxiosSend = (config: never) => Promise<unknown>;

/** axios' own test for a URL that ignores `baseURL`. */
const ABSOLUTE = /^([a-z][a-z\d+\-.]*:)?\/\//i;

/** The request as the policy sees it. */
export class AxiosCall implements PolicyRequest {
  readonly override: RequestOverrideOptions | undefined;
  readonly #config: AxiosCallConfig;
  readonly #send: AxiosSend;
  readonly #facts: AxiosFacts;
  /** Milliseconds axios was given for the whole call; 0 for no limit. */
  readonly #timeout: number;
  readonly #startedAt: number;
  #before: Partial<AxiosCallConfig> | undefined;
  /** The headers we set, and what the caller had in their place. */
  #attached: Map<string, unknown> | undefined;
  #waited = false;
  #waiting: AbortController | undefined;
  #stopListening: (() => void) | undefined;

  constructor(
    config: AxiosCallConfig,
    send: AxiosSend,
    facts: AxiosFacts,
    override: RequestOverrideOptions | undefined,
  ) {
    this.#config = config;
    this.#send = send;
    this.#facts = facts;
    this.override = override;
    // Read as axios reads it.
    this.#timeout = config.timeout ? parseInt(config.timeout as string, 10) : 0;
    this.#startedAt = this.#timeout > 0 ? systemClock.monotonic() : 0;
  }

  /** The URL axios will send to, without the query it adds. */
  get url(): string {
    const { baseURL } = this.#config;
    const url = this.#target;
    if (!baseURL || this.#ignoresBase(url)) return url;
    return url === "" ? baseURL : `${withoutTrailingSlashes(baseURL)}/${url.replace(/^\/+/, "")}`;
  }

  /** Joining the two is most of what a warm request would cost; the origin is that of the base, if that has one. */
  get base(): string | undefined {
    const { baseURL } = this.#config;
    const url = this.#target;
    if (!baseURL || this.#ignoresBase(url)) return url;
    // "/" and "\\host" are joined to what leads to another host.
    return baseURL.charCodeAt(0) === 0x2f ? undefined : baseURL;
  }

  /** A URL object passes through axios as it is, whatever the types say. */
  get #target(): string {
    const url = this.#config.url as string | URL | null | undefined;
    return typeof url === "string" ? url : String(url ?? "");
  }

  /** Every adapter of axios sends it in capitals. */
  get method(): string {
    return (this.#config.method ?? "GET").toUpperCase();
  }

  get retry(): boolean {
    return this.override?.retry !== false;
  }

  get body(): unknown {
    return this.#config.data;
  }

  /** {@link AxiosCall.signal} was asked for, because there was something to wait for. */
  get waited(): boolean {
    return this.#waited;
  }

  /** Q12: the caller's signal, cancel token and deadline as one signal. Made only when there is something to wait for. */
  get signal(): AbortSignal | undefined {
    this.#waited = true;
    const { signal, cancelToken } = this.#config;
    if (signal === undefined && cancelToken === undefined && !(this.#timeout > 0)) return undefined;
    return (this.#waiting ??= this.#listen()).signal;
  }

  send(token: AccessToken | undefined, extra: ExtraHeaders | undefined): Promise<unknown> {
    const config = this.#config;
    if (this.override?.body !== undefined) this.#change("data", this.override.body());
    if (token === undefined) return this.#deliver();
    if (this.#waiting !== undefined && this.#timeout > 0) {
      const left = this.#timeLeft();
      if (left <= 0) return Promise.reject(this.#timeoutError());
      this.#change("timeout", left);
    }
    if (this.#facts.forwardsToSubdomains || extra?.[PROOF_HEADER] !== undefined) this.#guardRedirects();
    // A property write, not `headers.set()`: the value was checked when it was minted, and set() costs 2 us.
    config.headers["Authorization"] = token.header;
    if (extra !== undefined) this.#attach(extra);
    return this.#deliver();
  }

  /** Q1: sends the request as the caller made it; a body from a factory is made if `withBody`. */
  async sendAsIs(withBody: boolean): Promise<unknown> {
    const { data } = this.#config;
    const factory = withBody ? this.override?.body : undefined;
    try {
      if (factory !== undefined) this.#config.data = factory();
      return await this.#deliver();
    } finally {
      if (factory !== undefined) this.#config.data = data;
    }
  }

  /** Puts the config back as it came. */
  finish(outcome: unknown): void {
    const { headers } = this.#config;
    if (headers["Authorization"] !== undefined) headers["Authorization"] = undefined;
    if (this.#attached !== undefined) for (const [name, value] of this.#attached) headers[name] = value;
    this.#stopListening?.();
    if (this.#before === undefined) return;
    if ("timeout" in this.#before) sayWholeTimeout(outcome, this.#config, String(this.#timeout));
    Object.assign(this.#config, this.#before);
  }

  #deliver(): Promise<unknown> {
    const { translate } = this.#facts;
    return translate === undefined ? this.#send(this.#config as never) : translate(this.#send, this.#config);
  }

  #ignoresBase(url: string): boolean {
    // "/orders" and the like, told apart from "//host" without the regular expression.
    if (url.charCodeAt(0) === 0x2f && url.charCodeAt(1) !== 0x2f) return false;
    return ABSOLUTE.test(url) && (this.#facts.absoluteUrlsWin || this.#config.allowAbsoluteUrls !== false);
  }

  #change<Key extends "data" | "timeout" | "beforeRedirect">(key: Key, value: AxiosCallConfig[Key]): void {
    this.#before ??= {};
    if (!(key in this.#before)) this.#before[key] = this.#config[key];
    this.#config[key] = value;
  }

  #attach(extra: ExtraHeaders): void {
    const { headers } = this.#config;
    const attached = (this.#attached ??= new Map<string, unknown>());
    for (const [name, value] of Object.entries(extra)) {
      if (!attached.has(name)) {
        const lower = name.toLowerCase();
        const set = Object.keys(headers).filter((own) => headers[own] !== undefined && own.toLowerCase() === lower);
        if (set.length > 0 && name !== PROOF_HEADER) continue;
        for (const own of [name, ...set]) {
          if (!attached.has(own)) attached.set(own, headers[own]);
          headers[own] = undefined;
        }
      }
      headers[name] = value;
    }
  }

  /** Q3: token and proof stay where they were sent, also when axios would take them along. */
  #guardRedirects(): void {
    if (this.#before !== undefined && "beforeRedirect" in this.#before) return;
    const own = this.#config.beforeRedirect;
    this.#change("beforeRedirect", (options, ...rest) => {
      if (targetOf(String(options.href)).origin !== targetOf(this.url).origin) {
        for (const name of Object.keys(options.headers ?? {})) {
          if (/^(?:authorization|dpop)$/i.test(name)) delete options.headers?.[name];
        }
      }
      own?.(options, ...rest);
    });
  }

  #timeLeft(): number {
    return Math.ceil(this.#timeout - (systemClock.monotonic() - this.#startedAt));
  }

  #timeoutError(): Error {
    return this.#facts.timeoutError(this.#config, this.#timeout, this.#send);
  }

  #listen(): AbortController {
    const { signal, cancelToken } = this.#config;
    const controller = new AbortController();
    // Whatever the reason, axios replaces it by its own CanceledError when the caller cancelled.
    const leave = (): void => controller.abort(signal?.reason ?? cancelToken?.reason);
    const expire = (): void => controller.abort(this.#timeoutError());
    const timer = this.#timeout > 0 ? systemClock.setTimeout(expire, this.#timeLeft()) : undefined;
    timer?.hold(true);
    if (signal?.aborted || cancelToken?.reason !== undefined) leave();
    signal?.addEventListener?.("abort", leave);
    cancelToken?.subscribe(leave);
    this.#stopListening = () => {
      timer?.cancel();
      signal?.removeEventListener?.("abort", leave);
      cancelToken?.unsubscribe(leave);
    };
    return controller;
  }
}

/** A later send got what was left of the time, but the caller set the whole and should read that. */
function sayWholeTimeout(outcome: unknown, { timeout, timeoutErrorMessage }: AxiosCallConfig, whole: string): void {
  const { code, response } = Object(outcome) as { code?: unknown; response?: unknown };
  if (!(outcome instanceof Error) || response !== undefined) return;
  if (code !== "ECONNABORTED" && code !== "ETIMEDOUT") return;
  const { message, stack } = outcome;
  if (message === timeoutErrorMessage) return;
  outcome.message = message.replace(String(timeout), whole);
  // The stack begins with the message, and is what loggers print.
  if (stack !== undefined) outcome.stack = stack.replace(message, outcome.message);
}
