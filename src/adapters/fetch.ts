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
 * `Authorization` header of its own is sent unchanged. So is a request to an origin that the cache does not allow.
 *
 * A request is what it was when the function was called: later changes of URL, options, headers, `URLSearchParams` and
 * `FormData` have no effect. The bytes of a buffer are not copied. A request whose body is a stream is not sent again,
 * unless `init.remint.body` creates the stream. A `Request` with a body is cloned before it is sent, and is sent again with
 * the body of the clone and all else of the original, as far as its class passes that on; `init.remint.retry: false` avoids
 * the clone, because of which Deno sends the body in chunks. The `Request` of node-fetch is not cloned: one whose body is a
 * stream is to be sent with `retry: false`.
 *
 * When no other token can be had after a 401, the caller gets the API's own 401, if nobody is signed in or the session is
 * over; of its body at most 64 KiB. See {@link AuthFetchOptions.failedRenewal}.
 *
 * @param source A cache, several caches (the first whose origins allow the URL), or a function of `(url, init)`.
 * @throws {TypeError} When the source or an option is wrong. From the created function, as fetch itself throws it.
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
