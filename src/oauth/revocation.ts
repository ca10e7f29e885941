/**
 * Revokes tokens at the authorization server (RFC 7009).
 *
 * Not here: which tokens a grant revokes, and in which order (the grants), and when (`core/token-cache.ts`).
 *
 * @module
 */
import { tokenResponseError } from "../base/errors.ts";
import { tryEach } from "../base/try-each.ts";
import { isSuccess, refusal } from "./answer.ts";
import { authenticatedRequest } from "./request.ts";
import type { GrantDefinition } from "../core/grant.ts";
import type { EndpointRole } from "./answer.ts";
import type { TokenClient } from "./client.ts";

/** One revocation. */
export interface RevocationRequest {
  readonly token: string;
  /** The kind of the token. It helps the server to find the token. */
  readonly tokenTypeHint?: "access_token" | "refresh_token" | undefined;
  readonly signal: AbortSignal;
}

/**
 * Revokes a token. It succeeds too when the server does not know the token, because then the token is not valid either.
 *
 * @throws {TokenEndpointError} When the server refuses, or fails.
 * @throws {RemintError} `ERR_TOKEN_NETWORK` when there is no answer; `ERR_TOKEN_RESPONSE` when the answer is a
 *   redirect, or when there is no revocation endpoint. When `signal` aborts: its reason, unwrapped.
 * @see [RFC 7009 section 2](https://www.rfc-editor.org/rfc/rfc7009.html#section-2)
 */
export async function revokeToken(client: TokenClient, request: RevocationRequest): Promise<void> {
  const { token, tokenTypeHint, signal } = request;
  const endpoints = await client.server.endpoints(signal);
  const url = endpoints.revocation();
  if (url === undefined) {
    const server = endpoints.issuer === undefined ? client.endpoint : `the issuer ${endpoints.issuer}`;
    const hint = `the token cannot be revoked: ${server} has no revocation endpoint; set revocationEndpoint`;
    throw tokenResponseError("the token could not be revoked: the authorization server has no way to do it", hint);
  }
  const target = { endpoints, url, role: REVOCATION_ENDPOINT };
  const form = new URLSearchParams({ token, ...(tokenTypeHint && { token_type_hint: tokenTypeHint }) });
  const answer = await authenticatedRequest(client, target, form, { signal });
  // RFC 7009 section 2.2 says 200. Some servers answer 204, because the body is empty.
  if (isSuccess(answer)) return;
  const error = refusal(answer);
  // The server does not know the token. RFC 7009 section 2.2 says 200 for this too, but Salesforce answers 400.
  if (error.endpointStatus !== 400 || error.error !== "invalid_token") throw error;
}

const REVOCATION_ENDPOINT: EndpointRole = {
  name: "revocation endpoint",
  option: "revocationEndpoint",
  outcome: "the token could not be revoked",
};

/**
 * Returns the member that a grant needs to revoke its access tokens. Empty when there is no revocation endpoint. With
 * an issuer it is never empty, because only the metadata says whether there is one.
 */
export function revocationMember(client: TokenClient): Pick<GrantDefinition, "revoke"> {
  if (!client.mayRevoke) return {};
  return {
    async revoke(tokens, { signal }) {
      await tryEach(tokens, ({ value }) =>
        revokeToken(client, { token: value, tokenTypeHint: "access_token", signal }),
      );
    },
  };
}
