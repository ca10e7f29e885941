/**
 * The one POST to a token endpoint, shared by every grant: grants build parameters and nothing else.
 *
 * - S1 https, or http on loopback, or where `allowHttp` says so: checked before anything is sent.
 * - S2 Redirects are not followed.
 * - S3 At most 1 MiB of the answer is read.
 * - S5 No error holds a secret that was sent, nor anything of the body but a code and a cleaned description.
 *
 * @module
 */
import {
  allowInsecureRequests,
  ClientSecretBasic,
  ClientSecretPost,
  customFetch,
  genericTokenEndpointRequest,
} from "oauth4webapi";
import type { TokenResponse } from "../grant.ts";
import { assertFunction, assertString, endpointUrl, optionError } from "../options.ts";
import { redactor } from "./redaction.ts";
import { tokenFromAnswer, type TokenAnswer } from "./token-answer.ts";
import { postToken, sentCredentials, type TokenFetch } from "./token-post.ts";

/** Where a grant asks for its tokens, and as whom. */
export interface TokenEndpointOptions {
  /** The token endpoint: https, or http on loopback, or http with {@link TokenEndpointOptions.allowHttp} (S1). */
  readonly tokenEndpoint: string | URL;
  readonly clientId: string;
  /** The secret, or a function that is asked before every token request, so that a rotated secret is picked up. */
  readonly clientSecret: string | (() => string | Promise<string>);
  /**
   * How the client authenticates: in the `Authorization` header, or in the body for servers that only know that.
   *
   * @defaultValue "client_secret_basic"
   * @see [RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749.html#section-2.3.1)
   */
  readonly clientAuthentication?: "client_secret_basic" | "client_secret_post" | undefined;
  /** Headers of the token request. `Authorization` is made from the client's credentials and can not be among them. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Sends the token request; must not follow redirects. @defaultValue `globalThis.fetch`, looked up at every request */
  readonly fetch?: TokenFetch | undefined;
  /** Says that a trusted network protects plain http beyond loopback. @defaultValue false */
  readonly allowHttp?: boolean | undefined;
}

/** Checked {@link TokenEndpointOptions}: a copy, so that later changes of the caller's object change nothing. */
export interface TokenClient {
  readonly url: URL;
  /** Origin and path of the endpoint: what messages may show of it. */
  readonly endpoint: string;
  readonly clientId: string;
  readonly clientSecret: string | (() => string | Promise<string>);
  readonly clientAuthentication: typeof ClientSecretBasic | typeof ClientSecretPost;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: TokenFetch | undefined;
}

/** One token request, as a grant describes it. */
export interface TokenRequest {
  /** The `grant_type` parameter. */
  readonly grantType: string;
  /** The other parameters, without the client's credentials. */
  readonly parameters: URLSearchParams;
  readonly signal: AbortSignal;
  /** What else no error may show. The client's secret, header values and parameters such as `refresh_token` are known. */
  readonly secrets?: readonly string[] | undefined;
}

const CLIENT_AUTHENTICATIONS = { client_secret_basic: ClientSecretBasic, client_secret_post: ClientSecretPost };

/**
 * Checks the options that every grant with a token endpoint has.
 *
 * @throws {TypeError} When one of them is wrong; it names the option.
 */
export function tokenClient(options: TokenEndpointOptions): TokenClient {
  const { clientId, clientSecret, clientAuthentication = "client_secret_basic", fetch } = options;
  const url = endpointUrl("tokenEndpoint", options.tokenEndpoint, options.allowHttp === true);
  if (url.hash !== "") throw new TypeError(`"tokenEndpoint" must not have a fragment (RFC 6749 section 3.2)`);
  assertString("clientId", clientId);
  if (typeof clientSecret !== "function") assertSecret(clientSecret);
  if (!Object.hasOwn(CLIENT_AUTHENTICATIONS, clientAuthentication)) {
    throw optionError("clientAuthentication", clientAuthentication, `"client_secret_basic" or "client_secret_post"`);
  }
  assertFunction("fetch", fetch);
  return {
    url,
    endpoint: url.origin + url.pathname,
    clientId,
    clientSecret,
    clientAuthentication: CLIENT_AUTHENTICATIONS[clientAuthentication],
    headers: checkedHeaders(options.headers),
    fetch,
  };
}

function assertSecret(value: unknown): asserts value is string {
  if (typeof value !== "string" || value === "") {
    throw optionError("clientSecret", value, "a non-empty string, or a function that returns one");
  }
}

function checkedHeaders(value: unknown = {}): Readonly<Record<string, string>> {
  if (typeof value !== "object" || value === null) throw optionError("headers", value, "an object of strings");
  const headers: Record<string, string> = {};
  for (const [name, text] of Object.entries(value) as [string, unknown][]) {
    if (typeof text !== "string") throw optionError(`headers.${name}`, text, "a string");
    try {
      new Headers().append(name, text);
    } catch {
      // The platform's own message quotes the value.
      throw new TypeError(`"headers" must be valid header names and values; "${name}" is not`);
    }
    headers[name.toLowerCase()] = text;
  }
  if (Object.hasOwn(headers, "authorization")) {
    throw new TypeError(`"headers" must not have "authorization": it is made from clientId and clientSecret`);
  }
  return headers;
}

/**
 * Sends one token request.
 *
 * @returns The token response; `serverTime` (epoch ms) is there when the server told it (E2).
 * @throws {TokenEndpointError} When the token endpoint refuses the grant, or fails.
 * @throws {RemintError} `ERR_TOKEN_NETWORK` when there is no answer, `ERR_TOKEN_RESPONSE` when the answer is no token
 *   response. When `signal` fires: its reason, unwrapped.
 * @see [RFC 6749 section 3.2](https://www.rfc-editor.org/rfc/rfc6749.html#section-3.2)
 */
export async function requestToken(client: TokenClient, request: TokenRequest): Promise<TokenResponse> {
  const { signal, secrets = [] } = request;
  const secret: unknown = typeof client.clientSecret === "function" ? await client.clientSecret() : client.clientSecret;
  assertSecret(secret);
  signal.throwIfAborted();
  let answer!: TokenAnswer;
  await genericTokenEndpointRequest(
    { issuer: client.endpoint, token_endpoint: client.url.href },
    { client_id: client.clientId },
    client.clientAuthentication(secret),
    request.grantType,
    request.parameters,
    {
      headers: { ...client.headers },
      [allowInsecureRequests]: true, // tokenClient has judged the URL by S1, which knows loopback
      [customFetch]: async (url, { body, headers, method }) => {
        const redact = redactor([secret, ...secrets, ...sentCredentials(url, headers, body)]);
        const init = { body, headers, method, redirect: "manual", signal } as const;
        answer = await postToken({ endpoint: client.endpoint, fetch: client.fetch, redact }, url, init);
        return new Response(null, { headers: answer.headers });
      },
    },
  );
  return await tokenFromAnswer(answer, client.clientId);
}
