/**
 * The one request to a token endpoint, shared by every grant: grants build parameters and nothing else.
 *
 * - S1 https, or http on loopback, or where `allowHttp` says so: checked before anything is sent.
 * - S2 Redirects are not followed.
 * - S3 At most 1 MiB of the answer is read.
 * - S5 No error holds a secret that was sent, nor anything of the body but a code and a cleaned description.
 *
 * @module
 */
import { genericTokenEndpointRequest } from "oauth4webapi";
import type { TokenResponse } from "../core/types.ts";
import { authenticatedRequest } from "./authenticated-request.ts";
import { provedRequest } from "./proved-request.ts";
import { tokenFromAnswer } from "./answer.ts";
import type { TokenClient } from "./client.ts";

export { tokenClient, type TokenClient, type TokenEndpointOptions } from "./client.ts";

/** One token request, as a grant describes it. */
export interface TokenRequest {
  /** The `grant_type` parameter. */
  readonly grantType: string;
  /** The other parameters, without the client's credentials; or what makes them, for those that are good for one send. */
  readonly parameters: URLSearchParams | (() => Promise<URLSearchParams>);
  readonly signal: AbortSignal;
  /** What else no error may show. The client's secret, header values and parameters such as `refresh_token` are known. */
  readonly secrets?: readonly string[] | undefined;
}

/** Statuses that say that the endpoint is not there any more: its metadata may have changed. */
const GONE = new Set([404, 410]);

/**
 * Sends one token request.
 *
 * @returns The token response; `serverTime` (epoch ms) is there when the server told it (E2).
 * @throws {TokenEndpointError} When the token endpoint refuses the grant, or fails.
 * @throws {RemintError} `ERR_TOKEN_NETWORK` when there is no answer, `ERR_TOKEN_RESPONSE` when the answer is no token
 *   response, or the issuer has no metadata. When `signal` fires: its reason, unwrapped.
 * @see [RFC 6749 section 3.2](https://www.rfc-editor.org/rfc/rfc6749.html#section-3.2)
 */
export async function requestToken(client: TokenClient, request: TokenRequest): Promise<TokenResponse> {
  const { grantType, parameters, signal, secrets } = request;
  const endpoints = await client.server.endpoints(signal);
  const role = { name: "token endpoint", option: endpoints.issuer === undefined ? "tokenEndpoint" : "issuer" };
  const target = { endpoints, url: endpoints.token, role };
  const answer = await provedRequest(client, endpoints.token, async (proof) => {
    const form = typeof parameters === "function" ? await parameters() : parameters;
    return authenticatedRequest(client, target, { signal, secrets, proof }, (server, own, clientAuth, options) =>
      genericTokenEndpointRequest(server, own, clientAuth, grantType, form, options),
    );
  });
  if (GONE.has(answer.status)) client.server.forget();
  return await tokenFromAnswer(answer, client.clientId);
}
