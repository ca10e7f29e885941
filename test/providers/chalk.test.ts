/** The Chalk grant against a scripted Chalk server: request, settings, expiry, engines, origins and errors. */
import { readFileSync } from "node:fs";
import { inspect } from "node:util";
import axios from "axios";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createTokenCache, type InitialToken, type RemintError, type TokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { chalkGrant, chalkToken, type ChalkGrantOptions } from "remint/chalk";
import { createAuthFetch } from "remint/fetch";
import { type Api, type AuthServer, manualClock, type ManualClock, startApi, startAuthServer } from "remint/testing";
import { definitionOf } from "../../src/core/grant.ts";
import { policyHalf } from "../../src/core/types.ts";
import { rejectionOf } from "../core/cache-under-test.ts";
import { mintOnce } from "../grants/one-mint.ts";

const VARIABLES = [
  "CHALK_CLIENT_ID",
  "CHALK_CLIENT_SECRET",
  "CHALK_API_SERVER",
  "CHALK_QUERY_SERVER",
  "CHALK_ACTIVE_ENVIRONMENT",
  "CHALK_BRANCH_ID",
  "CHALK_BRANCH",
  "CHALK_DEPLOYMENT_TAG",
].flatMap((name) => [name, `_${name}`]);
const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};
const CLIENT = { clientId: "client-of-chalk", clientSecret: "s3cr3t-of-chalk" } as const;
const MINUTE = 60_000;

/** A token response with the members of a real one. */
const ANSWER = {
  access_token: "chalk-token",
  expires_in: 3600,
  primary_environment: "env-abc",
  engines: { "env-abc": "https://engine.chalk.example", "env-dev": "https://dev.chalk.example" },
  grpc_engines: { "env-abc": "grpc.chalk.example:443", "env-dev": "https://grpc-dev.chalk.example" },
  environment_id_to_name: { "env-abc": "production", "env-dev": "development" },
  api_server: "https://api.chalk.example",
};

let auth: AuthServer;
let engine: Api;
beforeEach(async () => {
  for (const name of VARIABLES) vi.stubEnv(name, "");
  auth = await startAuthServer();
  engine = await startApi({ accepts: auth });
  answerWith();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all([auth.close(), engine.close()]);
});

/** Lets the server answer without a `Date`, so that the test's clock is the only one. */
function answerWith(more: Record<string, unknown> = {}): void {
  auth.respondAlways({ headers: { date: undefined }, body: { ...ANSWER, ...more } });
}

function cacheOf(
  more: Partial<ChalkGrantOptions> = {},
  rest: { clock?: ManualClock; initial?: InitialToken } = {},
): TokenCache {
  const grant = chalkGrant({ ...CLIENT, apiServer: auth.origin, ...more });
  return createTokenCache({ grant, mintRetries: 0, ...rest });
}

describe("the token request", () => {
  test("is a POST of JSON to /v1/oauth/token, with a User-Agent that begins with remint", async () => {
    await cacheOf().get();
    const [request] = auth.requests;
    expect([request?.method, request?.path]).toEqual(["POST", "/v1/oauth/token"]);
    expect(request?.headers).toMatchObject({
      "content-type": "application/json",
      accept: "application/json",
      "user-agent": expect.stringMatching(/^remint/) as string,
    });
    expect(request?.headers.authorization).toBeUndefined();
    expect(JSON.parse(request?.body ?? "")).toEqual({
      client_id: CLIENT.clientId,
      client_secret: CLIENT.clientSecret,
      grant_type: "client_credentials",
    });
  });

  test("a secret function and an apiServer with a path: the function is called before every request to that path", async () => {
    let count = 0;
    const cache = cacheOf({ clientSecret: async () => `s-${++count}`, apiServer: `${auth.origin}/chalk//` });
    const { value } = await cache.get();
    await cache.invalidate(value);
    await cache.get();
    expect(
      auth.requests.map(({ body, path }) => [(JSON.parse(body) as Record<string, string>)["client_secret"], path]),
    ).toEqual([
      ["s-1", "/chalk/v1/oauth/token"],
      ["s-2", "/chalk/v1/oauth/token"],
    ]);
  });

  test("a refresh token in the answer is ignored", async () => {
    answerWith({ refresh_token: "rt" });
    const grant = chalkGrant({ ...CLIENT, apiServer: auth.origin });
    const minted = await mintOnce(grant);
    expect(minted["refresh_token"]).toBeUndefined();
    expect(minted).not.toHaveProperty("state");
  });

  test("S2: a redirect is not followed", async () => {
    auth.respond({ status: 307, headers: { location: `${engine.origin}/` } });
    expect(await rejectionOf(cacheOf().get())).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
    expect(engine.requests).toHaveLength(0);
  });
});

