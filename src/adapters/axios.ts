/**
 * OAuth 2.0 Bearer tokens for axios: one request interceptor does everything, because it replaces the request's adapter.
 *
 * @module
 */
/// <reference path="./axios-commonjs.d.cts" preserve="true" />
import installedAxios from "axios";
import { assertFunction, assertOptions, optionError } from "../options.ts";
import { sendBare, withToken } from "../request-policy.ts";
import { assertTokenSource, chooseCache, isTokenCache, overrideOptions, overridingCache } from "../token-source.ts";
import { AxiosCall } from "./axios-call.ts";
import { drain, drainNodeStream, isNodeStream, isOneShot } from "./body.ts";
import type { AxiosStatic, InternalAxiosRequestConfig } from "axios";
import type { AccessToken } from "../access-token.ts";
import type { RejectionRule } from "../grant.ts";
import type { Exchange, ExtraHeaders } from "../request-policy.ts";
import type { RequestOverride, TokenCache, TokenSource } from "../token-source.ts";
import type { AxiosCallConfig, AxiosFacts } from "./axios-call.ts";

export type { RequestOverride, RequestOverrideOptions, TokenCache, TokenSource } from "../token-source.ts";

declare module "axios" {
  // Without type parameters: their number differs between axios versions, and this form compiles with all of them.
  interface AxiosRequestConfig {
    /** What this one request wants of remint: `false`, another cache, or `{ retry, body, cache }`. */
    remint?: RequestOverride | undefined;
  }
}

/** Where the token of an axios request comes from. */
export type AxiosTokenSource = TokenSource<[config: InternalAxiosRequestConfig]>;

/** The parts of axios that are needed: structural, so that any copy and version serves. */
export type AxiosLike = Pick<AxiosStatic, "AxiosError" | "AxiosHeaders" | "getAdapter" | "VERSION" | "defaults">;

/** What {@link createAuthInterceptor} takes beside the source. */
export interface AuthInterceptorOptions {
  /** The user's copy of axios, when it is not the one this package resolves to (CommonJS, another version). */
  readonly axios?: object | undefined;
  /** Decides whether an answer rejects the token, before the grant's rule and rule Q4. */
  readonly isRejected?: RejectionRule | undefined;
  /** Statuses beside 401 about which `isRejected` is asked. */
  readonly inspectStatuses?: readonly number[] | undefined;
}

/** An axios answer at the adapter's stage: `data` is not transformed yet. */
interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly data: unknown;
  readonly request?: { readonly responseURL?: string; readonly res?: { readonly responseUrl?: string } };
}

type AnyConfig = { headers: unknown };

/**
 * Creates the request interceptor that attaches the source's token, and on a 401 renews it and sends the request
 * again, once: `axios.interceptors.request.use(createAuthInterceptor(tokens))` is all there is to write.
 *
 * It is synchronous and only replaces the request's adapter, so transforms and the other interceptors run once (Q9) and
 * the config comes back as it went in (Q10). `timeout` is one deadline over waiting, both sends and the mint (Q12).
 * Requests with an `Authorization` header, `auth` or `user:password@` of their own go out untouched (Q1).
 *
 * @param source A cache, several (the first whose origins match), or a function of the config.
 * @throws {TypeError} When the source or an option is wrong.
 * @throws {RemintError} From the request, when no token could be minted. It is not an AxiosError.
 * @see [RFC 6750 section 2.1](https://www.rfc-editor.org/rfc/rfc6750.html#section-2.1)
 */
export function createAuthInterceptor(
  source: AxiosTokenSource,
  options: AuthInterceptorOptions = {},
): <Config extends AnyConfig>(config: Config) => Config {
  assertTokenSource("createAuthInterceptor", source);
  assertOptions("createAuthInterceptor", options);
  assertFunction("isRejected", options.isRejected);
  const client = new AxiosClient(source, options);
  return function authInterceptor<Config extends AnyConfig>(config: Config): Config {
    const { adapter } = config as { adapter?: unknown };
    (config as { adapter?: unknown }).adapter = (final: AxiosCallConfig) => client.dispatch(final, adapter);
    return config;
  };
}

/** One interceptor's side of the policy. */
class AxiosClient implements Exchange<AxiosCall, Answer> {
  readonly isRejected: RejectionRule | undefined;
  readonly inspectStatuses: readonly number[] | undefined;
  readonly #source: AxiosTokenSource;
  readonly #only: TokenCache | undefined;
  readonly #axios: AxiosLike;
  readonly #facts: AxiosFacts;

  constructor(source: AxiosTokenSource, options: AuthInterceptorOptions) {
    this.#source = source;
    this.#only = isTokenCache(source) ? source : undefined;
    this.#axios = axiosOf(options.axios);
    this.#facts = factsOf(this.#axios);
    this.isRejected = options.isRejected;
    this.inspectStatuses = options.inspectStatuses;
  }

