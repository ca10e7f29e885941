/**
 * The times in a JWT. Nothing is verified: that is the business of the API which accepts the token.
 *
 * @module
 */
import { jwtDecode } from "jwt-decode";

/** The times a JWT states, in epoch seconds. A time that is no finite number is left out. */
export interface JwtTimes {
  /** When it expires. */
  readonly exp?: number;
  /** When it was issued. */
  readonly iat?: number;
}

/** The times in a token; none when the token is no JWT. */
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