describe("settings", () => {
  test("without options come from the environment variables", async () => {
    vi.stubEnv("CHALK_CLIENT_ID", "id-of-env");
    vi.stubEnv("CHALK_CLIENT_SECRET", "secret-of-env");
    vi.stubEnv("CHALK_API_SERVER", auth.origin);
    vi.stubEnv("CHALK_ACTIVE_ENVIRONMENT", "env-dev");
    const grant = chalkGrant();
    const token = await createTokenCache({ grant }).get();
    expect(JSON.parse(auth.requests[0]?.body ?? "")).toMatchObject({
      client_id: "id-of-env",
      client_secret: "secret-of-env",
    });
    expect(definitionOf(grant).headers?.(token)).toMatchObject({ "X-Chalk-Env-Id": "env-dev" });
  });

  test("as options win over the environment variables", async () => {
    for (const name of VARIABLES) vi.stubEnv(name, "https://elsewhere.example");
    const given = { queryServer: "https://q.example", environment: "env-dev", branch: "b", deploymentTag: "t" };
    const { config } = chalkGrant({ ...CLIENT, apiServer: auth.origin, ...given });
    for (const { value, source } of Object.values(config)) {
      expect(value).not.toBe("https://elsewhere.example");
      expect(["option", "none"]).toContain(source);
    }
    await cacheOf(given).get();
    expect(auth.requests).toHaveLength(1);
  });

  test("without an apiServer use https://api.chalk.ai", () => {
    expect(definitionOf(chalkGrant(CLIENT)).server?.endpoint).toBe("https://api.chalk.ai/v1/oauth/token");
  });

  test("without a global `process` come from the options alone", () => {
    vi.stubGlobal("process", undefined);
    try {
      expect(definitionOf(chalkGrant(CLIENT)).server?.endpoint).toContain("api.chalk.ai");
      expect(() => chalkGrant({ clientId: "id" })).toThrow(/"clientSecret".*CHALK_CLIENT_SECRET/);
    } finally {
      vi.unstubAllGlobals();
    }
  });

  test.each([
    [
      "clientId",
      { clientId: undefined },
      /"clientId" must be a non-empty string, or in the environment as CHALK_CLIENT_ID/,
    ],
    ["clientSecret", { clientSecret: "" }, /"clientSecret" must be .* CHALK_CLIENT_SECRET/],
    ["apiServer", { apiServer: "http://api.chalk.example" }, /"apiServer" must be an https URL/],
    ["apiServer without a scheme", { apiServer: "api server" }, /"apiServer" must be an absolute URL/],
    ["queryServer", { queryServer: "http://query.chalk.example" }, /"queryServer" must be an https URL/],
    ["environment", { environment: "" }, /"environment" must be a non-empty string/],
    ["branch", { branch: "my\nbranch" }, /"branch" must be text that a header may hold.*\(option\)/],
    ["deploymentTag", { deploymentTag: 7 }, /"deploymentTag" must be a non-empty string, got a number/],
    ["resourceGroup", { resourceGroup: "größe" }, /"resourceGroup" must be text that a header may hold/],
    ["scope", { scope: ["a", ""] }, /"scope" must be a non-empty string or a list of them/],
    ["featuresVersioned", { featuresVersioned: "false" }, /"featuresVersioned" must be true or false/],
    ["defaultTtl", { defaultTtl: -1 }, /"defaultTtl" must be/],
    ["fetch", { fetch: 1 }, /"fetch" must be a function/],
  ])("a wrong %s is a TypeError that names it", (_name, more, message) => {
    const build = (): unknown => chalkGrant({ ...CLIENT, ...more } as ChalkGrantOptions);
    expect(build).toThrow(TypeError);
    expect(build).toThrow(message);
  });
});

