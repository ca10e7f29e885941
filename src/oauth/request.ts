/**
 * Sends the requests of one client to its authorization server: token requests, and requests to other endpoints of the
 * same server. Requests are authenticated here, and token requests carry a DPoP proof where there is a key. Grants
 * build the parameters and nothing else.
 *
 * Not here: reading and interpreting the answer (`answer.ts`), client authentication (`client-authentication.ts`),
 * checks of options and URLs (`client.ts`).
 *
 * @module
 */
import { allowInsecureRequests, customFetch, genericTokenEndpointRequest } from "oauth4webapi";
import { jsonObject } from "../base/bytes.ts";
import { tokenResponseError } from "../base/errors.ts";
import { noteSent } from "../base/pending.ts";
import { callUserFunction } from "../base/user-function.ts";
import { errorOf, postToken, sentCredentials, tokenFromAnswer, UNUSABLE_ANSWER } from "./answer.ts";
import { redactor } from "./redaction.ts";
import type { AuthorizationServer, Client, ClientAuth, TokenEndpointRequestOptions } from "oauth4webapi";
import type { GrantDefinition } from "../core/grant.ts";
import type { Proof, TokenResponse } from "../core/types.ts";
import type { EndpointRole, TokenAnswer } from "./answer.ts";
import type { TokenClient } from "./client.ts";
import type { Endpoints } from "./discovery.ts";

/** One token request, as a grant describes it. */
interface TokenRequest {
  /** The `grant_type` parameter. */
  readonly grantType: string;
  /**
   * The other parameters, without the client's credentials. A function makes parameters that are valid for one send
   * only.
   */
  readonly parameters: URLSearchParams | (() => Promise<URLSearchParams>);
  readonly signal: AbortSignal;
  /**
   * Further texts that no error may show. The client's secret, and parameters and headers that are named like a
   * credential, need not be listed.
   */
  readonly secrets?: readonly string[] | undefined;
  /** Called with an answer of status 2xx that is a JSON object, before anything else of it is checked. */
  readonly received?: ((answer: Readonly<Record<string, unknown>>) => void) | undefined;
}

/**
 * Sends one token request.
 *
 * @returns The token response. `serverTime` (epoch milliseconds) is set when the server stated its time (E2).
 * @throws {TokenEndpointError} When the token endpoint refuses the grant, or fails.
 * @throws {RemintError} `ERR_TOKEN_NETWORK` when there is no answer; `ERR_TOKEN_RESPONSE` when the answer is not a
 *   token response, or when the issuer has no metadata. When `signal` aborts: its reason, unwrapped.
 * @see [RFC 6749 section 3.2](https://www.rfc-editor.org/rfc/rfc6749.html#section-3.2)
 */
export async function requestToken(client: TokenClient, request: TokenRequest): Promise<TokenResponse> {
  const { grantType, parameters, signal, secrets, received } = request;
  const endpoints = await client.server.endpoints(signal);
  const role = { name: "token endpoint", option: endpoints.issuer === undefined ? "tokenEndpoint" : "issuer" };
  const target = { endpoints, url: endpoints.token, role };
  const answer = await provedRequest(client, endpoints.token, signal, async (proof) => {
    const form = typeof parameters === "function" ? await parameters() : parameters;
    return authenticatedRequest(client, target, { signal, secrets, proof }, (server, own, clientAuth, options) =>
      genericTokenEndpointRequest(server, own, clientAuth, grantType, form, options),
    );
  });
  if (GONE.has(answer.status)) client.server.forget();
  const json = answer.status >= 200 && answer.status <= 299 ? jsonObject(answer.body) : undefined;
  if (json !== undefined) received?.(json);
  return await tokenFromAnswer(answer, client.clientId);
}

/** Statuses of an endpoint that no longer exists. The issuer's metadata may have changed. */
const GONE = new Set([404, 410]);

/**
 * Sends a request to the token endpoint, with a DPoP proof if the client has a key. `send` gets the headers of the
 * proof.
 *
 * If the server asks for a nonce, the request is sent once more with it. That happens within one attempt of the mint:
 * nothing has failed, and a refresh token has not been used up.
 */
