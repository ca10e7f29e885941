/**
 * `remint/chalk`: a grant for Chalk's API. It is a client credentials grant with differences from RFC 6749:
 *
 * 1. The client's id and secret are sent as JSON to `{apiServer}/v1/oauth/token`.
 * 2. The answer has the token, and the address of the query engine of every environment. The token may be sent to these.
 * 3. Requests carry the token, and in `X-Chalk-...` headers the environment, branch and deployment that they are for.
 *
 * The request is sent and its answer is read by `oauth/answer.ts`. For servers that follow RFC 6749 see
 * `grants/client-credentials.ts`.
 *
 * @module
 */
import { jsonObject } from "../base/bytes.ts";
import { tokenResponseError } from "../base/errors.ts";
import {
  assertAccessToken,
  assertFunction,
  assertOptions,
  duration,
  flag,
  optionError,
  scopeList,
} from "../base/options.ts";
import { endpointName, endpointUrl, isLoopback, originUrl, withoutTrailingSlashes } from "../base/url.ts";
import { grantOf } from "../core/grant.ts";
import { retrying } from "../grants/retry.ts";
import { postToken, tokenFromAnswer, UNUSABLE_ANSWER } from "../oauth/answer.ts";
import { redactor, shown } from "../oauth/redaction.ts";
import { sendable } from "../oauth/sendable.ts";
import type { Grant } from "../core/grant.ts";
import type { AccessToken, TokenResponse } from "../core/types.ts";
import type { TokenAnswer, TokenFetch } from "../oauth/answer.ts";
import type { ClientSecret } from "../oauth/client-authentication.ts";

/**
 * Options of {@link chalkGrant}. An option that is not set is read from the environment variable in its description, or
 * from that with an underscore before it (`_CHALK_CLIENT_ID`).
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
   * The URL of the query server, where it is not the engine that the token response names. Environment variable:
   * `CHALK_QUERY_SERVER`.
   *
   * @defaultValue the engine of the environment
   */
  readonly queryServer?: string | URL | undefined;
  /**
   * The environment that requests are for, by id or by name, in any case. Environment variable:
   * `CHALK_ACTIVE_ENVIRONMENT`.
   *
   * @defaultValue the token's primary environment
   */
  readonly environment?: string | undefined;
  /**
   * The branch that requests are for. Environment variables: `CHALK_BRANCH_ID`, `CHALK_BRANCH`.
   *
   * @defaultValue none: requests are for the environment's main deployment
   */
  readonly branch?: string | undefined;
  /** The tag of the deployment that requests are for. Environment variable: `CHALK_DEPLOYMENT_TAG`. @defaultValue none */
  readonly deploymentTag?: string | undefined;
  /** The resource group that serves the requests. @defaultValue none: the environment's default */
  readonly resourceGroup?: string | undefined;
  /** Says that the caller itself handles versions of features in their names. @defaultValue false */
  readonly featuresVersioned?: boolean | undefined;
  /** The scopes to request: a list, or one string with spaces between them. @defaultValue none: the server decides */
  readonly scope?: string | readonly string[] | undefined;
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

/** One setting of a {@link ChalkGrant}. */
export interface ChalkSetting {
  /** What is used. Never a secret. */
  readonly value: string | undefined;
  /**
   * Where it comes from: `"option"`, the name of the environment variable, `"default"`, or `"token"`, which is what the
   * token response says; `"none"` where there is nothing.
   */
  readonly source: string;
}

/** The settings that a {@link ChalkGrant} uses, and where each comes from. Of the secret it has the source alone. */
export type ChalkConfig = Readonly<
  Record<
    | "clientId"
    | "clientSecret"
    | "apiServer"
    | "queryServer"
    | "environment"
    | "branch"
    | "deploymentTag"
    | "resourceGroup"
    | "scope",
    ChalkSetting
  >
>;

/** A grant for Chalk's API. */
export type ChalkGrant = Grant & {
  /** The settings it uses, and where each comes from. No secret is in it. */
  readonly config: ChalkConfig;
};

const API_SERVER = "https://api.chalk.ai";
const TOKEN_PATH = "/v1/oauth/token";
/** Name and version, as Chalk's own clients say them. */
const USER_AGENT = "remint/0.1.0";
const AN_HOUR = 60 * 60_000;
const ROLE = { name: "token endpoint", option: "apiServer" } as const;

/**
 * Creates a grant for Chalk's API. Its tokens may be sent to the API server, to the query server and to the engines that
 * the token response names. Requests get the headers that Chalk's own clients send, unless the caller set them:
 * `X-Chalk-Env-Id`, `X-Chalk-Client-Id`, `X-Chalk-Deployment-Type`, those of the options, and on a server `User-Agent`.
 *
 * If the token response does not know the environment, no token is to be had: the error's `hint` lists the known ones.
 *
 * @throws {TypeError} When an option is wrong, or when it is missing and its environment variable is not set.
 * @example
 * ```ts
 * const grant = chalkGrant();
 * const tokens = createTokenCache({ grant });
 * const authFetch = createAuthFetch(tokens);
 * const { queryServer } = chalkToken(await tokens.get(), grant.config);
 * await authFetch(`${queryServer}/v1/query/online`, { method: "POST", body });
 * ```
 */
