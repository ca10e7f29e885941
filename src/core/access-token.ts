/**
 * An access token that does not print: `inspect`, JSON and string conversion say `[redacted]` (S5).
 *
 * @module
 */
import { isVisibleAscii } from "../base/bytes.ts";
import { tokenResponseError } from "../base/errors.ts";
import { kindOf } from "../base/options.ts";
import { redactedClass, withoutCredentials } from "../base/redacted.ts";
import type { AccessToken, TokenResponse } from "./types.ts";

/**
 * Whether a token can be older than its flight, and so than a rejection before that (C7): it was `minted` by it; another
 * process minted it to replace a rejected one (`renewed`), or for another reason, at any time (`taken`).
 */
export type Freshness = "minted" | "renewed" | "taken";

/** The one implementation of {@link AccessToken}; the cache knows by {@link AccessTokenRecord.flight} when it was minted. */
export class AccessTokenRecord implements AccessToken {
  // Private fields and prototype getters: there is nothing to enumerate, so nothing prints.
  readonly #value: string;
  readonly #header: string;
  readonly #expiresAt: number;
  readonly #scheme: "Bearer" | "DPoP";
  readonly #scope: string | undefined;
  readonly #response: Readonly<Record<string, unknown>>;
  readonly #flight: number;
  readonly #freshness: Freshness;

  /** @throws {RemintError} `ERR_TOKEN_RESPONSE` when the response holds no usable token. */
  constructor(response: TokenResponse, expiresAt: number, flight: number, freshness: Freshness = "minted") {
    this.#value = usableValue(response.access_token);
    this.#scheme = schemeOf(response.token_type);
    this.#header = `${this.#scheme} ${this.#value}`;
    this.#expiresAt = expiresAt;
    this.#scope = typeof response.scope === "string" ? response.scope : undefined;
    this.#response = withoutCredentials(response);
    this.#flight = flight;
    this.#freshness = freshness;
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
  /** The number of the flight that minted it; order is a counter, never a clock (C7). */
  get flight(): number {
    return this.#flight;
  }
  get freshness(): Freshness {
    return this.#freshness;
  }

  toString(): string {
    return "[redacted]";
  }
  static {
    redactedClass(this.prototype, "AccessToken");
  }
}

/** @throws {RemintError} `ERR_TOKEN_RESPONSE` when `value` cannot be sent in a header as it is. */
export function usableValue(value: unknown): string {
  if (typeof value !== "string" || value === "") {
    throw tokenResponseError(`the token response has no "access_token" (it is ${kindOf(value)})`);
  }
  if (!isVisibleAscii(value)) {
    throw tokenResponseError(
      `the "access_token" contains characters that cannot stand in a header (only visible ASCII without spaces can)`,
    );
  }
  return value;
}

/**
 * RFC 6749 section 7.1: a client must not use a token of a type it does not understand.
 *
 * @throws {RemintError} `ERR_TOKEN_RESPONSE` when it is neither.
 */
export function schemeOf(tokenType: unknown): "Bearer" | "DPoP" {
  if (tokenType === undefined || tokenType === null) return "Bearer";
  const name = typeof tokenType === "string" ? tokenType.toLowerCase() : "";
  if (name === "bearer") return "Bearer";
  if (name === "dpop") return "DPoP";
  throw tokenResponseError(`the "token_type" is neither Bearer nor DPoP, so the token cannot be attached`);
}