async function provedRequest(
  { dpop }: TokenClient,
  url: URL,
  signal: AbortSignal,
  send: (headers: Proof["headers"] | undefined) => Promise<TokenAnswer>,
): Promise<TokenAnswer> {
  // The key may be an object of the user's.
  const call = <T>(use: () => T | PromiseLike<T>): Promise<T> => callUserFunction("dpop.prove", signal, use);
  const proof = await call(() => dpop?.prove({ method: "POST", url: url.origin + url.pathname }));
  const answer = await send(proof?.headers);
  const nextProof = proof && (await call(() => reportAnswer(proof, answer)));
  if (nextProof === undefined) return answer;
  const second = await call(nextProof);
  const last = await send(second.headers);
  await call(() => reportAnswer(second, last));
  return last;
}

/** Tells the key about the answer. Returns the function that makes another proof, if the answer asks for one. */
function reportAnswer(proof: Proof, answer: TokenAnswer): (() => Promise<Proof>) | undefined {
  const { status, headers } = answer;
  return proof.answered?.({ status, header: (name) => headers.get(name), error: errorOf(answer) });
}

/** The endpoint that a request goes to. */
interface Target {
  readonly endpoints: Endpoints;
  readonly url: URL;
  readonly role: EndpointRole;
}

/** What one request has beside its parameters. */
interface RequestContext {
  readonly signal: AbortSignal;
  /** Texts that no error may show, beside parameters and headers that are named like a credential. */
  readonly secrets?: readonly string[] | undefined;
  /** Headers that prove possession of a key. New for every request. */
  readonly proof?: Readonly<Record<string, string>> | undefined;
}

/** A function of oauth4webapi that sends a request. It takes the URL from the member of `server` for its endpoint. */
type RequestFunction = (
  server: AuthorizationServer,
  client: Client,
  clientAuth: ClientAuth,
  options: Pick<TokenEndpointRequestOptions, "headers" | typeof allowInsecureRequests | typeof customFetch>,
) => Promise<Response>;

/**
 * Authenticates a request, sends it and reads the answer.
 *
 * @throws {RemintError} As {@link postToken} does. When `signal` aborts: its reason, unwrapped.
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
      [allowInsecureRequests]: true, // The URL's scheme was checked before. oauth4webapi would refuse http on loopback.
      [customFetch]: async (href, { body, headers: usual, method }) => {
        const headers = { ...usual, ...proof };
        const redact = redactor([...credentials.secrets, ...secrets, ...sentCredentials(href, headers, body)]);
        const init = { body, headers, method, redirect: "manual", signal } as const;
        noteSent(signal, true);
        answer = await postToken({ endpoint, role, fetch: client.fetch, redact }, href, init);
        return new Response(null, { headers: answer.headers });
      },
    },
  );
  return answer;
}

/**
 * Returns the token if it is bound to the client's key, or if the client has no key or allows `Bearer` tokens. A token
 * that is not bound does not have the protection that the user asked for (RFC 9449 section 5).
 *
 * @throws {RemintError} `ERR_TOKEN_RESPONSE` when the token is not bound to the key.
 */
export function boundToken<Token extends TokenResponse>({ dpop, endpoint }: TokenClient, token: Token): Token {
  if (dpop === undefined || dpop.allowBearer || /^dpop$/i.test(token.token_type ?? "")) return token;
  throw tokenResponseError(
    UNUSABLE_ANSWER,
    `the token endpoint ${endpoint} was asked for a DPoP token and answered with a Bearer token: the server does ` +
      `not support DPoP, or not for this client. To accept such tokens, set dpop({ allowBearer: true })`,
  );
}

/** Returns the member that a grant needs for its tokens to be sent with a proof. Empty when the client has no key. */
export function proofMember({ dpop }: TokenClient): Pick<GrantDefinition, "prove" | "proofKey"> {
  if (dpop === undefined) return {};
  return { prove: (request) => dpop.prove(request), proofKey: { thumbprint: dpop.thumbprint } };
}
