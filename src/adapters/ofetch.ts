/**
 * OAuth 2.0 Bearer tokens for ofetch, by the fetch that ofetch itself calls.
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
    /** What this one request wants of remint: `false`, another cache, or `{ retry, body, cache }`. */
    remint?: RequestOverride<FetchBody> | undefined;
  }
}

/** The parts of a `$fetch` that are needed: structural, so that Nitro's own serves too. */
export interface OfetchLike {
  /** The fetch it calls. */
  readonly native: (input: never, init?: never) => Promise<Response>;
  /** Makes another one with other defaults and another fetch. */
  create(defaults: FetchOptions, globalOptions?: { fetch?: typeof globalThis.fetch }): $Fetch;
}

/** What {@link createAuthOfetch} takes beside source and defaults. */
export interface AuthOfetchOptions extends AuthFetchOptions {
  /** An existing `$fetch` to build on; Nitro's keeps its local transport this way. @defaultValue the installed ofetch */
  readonly ofetch?: OfetchLike | undefined;
}

/**
 * Creates a `$fetch` that attaches the source's token, and on a 401 renews it and sends the request again, once.
 *
 * The resend happens beneath ofetch: hooks run once, ofetch's own `retry` does not multiply it (Q9).
 *
 * @param source A cache, several (the first whose origins match), or a function of `(url, init)`.
 * @param defaults ofetch's own defaults, such as `baseURL`.
 * @throws {TypeError} When the source or an option is wrong.
 * @throws {FetchError} From the returned function; `findRemintError(error)` finds a failed mint in its causes.
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
  const { ofetch = installedOfetch as OfetchLike, ...rest } = options;
  if (typeof ofetch?.create !== "function") throw optionError("ofetch", ofetch, "a $fetch with create()");
  const given = options.ofetch?.native as AuthFetchOptions["fetch"];
  const fetch = authFetchOf("createAuthOfetch", source, { ...rest, fetch: options.fetch ?? given });
  return ofetch.create(defaults, { fetch });
}