export function chalkGrant(options: ChalkGrantOptions = {}): ChalkGrant {
  assertOptions("chalkGrant", options, [
    "clientId",
    "clientSecret",
    "apiServer",
    "queryServer",
    "environment",
    "branch",
    "deploymentTag",
    "resourceGroup",
    "featuresVersioned",
    "scope",
    "defaultTtl",
    "fetch",
    "allowHttp",
  ]);
  const { fetch, allowHttp = false } = options;
  const secret = secretOf(options.clientSecret);
  const config: ChalkConfig = Object.freeze({
    clientId: required("clientId", "CHALK_CLIENT_ID", options.clientId),
    clientSecret: { value: undefined, source: secret.source },
    apiServer: server("apiServer", options.apiServer, { value: API_SERVER, source: "default" }, allowHttp),
    queryServer: server("queryServer", options.queryServer, FROM_TOKEN, allowHttp),
    environment: setting("environment", options.environment, ["CHALK_ACTIVE_ENVIRONMENT"], FROM_TOKEN),
    branch: setting("branch", options.branch, ["CHALK_BRANCH_ID", "CHALK_BRANCH"]),
    deploymentTag: setting("deploymentTag", options.deploymentTag, ["CHALK_DEPLOYMENT_TAG"]),
    resourceGroup: setting("resourceGroup", options.resourceGroup),
    scope: setting("scope", scopeList(options.scope).join(" ") || undefined),
  });
  for (const each of Object.values(config)) Object.freeze(each);
  const isVersioned = flag("featuresVersioned", options.featuresVersioned);
  assertFunction("fetch", fetch);
  const [clientId, endpoint, scope] = [config.clientId.value!, config.apiServer.value + TOKEN_PATH, config.scope.value];
  const endpoints = [endpointName(new URL(endpoint))];
  const client = { endpoint, clientId, secret: secret.value, scope, fetch };
  const headersOf = new WeakMap<AccessToken, Readonly<Record<string, string>>>();
  const grant = grantOf({
    key: JSON.stringify(["chalk", endpoint, clientId, ...(scope === undefined ? [] : [scope])]),
    // Every token is for all environments of the client.
    server: { endpoint, client: clientId, target: scope ?? "" },
    endpoints: () => endpoints,
    origins: (token) => tokenOrigins(chalkToken(token), config, allowHttp),
    defaultTtl: duration("defaultTtl", options.defaultTtl, AN_HOUR),
    headers(token) {
      let headers = headersOf.get(token);
      if (headers === undefined) headersOf.set(token, (headers = requestHeaders(token.response, config, isVersioned)));
      return headers;
    },
    isRepeatable: true,
    retry: retrying,
    async mint({ signal }) {
      const response = await mintToken(client, signal);
      usedEnvironment(response, config);
      return { response };
    },
  });
  return Object.assign(grant, { config });
}

/** What Chalk's token response says beside the token, and what follows from it for requests. */
export interface ChalkToken {
  /** The id of the environment that requests are for: the one of the config, otherwise the primary one. */
  readonly environment: string | undefined;
  /** The id of the environment that is used when none is named. */
  readonly primaryEnvironment: string | undefined;
  /** The URL of each environment's query engine, by environment id. */
  readonly engines: Readonly<Record<string, string>>;
  /** The URL of each environment's gRPC engine, by environment id. */
  readonly grpcEngines: Readonly<Record<string, string>>;
  /** The name of each environment, by environment id. */
  readonly environmentNames: Readonly<Record<string, string>>;
  /** The URL of the API server. */
  readonly apiServer: string | undefined;
  /**
   * The URL that queries go to: with a branch the API server, otherwise the query server of the config, otherwise the
   * environment's engine, otherwise the API server.
   */
  readonly queryServer: string | undefined;
  /** When the token expires. Epoch milliseconds. */
  readonly expiresAt: number;
  /**
   * Returns the URL of an environment's query engine, by id or by name, in any case; by default that of `environment`.
   *
   * @throws {TypeError} When the token response lists environments, and this is none of them. The message lists them.
   */
  engineFor(environment?: string): string | undefined;
  /** Returns the URL of an environment's gRPC engine, as `engineFor` does. @throws {TypeError} As `engineFor` does. */
  grpcEngineFor(environment?: string): string | undefined;
}

type Members = Readonly<Record<string, unknown>>;
type Strings = Readonly<Record<string, string>>;

