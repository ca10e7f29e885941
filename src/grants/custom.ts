/**
 * Any other way to obtain a token: a secrets manager, a sidecar, a CLI, another OAuth library.
 *
 * @module
 */
import { tokenResponseError } from "../base/errors.ts";
import { assertFunction, assertOptions, assertString, duration, kindOf } from "../base/options.ts";
import { grantOf } from "../core/grant.ts";
import type { Grant, GrantTraits, MintContext } from "../core/grant.ts";
import type { TokenResponse } from "../core/types.ts";

/** The token of `@azure/identity`'s `getToken`. */
interface TimestampedToken {
  readonly token: string;
  /** Epoch milliseconds. */
  readonly expiresOnTimestamp: number;
  readonly tokenType?: string | undefined;
}

/** A token with its end as most libraries write it; MSAL's `AuthenticationResult` is one. */
interface DatedToken {
  readonly accessToken: string;
  /** A `Date`, epoch milliseconds or seconds, or ISO 8601. */
  readonly expiresAt?: Date | number | string | null | undefined;
  /** The same under its other name. */
  readonly expiresOn?: Date | number | string | null | undefined;
  readonly tokenType?: string | undefined;
}

/** A token response as other libraries type it: without room for further members. */
type PlainTokenResponse = Pick<TokenResponse, "access_token" | "token_type" | "expires_in" | "expires_at" | "scope">;

/** What a custom mint may return: a token response, one of the usual shapes, or the bare token. */
export type CustomToken<State = unknown> =
  | string
  | ((TokenResponse | PlainTokenResponse | TimestampedToken | DatedToken) & { readonly state?: State | undefined });

/** Options of {@link customGrant}. */
export interface CustomGrantOptions<State = unknown> extends GrantTraits<State> {
  /** Obtains one token. Called once per attempt; must not keep its own cache, or must leave it when asked again. */
  readonly mint: (
    context: MintContext<State>,
  ) => CustomToken<State> | null | undefined | Promise<CustomToken<State> | null | undefined>;
}

/**
 * A grant of your own: limits, retries, sharing and the 401 handling come with it.
 *
 * A failure is known to be transient, and is repeated, when it carries an HTTP `status` (408, 429, 5xx) or is a
 * network error.
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

function tokenResponse<State>(
  minted: CustomToken<State> | null | undefined,
): TokenResponse & { readonly state?: State | undefined } {
  if (typeof minted === "string") return { access_token: minted };
  if (typeof minted !== "object" || minted === null) throw tokenResponseError(`"mint" returned ${kindOf(minted)}`);
  if ("access_token" in minted) return dataOf(minted) as TokenResponse;
  if ("accessToken" in minted) {
    const { accessToken, expiresAt, expiresOn, tokenType, ...rest } = minted;
    return { ...dataOf(rest), ...response(accessToken, expiresAt ?? expiresOn, tokenType) };
  }
  if ("token" in minted) {
    const { token, expiresOnTimestamp, tokenType, ...rest } = minted;
    return { ...dataOf(rest), ...response(token, expiresOnTimestamp, tokenType) };
  }
  throw tokenResponseError(`"mint" returned an object without "access_token", "accessToken" or "token"`);
}

function response(value: string, end: DatedToken["expiresAt"], type: string | undefined): TokenResponse {
  const at = end instanceof Date ? end.getTime() : (end ?? undefined);
  return { access_token: value, expires_at: at, ...(type !== undefined && { token_type: type }) };
}

/** Without methods: some libraries put `claims()` and the like beside the members of the response. */
function dataOf(minted: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(minted).filter(([, value]) => typeof value !== "function"));
}
