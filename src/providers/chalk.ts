/**
 * `remint/chalk`: a grant for Chalk's API. It is a client credentials grant with differences from RFC 6749:
 *
 * 1. The client's id and secret are sent as JSON to `{apiServer}/v1/oauth/token`.
 * 2. The answer has the token, and the URL of the query engine of every environment. The token may be sent to these.
 * 3. Requests carry the token, and in `X-Chalk-Env-Id` the environment they are for.
 *
 * The request is sent and its answer is read by `oauth/answer.ts`. For servers that follow RFC 6749 see
 * `grants/client-credentials.ts`.
 *
 * @module
 */
import { jsonObject } from "../base/bytes.ts";
import { assertFunction, assertOptions, duration, optionError, stringOf } from "../base/options.ts";
import { endpointName, endpointUrl, isLoopback, originUrl, withoutTrailingSlashes } from "../base/url.ts";
import { grantOf } from "../core/grant.ts";
import { retrying } from "../grants/retry.ts";
import { postToken, tokenFromAnswer } from "../oauth/answer.ts";
import { redactor, shown } from "../oauth/redaction.ts";
import type { Grant } from "../core/grant.ts";
import type { AccessToken, TokenResponse } from "../core/types.ts";
import type { TokenAnswer, TokenFetch } from "../oauth/answer.ts";
import type { ClientSecret } from "../oauth/client-authentication.ts";

/**
 * Options of {@link chalkGrant}. An option that is not set is read from the environment variable in its description.
 */
export interface ChalkGrantOptions {
  /** The client's id. Environment variable: `CHALK_CLIENT_ID`. */
  readonly clientId?: string | undefined;
  /**
   * The client's secret, or a function that is called before every token request. Environment variable:
   * `CHALK_CLIENT_SECRET`.
   */
  readonly clientSecret?: ClientSecret | undefined;
  /** The URL of the API server. Environment variable: `CHALK_API_SERVER`. @defaultValue "https://api.chalk.ai" */
  readonly apiServer?: string | URL | undefined;
  /**
   * The environment that requests are for, by id or by name. Environment variable: `CHALK_ACTIVE_ENVIRONMENT`.
   *
   * @defaultValue the token's primary environment
   */
  readonly environment?: string | undefined;
  /** Milliseconds a token lives when the server does not say. @defaultValue 3_600_000 (1 hour) */
  readonly defaultTtl?: number | undefined;
  /**
   * Sends the token request. It must not follow redirects.
   *
   * @defaultValue `globalThis.fetch`, looked up at every request
   */
  readonly fetch?: TokenFetch | undefined;
  /** Allows plain http beyond loopback, where a trusted network protects it. @defaultValue false */
  readonly allowHttp?: boolean | undefined;
}

const API_SERVER = "https://api.chalk.ai";
const TOKEN_PATH = "/v1/oauth/token";
const ENVIRONMENT_HEADER = "X-Chalk-Env-Id";
const USER_AGENT = "remint";
const AN_HOUR = 60 * 60_000;
const ROLE = { name: "token endpoint", option: "apiServer" } as const;

/**
 * Creates a grant for Chalk's API. Its tokens may be sent to the API server and to the engines that the token response
 * names. Requests without an `X-Chalk-Env-Id` header get one.
 *
 * @throws {TypeError} When an option is wrong, or when it is missing and its environment variable is not set.
 * @example
 * ```ts
 * const tokens = createTokenCache({ grant: chalkGrant() });
 * const authFetch = createAuthFetch(tokens);
 * const engine = chalkToken(await tokens.get()).engineFor();
 * await authFetch(`${engine}/v1/query/online`, { method: "POST", body });
 * ```
 */
export function chalkGrant(options: ChalkGrantOptions = {}): Grant {
  assertOptions("chalkGrant", options, [
    "clientId",
    "clientSecret",
    "apiServer",
    "environment",
    "defaultTtl",
    "fetch",
    "allowHttp",
  ]);
  const { fetch, allowHttp = false } = options;
  const clientId = setting("clientId", "CHALK_CLIENT_ID", options.clientId);
  const secret = clientSecret(options.clientSecret);
  const apiServer = serverUrl(options.apiServer ?? fromEnvironment("CHALK_API_SERVER") ?? API_SERVER, allowHttp);
  const environment = options.environment ?? fromEnvironment("CHALK_ACTIVE_ENVIRONMENT");
  if (environment !== undefined) setting("environment", "CHALK_ACTIVE_ENVIRONMENT", environment);
  assertFunction("fetch", fetch);
  const endpoint = apiServer + TOKEN_PATH;
  const endpoints = [endpointName(new URL(endpoint))];
  return grantOf({
    key: JSON.stringify(["chalk", endpoint, clientId]),
    // Every token is for all environments of the client.
    server: { endpoint, client: clientId, target: "" },
    endpoints: () => endpoints,
    origins: (token) => tokenOrigins(chalkToken(token), apiServer, allowHttp),
    defaultTtl: duration("defaultTtl", options.defaultTtl, AN_HOUR),
    headers(token) {
      const id = environmentId(chalkToken(token), environment);
      return id === undefined ? {} : { [ENVIRONMENT_HEADER]: id };
    },
    isRepeatable: true,
    retry: retrying,
    mint: async ({ signal }) => ({ response: await mintToken({ endpoint, clientId, secret, fetch }, signal) }),
  });
}