/**
 * Returns what Chalk's token response said beside the token, and what follows from it. For tokens of {@link chalkGrant}.
 *
 * @param config The `config` of the grant. @defaultValue none: the primary environment and its engine
 * @throws {TypeError} When the environment of the config is none of those that the token response lists.
 */
export function chalkToken(token: AccessToken, config?: ChalkConfig): ChalkToken {
  assertAccessToken(token);
  const { response, expiresAt } = token;
  const engines = urlsOf(response["engines"]);
  const grpcEngines = urlsOf(response["grpc_engines"]);
  const environments = environmentsOf(response);
  const idOf = (named: string | undefined): string | undefined => {
    const { id, problem } = environmentId(environments, named);
    if (problem !== undefined) throw new TypeError(problem);
    return id;
  };
  const environment = idOf(config?.environment.value);
  const from = (urls: Strings, named: string | undefined): string | undefined => {
    const id = named === undefined ? environment : idOf(named);
    return id !== undefined && Object.hasOwn(urls, id) ? urls[id] : undefined;
  };
  const apiServer = withScheme(textOf(response["api_server"]));
  const fallback = config?.apiServer.value ?? apiServer;
  return {
    ...environments,
    environment,
    engines,
    grpcEngines,
    apiServer,
    queryServer:
      config?.branch.value === undefined
        ? (config?.queryServer.value ?? from(engines, undefined) ?? fallback)
        : fallback,
    expiresAt,
    engineFor: (named) => from(engines, named),
    grpcEngineFor: (named) => from(grpcEngines, named),
  };
}

interface ChalkClient {
  readonly endpoint: string;
  readonly clientId: string;
  readonly secret: ClientSecret;
  readonly scope: string | undefined;
  readonly fetch: TokenFetch | undefined;
}

async function mintToken(client: ChalkClient, signal: AbortSignal): Promise<TokenResponse> {
  const { endpoint, clientId, scope, fetch } = client;
  const secret = await sendable("clientSecret", client.secret, "secret", signal);
  signal.throwIfAborted();
  const redact = redactor([secret]);
  const answer = await postToken({ endpoint, role: ROLE, fetch, redact }, endpoint, {
    method: "POST",
    headers: { accept: "application/json", "content-type": "application/json", "user-agent": USER_AGENT },
    body: JSON.stringify({ client_id: clientId, client_secret: secret, grant_type: "client_credentials", scope }),
    redirect: "manual",
    signal,
  });
  const token = tokenFromAnswer(asOAuth(answer));
  return { ...token, refresh_token: undefined };
}

/**
 * Turns an answer of Chalk into one of RFC 6749. Chalk may leave out `token_type` or write names in camel case, and its
 * errors may be plain text.
 */
function asOAuth(answer: TokenAnswer): TokenAnswer {
  const { status, body, redact } = answer;
  const json = jsonObject(body);
  if (status < 200 || status > 299) {
    const reason = json?.["error_description"] ?? json?.["message"] ?? json?.["detail"] ?? (json ? undefined : body);
    const text = shown(typeof reason === "string" && !reason.trimStart().startsWith("<") ? reason : undefined, redact);
    return { ...answer, body: JSON.stringify({ error: json?.["error"], error_description: text }) };
  }
  if (json === undefined) return answer;
  const members: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(json)) {
    const inSnakeCase = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    if (inSnakeCase === name || !Object.hasOwn(json, inSnakeCase)) members[inSnakeCase] = value;
  }
  return { ...answer, body: JSON.stringify(members) };
}

const NONE: ChalkSetting = { value: undefined, source: "none" };
const FROM_TOKEN: ChalkSetting = { value: undefined, source: "token" };

/** An option, or the first of the environment variables that is set. @throws {TypeError} When it is no text for a header. */
function setting(
  name: string,
  given: unknown,
  variables: readonly string[] = [],
  otherwise: ChalkSetting = NONE,
): ChalkSetting {
  const found = given == null ? fromEnvironment(variables) : { value: given, source: "option" };
  if (found === undefined) return otherwise;
  const { value, source } = found;
  if (typeof value !== "string" || value === "") throw optionError(name, value, "a non-empty string");
  if (/^[ -~]+$/.test(value)) return { value, source };
  throw new TypeError(`"${name}" must be text that a header may hold, got another character in it (${source})`);
}

/** A setting without which there is no token. @throws {TypeError} When neither the option nor the variable is set. */
function required(name: string, variable: string, given: unknown): ChalkSetting {
  const found = given === "" ? NONE : setting(name, given, [variable]);
  if (found.value !== undefined) return found;
  throw optionError(name, given, `a non-empty string, or in the environment as ${variable}`);
}

