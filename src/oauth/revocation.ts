/**
 * Tells the authorization server that a token is not needed any more.
 *
 * @module
 */
import { revocationRequest } from "oauth4webapi";
import { RemintError } from "../base/errors.ts";
import { refusal } from "./answer.ts";
import { authenticatedRequest } from "./request.ts";
import type { GrantDefinition } from "../core/grant.ts";
import type { TokenClient } from "./client.ts";

/** One revocation. */
export interface RevocationRequest {
  readonly token: string;
  /** What the token is, for servers that would look in the wrong place first. */
  readonly tokenTypeHint?: "access_token" | "refresh_token" | undefined;
  readonly signal: AbortSignal;
}

/**
 * Revokes a token. A token that the server does not know (any more) is no error: it is not good for anything either.
 *
 * @throws {TokenEndpointError} When the server refuses, or fails.
 * @throws {RemintError} `ERR_TOKEN_NETWORK` when there is no answer; `ERR_TOKEN_RESPONSE` when the answer is a redirect, or
 *   there is no revocation endpoint. When `signal` fires: its reason, unwrapped.
 * @see [RFC 7009 section 2](https://www.rfc-editor.org/rfc/rfc7009.html#section-2)
 */
export async function revokeToken(client: TokenClient, request: RevocationRequest): Promise<void> {
  const { token, tokenTypeHint, signal } = request;
  const endpoints = await client.server.endpoints(signal);
  const url = endpoints.revocation();
  if (url === undefined) {
    const who = endpoints.issuer === undefined ? client.endpoint : `the issuer ${endpoints.issuer}`;
    const message = `the token cannot be revoked: ${who} has no revocation endpoint; set revocationEndpoint`;
    throw new RemintError("ERR_TOKEN_RESPONSE", message);
  }
  const target = { endpoints, url, role: { name: "revocation endpoint", option: "revocationEndpoint" } };
  const additionalParameters = new URLSearchParams(tokenTypeHint && { token_type_hint: tokenTypeHint });
  const answer = await authenticatedRequest(client, target, { signal }, (server, own, clientAuth, options) =>
    revocationRequest(server, own, clientAuth, token, { ...options, additionalParameters }),
  );
  // RFC 7009 says 200; some servers answer 204 to what has no body.
  if (answer.status >= 200 && answer.status <= 299) return;
  const error = refusal(answer);
  // RFC 7009 section 2.2 says 200 to this too; Salesforce does not.
  if (error.status !== 400 || error.error !== "invalid_token") throw error;
}

/**
 * What a grant needs to revoke its access tokens: to be spread into it. Empty without a revocation endpoint; with an issuer,
 * only its metadata can tell.
 */
export function revocation(client: TokenClient): Pick<GrantDefinition, "revoke"> {
  if (!client.mayRevoke) return {};
  return {
    async revoke(token, { signal }) {
      if (token !== undefined) await revokeToken(client, { token: token.value, tokenTypeHint: "access_token", signal });
    },
  };
}
