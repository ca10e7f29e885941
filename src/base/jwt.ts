/**
 * Reads the times in a JWT.
 *
 * Not for verifying a JWT: only the API that accepts the token verifies it. JWTs are signed in `keys.ts`.
 *
 * @module
 */
import { jwtDecode } from "jwt-decode";

/** The times in a JWT, in epoch seconds. A claim that is not a finite number is left out. */
export interface JwtTimes {
  /** When the JWT expires. */
  readonly exp?: number;
  /** When the JWT was issued. */
  readonly iat?: number;
}

/** Returns the times in a token: an empty object when the token is not a JWT. */
export function jwtTimes(token: string): JwtTimes {
  if (token.split(".", 4).length !== 3) return {};
  try {
    const { exp, iat } = jwtDecode<{ exp?: unknown; iat?: unknown }>(token);
    return { ...(isTime(exp) && { exp }), ...(isTime(iat) && { iat }) };
  } catch {
    return {};
  }
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}