function secretOf(given: ClientSecret | undefined): { readonly value: ClientSecret; readonly source: string } {
  if (typeof given === "function") return { value: given, source: "option" };
  const { value, source } = required("clientSecret", "CHALK_CLIENT_SECRET", given);
  return { value: value!, source };
}

/** The URL of a server, without slashes at its end. Its scheme may be left out, as in the answers of the server. */
function server(name: string, given: unknown, otherwise: ChalkSetting, allowHttp: boolean): ChalkSetting {
  const variable = name === "apiServer" ? "CHALK_API_SERVER" : "CHALK_QUERY_SERVER";
  const { value, source } = setting(name, given instanceof URL ? given.href : given, [variable], otherwise);
  if (value === undefined) return otherwise;
  const { origin, pathname } = endpointUrl(name, withScheme(value), allowHttp);
  return { value: withoutTrailingSlashes(origin + pathname), source };
}

/** Puts https before an address without a scheme, as in `host.example:443`. */
function withScheme<Text extends string | undefined>(address: Text): Text {
  return address === undefined || address.includes("://") ? address : (`https://${address}` as Text);
}

/** Reads environment variables. Browsers and Workers have no `process`, so Node's types are not used. */
function fromEnvironment(variables: readonly string[]): { value: string; source: string } | undefined {
  const { env } = runtime() ?? {};
  for (const source of variables.flatMap((name) => [name, `_${name}`])) {
    try {
      const value = env?.[source];
      if (value) return { value, source };
    } catch {
      // Deno throws for a variable that it may not read.
    }
  }
  return undefined;
}

interface Runtime {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly versions?: unknown;
}

function runtime(): Runtime | undefined {
  return (globalThis as { process?: Runtime }).process;
}

/** The headers that Chalk's own clients send with every request. */
function requestHeaders(
  response: Members,
  config: ChalkConfig,
  isVersioned: boolean,
): Readonly<Record<string, string>> {
  const { clientId, branch, deploymentTag, resourceGroup } = config;
  const headers = {
    "X-Chalk-Env-Id": usedEnvironment(response, config),
    "X-Chalk-Client-Id": clientId.value,
    "X-Chalk-Deployment-Type": branch.value === undefined ? "engine" : "branch",
    "X-Chalk-Branch-Id": branch.value,
    "X-Chalk-Deployment-Tag": deploymentTag.value,
    "X-Chalk-Resource-Group": resourceGroup.value,
    "X-Chalk-Features-Versioned": isVersioned ? "true" : undefined,
    // A page cannot set it, or the API would have to allow it.
    "User-Agent": runtime()?.versions === undefined ? undefined : USER_AGENT,
  };
  return Object.fromEntries(
    Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

/** The id of the environment that requests are for. @throws {RemintError} When the token response does not know it. */
function usedEnvironment(response: Members, { environment }: ChalkConfig): string | undefined {
  const { id, problem } = environmentId(environmentsOf(response), environment.value);
  if (problem !== undefined) throw tokenResponseError(UNUSABLE_ANSWER, problem);
  return id;
}

type Environments = Pick<ChalkToken, "primaryEnvironment" | "environmentNames">;

function environmentsOf(response: Members): Environments {
  const primaryEnvironment = textOf(response["primary_environment"]);
  return { primaryEnvironment, environmentNames: stringsOf(response["environment_id_to_name"]) };
}

/**
 * Finds the id of an environment that is named by its id or its name; by default the primary environment's. An exact match
 * goes before one in another case, and an id before a name. Where the server lists no environments, every name is an id.
 */
function environmentId(
  { primaryEnvironment, environmentNames }: Environments,
  named: string | undefined,
): { readonly id?: string | undefined; readonly problem?: string } {
  if (named === undefined) return { id: primaryEnvironment };
  const known = Object.entries(environmentNames);
  const lower = named.toLowerCase();
  const [found] =
    known.find(([id]) => id === named) ??
    known.find(([, name]) => name === named) ??
    known.find(([id]) => id.toLowerCase() === lower) ??
    known.find(([, name]) => name.toLowerCase() === lower) ??
    [];
  if (found !== undefined || known.length === 0) return { id: found ?? named };
  const list = known.map(([id, name]) => `${name} (${id})`).join(", ");
  return { problem: `"environment" must be one of this client's: ${list}; got "${named}"` };
}

/** Where a token may be sent: to the servers of the config and the engines. Plain http only where it is allowed. */
function tokenOrigins(token: ChalkToken, { apiServer, queryServer }: ChalkConfig, allowHttp: boolean): string[] {
  const engines = [...Object.values(token.engines), ...Object.values(token.grpcEngines)];
  return [apiServer.value, queryServer.value, token.apiServer, ...engines].flatMap((value) => {
    try {
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

function urlsOf(value: unknown): Strings {
  return Object.fromEntries(Object.entries(stringsOf(value)).map(([id, address]) => [id, withScheme(address)]));
}
