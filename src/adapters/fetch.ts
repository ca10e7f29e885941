/**
 * The entry point `remint/fetch`: OAuth 2.0 access tokens for fetch, and for every library that takes a `fetch` option.
 *
 * The implementation is in `auth-fetch.ts`.
 *
 * @module
 */
import { assertOptions } from "../base/options.ts";
import { authFetchOf, FETCH_OPTIONS } from "./auth-fetch.ts";
import { assertNotSwapped } from "./misuse.ts";
import type { AuthFetch, AuthFetchOptions, FetchTokenSource } from "./auth-fetch.ts";

export type { AuthFetch, AuthFetchOptions, FetchTokenSource } from "./auth-fetch.ts";
export type { AuthRequestInit, FetchBody, FetchInput } from "./fetch-call.ts";

/**
 * Creates a fetch that attaches the source's token. When an answer rejects the token, the fetch renews it and sends the
 * request again, once.
 *
 * The created function has the signature of fetch and returns the response that fetch returned. A request with an
 * `Authorization` header of its own is sent unchanged. So is a request to an origin that the cache does not allow. A
 * request whose body is a stream is not sent again, unless `init.remint.body` creates the stream.
 *
 * @param source A cache, several caches (the first whose origins allow the URL), or a function of `(url, init)`.
 * @throws {TypeError} When the source or an option is wrong.
 * @throws {RemintError} From the created function, when no token could be minted.
 * @see [RFC 6750 section 2.1](https://www.rfc-editor.org/rfc/rfc6750.html#section-2.1)
 * @example
 * ```ts
 * const authFetch = createAuthFetch(tokens);
 * const orders = await (await authFetch("https://api.example/orders")).json();
 * ```
 */
export function createAuthFetch(source: FetchTokenSource, options: AuthFetchOptions = {}): AuthFetch {
  assertNotSwapped("createAuthFetch", "createAuthFetch(tokens, { fetch })", source, options);
  assertOptions("createAuthFetch", options, FETCH_OPTIONS);
  return authFetchOf("createAuthFetch", source, options);
}
