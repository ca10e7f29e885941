/**
 * The entry point `remint/axios`: OAuth 2.0 access tokens for axios. A request interceptor replaces the request's
 * adapter, and the new adapter sends the request through the request policy.
 *
 * Not here: what the adapter does (`interceptors.ts`).
 *
 * @module
 */
import { assertOptions } from "../../base/options.ts";
import { assertTokenSource, isTokenCache } from "../../policy/choose-cache.ts";
import { assertSeamOptions } from "../../policy/client-seam.ts";
import { Interceptor } from "./interceptors.ts";
import type { InternalAxiosRequestConfig } from "axios";
import type { RejectionRule } from "../../core/types.ts";
import type { RequestOverride, TokenSource } from "../../policy/choose-cache.ts";
import type { FailedRenewal } from "../../policy/client-seam.ts";

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

/**
 * Where the token of a request comes from: a cache, several caches, or a function of axios' config. Not an instance of
 * axios, which is a function too.
 */
export type AxiosTokenSource = TokenSource<[config: InternalAxiosRequestConfig]> & {
  /** Only an instance of axios has it. */
  readonly interceptors?: never;
};

/**
 * A request interceptor, for `interceptors.request.use` of any version of axios. It is generic, so that it fits the config type
 * of each version.
 */
export type AxiosInterceptor = <Config extends RequestConfig>(config: Config) => Config;

/** Options of {@link createAuthInterceptor}. */
export interface AuthInterceptorOptions {
  /**
   * The application's axios module. Needed when the application has a copy of its own that is an ES module, for example
   * because two versions are installed. A warning says so then.
   *
   * @defaultValue the copy that the request comes from, if that can be found, otherwise the installed axios
   */
  readonly axios?: object | undefined;
  /**
   * Decides whether an answer rejects the token. Asked before the grant's own rule and the `WWW-Authenticate` header.
   */
  readonly isRejected?: RejectionRule | undefined;
  /** HTTP statuses for which `isRejected` is asked, besides 401. @defaultValue none */
  readonly inspectStatuses?: readonly number[] | undefined;
  /**
   * What the caller gets when an answer rejected the token and no other one can be had: the error of this package
   * (`"throw"`), or what axios makes of the answer (`"response"`).
   *
   * @defaultValue the answer when nobody is signed in or the session is over, otherwise the error
   */
  readonly failedRenewal?: FailedRenewal | undefined;
}

/**
 * Creates the request interceptor that attaches the source's token. When an answer rejects the token, the interceptor
 * renews it and sends the request again, once.
 *
 * The interceptor is synchronous. It changes only the request's adapter, so transforms and other interceptors run once,
 * and `response.config` and `error.config` are as they were before. `timeout` limits the whole call: waiting for a
 * token, the first send and the resend. A request with an `Authorization` header, `auth`, or `user:password@` in its
 * URL is sent unchanged. When several interceptors on one client have a cache for a request, the one that was registered
 * last is used, and a warning says so once.
 *
 * @param source A cache, several caches (the first whose origins allow the URL), or a function of the config.
 * @throws {TypeError} When the source or an option is wrong, or axios is older than version 1.5. From the request, when the
 *   interceptor was registered for responses. From the interceptor, when something else than axios calls it.
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
): AxiosInterceptor {
  const where = "createAuthInterceptor";
  if (isAxios(source)) throw new TypeError(`${where} takes the token cache, not axios. ${USAGE}`);
  if (isAxios(options)) throw new TypeError(`${where} takes axios as an option: ${where}(tokens, { axios })`);
  if (isTokenCache(options)) {
    throw new TypeError(`${where} takes several token caches as an array: ${where}([one, other])`);
  }
  assertTokenSource(where, source);
  assertOptions(where, options, ["axios", "isRejected", "inspectStatuses", "failedRenewal"]);
  assertSeamOptions(options);
  const interceptor = new Interceptor(source, options);
  return function authInterceptor<Config extends RequestConfig>(given: Config): Config {
    const config = given as { adapter?: unknown; remint?: RequestOverride; config?: unknown };
    // A response has a config. A dispatcher of undici, or axios itself where it is an argument by mistake, is a function.
    if (typeof given !== "object" || given === null || config.config !== undefined) {
      throw new TypeError(
        `The interceptor of remint/axios takes requests of axios, no responses and no others. ${USAGE}`,
      );
    }
    const isTyped = !config.remint || hasContentType(given.headers);
    config.adapter = interceptor.adapterAround(config.adapter, isTyped);
    return given;
  };
}

const USAGE = "Write axios.interceptors.request.use(createAuthInterceptor(tokens))";

/** The config of a request, in any version of axios. A response has a status. */
interface RequestConfig {
  headers: unknown;
  readonly status?: never;
}

/** Whether a value is axios or one of its instances. */
function isAxios(value: unknown): boolean {
  return (value as { interceptors?: unknown } | null | undefined)?.interceptors !== undefined;
}

function hasContentType(headers: unknown): boolean {
  return Object.entries(Object(headers) as object).some(
    ([name, value]) => value !== undefined && name.toLowerCase() === "content-type",
  );
}
