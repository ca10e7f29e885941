/**
 * The entry point `remint/axios`: OAuth 2.0 access tokens for axios. A request interceptor replaces the request's
 * adapter, and the new adapter sends the request through the request policy.
 *
 * Not here: what changes in a request's config (`call.ts`), and the differences between copies and versions of axios
 * (`copies.ts`).
 *
 * @module
 */
import { assertFunction, assertOptions, assertStatuses } from "../../base/options.ts";
import { policyHalf } from "../../core/types.ts";
import { assertTokenSource, checkedOverride, chooseCache, isTokenCache } from "../../policy/choose-cache.ts";
import { rejectWith } from "../../policy/client-seam.ts";
import { sendWith } from "../../policy/request-policy.ts";
import { drain, drainNodeStream, isNodeStream, isOneShot } from "../body.ts";
import { AxiosCall } from "./call.ts";
import { axiosOf, traitsOf } from "./copies.ts";
import type { InternalAxiosRequestConfig } from "axios";
import type { RejectionRule, TokenCache } from "../../core/types.ts";
import type { RequestOverride, TokenSource } from "../../policy/choose-cache.ts";
import type { ClientSeam, TokenHeaders } from "../../policy/client-seam.ts";
import type { AxiosCallConfig, AxiosTraits, ResolvedAdapter } from "./call.ts";
import type { AxiosLike, TraitsByCopy } from "./copies.ts";

// Brings the same declaration for CommonJS. By an export and not by a reference: TypeScript 5.6 and 5.7 would then look
// up axios' types for CommonJS first, and use them for ES modules too.
export type { AxiosRequestOverride } from "./axios-commonjs.cjs";

declare module "axios" {
  // Declared without type parameters, because their number differs between axios versions.
  interface AxiosRequestConfig {
    /** Overrides remint's settings for one request: `false`, another cache, or `{ cache, retry, body }`. */
    remint?: RequestOverride | undefined;
  }
}

/** Where the token of a request comes from: a cache, several caches, or a function of axios' config. */
export type AxiosTokenSource = TokenSource<[config: InternalAxiosRequestConfig]>;

/** Options of {@link createAuthInterceptor}. */
export interface AuthInterceptorOptions {
  /**
   * The application's axios module. Needed when this package resolves to another copy of axios: with CommonJS, or with
   * two versions installed.
   *
   * @defaultValue the installed axios
   */
  readonly axios?: object | undefined;
  /**
   * Decides whether an answer rejects the token. Asked before the grant's own rule and the `WWW-Authenticate` header.
   */
  readonly isRejected?: RejectionRule | undefined;
  /** HTTP statuses for which `isRejected` is asked, besides 401. @defaultValue none */
  readonly inspectStatuses?: readonly number[] | undefined;
}

/**
 * Creates the request interceptor that attaches the source's token. When an answer rejects the token, the interceptor
 * renews it and sends the request again, once.
 *
 * The interceptor is synchronous. It changes only the request's adapter, so transforms and other interceptors run once,
 * and `response.config` and `error.config` are as they were before. `timeout` limits the whole call: waiting for a
 * token, the first send and the resend. A request with an `Authorization` header, `auth`, or `user:password@` in its
 * URL is sent unchanged.
 *
 * @param source A cache, several caches (the first whose origins allow the URL), or a function of the config.
 * @throws {TypeError} When the source or an option is wrong.
 * @throws {RemintError} From the request, when no token could be minted. It is an `AxiosError` too, with `config` and
 *   without `response`.
 * @see [RFC 6750 section 2.1](https://www.rfc-editor.org/rfc/rfc6750.html#section-2.1)
 * @example
 * ```ts
 * axios.interceptors.request.use(createAuthInterceptor(tokens));
 * ```
 */