async function left(more: Record<string, unknown>, options: Partial<ChalkGrantOptions> = {}): Promise<number> {
  const clock = manualClock();
  answerWith(more);
  return (await cacheOf(options, { clock }).get()).expiresAt - clock.now();
}
const at = (minutes: number): string => new Date(manualClock().now() + minutes * MINUTE).toISOString();

describe("expiry", () => {
  test("expires_at and expires_in: expires_at counts", async () => {
    expect(await left({ expires_at: at(20), expires_in: 3600 })).toBe(20 * MINUTE);
    expect(await left({ expires_at: at(20).replace("Z", "+00:00"), expires_in: undefined })).toBe(20 * MINUTE);
  });

  test("no expires_at, or an unreadable one: expires_in counts", async () => {
    expect(await left({ expires_in: 1800 })).toBe(30 * MINUTE);
    expect(await left({ expires_in: 1800, expires_at: "soon" })).toBe(30 * MINUTE);
    expect(await left({ expires_in: 1800, expires_at: null })).toBe(30 * MINUTE);
  });

  test("neither: one hour, or defaultTtl", async () => {
    expect(await left({ expires_in: undefined })).toBe(60 * MINUTE);
    expect(await left({ expires_in: undefined }, { defaultTtl: 5 * MINUTE })).toBe(5 * MINUTE);
  });

  test("an initial token that expired 10 minutes ago is not used; one with 30 minutes left is", async () => {
    const past = cacheOf(
      {},
      { clock: manualClock(), initial: { ...ANSWER, access_token: "past", expires_at: at(-10) } },
    );
    expect(past.peek()).toBeUndefined();
    expect((await past.get()).value).toBe("chalk-token");
    const good = cacheOf(
      {},
      { clock: manualClock(), initial: { ...ANSWER, access_token: "good", expires_at: at(30) } },
    );
    expect((await good.get()).value).toBe("good");
    expect(auth.requests).toHaveLength(1);
  });

  test("60 s before expiry: the token is refreshed in the background and served meanwhile", async () => {
    const clock = manualClock();
    const cache = cacheOf({}, { clock });
    await cache.get();
    await clock.advance(60 * MINUTE - 67_000);
    cache.peek();
    expect(auth.requests).toHaveLength(1);
    await clock.advance(8_000);
    expect(cache.peek()?.value).toBe("chalk-token");
    await auth.waitFor(2);
  });

  test("two calls make one token request", async () => {
    const cache = cacheOf();
    expect((await cache.get()).value).toBe((await cache.get()).value);
    expect(auth.requests).toHaveLength(1);
  });
});

