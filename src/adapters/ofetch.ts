/**
 * The entry point `remint/ofetch`: OAuth 2.0 access tokens for ofetch. It gives ofetch a fetch that attaches them.
 *
 * The fetch is implemented in `auth-fetch.ts`.
 *
 * @module
 */
import { ofetch as installedOfetch } from "ofetch";
import { isRemintError } from "../base/errors.ts";
import { assertOptions, optionError } from "../base/options.ts";
import { authFetchOf } from "./auth-fetch.ts";
import type { $Fetch, FetchOptions } from "ofetch";
import type { RequestOverride } from "../policy/choose-cache.ts";
import type { AuthFetchOptions, FetchTokenSource } from "./auth-fetch.ts";
import type { AuthRequestInit, FetchBody } from "./fetch-call.ts";

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
 * ofetch does not see the resend: its hooks run once, and its `retry` option does not count it. An error of this package
 * reaches the caller as it is, not inside a FetchError, and ofetch does not repeat the request. `onRequestError` is called
 * before.
 *
 * @param source A cache, several caches (the first whose origins allow the URL), or a function of `(url, init)`.
 * @param defaults ofetch's own defaults, such as `baseURL`.
 * @throws {TypeError} When the source or an option is wrong.
 * @throws {RemintError} From the created `$fetch`, when no token could be minted.
 * @throws {FetchError} From the created `$fetch`, as ofetch itself does.
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
  const authFetch = authFetchOf("createAuthOfetch", source, { ...fetchOptions, fetch: options.fetch ?? nativeFetch });
  const fetch: typeof authFetch = (input, init) => {
    if ((init as Marked | undefined)?.[calledByOfetch]) passOwnErrors(init as Marked);
    return authFetch(input, init);
  };
  return ofetch.create({ ...defaults, [calledByOfetch]: true } as FetchOptions, { fetch });
}

/** A default of the created `$fetch`. It marks the options that ofetch made, unlike those that a caller of `.native` did. */
const calledByOfetch = Symbol("remint.ofetch");

type Marked = AuthRequestInit & Pick<FetchOptions, "onRequestError"> & { readonly [calledByOfetch]?: true };

/**
 * Makes ofetch pass on errors of this package. ofetch wraps what its fetch throws in a FetchError, and tries again, unless
 * an `onRequestError` hook throws. The hook is put behind the user's own for this one call: a hook among the defaults would
 * be replaced by that of a call.
 *
 * @param options What ofetch made for this call. It reads the hooks when its fetch has failed.
 */
function passOwnErrors(options: Marked): void {
  options.onRequestError = [options.onRequestError || [], throwOwnError].flat();
}

function throwOwnError({ error }: { readonly error: unknown }): void {
  if (isRemintError(error)) throw error;
}
