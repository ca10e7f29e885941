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
import { jsonObject } from "../base/bytes.ts";
import { systemClock } from "../base/clock.ts";
import { isRemintError, tokenResponseError } from "../base/errors.ts";
import { wasNeverSent } from "../base/network.ts";
import { noteSent } from "../base/pending.ts";
import { serverTime } from "../base/server-time.ts";
import { callUserFunction } from "../base/user-function.ts";
import { errorOf, isSuccess, postToken, sentCredentials, tokenFromAnswer, UNUSABLE_ANSWER } from "./answer.ts";
import { redactor } from "./redaction.ts";
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
   * only, with a JWT that it signs by the server's clock: `skew` is how many milliseconds that is ahead.
   */
  readonly parameters: URLSearchParams | ((skew: number) => Promise<URLSearchParams>);
  /** The parameters have a JWT that is signed here, by this machine's clock. */
  readonly isSigned?: boolean | undefined;
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
  const { grantType, parameters, isSigned = false, signal, secrets, received } = request;
  const endpoints = await client.server.endpoints(signal);
  const role = { name: "token endpoint", option: endpoints.issuer === undefined ? "tokenEndpoint" : "issuer" };
  const target = { endpoints, url: endpoints.token, role };
  const ask = (skew: number): Promise<TokenAnswer> =>
    provedRequest(client, endpoints.token, signal, async (proof) => {
      const form = new URLSearchParams(typeof parameters === "function" ? await parameters(skew) : parameters);
      form.set("grant_type", grantType);
      return authenticatedRequest(client, target, form, { signal, secrets, proof, skew });
    });
  const answer = await byServersClock(ask, {
    invalid_client: client.authenticator.isSigned === true,
    invalid_grant: isSigned,
  }).catch((error: unknown) => {
    if (isMoved(error)) client.server.forget();
    throw error;
  });
  if (MOVED.has(answer.status)) client.server.forget();
  const json = isSuccess(answer) ? jsonObject(answer.body) : undefined;
  if (json !== undefined) received?.(json);
  return tokenFromAnswer(answer, client.shape);
}

/** Statuses of an endpoint that may be elsewhere now. The issuer's metadata may have changed. */
const MOVED = new Set([404, 405, 410, 503]);

/** Whether there was nobody at the endpoint, or a redirect. */
function isMoved(error: unknown): boolean {
  if (!isRemintError(error)) return false;
  return error.code === "ERR_TOKEN_RESPONSE" || (error.code === "ERR_TOKEN_NETWORK" && wasNeverSent(error));
}

/** In milliseconds. Clocks that differ less are not what an assertion was refused for. */
const LEAST_SKEW = 3000;

/**
 * Asks, and asks once more by the server's clock if it has refused a JWT that was signed by this machine's clock, and the
 * two differ.
 *
 * @param signed The errors by which a server refuses what was signed.
 */
async function byServersClock(
  ask: (skew: number) => Promise<TokenAnswer>,
  signed: Readonly<Record<string, boolean>>,
): Promise<TokenAnswer> {
  const answer = await ask(0);
  const now = serverTime(answer.headers);
  if (now === undefined || isSuccess(answer) || signed[errorOf(answer) ?? ""] !== true) return answer;
  const skew = now - systemClock.now();
  return Math.abs(skew) < LEAST_SKEW ? answer : ask(skew);
}

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
  /** Milliseconds that the server's clock is ahead of this machine's. @defaultValue 0 */
  readonly skew?: number | undefined;
}

/**
 * Authenticates a request, sends it and reads the answer.
 *
 * @param form The parameters. The client's credentials are added to them.
 * @throws {RemintError} As {@link postToken} does. When `signal` aborts: its reason, unwrapped.
 */
export async function authenticatedRequest(
  client: TokenClient,
  { endpoints, url, role }: Target,
  form: URLSearchParams,
  { signal, secrets = [], proof, skew = 0 }: RequestContext,
): Promise<TokenAnswer> {
  const audience = endpoints.issuer ?? endpoints.token.href;
  const credentials = await client.authenticator.credentials({ audience, signal, skew });
  signal.throwIfAborted();
  for (const [name, value] of Object.entries(credentials.parameters ?? {})) form.set(name, value);
  const headers = {
    accept: "application/json",
    ...client.headers,
    "content-type": client.json ? "application/json" : "application/x-www-form-urlencoded;charset=UTF-8",
    ...credentials.headers,
    ...proof,
  };
  const redact = redactor([...(credentials.secrets ?? []), ...secrets, ...sentCredentials(url, headers, form)]);
  const body = client.json ? JSON.stringify(membersOf(form)) : form;
  noteSent(signal, true);
  const context = { endpoint: url.origin + url.pathname, role, fetch: client.fetch, redact };
  const init = { method: "POST", headers, body, redirect: "manual", signal } as const;
  const answer = await postToken(context, url.href, init);
  return { ...answer, toCheck: credentials.toCheck };
}

/** A form as a JSON object. A parameter that is there more than once is a list. */
function membersOf(form: URLSearchParams): Record<string, string | string[]> {
  const names = [...new Set(form.keys())];
  return Object.fromEntries(
    names.map((name) => {
      const [first, ...more] = form.getAll(name);
      return [name, more.length === 0 ? first! : [first!, ...more]];
    }),
  );
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
