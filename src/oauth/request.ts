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
import { allowInsecureRequests, customFetch, genericTokenEndpointRequest } from "oauth4webapi";
import { tokenResponseError } from "../base/errors.ts";
import { leaveState } from "../base/left-state.ts";
import { errorOf, postToken, sentCredentials, tokenFromAnswer } from "./answer.ts";
import { redactor } from "./redaction.ts";
import type { AuthorizationServer, Client, ClientAuth, TokenEndpointRequestOptions } from "oauth4webapi";
import type { GrantDefinition } from "../core/grant.ts";
import type { Proof, TokenResponse } from "../core/types.ts";
import type { EndpointRole, TokenAnswer } from "./answer.ts";
import type { TokenClient } from "./client.ts";
import type { Endpoints } from "./discovery.ts";

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

/** Sends a request to the token endpoint, with a proof if there is a key; `send` gets the headers of it. */
export async function provedRequest(
  { dpop }: TokenClient,
  url: URL,
  send: (headers: Proof["headers"] | undefined) => Promise<TokenAnswer>,
): Promise<TokenAnswer> {
  const proof = await dpop?.prove({ method: "POST", url: url.origin + url.pathname });
  const answer = await send(proof?.headers);
  const next = proof && heard(proof, answer);
  if (next === undefined) return answer;
  const second = await next();
  const last = await send(second.headers);
  heard(second, last);
  return last;
}

function heard(proof: Proof, answer: TokenAnswer): (() => Promise<Proof>) | undefined {
  const { status, headers } = answer;
  return proof.answered?.({ status, header: (name) => headers.get(name), error: errorOf(answer) });
}

/**
 * RFC 9449 section 5: a token that is not bound has none of the protection that was asked for.
 *
 * Not looked at before a rotated refresh token is safe: it came with the token, and is good.
 *
 * @throws {RemintError} `ERR_TOKEN_RESPONSE` when the token is not bound, and that was not said to be fine.
 */
export function boundToken<Token extends TokenResponse>({ dpop, endpoint }: TokenClient, token: Token): Token {
  if (dpop === undefined || dpop.allowBearer || /^dpop$/i.test(token.token_type ?? "")) return token;
  const error = tokenResponseError(
    `the token endpoint ${endpoint} was asked for a DPoP token and answered with a Bearer token: it does not know DPoP, ` +
      `or not for this client. If that may be, say dpop({ allowBearer: true })`,
  );
  throw leaveState(error, token["state"]);
}

/** What a grant needs so that its tokens are proved: to be spread into it. Empty without a key. */
export function proving({ dpop }: TokenClient): Pick<GrantDefinition, "prove"> {
  return dpop === undefined ? {} : { prove: (request) => dpop.prove(request) };
}

// MERGED One request of an authenticated client to one of its server's endpoints.
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
