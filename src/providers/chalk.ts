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
import { jsonObject } from "../base/bytes.ts";
import { assertFunction, assertOptions, duration, optionError, stringOf } from "../base/options.ts";
import { endpointUrl, isLoopback, withoutTrailingSlashes } from "../base/url.ts";
import { grantOf } from "../core/grant.ts";
import { postToken, tokenFromAnswer } from "../oauth/answer.ts";
import { redactor, shown } from "../oauth/redaction.ts";
import type { Grant } from "../core/grant.ts";
import type { AccessToken, TokenResponse } from "../core/types.ts";
import type { TokenAnswer, TokenFetch } from "../oauth/answer.ts";
import type { ClientSecret } from "../oauth/client-authentication.ts";

/** Options of {@link chalkGrant}. Each that is not given is read from the environment variable its description names. */
export interface ChalkGrantOptions {
  /** `CHALK_CLIENT_ID`. */
  readonly clientId?: string | undefined;
  /** `CHALK_CLIENT_SECRET`; or a function that is asked before every token request. */
  readonly clientSecret?: ClientSecret | undefined;
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
 * const tokens = createTokenCache({ grant: chalkGrant() });
 * const authFetch = createAuthFetch(tokens);
 * const engine = chalkToken(await tokens.get()).engineFor();
 * await authFetch(`${engine}/v1/query/online`, { method: "POST", body });
 * ```
 */
export function chalkGrant(options: ChalkGrantOptions = {}): Grant {
  assertOptions("chalkGrant", options);
  const { fetch, allowHttp = false } = options;
  const clientId = setting("clientId", "CHALK_CLIENT_ID", options.clientId);
  const secret = clientSecret(options.clientSecret);
  const apiServer = serverUrl(options.apiServer ?? fromEnvironment("CHALK_API_SERVER") ?? API_SERVER, allowHttp);
  const environment = options.environment ?? fromEnvironment("CHALK_ACTIVE_ENVIRONMENT");
  if (environment !== undefined) setting("environment", "CHALK_ACTIVE_ENVIRONMENT", environment);
  assertFunction("fetch", fetch);
  const endpoint = apiServer + TOKEN_PATH;
  return grantOf({
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
  const secret = await stringOf("clientSecret", client.secret);
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

/** Without Node's types: there is no `process` in browsers and Workers. */
function fromEnvironment(variable: string): string | undefined {
  const { process } = globalThis as { process?: { env?: Readonly<Record<string, string | undefined>> } };
  return process?.env?.[variable] || undefined;
}

// MERGED What Chalk says about a token beside its value: environments, and where their engines are.
/** What Chalk says about a token beside its value. */
export interface ChalkToken {
  readonly primaryEnvironment: string | undefined;
  /** Environment id to the URL of its query engine. */
  readonly engines: Readonly<Record<string, string>>;
  /** Environment id to the address of its gRPC engine. */
  readonly grpcEngines: Readonly<Record<string, string>>;
  readonly environmentNames: Readonly<Record<string, string>>;
  readonly apiServer: string | undefined;
  /** The URL of an environment's engine; without one named, the primary environment's. By id or by name. */
  engineFor(environment?: string): string | undefined;
  /** {@link ChalkToken.engineFor} for gRPC. */
  grpcEngineFor(environment?: string): string | undefined;
}

type Strings = Readonly<Record<string, string>>;

/** What Chalk said about a token that a `chalkGrant` obtained. */
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

type Environments = Pick<ChalkToken, "primaryEnvironment" | "environmentNames">;

/** The id of an environment that was given by id or name. */
function environmentId({ primaryEnvironment, environmentNames }: Environments, named?: string): string | undefined {
  if (named === undefined) return primaryEnvironment;
  const [id] = Object.entries(environmentNames).find(([, name]) => name === named) ?? [];
  return Object.hasOwn(environmentNames, named) ? named : (id ?? named);
}

/** Where a token may be sent: the API server and the engines, but never in the clear unless that is allowed. */
function tokenOrigins(token: ChalkToken, apiServer: string, allowHttp: boolean): string[] {
  const urls = [apiServer, token.apiServer, ...Object.values(token.engines), ...Object.values(token.grpcEngines)];
  return urls.flatMap((url) => {
    try {
      // A gRPC engine may be a bare host and port.
      const { origin, protocol, hostname } = new URL(url?.includes("://") === false ? `https://${url}` : url!);
      const isSafe = protocol === "https:" || (protocol === "http:" && (allowHttp || isLoopback(hostname)));
      return isSafe ? [origin] : [];
    } catch {
      return []; // An engine that has no usable address gets no token; the others do.
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
