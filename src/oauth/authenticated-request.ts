/**
 * One request of an authenticated client to one of its server's endpoints.
 *
 * @module
 */
import { allowInsecureRequests, customFetch } from "oauth4webapi";
import type { AuthorizationServer, Client, ClientAuth, TokenEndpointRequestOptions } from "oauth4webapi";
import type { Endpoints } from "./discovery.ts";
import { redactor } from "./redaction.ts";
import type { EndpointRole, TokenAnswer } from "./answer.ts";
import type { TokenClient } from "./client.ts";
import { postToken, sentCredentials } from "./token-post.ts";

/** Where a request goes. */
export interface Target {
  readonly endpoints: Endpoints;
  readonly url: URL;
  readonly role: EndpointRole;
}

/** What one request brings beside its parameters. */
export interface RequestContext {
  readonly signal: AbortSignal;
  /** What no error may show, beside what is known to be secret by its name. */
  readonly secrets?: readonly string[] | undefined;
  /** Headers that prove possession of a key; new for every request. */
  readonly proof?: Readonly<Record<string, string>> | undefined;
}

/** A request as oauth4webapi makes it; it finds its URL under its own name in `server`. */
export type RequestFunction = (
  server: AuthorizationServer,
  client: Client,
  clientAuth: ClientAuth,
  options: Pick<TokenEndpointRequestOptions, "headers" | typeof allowInsecureRequests | typeof customFetch>,
) => Promise<Response>;

/**
 * Authenticates a request, sends it and reads the answer.
 *
 * @throws {RemintError} As {@link postToken}. When `signal` fires: its reason, unwrapped.
 */
export async function authenticatedRequest(
  client: TokenClient,
  { endpoints, url, role }: Target,
  { signal, secrets = [], proof }: RequestContext,
  request: RequestFunction,
): Promise<TokenAnswer> {
  const audience = endpoints.issuer ?? endpoints.token.href;
  const credentials = await client.authenticator.credentials({ audience, signal });
  signal.throwIfAborted();
  const endpoint = url.origin + url.pathname;
  let answer!: TokenAnswer;
  await request(
    { issuer: audience, token_endpoint: url.href, revocation_endpoint: url.href },
    { client_id: client.clientId },
    credentials.clientAuth,
    {
      headers: { ...client.headers },
      [allowInsecureRequests]: true, // S1 was judged when the URL came, by a rule that knows loopback
      [customFetch]: async (target, { body, headers: usual, method }) => {
        const headers = { ...usual, ...proof };
        const redact = redactor([...credentials.secrets, ...secrets, ...sentCredentials(target, headers, body)]);
        const init = { body, headers, method, redirect: "manual", signal } as const;
        answer = await postToken({ endpoint, role, fetch: client.fetch, redact }, target, init);
        return new Response(null, { headers: answer.headers });
      },
    },
  );
  return answer;
}
