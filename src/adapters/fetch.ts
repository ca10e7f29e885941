/**
 * OAuth 2.0 Bearer tokens for fetch, and for everything that takes a `fetch` option.
 *
 * @module
 */
import { authFetchOf } from "./auth-fetch.ts";
import type { AuthFetch, AuthFetchOptions, FetchTokenSource } from "./auth-fetch.ts";

export type {
  AuthFetch,
  AuthFetchOptions,
  AuthRequestInit,
  FetchBody,
  FetchInput,
  FetchTokenSource,
} from "./auth-fetch.ts";

/**
 * Creates a fetch that attaches the source's token, and on a 401 renews it and sends the request again, once.
 *
 * Same signature as fetch, and the response is the one fetch gave. Requests with an `Authorization` header of their
 * own, and requests to origins that are not the token's, go out untouched (Q1, Q2). Streams are never sent twice (Q6).
 *
 * @param source A cache, several (the first whose origins match), or a function of `(url, init)`.
 * @throws {TypeError} When the source or an option is wrong.
 * @throws {RemintError} From the returned function, when no token could be minted.
 * @see [RFC 6750 section 2.1](https://www.rfc-editor.org/rfc/rfc6750.html#section-2.1)
 * @example
 * ```ts
 * const authFetch = createAuthFetch(tokens);
 * const orders = await (await authFetch("https://api.example/orders")).json();
 * ```
 */
export function createAuthFetch(source: FetchTokenSource, options: AuthFetchOptions = {}): AuthFetch {
  return authFetchOf("createAuthFetch", source, options);
}