describe("the members of Chalk's token response", () => {
  test("are typed, with the engine of each environment by id and by name", async () => {
    const chalk = chalkToken(await cacheOf().get());
    expect(chalk).toMatchObject({
      primaryEnvironment: "env-abc",
      engines: ANSWER.engines,
      grpcEngines: { "env-abc": "https://grpc.chalk.example:443", "env-dev": "https://grpc-dev.chalk.example" },
      environmentNames: ANSWER.environment_id_to_name,
      apiServer: ANSWER.api_server,
    });
    expect(chalk.engineFor()).toBe("https://engine.chalk.example");
    expect(chalk.engineFor("env-dev")).toBe("https://dev.chalk.example");
    expect(chalk.engineFor("development")).toBe("https://dev.chalk.example");
    expect(chalk.grpcEngineFor()).toBe("https://grpc.chalk.example:443");
    expect(chalk.grpcEngineFor("Development")).toBe("https://grpc-dev.chalk.example");
    const list = "production (env-abc), development (env-dev)";
    for (const name of ["env-unknown", "toString"]) {
      expect(() => chalk.engineFor(name)).toThrow(TypeError);
      expect(() => chalk.engineFor(name)).toThrow(`"environment" must be one of this client's: ${list}; got "${name}"`);
    }
  });

  test("access_token, primary_environment and engines give the token, its environment and its engine", async () => {
    const token = await cacheOf().get();
    expect(token.value).toBe("chalk-token");
    expect(chalkToken(token).primaryEnvironment).toBe("env-abc");
    expect(chalkToken(token).engineFor()).toBe("https://engine.chalk.example");
  });

  test("the token cache in place of the token is a TypeError that says where to get it", () => {
    const message = '"token" must be an access token: what tokens.get() resolves with, got an object';
    expect(() => chalkToken(cacheOf() as never)).toThrow(new TypeError(message));
  });

  test("may all be missing", async () => {
    auth.respondAlways({ body: { access_token: "t" } });
    const token = await cacheOf().get();
    const chalk = chalkToken(token);
    expect([chalk.primaryEnvironment, chalk.engines, chalk.engineFor()]).toEqual([undefined, {}, undefined]);
    expect(chalk.engineFor("env-unknown")).toBeUndefined();
    expect(policyHalf(cacheOf()).rules.headers?.(token)).not.toHaveProperty("X-Chalk-Env-Id");
  });

  test.each([null, "x", 1, [], { "env-abc": 1 }])(
    "are dropped if they have the wrong type (engines: %j)",
    async (engines) => {
      answerWith({ engines, primary_environment: engines === "x" ? "" : "env-abc" });
      const chalk = chalkToken(await cacheOf().get());
      expect(chalk.engineFor()).toBeUndefined();
    },
  );

  test("token_type mac is refused; a missing token_type counts as Bearer", async () => {
    answerWith({ token_type: "mac" });
    expect(await rejectionOf(cacheOf().get())).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
    answerWith({ token_type: undefined });
    expect((await cacheOf().get()).header).toBe("Bearer chalk-token");
  });

  test("may be in camel case, and come with the status 201", async () => {
    const body = {
      accessToken: "camel",
      expiresAt: at(20),
      primaryEnvironment: "env-abc",
      environmentIdToName: { "env-abc": "production" },
      engines: { "env-abc": "engine.chalk.example:443" },
      grpcEngines: { "env-abc": "grpc.chalk.example" },
      apiServer: "api.chalk.example",
    };
    auth.respondAlways({ status: 201, headers: { date: undefined }, body });
    const clock = manualClock();
    const token = await cacheOf({}, { clock }).get();
    expect([token.value, token.expiresAt - clock.now()]).toEqual(["camel", 20 * MINUTE]);
    expect(chalkToken(token)).toMatchObject({
      environment: "env-abc",
      environmentNames: { "env-abc": "production" },
      queryServer: "https://engine.chalk.example:443",
      apiServer: "https://api.chalk.example",
      expiresAt: token.expiresAt,
    });
    expect(JSON.stringify(token.response)).not.toContain("camel");
  });

  test("in camel case beside snake case: those in snake case count", async () => {
    answerWith({ accessToken: "other", primaryEnvironment: "env-dev", tokenType: "mac", token_type: "bearer" });
    const token = await cacheOf().get();
    expect([token.value, chalkToken(token).primaryEnvironment]).toEqual(["chalk-token", "env-abc"]);
  });

  test.each([
    ["a host and port", "engine.chalk.example:443", "https://engine.chalk.example:443"],
    ["a host", "engine.chalk.example", "https://engine.chalk.example"],
    ["localhost and a port", "localhost:8000", "https://localhost:8000"],
    ["an https URL in upper case", "HTTPS://engine.chalk.example", "HTTPS://engine.chalk.example"],
    ["an http URL", "http://engine.chalk.example", "http://engine.chalk.example"],
  ])("name an engine as %s (%s): its URL is %s", async (_what, address, url) => {
    answerWith({ engines: { "env-abc": address } });
    const cache = cacheOf({ allowHttp: true });
    const token = await cache.get();
    expect([chalkToken(token).engineFor(), chalkToken(token).queryServer]).toEqual([url, url]);
    expect(policyHalf(cache).rules.allows(`${url}/v1/query/online`, token)).toBe(true);
  });
});

