/**
 * Chalk's API: its own dialect of the client credentials grant, the headers its requests carry, and where its tokens may
 * be sent.
 *
 * 1. POST the client's id and secret as JSON to `{apiServer}/v1/oauth/token`.
 * 2. The answer has the token, and the query engine of every environment.
 * 3. Requests carry the token, and the environment they are for in `X-Chalk-Env-Id`.
 *
 * @module
 */
import type { Grant, TokenResponse } from "../core/types.ts";
import { redactedGrant } from "../grants/redacted-grant.ts";
import { redactor, shown } from "../oauth/redaction.ts";
import { tokenFromAnswer, type TokenAnswer } from "../oauth/answer.ts";
import { postToken, type TokenFetch } from "../oauth/token-post.ts";
import { assertFunction, assertOptions, duration, endpointUrl, optionError } from "../base/options.ts";
import { chalkToken, environmentId, tokenOrigins } from "./chalk-token.ts";

export { chalkToken } from "./chalk-token.ts";
export type { ChalkToken } from "./chalk-token.ts";

/** Options of {@link chalk}. Each that is not given is read from the environment variable its description names. */
export interface ChalkOptions {
  /** `CHALK_CLIENT_ID`. */
  readonly clientId?: string | undefined;
  /** `CHALK_CLIENT_SECRET`; or a function that is asked before every token request. */
  readonly clientSecret?: string | (() => string | Promise<string>) | undefined;
  /** `CHALK_API_SERVER`. @defaultValue "https://api.chalk.ai" */
  readonly apiServer?: string | URL | undefined;
  /**
   * The environment requests are for, by id or name: `CHALK_ACTIVE_ENVIRONMENT`.
   *
   * @defaultValue the token's primary environment
   */
  readonly environment?: string | undefined;
  /** Milliseconds a token lives when the server does not say. @defaultValue 3_600_000 (1 hour) */
  readonly defaultTtl?: number | undefined;
  /** Sends the token request; must not follow redirects. @defaultValue `globalThis.fetch`, looked up at every request */
  readonly fetch?: TokenFetch | undefined;
  /** Says that a trusted network protects plain http beyond loopback. @defaultValue false */
  readonly allowHttp?: boolean | undefined;
}

type ClientSecret = string | (() => string | Promise<string>);

const API_SERVER = "https://api.chalk.ai";
const TOKEN_PATH = "/v1/oauth/token";
const ENVIRONMENT_HEADER = "X-Chalk-Env-Id";
const USER_AGENT = "remint";
const AN_HOUR = 60 * 60_000;
const ROLE = { name: "token endpoint", option: "apiServer" } as const;

/**
 * A grant for Chalk: obtains its tokens, knows where they may be sent (the API server and the engines the token names)
 * and adds `X-Chalk-Env-Id` to requests that do not have it.
 *
 * @throws {TypeError} When an option is wrong, or neither given nor in the environment.
 * @example
 * ```ts
 * const tokens = createTokenCache({ grant: chalk() });
 * const authFetch = createAuthFetch(tokens);
 * const engine = chalkToken(await tokens.get()).engineFor();
 * await authFetch(`${engine}/v1/query/online`, { method: "POST", body });
 * ```
 */
export function chalk(options: ChalkOptions = {}): Grant {
  assertOptions("chalk", options);
  const { fetch, allowHttp = false } = options;
  const clientId = setting("clientId", "CHALK_CLIENT_ID", options.clientId);
  const secret = clientSecret(options.clientSecret);
  const apiServer = serverUrl(options.apiServer ?? fromEnvironment("CHALK_API_SERVER") ?? API_SERVER, allowHttp);
  const environment = options.environment ?? fromEnvironment("CHALK_ACTIVE_ENVIRONMENT");
  if (environment !== undefined) setting("environment", "CHALK_ACTIVE_ENVIRONMENT", environment);
  assertFunction("fetch", fetch);
  const endpoint = apiServer + TOKEN_PATH;
  return redactedGrant({
    key: JSON.stringify(["chalk", endpoint, clientId]),
    endpoint,
    origins: (token) => tokenOrigins(chalkToken(token), apiServer, allowHttp),
    defaultTtl: duration("defaultTtl", options.defaultTtl, AN_HOUR),
    headers(token) {
      const id = environmentId(chalkToken(token), environment);
      return id === undefined ? {} : { [ENVIRONMENT_HEADER]: id };
    },
    mint: ({ signal }) => mintToken({ endpoint, clientId, secret, fetch }, signal),
  });
}