export function createAuthInterceptor(
  source: AxiosTokenSource,
  options: AuthInterceptorOptions = {},
): <Config extends AnyConfig>(config: Config) => Config {
  assertTokenSource("createAuthInterceptor", source);
  assertOptions("createAuthInterceptor", options);
  assertFunction("isRejected", options.isRejected);
  assertStatuses("inspectStatuses", options.inspectStatuses);
  const client = new AxiosClient(source, options);
  return function authInterceptor<Config extends AnyConfig>(config: Config): Config {
    const { adapter } = config as { adapter?: unknown };
    (config as { adapter?: unknown }).adapter = (final: AxiosCallConfig) => client.sendAsAdapter(final, adapter);
    return config;
  };
}

type AnyConfig = { headers: unknown };

/** An answer, as an adapter of axios returns it: `data` is not transformed yet. */
interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly data: unknown;
  readonly request?: { readonly responseURL?: string; readonly res?: { readonly responseUrl?: string } };
}

/** The client seam of one interceptor. */
class AxiosClient implements ClientSeam<AxiosCall, Answer> {
  readonly isRejected: RejectionRule | undefined;
  readonly inspectStatuses: readonly number[] | undefined;
  readonly #source: AxiosTokenSource;
  readonly #onlyCache: TokenCache | undefined;
  readonly #axios: AxiosLike;
  // Read once: axios has so many properties that V8 looks each of them up in a hash table.
  readonly #getAdapter: AxiosLike["getAdapter"];
  readonly #AxiosHeaders: AxiosLike["AxiosHeaders"];
  readonly #traits: TraitsByCopy;

  constructor(source: AxiosTokenSource, options: AuthInterceptorOptions) {
    this.#source = source;
    this.#onlyCache = isTokenCache(source) ? source : undefined;
    this.#axios = axiosOf(options.axios);
    this.#getAdapter = this.#axios.getAdapter;
    this.#AxiosHeaders = this.#axios.AxiosHeaders;
    this.#traits = traitsOf(this.#axios);
    this.isRejected = options.isRejected;
    this.inspectStatuses = options.inspectStatuses;
  }

