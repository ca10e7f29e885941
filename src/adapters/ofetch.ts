/**
 * The entry point `remint/ofetch`: OAuth 2.0 access tokens for ofetch. It gives ofetch a fetch that attaches them.
 *
 * The fetch is implemented in `auth-fetch.ts`.
 *
 * @module
 */
import { ofetch as installedOfetch } from "ofetch";
import { isRemintError } from "../base/errors.ts";
import { assertOptions, kindOf, optionError } from "../base/options.ts";
import { authFetchOf, FETCH_OPTIONS } from "./auth-fetch.ts";
import { assertNotSwapped } from "./misuse.ts";
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

/** What is needed of a `$fetch`: that of ofetch 1.4 or later, of Nitro, or of Nuxt. */
export interface OfetchLike {
  /** Creates another `$fetch` with other defaults, and with another fetch, which ofetch takes as a second argument. */
  create(defaults: FetchOptions): unknown;
}

/** Options of {@link createAuthOfetch}. */
export interface AuthOfetchOptions<Fetch extends OfetchLike = $Fetch> extends AuthFetchOptions {
  /**
   * An existing `$fetch` to build on. Requests are sent with its fetch, unless the option `fetch` is set. With Nitro's
   * `$fetch`, local calls keep working, and what is created has its type, with the types of the routes.
   *
   * @defaultValue the installed ofetch
   */
  readonly ofetch?: Fetch | undefined;
}

/**
 * Creates a `$fetch` that attaches the source's token. When an answer rejects the token, the `$fetch` renews it and
 * sends the request again, once.
 *
 * ofetch does not see the resend: its hooks run once, and its `retry` option does not count it. With 401 in its
 * `retryStatusCodes` each of its attempts may be renewed; how many tokens are minted meanwhile is limited by the cache. An
 * error of this package reaches the caller as it is, not inside a FetchError, and ofetch does not repeat the request.
 * `onRequestError` is called before.
 *
 * @param source A cache, several caches (the first whose origins allow the URL), or a function of `(url, init)`.
 * @param defaults ofetch's own defaults, such as `baseURL`.
 * @throws {TypeError} When the source or an option is wrong, or ofetch is older than 1.4.
 * @throws {RemintError} From the created `$fetch`, when no token could be minted.
 * @throws {FetchError} From the created `$fetch`, as ofetch itself does. It holds the API's own 401 when nobody is signed in
 *   or the session is over.
 * @see [RFC 6750 section 2.1](https://www.rfc-editor.org/rfc/rfc6750.html#section-2.1)
 * @example
 * ```ts
 * const api = createAuthOfetch(tokens, { baseURL: "https://api.example" });
 * const orders = await api("/orders");
 * ```
 */
export function createAuthOfetch<Fetch extends OfetchLike = $Fetch>(
  source: FetchTokenSource,
  defaults: FetchOptions = {},
  options: AuthOfetchOptions<Fetch> = {},
): Fetch {
  assertNotSwapped("createAuthOfetch", "createAuthOfetch(tokens, {}, { ofetch })", source, defaults);
  assertDefaults(defaults);
  assertOptions("createAuthOfetch", options, OPTIONS);
  const { ofetch = installedOfetch } = options;
  if (typeof ofetch?.create !== "function") throw optionError("ofetch", ofetch, "a $fetch with a method create()");
  // Nitro's types do not have `native`.
  const { native } = ofetch as Partial<$Fetch>;
  const fetchOptions = {
    ...options,
    fetch: options.fetch ?? (options.ofetch && native),
  };
  const authFetch = authFetchOf("createAuthOfetch", source, fetchOptions);
  let isTaken = false;
  const globalOptions = {
    get fetch() {
      isTaken = true;
      return (input: Parameters<typeof authFetch>[0], init?: AuthRequestInit) =>
        authFetch(input, init).catch((error: unknown) => {
          // Only now, so that the options in other errors are as the caller gave them.
          if (isRemintError(error) && (init as Marked | undefined)?.[calledByOfetch]) passOwnErrors(init as Marked);
          throw error;
        });
    },
  };
  const created = (ofetch as $Fetch).create({ ...defaults, [calledByOfetch]: true } as FetchOptions, globalOptions);
  // Without it every request would go out without a token, and nothing would say so.
  if (!isTaken)
    throw new TypeError('"ofetch" must be a $fetch of ofetch 1.4 or later: this one takes no fetch to send with');
  return created as unknown as Fetch;
}

const OPTIONS = [...FETCH_OPTIONS, "ofetch"] as const;

/** @throws {TypeError} When ofetch's defaults are something else, or hold an option that belongs into the third argument. */
function assertDefaults(defaults: unknown): void {
  if (typeof defaults !== "object" || defaults === null) {
    const line = 'createAuthOfetch(tokens, { baseURL: "https://api.example" }, { ofetch })';
    throw new TypeError(
      `The second argument of createAuthOfetch must be ofetch's defaults, got ${kindOf(defaults)}. Write ${line}`,
    );
  }
  const misplaced = OPTIONS.find((name) => name in defaults);
  if (misplaced === undefined) return;
  const line = `createAuthOfetch(tokens, {}, { ${misplaced} })`;
  throw new TypeError(`"${misplaced}" is no default of ofetch, but an option of createAuthOfetch. Write ${line}`);
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