describe("the environment", () => {
  const NAMES = {
    PRODUCTION: "legacy",
    "env-abc": "production",
    "ENV-ABC": "odd",
    "env-dev": "env-abc",
    x1: "Development",
  };
  test.each([
    ["an id", "env-abc", "env-abc"],
    ["an id in another case than another id", "ENV-ABC", "ENV-ABC"],
    ["an id in another case", "eNV-dEV", "env-dev"],
    ["a name that is an id in another case", "production", "env-abc"],
    ["a name in another case", "DEVELOPMENT", "x1"],
  ])("given as %s (%s) is the one with the id %s", async (_what, environment, id) => {
    answerWith({ environment_id_to_name: NAMES });
    const grant = chalkGrant({ ...CLIENT, apiServer: auth.origin, environment });
    const token = await createTokenCache({ grant }).get();
    expect(definitionOf(grant).headers?.(token)).toMatchObject({ "X-Chalk-Env-Id": id });
    expect(chalkToken(token, grant.config).environment).toBe(id);
  });

  test("given with a name that the token response does not list: no token, and the hint lists the known ones", async () => {
    const cache = cacheOf({ environment: "staging" });
    const error = (await rejectionOf(cache.get())) as RemintError;
    expect(error).toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
    expect(error.hint).toBe(
      `"environment" must be one of this client's: production (env-abc), development (env-dev); got "staging"`,
    );
    expect(error.message).not.toContain("staging");
    expect(cache.peek()).toBeUndefined();
  });

  test("given with an unknown name, and a token from `initial`: the request is not sent, with the same hint", async () => {
    const cache = cacheOf({ environment: "staging" }, { initial: { ...ANSWER, access_token: "initial" } });
    const error = (await rejectionOf(createAuthFetch(cache)(`${auth.origin}/v1/x`))) as RemintError;
    expect(error.code).toBe("ERR_TOKEN_RESPONSE");
    expect(error.hint).toContain("production (env-abc)");
    expect(auth.requests).toHaveLength(0);
  });

  test("given, and the token response lists none: it is taken as an id", async () => {
    answerWith({ environment_id_to_name: {} });
    const grant = chalkGrant({ ...CLIENT, apiServer: auth.origin, environment: "env-dev" });
    const token = await createTokenCache({ grant }).get();
    expect(chalkToken(token, grant.config).engineFor()).toBe("https://dev.chalk.example");
  });

  test("given: engineFor() is its engine, and engineFor(name) that of the other", async () => {
    const grant = chalkGrant({ ...CLIENT, apiServer: auth.origin, environment: "Development" });
    const chalk = chalkToken(await createTokenCache({ grant }).get(), grant.config);
    expect([chalk.engineFor(), chalk.engineFor("production")]).toEqual([
      "https://dev.chalk.example",
      "https://engine.chalk.example",
    ]);
  });
});

const queryServer = async (
  options: Partial<ChalkGrantOptions>,
  more: Record<string, unknown> = {},
): Promise<unknown> => {
  answerWith(more);
  const grant = chalkGrant({ ...CLIENT, apiServer: auth.origin, ...options });
  return chalkToken(await createTokenCache({ grant }).get(), grant.config).queryServer;
};

describe("the query server", () => {
  test("is the engine of the environment, or without one the API server", async () => {
    expect(await queryServer({})).toBe("https://engine.chalk.example");
    expect(await queryServer({ environment: "development" })).toBe("https://dev.chalk.example");
    expect(await queryServer({}, { engines: {} })).toBe(auth.origin);
  });

  test("is the option `queryServer`, with or without a scheme, and the token may be sent to it", async () => {
    expect(await queryServer({ queryServer: "https://query.chalk.example/" })).toBe("https://query.chalk.example");
    expect(await queryServer({ queryServer: "query.chalk.example:443" })).toBe("https://query.chalk.example");
    const cache = cacheOf({ queryServer: "query.chalk.example" });
    expect(policyHalf(cache).rules.allows("https://query.chalk.example/v1/x", await cache.get())).toBe(true);
  });

  test("is that of CHALK_QUERY_SERVER or _CHALK_QUERY_SERVER", async () => {
    vi.stubEnv("_CHALK_QUERY_SERVER", "https://two.chalk.example");
    expect(await queryServer({})).toBe("https://two.chalk.example");
    vi.stubEnv("CHALK_QUERY_SERVER", "https://one.chalk.example");
    expect(await queryServer({})).toBe("https://one.chalk.example");
  });

  test("is the API server when there is a branch, whatever else is set", async () => {
    expect(await queryServer({ branch: "b", queryServer: "https://query.chalk.example" })).toBe(auth.origin);
  });
});

