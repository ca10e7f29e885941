/**
 * How the auth server of this kit tells which client sent a request: `client_secret_basic`, `client_secret_post`, or
 * the name of a client without a secret.
 *
 * What a client may do then is in auth-server.ts.
 *
 * @see [RFC 6749 section 2.3](https://www.rfc-editor.org/rfc/rfc6749.html#section-2.3)
 * @module
 */
import type { ReceivedHeaders } from "./scripted-server.ts";

/** The credentials of a client; `undefined` where there are none. */
export interface ClientCredentials {
  readonly id: string | undefined;
  readonly secret: string | undefined;
}

/** The part of a request that has the client's credentials. */
interface ClientRequest {
  readonly headers: ReceivedHeaders;
  readonly form: URLSearchParams;
}

/** Returns the credentials in a request if they are those of the expected client; otherwise `undefined`. */
export function authenticatedClient(
  { headers, form }: ClientRequest,
  expected: ClientCredentials,
): ClientCredentials | undefined {
  const given = credentialsOf(headers.authorization, form);
  // Without an expected client, every request is answered, also one whose credentials are malformed.
  if (expected.id === undefined) return given ?? { id: undefined, secret: undefined };
  if (given?.id !== expected.id) return undefined;
  return expected.secret === undefined || given.secret === expected.secret ? given : undefined;
}

/**
 * Reads the credentials of `client_secret_basic`, or otherwise of `client_secret_post`. Returns `undefined` when they
 * are malformed, or when the request uses both methods.
 *
 * @see [RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749.html#section-2.3.1)
 */
function credentialsOf(authorization: string | undefined, form: URLSearchParams): ClientCredentials | undefined {
  const posted = { id: form.get("client_id") ?? undefined, secret: form.get("client_secret") ?? undefined };
  if (authorization === undefined) return posted;
  // RFC 6749 section 2.3: a request must not use more than one method.
  if (posted.secret !== undefined) return undefined;
  const [, encoded] = /^Basic +([A-Za-z0-9+/]+=*)$/i.exec(authorization) ?? [];
  if (encoded === undefined) return undefined;
  const pair = Buffer.from(encoded, "base64").toString("utf8");
  const colon = pair.indexOf(":");
  if (colon === -1) return undefined;
  try {
    return { id: formDecoded(pair.slice(0, colon)), secret: formDecoded(pair.slice(colon + 1)) };
  } catch {
    return undefined;
  }
}

/** @throws {URIError} When a percent sign is not followed by two hexadecimal digits, or the bytes are not UTF-8. */
function formDecoded(text: string): string {
  return decodeURIComponent(text.replaceAll("+", " "));
}
