/**
 * One axios request on its way through the policy: what is changed in its config for a send, and put back after (Q10).
 *
 * @module
 */
import type { AccessToken } from "../access-token.ts";
import type { ExtraHeaders, PolicyRequest } from "../request-policy.ts";
import type { RequestOverrideOptions } from "../token-source.ts";
import { siteOf } from "../origins.ts";

/** The parts of an axios config that are read or written; structural, because its type differs between versions. */
export interface AxiosCallConfig {
  url?: string | undefined;
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

/** What a call has to know of the axios it belongs to. */
export interface AxiosFacts {
  /** Builds the error axios itself would reject with. */
  timeoutError(message: string, code: string, config: AxiosCallConfig): Error;
  /** axios before 1.21 forwards `Authorization` to subdomains when it follows a redirect (Q3). */
  readonly forwardsToSubdomains: boolean;
}

type Send = (config: never) => Promise<unknown>;

/** axios' own test for a URL that ignores `baseURL`. */
const ABSOLUTE = /^([a-z][a-z\d+\-.]*:)?\/\//i;

/** The request as the policy sees it. */
export class AxiosCall implements PolicyRequest {
  readonly override: RequestOverrideOptions | undefined;
  readonly #config: AxiosCallConfig;
  readonly #send: Send;
  readonly #facts: AxiosFacts;
  /** Milliseconds axios was given for the whole call; 0 for no limit. */
  readonly #timeout: number;
  readonly #startedAt: number;
  #before: Partial<AxiosCallConfig> | undefined;
  #attached: string[] | undefined;
  #waiting: AbortController | undefined;
  #stopListening: (() => void) | undefined;

  constructor(config: AxiosCallConfig, send: Send, facts: AxiosFacts, override: RequestOverrideOptions | undefined) {
    this.#config = config;
    this.#send = send;
    this.#facts = facts;
    this.override = override;
    this.#timeout = config.timeout ? Number(config.timeout) : 0;
    this.#startedAt = this.#timeout > 0 ? performance.now() : 0;
  }