/** What Chalk's token response says beside the token. */
export interface ChalkToken {
  /** The id of the environment that is used when none is named. */
  readonly primaryEnvironment: string | undefined;
  /** The URL of each environment's query engine, by environment id. */
  readonly engines: Readonly<Record<string, string>>;
  /** The address of each environment's gRPC engine, by environment id. */
  readonly grpcEngines: Readonly<Record<string, string>>;
  /** The name of each environment, by environment id. */
  readonly environmentNames: Readonly<Record<string, string>>;
  /** The URL of the API server. */
  readonly apiServer: string | undefined;
  /** Returns the URL of an environment's query engine, by id or by name; by default the primary environment's. */
  engineFor(environment?: string): string | undefined;
  /** Returns the address of an environment's gRPC engine, by id or by name; by default the primary environment's. */
  grpcEngineFor(environment?: string): string | undefined;
}

type Strings = Readonly<Record<string, string>>;

/** Returns what Chalk's token response said beside the token. For tokens of {@link chalkGrant}. */
export function chalkToken({ response }: AccessToken): ChalkToken {
  const { primary_environment: primary, api_server: apiServer } = response;
  const token = {
    primaryEnvironment: textOf(primary),
    engines: stringsOf(response["engines"]),
    grpcEngines: stringsOf(response["grpc_engines"]),
    environmentNames: stringsOf(response["environment_id_to_name"]),
    apiServer: textOf(apiServer),
  };
  const from = (engines: Strings, environment: string | undefined): string | undefined => {
    const id = environmentId(token, environment);
    return id !== undefined && Object.hasOwn(engines, id) ? engines[id] : undefined;
  };
  return {
    ...token,
    engineFor: (environment) => from(token.engines, environment),
    grpcEngineFor: (environment) => from(token.grpcEngines, environment),
  };
}

interface ChalkClient {
  readonly endpoint: string;
  readonly clientId: string;
  readonly secret: ClientSecret;
  readonly fetch: TokenFetch | undefined;
}

async function mintToken(client: ChalkClient, signal: AbortSignal): Promise<TokenResponse> {
  const { endpoint, clientId, fetch } = client;
  const secret = await stringOf("clientSecret", client.secret, signal);
  signal.throwIfAborted();
  const redact = redactor([secret]);
  const answer = await postToken({ endpoint, role: ROLE, fetch, redact }, endpoint, {
    method: "POST",
    headers: { accept: "application/json", "content-type": "application/json", "user-agent": USER_AGENT },
    body: JSON.stringify({ client_id: clientId, client_secret: secret, grant_type: "client_credentials" }),
    redirect: "manual",
    signal,
  });
  const token = tokenFromAnswer(asOAuth(answer));
  return { ...token, refresh_token: undefined };
}

/**
 * Turns an answer of Chalk into one of RFC 6749. Chalk may leave out `token_type`, and its errors may be plain text.
 */
function asOAuth(answer: TokenAnswer): TokenAnswer {
  const { status, body, redact } = answer;
  const json = jsonObject(body);
  if (status !== 200) {
    const reason = json?.["error_description"] ?? json?.["message"] ?? json?.["detail"] ?? (json ? undefined : body);
    const text = shown(typeof reason === "string" && !reason.trimStart().startsWith("<") ? reason : undefined, redact);
    return { ...answer, body: JSON.stringify({ error: json?.["error"], error_description: text }) };
  }
  if (json === undefined) return answer;
  return { ...answer, body: JSON.stringify({ ...json, token_type: json["token_type"] ?? "Bearer" }) };
}

/** An option, or the environment variable that stands for it. @throws {TypeError} When neither is set. */
function setting(name: string, variable: string, given: unknown): string {
  const value: unknown = given ?? fromEnvironment(variable);
  if (typeof value === "string" && value !== "") return value;
  throw optionError(name, value, `a non-empty string, or in the environment as ${variable}`);
}

function clientSecret(given: ClientSecret | undefined): ClientSecret {
  return typeof given === "function" ? given : setting("clientSecret", "CHALK_CLIENT_SECRET", given);
}

function serverUrl(value: unknown, allowHttp: boolean): string {
  const { origin, pathname } = endpointUrl("apiServer", value, allowHttp);
  return withoutTrailingSlashes(origin + pathname);
}

/** Reads an environment variable. Browsers and Workers have no `process`, so Node's types are not used. */
function fromEnvironment(variable: string): string | undefined {
  const { process } = globalThis as { process?: { env?: Readonly<Record<string, string | undefined>> } };
  return process?.env?.[variable] || undefined;
}

type Environments = Pick<ChalkToken, "primaryEnvironment" | "environmentNames">;

/** The id of an environment that is named by its id or its name; by default the primary environment's. */
function environmentId({ primaryEnvironment, environmentNames }: Environments, named?: string): string | undefined {
  if (named === undefined) return primaryEnvironment;
  const [id] = Object.entries(environmentNames).find(([, name]) => name === named) ?? [];
  return Object.hasOwn(environmentNames, named) ? named : (id ?? named);
}

/** Where a token may be sent: to the API server and the engines. Plain http only where it is allowed. */
function tokenOrigins(token: ChalkToken, apiServer: string, allowHttp: boolean): string[] {
  const urls = [apiServer, token.apiServer, ...Object.values(token.engines), ...Object.values(token.grpcEngines)];
  return urls.flatMap((url) => {
    try {
      // A gRPC engine may be a bare host and port.
      const value = url?.includes("://") === false ? `https://${url}` : url;
      const { origin, protocol, hostname } = originUrl({ value, index: 0, mayHavePath: true, unset: "" });
      const isSafe = protocol === "https:" || (protocol === "http:" && (allowHttp || isLoopback(hostname)));
      return isSafe ? [origin] : [];
    } catch {
      return []; // An engine without a usable address gets no token. The other engines get theirs.
    }
  });
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function stringsOf(value: unknown): Strings {
  const entries = Object.entries(Object(value) as object).filter(([, text]) => textOf(text) !== undefined);
  return Object.fromEntries(entries) as Strings;
}