interface ChalkClient {
  readonly endpoint: string;
  readonly clientId: string;
  readonly secret: ClientSecret;
  readonly fetch: TokenFetch | undefined;
}

async function mintToken(client: ChalkClient, signal: AbortSignal): Promise<TokenResponse> {
  const { endpoint, clientId, fetch } = client;
  const secret: unknown = typeof client.secret === "function" ? await client.secret() : client.secret;
  assertSecret(secret);
  signal.throwIfAborted();
  const redact = redactor([secret]);
  const answer = await postToken({ endpoint, role: ROLE, fetch, redact }, endpoint, {
    method: "POST",
    headers: { accept: "application/json", "content-type": "application/json", "user-agent": USER_AGENT },
    body: JSON.stringify({ client_id: clientId, client_secret: secret, grant_type: "client_credentials" }),
    redirect: "manual",
    signal,
  });
  const token = await tokenFromAnswer(asOAuth(answer), clientId);
  return { ...token, refresh_token: undefined };
}

/** The answer as RFC 6749 would have it: Chalk may leave out `token_type`, and refuses in plain text. */
function asOAuth(answer: TokenAnswer): TokenAnswer {
  const { status, body, redact } = answer;
  const json = jsonObject(body);
  if (status !== 200) {
    const said = json?.["error_description"] ?? json?.["message"] ?? json?.["detail"] ?? (json ? undefined : body);
    const text = shown(typeof said === "string" && !said.trimStart().startsWith("<") ? said : undefined, redact);
    return { ...answer, body: JSON.stringify({ error: json?.["error"], error_description: text }) };
  }
  return json === undefined ? answer : { ...answer, body: JSON.stringify({ ...json, token_type: typeOf(json) }) };
}

function typeOf(json: Readonly<Record<string, unknown>>): unknown {
  return json["token_type"] ?? "Bearer";
}

function jsonObject(body: string | undefined): Record<string, unknown> | undefined {
  try {
    const json: unknown = JSON.parse(body ?? "");
    return typeof json === "object" && json !== null && !Array.isArray(json) ? { ...json } : undefined;
  } catch {
    return undefined;
  }
}

function setting(name: string, variable: string, given: unknown): string {
  const value: unknown = given ?? fromEnvironment(variable);
  if (typeof value === "string" && value !== "") return value;
  throw optionError(name, value, `a non-empty string, or in the environment as ${variable}`);
}

function clientSecret(given: ClientSecret | undefined): ClientSecret {
  return typeof given === "function" ? given : setting("clientSecret", "CHALK_CLIENT_SECRET", given);
}

function assertSecret(value: unknown): asserts value is string {
  if (typeof value === "string" && value !== "") return;
  throw optionError("clientSecret", value, "a non-empty string, or a function that returns one");
}

function serverUrl(value: unknown, allowHttp: boolean): string {
  const { origin, pathname } = endpointUrl("apiServer", value, allowHttp);
  return origin + pathname.replace(/\/+$/, "");
}

/** Without Node's types: there is no `process` in browsers and Workers. */
function fromEnvironment(variable: string): string | undefined {
  const { process } = globalThis as { process?: { env?: Readonly<Record<string, string | undefined>> } };
  return process?.env?.[variable] || undefined;
}