describe("the config of the grant", () => {
  test("says what is used and where it comes from, and nothing of the secret", () => {
    vi.stubEnv("_CHALK_CLIENT_ID", "id-of-env");
    vi.stubEnv("CHALK_CLIENT_SECRET", "secret-of-env");
    vi.stubEnv("CHALK_BRANCH", "branch-of-env");
    const { config } = chalkGrant({ deploymentTag: "canary", scope: ["one", "two"] });
    expect(config).toEqual({
      clientId: { value: "id-of-env", source: "_CHALK_CLIENT_ID" },
      clientSecret: { value: undefined, source: "CHALK_CLIENT_SECRET" },
      apiServer: { value: "https://api.chalk.ai", source: "default" },
      queryServer: { value: undefined, source: "token" },
      environment: { value: undefined, source: "token" },
      branch: { value: "branch-of-env", source: "CHALK_BRANCH" },
      deploymentTag: { value: "canary", source: "option" },
      resourceGroup: { value: undefined, source: "none" },
      scope: { value: "one two", source: "option" },
    });
    expect(inspect(config, { depth: 5, showHidden: true }) + JSON.stringify(config)).not.toContain("secret-of-env");
  });

  test("cannot be changed: neither a setting nor what is in it", () => {
    const { config } = chalkGrant(CLIENT);
    for (const each of Object.values({ ...config, config })) expect(Object.isFrozen(each)).toBe(true);
  });

  test("in a runtime that throws for variables it may not read: those count as not set", () => {
    const env = new Proxy(
      {},
      {
        get(_target, name) {
          if (name === "CHALK_CLIENT_SECRET") return "secret-of-env";
          throw new Error(`Requires env access to "${String(name)}"`);
        },
      },
    );
    vi.stubGlobal("process", { env });
    try {
      const { config } = chalkGrant({ clientId: "id" });
      expect([config.clientSecret.source, config.queryServer.source]).toEqual(["CHALK_CLIENT_SECRET", "token"]);
    } finally {
      vi.unstubAllGlobals();
    }
  });

  test("with a secret function says that it is an option", () => {
    expect(chalkGrant({ clientId: "id", clientSecret: () => "s" }).config.clientSecret).toEqual({
      value: undefined,
      source: "option",
    });
  });

  test("is what was set when the grant was made: a variable that is set later changes nothing", () => {
    const grant = chalkGrant(CLIENT);
    vi.stubEnv("CHALK_API_SERVER", "https://later.example");
    expect(grant.config.apiServer.value).toBe("https://api.chalk.ai");
  });
});

test("scope: the token request has it, and a grant with another scope has another key", async () => {
  await cacheOf({ scope: "read:features" }).get();
  expect(JSON.parse(auth.requests[0]?.body ?? "")).toMatchObject({ scope: "read:features" });
  const keys = [{}, { scope: "a" }, { scope: ["a", "b"] }].map(
    (more) => definitionOf(chalkGrant({ ...CLIENT, ...more })).key,
  );
  expect(new Set(keys).size).toBe(3);
});

/** Creates a cache whose tokens name the test's API as the only engine. */
function withEngine(more: Partial<ChalkGrantOptions> = {}): TokenCache {
  answerWith({ engines: { "env-abc": engine.origin } });
  return cacheOf(more);
}