  /**
   * Sends a request. Called by axios as the request's adapter, when nothing else can change the request any more.
   *
   * @param originalAdapter The `adapter` of the config before the interceptor replaced it.
   */
  sendAsAdapter(config: AxiosCallConfig, originalAdapter: unknown): Promise<unknown> {
    let call: AxiosCall | undefined;
    try {
      // Restored first, because a caller may send `response.config` or `error.config` again. The interceptor then runs
      // again.
      config.adapter = originalAdapter;
      const getAdapter = this.#getAdapter;
      const adapter = getAdapter(
        (originalAdapter ?? this.#axios.defaults.adapter) as never,
        config as never,
      ) as ResolvedAdapter;
      const { remint } = config as { remint?: RequestOverride };
      const isOwnConfig = config.headers instanceof this.#AxiosHeaders;
      const traits = isOwnConfig ? this.#traits.own : this.#traitsOfForeignConfig(adapter, originalAdapter);
      call = new AxiosCall(config, adapter, traits, checkedOverride(remint));
      if (remint === false || config.auth || hasAuthorization(config.headers)) {
        return this.#sendUnchanged(call, config.headers, remint);
      }
      const cache = call.override === false ? undefined : (call.override?.cache ?? this.#onlyCache);
      return sendWith(cache ?? chooseCache(this.#source, call, [config as never]), call, this);
    } catch (error) {
      return call === undefined ? Promise.reject(error) : rejectWith(call, this, error);
    }
  }

  send(call: AxiosCall, headers: TokenHeaders | undefined): Promise<Answer> {
    return call.send(headers) as Promise<Answer>;
  }

  status(answer: Answer): number {
    return answer.status;
  }

  header({ headers }: Answer, name: string): string | null {
    const wanted = name.toLowerCase();
    for (const key in headers) {
      const value = headers[key] as { toString(): string } | null | undefined;
      if (key.toLowerCase() === wanted && value !== undefined && value !== null) return value.toString();
    }
    return null;
  }

  answerOf(error: unknown): Answer | undefined {
    const { response } = Object(error) as { response?: Answer };
    return typeof response?.status === "number" ? response : undefined;
  }

  /**
   * axios' http adapter and its XHR adapter report the URL, its fetch adapter does not. A renewal that is needless
   * because of a redirect is then limited by the storm guard (C8).
   */
  finalUrl({ request }: Answer): string | undefined {
    return request?.res?.responseUrl ?? request?.responseURL;
  }

  canResend(call: AxiosCall): boolean {
    return call.createBody !== undefined || !isOneShot(call.body);
  }

  discard({ data }: Answer): Promise<void> | undefined {
    if (isNodeStream(data)) return drainNodeStream(data);
    return isWebStream(data) ? drain(data) : undefined;
  }

  text({ data }: Answer, maxBytes: number): Promise<string> {
    return Promise.resolve(textOf(data).slice(0, maxBytes));
  }

  errorFor(call: AxiosCall, error: Error): Error {
    return call.errorFor(error);
  }

  finish(call: AxiosCall, outcome: unknown): void {
    call.finish(outcome);
    if (outcome instanceof Error) hideRequest(outcome);
  }

  /** Sends a request as the caller made it, and reports why it gets no token (Q1). */
  #sendUnchanged(
    call: AxiosCall,
    headers: Record<string, unknown>,
    remint: RequestOverride | undefined,
  ): Promise<unknown> {
    const currentHeader = this.#onlyCache?.peek()?.header;
    // A cache may be registered twice on one client (Q13). The interceptor that ran first then finds the header of the
    // other one, which has also created the body.
    const isSecondPass = currentHeader !== undefined && headers["Authorization"] === currentHeader;
    if (!isSecondPass && this.#onlyCache !== undefined) {
      policyHalf(this.#onlyCache).skipped(remint === false ? "opted-out" : "authorization-set", call.url);
    }
    return call.sendAsIs(!isSecondPass);
  }

  /**
   * Returns the traits for a config that comes from another copy of axios. An adapter that the caller gave as a
   * function comes from that copy too. An adapter that was given by name was resolved by this copy.
   */
  #traitsOfForeignConfig(adapter: ResolvedAdapter, originalAdapter: unknown): AxiosTraits {
    const isForeignAdapter =
      adapter === originalAdapter || (Array.isArray(originalAdapter) && originalAdapter.includes(adapter));
    return isForeignAdapter ? this.#traits.foreignAdapter : this.#traits.foreignConfig;
  }
}

/**
 * Whether the caller set `Authorization`, in upper or lower case (Q1). The value `undefined` counts as not set, `null`
 * and `false` as set.
 */
function hasAuthorization(headers: Record<string, unknown>): boolean {
  for (const name in headers) {
    if (name.length === 13 && headers[name] !== undefined && name.toLowerCase() === "authorization") return true;
  }
  return false;
}

function isWebStream(value: unknown): value is ReadableStream<Uint8Array> {
  return typeof (value as { getReader?: unknown } | null | undefined)?.getReader === "function";
}

function textOf(data: unknown): string {
  if (typeof data === "string") return data;
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) return new TextDecoder().decode(data);
  return "";
}

/**
 * Hides the token in an error of axios (Q11). axios keeps the sent headers inside `request`. That property stays
 * readable, but JSON and `util.inspect` do not print it any more.
 */
function hideRequest(error: Error, depth = 0): void {
  makeNonEnumerable(error, "request");
  // axios' fetch adapter wraps one AxiosError in another.
  if (error.cause instanceof Error && depth < 4) hideRequest(error.cause, depth + 1);
  const { response } = error as { response?: { data?: unknown } };
  if (response === undefined) return;
  makeNonEnumerable(response, "request");
  // A response that is a stream refers to the request and to its socket.
  if (isNodeStream(response.data)) {
    for (const name of ["req", "socket", "client"]) makeNonEnumerable(response.data, name);
  }
}

function makeNonEnumerable(holder: object, name: string): void {
  // `Reflect`, which does not throw if an adapter of the user's has frozen its error.
  if (Object.hasOwn(holder, name)) Reflect.defineProperty(holder, name, { enumerable: false });
}