  /** The URL axios will send to, without the query it adds. */
  get url(): string {
    const { url = "", baseURL } = this.#config;
    if (!baseURL || this.#ignoresBase(url)) return url;
    return url === "" ? baseURL : `${baseURL.replace(/\/+$/, "")}/${url.replace(/^\/+/, "")}`;
  }

  /** Joining the two is most of what a warm request would cost; the origin is that of the base. */
  get base(): string | undefined {
    const { url = "", baseURL } = this.#config;
    return !baseURL || this.#ignoresBase(url) ? url : baseURL;
  }

  get retry(): boolean {
    return this.override?.retry !== false;
  }

  get body(): unknown {
    return this.#config.data;
  }

  /** Q12: the caller's signal, cancel token and deadline as one signal. Made only when there is something to wait for. */
  get signal(): AbortSignal | undefined {
    const { signal, cancelToken } = this.#config;
    if (signal === undefined && cancelToken === undefined && !(this.#timeout > 0)) return undefined;
    return (this.#waiting ??= this.#listen()).signal;
  }

  send(token: AccessToken | undefined, extra: ExtraHeaders | undefined): Promise<unknown> {
    const config = this.#config;
    if (this.override?.body !== undefined) this.#change("data", this.override.body());
    if (token === undefined) return this.#send(config as never);
    if (this.#waiting !== undefined && this.#timeout > 0) {
      const left = this.#timeLeft();
      if (left <= 0) return Promise.reject(this.#timeoutError());
      this.#change("timeout", left);
    }
    if (this.#facts.forwardsToSubdomains && this.#before?.beforeRedirect === undefined) this.#guardRedirects();
    // A property write, not `headers.set()`: the value was checked when it was minted, and set() costs 2 us.
    config.headers["Authorization"] = token.header;
    if (extra !== undefined) this.#attach(extra);
    return this.#send(config as never);
  }

  /** Puts the config back as it came. */
  finish(outcome: unknown): void {
    const { headers } = this.#config;
    if (headers["Authorization"] !== undefined) headers["Authorization"] = undefined;
    if (this.#attached !== undefined) for (const name of this.#attached) headers[name] = undefined;
    this.#stopListening?.();
    if (this.#before === undefined) return;
    if ("timeout" in this.#before) sayWholeTimeout(outcome, String(this.#config.timeout), String(this.#timeout));
    Object.assign(this.#config, this.#before);
  }

  #ignoresBase(url: string): boolean {
    // "/orders" and the like, told apart from "//host" without the regular expression.
    if (url.charCodeAt(0) === 0x2f && url.charCodeAt(1) !== 0x2f) return false;
    return ABSOLUTE.test(url) && this.#config.allowAbsoluteUrls !== false;
  }

  #change<Key extends "data" | "timeout" | "beforeRedirect">(key: Key, value: AxiosCallConfig[Key]): void {
    this.#before ??= {};
    if (!(key in this.#before)) this.#before[key] = this.#config[key];
    this.#config[key] = value;
  }

  #attach(extra: ExtraHeaders): void {
    const { headers } = this.#config;
    this.#attached ??= [];
    const set = new Set(
      Object.keys(headers)
        .filter((name) => headers[name] !== undefined)
        .map((name) => name.toLowerCase()),
    );
    for (const [name, value] of Object.entries(extra)) {
      if (this.#attached.includes(name) || !set.has(name.toLowerCase())) {
        headers[name] = value;
        if (!this.#attached.includes(name)) this.#attached.push(name);
      }
    }
  }

  /** Q3: the token stays where it was sent, also when axios would take it along. */
  #guardRedirects(): void {
    const { origin } = siteOf(this.url);
    const own = this.#config.beforeRedirect;
    this.#change("beforeRedirect", (options, ...rest) => {
      if (siteOf(String(options.href)).origin !== origin) {
        for (const name of Object.keys(options.headers ?? {})) {
          if (name.toLowerCase() === "authorization") delete options.headers?.[name];
        }
      }
      own?.(options, ...rest);
    });
  }

  #timeLeft(): number {
    return Math.ceil(this.#timeout - (performance.now() - this.#startedAt));
  }

  #timeoutError(): Error {
    const { timeoutErrorMessage, transitional, adapter } = this.#config;
    const message = timeoutErrorMessage ?? `timeout of ${this.#timeout}ms exceeded`;
    const code = transitional?.clarifyTimeoutError || adapter === "fetch" ? "ETIMEDOUT" : "ECONNABORTED";
    return this.#facts.timeoutError(message, code, this.#config);
  }

  #listen(): AbortController {
    const { signal, cancelToken } = this.#config;
    const controller = new AbortController();
    // Whatever the reason, axios replaces it by its own CanceledError when the caller cancelled.
    const leave = (): void => controller.abort(signal?.reason ?? cancelToken?.reason);
    const expire = (): void => controller.abort(this.#timeoutError());
    const timer = this.#timeout > 0 ? setTimeout(expire, Math.max(this.#timeLeft(), 0)) : undefined;
    if (signal?.aborted || cancelToken?.reason !== undefined) leave();
    signal?.addEventListener?.("abort", leave);
    cancelToken?.subscribe(leave);
    this.#stopListening = () => {
      clearTimeout(timer);
      signal?.removeEventListener?.("abort", leave);
      cancelToken?.unsubscribe(leave);
    };
    return controller;
  }
}

/** A later send got what was left of the time, but the caller set the whole and should read that. */
function sayWholeTimeout(outcome: unknown, left: string, whole: string): void {
  const { code, response } = Object(outcome) as { code?: unknown; response?: unknown };
  if (!(outcome instanceof Error) || response !== undefined) return;
  if (code === "ECONNABORTED" || code === "ETIMEDOUT") outcome.message = outcome.message.replace(left, whole);
}