describe("requests", () => {
  test("carry the token and the primary environment, also when they are resent after a 401", async () => {
    const authFetch = createAuthFetch(withEngine());
    expect((await authFetch(`${engine.origin}/v1/query/online`)).status).toBe(200);
    auth.revokeAll();
    expect((await authFetch(`${engine.origin}/v1/query/online`)).status).toBe(200);
    expect(engine.requests.map(({ headers }) => headers["x-chalk-env-id"])).toEqual(["env-abc", "env-abc", "env-abc"]);
    expect(engine.requests.every(({ token }) => token === "chalk-token")).toBe(true);
  });

  test("have the headers of Chalk's clients: client, deployment type, and a User-Agent with a version", async () => {
    await createAuthFetch(withEngine())(engine.origin);
    const { headers } = engine.requests[0]!;
    expect(headers).toMatchObject({
      "x-chalk-client-id": CLIENT.clientId,
      "x-chalk-deployment-type": "engine",
      "user-agent": `remint/${version}`,
    });
    expect(Object.keys(headers).filter((name) => name.startsWith("x-chalk"))).toHaveLength(3);
    expect(auth.requests[0]?.headers["user-agent"]).toBe(`remint/${version}`);
  });

  test("with a branch, a tag, a resource group and versioned features have a header for each, with all clients", async () => {
    const options = { branch: "my-branch", deploymentTag: "canary", resourceGroup: "gpu", featuresVersioned: true };
    const tokens = withEngine(options);
    await createAuthFetch(tokens)(engine.origin);
    const client = axios.create();
    client.interceptors.request.use(createAuthInterceptor(tokens));
    await client.get(engine.origin);
    for (const { headers } of engine.requests) {
      expect(headers).toMatchObject({
        "x-chalk-deployment-type": "branch",
        "x-chalk-branch-id": "my-branch",
        "x-chalk-deployment-tag": "canary",
        "x-chalk-resource-group": "gpu",
        "x-chalk-features-versioned": "true",
        "user-agent": `remint/${version}`,
      });
    }
    expect(engine.requests).toHaveLength(2);
  });

  test("with a branch and a User-Agent of the caller keep them", async () => {
    await createAuthFetch(withEngine({ branch: "b" }))(engine.origin, {
      headers: { "x-chalk-branch-id": "mine", "User-Agent": "my-service/2" },
    });
    expect(engine.requests[0]?.headers).toMatchObject({ "x-chalk-branch-id": "mine", "user-agent": "my-service/2" });
  });

  test("on a page, which has no `process.versions`, have no User-Agent of ours", async () => {
    const cache = withEngine();
    const token = await cache.get();
    vi.stubGlobal("process", { env: {} });
    try {
      expect(policyHalf(cache).rules.headers?.(token)).not.toHaveProperty("User-Agent");
    } finally {
      vi.unstubAllGlobals();
    }
  });

  test.each([
    ["CHALK_BRANCH_ID", "x-chalk-branch-id"],
    ["_CHALK_BRANCH_ID", "x-chalk-branch-id"],
    ["CHALK_BRANCH", "x-chalk-branch-id"],
    ["_CHALK_BRANCH", "x-chalk-branch-id"],
    ["CHALK_DEPLOYMENT_TAG", "x-chalk-deployment-tag"],
    ["_CHALK_DEPLOYMENT_TAG", "x-chalk-deployment-tag"],
    ["_CHALK_ACTIVE_ENVIRONMENT", "x-chalk-env-id"],
    ["_CHALK_CLIENT_ID", "x-chalk-client-id"],
  ])("with %s set carry it in %s", async (variable, header) => {
    vi.stubEnv(variable, "env-dev");
    const { clientId, ...rest } = CLIENT;
    await createAuthFetch(withEngine(variable.endsWith("CLIENT_ID") ? { ...rest, clientId: undefined } : { clientId }))(
      engine.origin,
    );
    expect(engine.requests[0]?.headers[header]).toBe("env-dev");
  });

  test("with an environment header of the caller keep it, in any case, with fetch and axios", async () => {
    const tokens = withEngine();
    await createAuthFetch(tokens)(engine.origin, { headers: { "x-chalk-env-id": "mine" } });
    const client = axios.create();
    client.interceptors.request.use(createAuthInterceptor(tokens));
    await client.get(engine.origin, { headers: { "X-CHALK-ENV-ID": "mine" } });
    await client.get(engine.origin);
    expect(engine.requests.map(({ headers }) => headers["x-chalk-env-id"])).toEqual(["mine", "mine", "env-abc"]);
  });

  test("with the option `environment`, an id or a name, carry that environment instead of the primary one", async () => {
    for (const environment of ["env-dev", "development"]) {
      await createAuthFetch(withEngine({ environment }))(engine.origin);
    }
    expect(engine.requests.map(({ headers }) => headers["x-chalk-env-id"])).toEqual(["env-dev", "env-dev"]);
  });

  test("Q2: to the API server or an engine of the token get the token; to any other origin they do not", async () => {
    const cache = cacheOf();
    const token = await cache.get();
    const allowed = [auth.origin, ...Object.values(ANSWER.engines), ANSWER.api_server];
    for (const url of [...allowed, "https://grpc.chalk.example", "https://grpc-dev.chalk.example"]) {
      expect([url, policyHalf(cache).rules.allows(`${url}/v1/x`, token)]).toEqual([url, true]);
    }
    for (const url of ["https://chalk.example", "http://engine.chalk.example", engine.origin, "https://evil.example"]) {
      expect([url, policyHalf(cache).rules.allows(`${url}/v1/x`, token)]).toEqual([url, false]);
    }
  });

  test("Q2, S1: to an engine with a broken or plain http address get no token; to the other engines they do", async () => {
    answerWith({
      engines: { a: "http://plain.example", b: "::", c: "ftp://x.example", d: "https://good.example", e: "https://*" },
      grpc_engines: {},
    });
    const cache = cacheOf();
    const token = await cache.get();
    expect(policyHalf(cache).rules.allows("https://good.example/", token)).toBe(true);
    expect(policyHalf(cache).rules.allows("http://plain.example/", token)).toBe(false);
    const trusting = cacheOf({ allowHttp: true });
    expect(policyHalf(trusting).rules.allows("http://plain.example/", await trusting.get())).toBe(true);
  });
});

