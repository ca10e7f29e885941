/**
 * The entry point `remint/ofetch`: OAuth 2.0 access tokens for ofetch. It gives ofetch a fetch that attaches them.
 *
 * The fetch is implemented in `auth-fetch.ts`.
 *
 * @module
 */
import { ofetch as installedOfetch } from "ofetch";
import { assertOptions, optionError } from "../base/options.ts";
import { authFetchOf } from "./auth-fetch.ts";
import type { $Fetch, FetchOptions } from "ofetch";
import type { RequestOverride } from "../policy/choose-cache.ts";
import type { AuthFetchOptions, FetchBody, FetchTokenSource } from "./auth-fetch.ts";

declare module "ofetch" {
  interface FetchOptions {
    /** Overrides remint's settings for one request: `false`, another cache, or `{ cache, retry, body }`. */
    remint?: RequestOverride<FetchBody> | undefined;
  }
}

/** The members that are needed of a `$fetch`. Nitro's `$fetch` has them too. */
export interface OfetchLike {
  /** The fetch that this `$fetch` calls. */
  readonly native: (input: never, init?: never) => Promise<Response>;
  /** Creates another `$fetch` with other defaults and another fetch. */
  create(defaults: FetchOptions, globalOptions?: { fetch?: typeof globalThis.fetch }): $Fetch;
}

/** Options of {@link createAuthOfetch}. */
export interface AuthOfetchOptions extends AuthFetchOptions {
  /**
   * An existing `$fetch` to build on. Requests are sent with its fetch, unless the option `fetch` is set. With Nitro's
   * `$fetch`, local calls keep working.
   *
   * @defaultValue the installed ofetch
   */
  readonly ofetch?: OfetchLike | undefined;
}

/**
 * Creates a `$fetch` that attaches the source's token. When an answer rejects the token, the `$fetch` renews it and
 * sends the request again, once.
 *
 * ofetch does not see the resend: its hooks run once, and its `retry` option does not count it.
 *
 * @param source A cache, several caches (the first whose origins allow the URL), or a function of `(url, init)`.
 * @param defaults ofetch's own defaults, such as `baseURL`.
 * @throws {TypeError} When the source or an option is wrong.
 * @throws {FetchError} From the created `$fetch`. When no token could be minted, `findRemintError(error)` returns the
 *   `RemintError` among its causes.
 * @see [RFC 6750 section 2.1](https://www.rfc-editor.org/rfc/rfc6750.html#section-2.1)
 * @example
 * ```ts
 * const api = createAuthOfetch(tokens, { baseURL: "https://api.example" });
 * const orders = await api("/orders");
 * ```
 */
export function createAuthOfetch(
  source: FetchTokenSource,
  defaults: FetchOptions = {},
  options: AuthOfetchOptions = {},
): $Fetch {
  assertOptions("createAuthOfetch", options);
  const { ofetch = installedOfetch as OfetchLike, ...fetchOptions } = options;
  if (typeof ofetch?.create !== "function") throw optionError("ofetch", ofetch, "a $fetch with a method create()");
  const nativeFetch = options.ofetch?.native as AuthFetchOptions["fetch"];
  const fetch = authFetchOf("createAuthOfetch", source, { ...fetchOptions, fetch: options.fetch ?? nativeFetch });
  return ofetch.create(defaults, { fetch });
}
