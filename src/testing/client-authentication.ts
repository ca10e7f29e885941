/** What a client says it is. */
export interface ClientCredentials {
  readonly id: string | undefined;
  readonly secret: string | undefined;
}

/**
 * The credentials of `client_secret_basic`, or else of `client_secret_post`; `undefined` when they are malformed or
 * given in both ways.
 *
 * @see [RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749.html#section-2.3.1)
 */
export function credentialsOf(authorization: string | undefined, form: URLSearchParams): ClientCredentials | undefined {
  const posted = { id: form.get("client_id") ?? undefined, secret: form.get("client_secret") ?? undefined };
  if (authorization === undefined) return posted;
  // RFC 6749 section 2.3: not more than one method in a request.
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
