import { TokenEndpointError, type TokenResponse } from "remint";

/** The identity provider's answer to a sign-in and to a refresh. */
export interface UserToken extends TokenResponse {
  readonly refresh_token: string;
}

const CLIENT = { authorization: `Basic ${Buffer.from("bff:s3cret").toString("base64")}` };

/**
 * Sends one request to the token endpoint.
 *
 * @throws {TokenEndpointError} When the endpoint refuses. `terminal: true` means that the session is over.
 */
export async function requestUserToken(
  tokenEndpoint: string,
  form: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<UserToken> {
  const body = new URLSearchParams(form);
  const response = await fetch(tokenEndpoint, { method: "POST", headers: CLIENT, body, signal: signal ?? null });
  if (response.ok) return (await response.json()) as UserToken;
  const { error } = (await response.json().catch(() => ({}))) as { error?: string };
  const seconds = Number(response.headers.get("retry-after"));
  throw new TokenEndpointError(response.status, `the identity provider answered ${response.status}`, {
    error,
    terminal: error === "invalid_grant",
    retryAfter: seconds > 0 ? seconds * 1000 : undefined,
  });
}
