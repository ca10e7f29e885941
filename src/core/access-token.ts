/**
 * The access token that callers get, and the checks of a token response's `access_token` and `token_type`.
 *
 * When a token expires is computed in `expiry.ts`; `CachedToken` there is a token with its place in time.
 *
 * @module
 */
import { isVisibleAscii } from "../base/bytes.ts";
import { tokenResponseError } from "../base/errors.ts";
import { kindOf } from "../base/options.ts";
import { redactedClass, TOKEN_TEXT, tokenTextOf, withoutCredentials } from "../base/redacted.ts";
import type { AccessToken, Session, TokenResponse } from "./types.ts";

/**
 * Who minted a token and why. The cache has to know whether a token can be older than the flight that yielded it. Such
 * a token can also be older than a rejection that came before the flight (C7).
 * - `minted`: this process minted it in that flight. It is not older.
 * - `renewed`: another process minted it to replace a rejected token.
 * - `taken`: another process minted it for another reason, at any time.
 */
export type Freshness = "minted" | "renewed" | "taken";

/**
 * The implementation of {@link AccessToken}. It prints as `[redacted]` in `inspect` and in JSON (S5). As a text it says how a
 * token is attached.
 * Beside the public members it has what the cache compares tokens by: the flight and the {@link Freshness}.
 */
export class AccessTokenRecord implements AccessToken {
  // Private fields and getters of the prototype, so that there is no own property that could be printed.
  readonly #value: string;
  readonly #header: string;
  readonly #expiresAt: number;
  readonly #scheme: "Bearer" | "DPoP";
  readonly #scope: string | undefined;
  readonly #response: Readonly<Record<string, unknown>>;
  readonly #flight: number;
  readonly #freshness: Freshness;
  readonly #session: Session | undefined;

  /** @throws {RemintError} `ERR_TOKEN_RESPONSE` when the response holds no usable token. */
  constructor(
    response: TokenResponse,
    expiresAt: number,
    flight: number,
    {
      freshness = "minted",
      session,
    }: { readonly freshness?: Freshness | undefined; readonly session?: Session | undefined } = {},
  ) {
    this.#scheme = schemeOf(response.token_type);
    this.#header = `${this.#scheme} ${usableValue(response.access_token)}`;
    // A part of the header, so that a token of a kilobyte is in memory once.
    this.#value = this.#header.slice(this.#scheme.length + 1);
    this.#expiresAt = expiresAt;
    this.#scope = typeof response.scope === "string" ? response.scope : undefined;
    this.#response = withoutCredentials(response);
    this.#flight = flight;
    this.#freshness = freshness;
    this.#session = session;
  }

  get value(): string {
    return this.#value;
  }
  get scheme(): "Bearer" | "DPoP" {
    return this.#scheme;
  }
  get header(): string {
    return this.#header;
  }
  get expiresAt(): number {
    return this.#expiresAt;
  }
  get scope(): string | undefined {
    return this.#scope;
  }
  get response(): Readonly<Record<string, unknown>> {
    return this.#response;
  }
  /** The number of the flight that yielded the token. Tokens are ordered by this counter and never by a clock (C7). */
  get flight(): number {
    return this.#flight;
  }
  get freshness(): Freshness {
    return this.#freshness;
  }
  /** The sign-in that the token came of. A request that was sent with it is never sent with a token of another (C15). */
  get session(): Session | undefined {
    return this.#session;
  }

  // Not the token: a text may be printed. Not "[redacted]" either: `Bearer ${token}` would be sent and refused by the API,
  // and nothing would say why.
  toString(): string {
    return TOKEN_TEXT;
  }
  static {
    redactedClass(this.prototype, "AccessToken");
    Object.defineProperty(this.prototype, tokenTextOf, { value: true });
  }
}

/**
 * Returns an `access_token` that is safe to send in a header (S4).
 *
 * @throws {RemintError} `ERR_TOKEN_RESPONSE` when it is missing or not visible ASCII.
 */
export function usableValue(value: unknown): string {
  if (typeof value !== "string" || value === "") {
    throw tokenResponseError(`the token response has no "access_token" (it is ${kindOf(value)})`);
  }
  if (!isVisibleAscii(value)) {
    throw tokenResponseError(
      `the "access_token" contains characters that are not allowed in a header (allowed is visible ASCII without spaces)`,
    );
  }
  return value;
}

/**
 * Returns the scheme for a `token_type`; Bearer when the type is missing. Other types are refused, because a client
 * must not use a token of a type it does not understand.
 *
 * @throws {RemintError} `ERR_TOKEN_RESPONSE` when the type is neither Bearer nor DPoP.
 * @see [RFC 6749 section 7.1](https://www.rfc-editor.org/rfc/rfc6749.html#section-7.1)
 */
export function schemeOf(tokenType: unknown): "Bearer" | "DPoP" {
  if (tokenType === undefined || tokenType === null) return "Bearer";
  const name = typeof tokenType === "string" ? tokenType.toLowerCase() : "";
  if (name === "bearer") return "Bearer";
  if (name === "dpop") return "DPoP";
  throw tokenResponseError(`the "token_type" is neither Bearer nor DPoP, so the token cannot be used`);
}
