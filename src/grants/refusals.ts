/**
 * What a refusal of a token endpoint means beyond its code: that it passes, or that the user has to sign in again.
 *
 * @module
 */
import { isRemintError, TokenEndpointError } from "../base/errors.ts";
import { callUserFunction } from "../base/user-function.ts";
import type { RemintErrorOptions } from "../base/errors.ts";

/**
 * Decides whether a refusal of the token endpoint means that the user has to sign in again. `undefined` leaves the decision
 * to the grant. The error has `endpointStatus`, `error` and `errorDescription`.
 */
export type IsTerminal = (error: TokenEndpointError) => boolean | undefined;

/** Whether an error is a refusal, or a failure, that the token endpoint answered. */
export function isRefusal(error: unknown): error is TokenEndpointError {
  return isRemintError(error) && error.code === "ERR_TOKEN_ENDPOINT";
}

/**
 * Asks the user's function, and the grant where the function does not know.
 *
 * @throws {RemintError} `ERR_GRANT` when the function fails.
 */
export async function endsSession(
  refusal: TokenEndpointError,
  isTerminal: IsTerminal | undefined,
  otherwise: (refusal: TokenEndpointError) => boolean,
  signal: AbortSignal,
): Promise<boolean> {
  const answer = isTerminal && (await callUserFunction("isTerminal", signal, () => isTerminal(refusal)));
  return answer ?? otherwise(refusal);
}

/**
 * Whether a refusal says that the refresh token is expired, revoked or used up. Where a server uses a code that has another
 * meaning too, its text decides: a client that is not allowed to refresh is not helped by another sign-in.
 */
export function isDeadToken({ error = "", endpointStatus, errorDescription = "" }: TokenEndpointError): boolean {
  if (DEAD.has(error)) return true;
  // Atlassian.
  if (error === "unauthorized_client")
    return endpointStatus === 403 && errorDescription.startsWith("refresh_token is invalid");
  // Zoom.
  return error === "invalid_request" && /^invalid (refresh )?token\W*$/i.test(errorDescription);
}

/** RFC 6749, GitHub, Slack and HubSpot. */
const DEAD = new Set(["invalid_grant", "bad_refresh_token", "invalid_refresh_token", "BAD_REFRESH_TOKEN"]);

/** Returns a refusal that says to sign in again. */
export function terminalRefusal(refusal: TokenEndpointError, meaning: string): TokenEndpointError {
  const { hint } = refusal;
  return restated(refusal, { hint: hint === undefined ? meaning : `${hint}: ${meaning}`, terminal: true });
}

/** Returns a refusal that passes. */
export function transientRefusal(refusal: TokenEndpointError): TokenEndpointError {
  return restated(refusal, { retryable: true }, "no token is available: the authorization server failed");
}

function restated(
  refusal: TokenEndpointError,
  meaning: RemintErrorOptions,
  message = refusal.message,
): TokenEndpointError {
  const { endpointStatus, hint, error, errorDescription, retryAfter } = refusal;
  const same = { hint, error, errorDescription, retryAfter, retryable: false };
  return new TokenEndpointError(endpointStatus, message, { ...same, ...meaning });
}
