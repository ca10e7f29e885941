/**
 * A grant of the user's own: any other way to obtain a token, for example from a secrets manager, a sidecar, a CLI or
 * another OAuth library.
 *
 * Not here: requests to a token endpoint. The other grants of this folder make those.
 *
 * @module
 */
import { type RemintError, tokenResponseError } from "../base/errors.ts";
import { assertFunction, assertOptions, assertString, duration, kindOf } from "../base/options.ts";
import { grantOf } from "../core/grant.ts";
import type { Grant, GrantTraits, MintContext } from "../core/grant.ts";
import type { TokenResponse } from "../core/types.ts";

/** Options of {@link customGrant}. */
export interface CustomGrantOptions<State = unknown> extends GrantTraits<State> {
  /**
   * Obtains one token. Called once for every attempt of a mint. It must not answer from a cache of its own, because the
   * cached token may be the one that an API rejected.
   */
  readonly mint: (
    context: MintContext<State>,
  ) => CustomToken<State> | null | undefined | Promise<CustomToken<State> | null | undefined>;
}

/**
 * Creates a grant from a function that obtains a token. Time limits, retries, sharing and the handling of 401 answers
 * come with it.
 *
 * A failed attempt is repeated when its error is transient: a network error, or an error with an HTTP `status` of 408,
 * 429 or 5xx.
 *
 * @throws {TypeError} When an option is wrong.
 * @example
 * ```ts
 * const grant = customGrant({
 *   key: "graph",
 *   mint: ({ signal }) => credential.getToken("https://graph.example/.default", { abortSignal: signal }),
 * });
 * ```
 */
export function customGrant<State = unknown>(options: CustomGrantOptions<State>): Grant {
  assertOptions("customGrant", options);
  const { mint, ...rest } = options;
  if (typeof mint !== "function") assertFunction("mint", mint ?? null);
  if (rest.key !== undefined) assertString("key", rest.key);
  if (rest.defaultTtl !== undefined) duration("defaultTtl", rest.defaultTtl, 0);
  for (const name of ["headers", "prove", "isRejected"] as const) assertFunction(name, rest[name]);
  return grantOf<State>({
    ...rest,
    mint: async (context) => tokenResponse<State>(await mint(context)),
  });
}

/** What a custom mint may return: a token response, the result of another library, or the token as a string. */
export type CustomToken<State = unknown> =
  | string
  | ((TokenResponse | PlainTokenResponse | TimestampedToken | DatedToken) & { readonly state?: State | undefined });

/** The result of `getToken` of `@azure/identity`. */
interface TimestampedToken {
  /** The token itself. */
  readonly token: string;
  /** When the token expires. Epoch milliseconds. */
  readonly expiresOnTimestamp: number;
  /** `Bearer` or `DPoP`. */
  readonly tokenType?: string | undefined;
}

/** A token as many libraries return it, for example MSAL as its `AuthenticationResult`. */
interface DatedToken {
  /** The token itself. */
  readonly accessToken: string;
  /** When the token expires: a `Date`, epoch milliseconds or seconds, or ISO 8601. */
  readonly expiresAt?: Date | number | string | null | undefined;
  /** Another name for `expiresAt`. Ignored when that is set. */
  readonly expiresOn?: Date | number | string | null | undefined;
  /** `Bearer` or `DPoP`. */
  readonly tokenType?: string | undefined;
}

/** A token response as other libraries type it, without an index signature. */
type PlainTokenResponse = Pick<TokenResponse, "access_token" | "token_type" | "expires_in" | "expires_at" | "scope">;

/** Turns what a custom mint returned into a token response. */
function tokenResponse<State>(
  minted: CustomToken<State> | null | undefined,
): TokenResponse & { readonly state?: State | undefined } {
  if (typeof minted === "string") return { access_token: minted };
  if (typeof minted !== "object" || minted === null) throw unusable(`"mint" returned ${kindOf(minted)}`);
  if ("access_token" in minted) return dataOf(minted) as TokenResponse;
  if ("accessToken" in minted) {
    const { accessToken, expiresAt, expiresOn, tokenType, ...rest } = minted;
    return { ...dataOf(rest), expiresAt, expiresOn, ...standardMembers(accessToken, tokenType) };
  }
  if ("token" in minted) {
    const { token, expiresOnTimestamp, tokenType, ...rest } = minted;
    return { ...dataOf(rest), expiresOnTimestamp, ...standardMembers(token, tokenType) };
  }
  throw unusable(`"mint" returned an object without "access_token", "accessToken" or "token"`);
}

function unusable(hint: string): RemintError {
  return tokenResponseError("no token is available: what the grant returned cannot be used", hint);
}

function standardMembers(value: string, type: string | undefined): TokenResponse {
  return { access_token: value, ...(type !== undefined && { token_type: type }) };
}

/** Copies an object without its functions: some libraries put methods such as `claims()` into the response. */
function dataOf(minted: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(minted).filter(([, value]) => typeof value !== "function"));
}