describe("a refusal", () => {
  test("401 with the text `invalid credentials`: an error with that status and that text in errorDescription", async () => {
    auth.respond({ status: 401, headers: { "content-type": "text/plain" }, body: "invalid credentials" });
    const error = await rejectionOf(cacheOf().get());
    expect(error).toMatchObject({
      name: "TokenEndpointError",
      code: "ERR_TOKEN_ENDPOINT",
      endpointStatus: 401,
      retryable: false,
    });
    expect((error as { errorDescription?: string }).errorDescription).toBe("invalid credentials");
  });

  test.each([
    [{ error: "invalid_client", error_description: "no such client" }, "no such client"],
    [{ message: "no such client", code: "unauthenticated" }, "no such client"],
    [{ detail: "no such client" }, "no such client"],
    [{ detail: [{ loc: ["body"] }] }, undefined],
    ["<html><body>Bad gateway</body></html>", undefined],
    ["", undefined],
  ])("400 with the body %j: errorDescription is %j", async (body, description) => {
    auth.respond({ status: 400, body });
    const error = (await rejectionOf(cacheOf().get())) as RemintError;
    expect(error.code).toBe("ERR_TOKEN_ENDPOINT");
    expect(error.errorDescription).toBe(description);
  });

  test("S5: a long text that repeats the secret: cut to 200 characters, without the secret", async () => {
    auth.respond({ status: 401, body: `wrong: ${CLIENT.clientSecret} ${"x".repeat(5000)}` });
    const error = (await rejectionOf(cacheOf().get())) as { errorDescription: string };
    expect(error.errorDescription).toMatch(/^wrong: \[redacted\] x+$/);
    expect(error.errorDescription.length).toBeLessThanOrEqual(200);
    expect(inspect(error, { depth: 5, showHidden: true })).not.toContain(CLIENT.clientSecret);
  });

  test("503 with Retry-After: the error has retryAfter; 404: the hint names apiServer", async () => {
    auth.respond({ status: 503, headers: { "retry-after": "7" } }, { status: 404 });
    expect(await rejectionOf(cacheOf().get())).toMatchObject({ retryable: true, retryAfter: 7000 });
    expect(((await rejectionOf(cacheOf().get())) as RemintError).hint).toContain("apiServer");
  });

  test("200 without a token is an error", async () => {
    auth.respond({ body: { error: "nope" } }, { body: "hello" });
    expect(await rejectionOf(cacheOf().get())).toMatchObject({ code: "ERR_TOKEN_ENDPOINT", endpointStatus: 200 });
    expect(await rejectionOf(cacheOf().get())).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
  });
});

test("S5: the printed grant, cache and token show neither the client nor the token", async () => {
  const grant = chalkGrant({ ...CLIENT, apiServer: auth.origin });
  const cache = createTokenCache({ grant });
  await cache.get();
  const printed = [grant, { ...grant }, cache, await cache.get()].map(
    (value) => inspect(value, { depth: 10, showHidden: true, getters: true }) + JSON.stringify(value),
  );
  expect(printed.join()).not.toMatch(/of-chalk|chalk-token/);
  expect(definitionOf(grant).key).not.toContain(CLIENT.clientSecret);
});