  /** Runs as the request's adapter: everything that could still change the request has run. */
  dispatch(config: AxiosCallConfig, original: unknown): Promise<unknown> {
    // First of all, so that `response.config` and `error.config` can be sent again without nesting.
    config.adapter = original;
    const adapter = this.#axios.getAdapter((original ?? this.#axios.defaults.adapter) as never, config as never) as (
      config: never,
    ) => Promise<unknown>;
    const { remint } = config as { remint?: RequestOverride };
    if (remint === false || config.auth || hasAuthorization(config.headers)) {
      return this.#leaveBare(config, adapter, remint);
    }
    const { headers } = config;
    // Another copy of axios does not know this one's AxiosHeaders and would drop every header of the request.
    if (!(headers instanceof this.#axios.AxiosHeaders)) {
      config.headers = new this.#axios.AxiosHeaders({ ...headers } as never) as never;
    }
    const call = new AxiosCall(
      config,
      adapter,
      this.#facts,
      remint === undefined ? undefined : overrideOptions(remint),
    );
    const own = remint === undefined ? undefined : overridingCache(remint);
    const cache = own ?? this.#only ?? chooseCache(this.#source, call.url, [config as never]);
    if (isTokenCache(cache)) return withToken(cache, call, this);
    return Promise.resolve(cache).then((chosen) =>
      chosen === undefined ? sendBare(call, this) : withToken(chosen, call, this),
    );
  }

  send(call: AxiosCall, token: AccessToken | undefined, extra: ExtraHeaders | undefined): Promise<Answer> {
    return call.send(token, extra) as Promise<Answer>;
  }

  status(answer: Answer): number {
    return answer.status;
  }

  header({ headers }: Answer, name: string): string | null {
    const wanted = name.toLowerCase();
    for (const key in headers) {
      if (key.toLowerCase() === wanted && headers[key] !== undefined && headers[key] !== null)
        return String(headers[key]);
    }
    return null;
  }

  answerOf(error: unknown): Answer | undefined {
    const { response } = Object(error) as { response?: Answer };
    return typeof response?.status === "number" ? response : undefined;
  }

  /** The http adapter and XHR tell; axios' fetch adapter does not, and then a needless renewal is bounded by C8. */
  finalUrl({ request }: Answer): string | undefined {
    return request?.res?.responseUrl ?? request?.responseURL;
  }

  canResend(call: AxiosCall): boolean {
    return call.override?.body !== undefined || !isOneShot(call.body);
  }

  discard({ data }: Answer): Promise<void> | undefined {
    if (isNodeStream(data)) return drainNodeStream(data);
    return typeof (data as { getReader?: unknown } | null)?.getReader === "function"
      ? drain(data as ReadableStream<Uint8Array>)
      : undefined;
  }

  text({ data }: Answer, maxBytes: number): Promise<string> {
    return Promise.resolve(textOf(data).slice(0, maxBytes));
  }

  finish(call: AxiosCall, outcome: unknown): void {
    call.finish(outcome);
    if (outcome instanceof Error) hideRequest(outcome);
  }

  /** Q1: the request goes out as the caller made it. */
  #leaveBare(
    config: AxiosCallConfig,
    adapter: (config: never) => Promise<unknown>,
    remint: RequestOverride | undefined,
  ): Promise<unknown> {
    const ours = this.#only?.peek()?.header;
    // The same cache registered twice acts once, and its second pass is no news (Q13).
    if (ours === undefined || config.headers["Authorization"] !== ours) {
      const { url } = new AxiosCall(config, adapter, this.#facts, undefined);
      this.#only?.skipped(remint === false ? "opted-out" : "authorization-set", url);
    }
    return adapter(config as never);
  }
}

/** Q1: whether the caller set `Authorization`, in any spelling. `undefined` is not set; `null` and `false` are. */
function hasAuthorization(headers: Record<string, unknown>): boolean {
  for (const name in headers) {
    if (name.length === 13 && headers[name] !== undefined && name.toLowerCase() === "authorization") return true;
  }
  return false;
}

/** Q11: axios keeps the header it sent inside `request`; hidden from JSON and `inspect`, it can still be read. */
function hideRequest(error: Error): void {
  const { response } = error as { response?: object };
  for (const holder of [error, response]) {
    const request: unknown = (holder as { request?: unknown } | undefined)?.request;
    if (holder === undefined || request === undefined) continue;
    Object.defineProperty(holder, "request", { value: request, enumerable: false, configurable: true, writable: true });
  }
}

function textOf(data: unknown): string {
  if (typeof data === "string") return data;
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) return new TextDecoder().decode(data);
  return "";
}

function axiosOf(given: object | undefined): AxiosLike {
  if (given === undefined) return installedAxios;
  const axios = given as Partial<AxiosLike>;
  if (typeof axios?.getAdapter !== "function" || typeof axios.AxiosHeaders !== "function") {
    throw optionError(
      "axios",
      given,
      "the axios module, version 1.5 or later (an instance of axios.create() has no getAdapter)",
    );
  }
  return axios as AxiosLike;
}

function factsOf(axios: AxiosLike): AxiosFacts {
  const [major = 0, minor = 0] = String(axios.VERSION).split(".").map(Number);
  return {
    forwardsToSubdomains: major < 1 || (major === 1 && minor < 21),
    timeoutError: (message, code, config) => new axios.AxiosError(message, code, config as never),
  };
}
