/**
 * The tests of chalk-client, Chalk's Rust client, one by one, through what `remint/chalk` exports. Each comment names the
 * original test, says what the original does, and what remint does. What the originals test of request bodies (Arrow,
 * feather, builders of offline queries) is not here: those are the caller's. docs/chalk.md has the comparison as a table.
 */
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createTokenCache, type RemintError, type TokenCache } from "remint";
import { chalkGrant, chalkToken, type ChalkGrant, type ChalkGrantOptions } from "remint/chalk";
import { createAuthFetch } from "remint/fetch";
import { type Api, type AuthServer, manualClock, startApi, startAuthServer } from "remint/testing";
import { rejectionOf } from "../core/cache-under-test.ts";

const HOUR = 3_600_000;
const VARIABLES = [
  "CLIENT_ID",
  "CLIENT_SECRET",
  "API_SERVER",
  "ACTIVE_ENVIRONMENT",
  "BRANCH_ID",
  "BRANCH",
  "DEPLOYMENT_TAG",
];

let server: AuthServer;
let engine: Api;
beforeEach(async () => {
  for (const name of [...VARIABLES, "QUERY_SERVER"]) {
    vi.stubEnv(`CHALK_${name}`, "");
    vi.stubEnv(`_CHALK_${name}`, "");
  }
  server = await startAuthServer();
  engine = await startApi({ accepts: server });
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all([server.close(), engine.close()]);
});

/** Lets the server answer with this token response, without a `Date`, so that the test's clock is the only one. */
function answer(body: object): void {
  server.respondAlways({ headers: { date: undefined }, body });
}

function grantWith(more: ChalkGrantOptions = {}): ChalkGrant {
  return chalkGrant({ clientId: "test-id", clientSecret: "test-secret", apiServer: server.origin, ...more });
}

const left = async (body: object): Promise<number> => {
  const clock = manualClock();
  answer({ access_token: "token", ...body });
  return (await createTokenCache({ grant: grantWith(), clock }).get()).expiresAt - clock.now();
};

const inAMinute = (minutes: number): string => new Date(manualClock().now() + minutes * 60_000).toISOString();

describe("auth.rs: the token cache", () => {
  // test_parse_expiry_from_expires_at. The original takes `expires_at`, and ignores an `expires_in` beside it. remint takes
  // the earlier of the two.
  test("expires_at in 30 minutes: that is when the token expires", async () => {
    expect(await left({ expires_at: inAMinute(30) })).toBe(HOUR / 2);
    expect(await left({ expires_at: inAMinute(30), expires_in: 60 })).toBe(60_000);
  });

  // test_parse_expiry_from_expires_in. The original counts from the answer. remint counts from when the request was sent.
  test("E2: expires_in 3600, and 5 s from the request to its answer: the token expires an hour after the request", async () => {
    expect(await left({ expires_in: 3600 })).toBe(HOUR);
    const clock = manualClock();
    const sentAt = clock.now();
    server.respond(async () => {
      await clock.advance(5_000);
      return { headers: { date: undefined }, body: { access_token: "slow", expires_in: 3600 } };
    });
    const token = await createTokenCache({ grant: grantWith(), clock }).get();
    expect([token.value, token.expiresAt - sentAt]).toEqual(["slow", HOUR]);
  });

  // parse_expiry without either member has no test of its own. The original takes an hour. So does remint.
  test("neither expires_at nor expires_in: the token expires in an hour", async () => {
    expect(await left({})).toBe(HOUR);
  });

  // test_is_token_valid_expired. The original mints again within 60 s of the end, and callers wait. remint serves an older
  // token until it expires, and never afterwards.
  test("a token that expired 10 minutes ago is not used", async () => {
    answer({ access_token: "fresh", expires_in: 3600 });
    const initial = { access_token: "old", expires_at: inAMinute(-10) };
    const cache = createTokenCache({ grant: grantWith(), clock: manualClock(), initial });
    expect((await cache.get()).value).toBe("fresh");
  });

  // test_is_token_valid_fresh. The original uses it. So does remint.
  test("a token with 30 minutes left is used, without a request", async () => {
    const initial = { access_token: "good", expires_at: inAMinute(30) };
    const cache = createTokenCache({ grant: grantWith(), clock: manualClock(), initial });
    expect([(await cache.get()).value, server.requests.length]).toEqual(["good", 0]);
  });

  // The original's margin: a token with 60 s or less is replaced before it is used. remint replaces it in the background.
  test("a token with 50 seconds left is served once more, and replaced in the background", async () => {
    const clock = manualClock();
    answer({ access_token: "one", expires_in: 3600 });
    const cache = createTokenCache({ grant: grantWith(), clock });
    await cache.get();
    answer({ access_token: "two", expires_in: 3600 });
    await clock.advance(HOUR - 50_000);
    expect((await cache.get()).value).toBe("one");
    await server.waitFor(2);
    await vi.waitFor(async () => expect((await cache.get()).value).toBe("two"), { timeout: 20_000 });
  });

  // test_token_exchange_success. Both read the token, the primary environment and the engines.
  test("a token response with engines: the token, its primary environment and its engine", async () => {
    answer({
      access_token: "mock-jwt-token",
      expires_in: 3600,
      primary_environment: "env-abc",
      engines: { "env-abc": "https://engine.chalk.ai" },
      grpc_engines: { "env-abc": "https://grpc.chalk.ai" },
      environment_id_to_name: { "env-abc": "production" },
    });
    const token = await createTokenCache({ grant: grantWith() }).get();
    expect(token.value).toBe("mock-jwt-token");
    expect(chalkToken(token)).toMatchObject({
      primaryEnvironment: "env-abc",
      engines: { "env-abc": "https://engine.chalk.ai" },
    });
    expect(server.requests.map(({ method, path }) => `${method} ${path}`)).toEqual(["POST /v1/oauth/token"]);
  });

  // exchange_credentials: a JSON body of three members. remint sends the same.
  test("client id and secret: sent as JSON in the body, and nowhere else", async () => {
    answer({ access_token: "t" });
    await createTokenCache({ grant: grantWith() }).get();
    const [{ body, headers }] = server.requests as [AuthServer["requests"][number]];
    expect(JSON.parse(body)).toEqual({
      client_id: "test-id",
      client_secret: "test-secret",
      grant_type: "client_credentials",
    });
    expect(headers).toMatchObject({
      "content-type": "application/json",
      "user-agent": expect.stringMatching(/^remint\/\d/) as string,
    });
    expect(headers.authorization).toBeUndefined();
  });

  // test_token_caching. Both send one request for two calls.
  test("two calls: one token request", async () => {
    answer({ access_token: "cached-token", expires_in: 3600, engines: {}, grpc_engines: {} });
    const cache = createTokenCache({ grant: grantWith() });
    const tokens = [await cache.get(), await cache.get()];
    expect(tokens.map(({ value }) => value)).toEqual(["cached-token", "cached-token"]);
    expect(server.requests).toHaveLength(1);
  });

  // The write lock of the original. Both send one request, however many callers wait.
  test("a hundred callers at once: one token request", async () => {
    answer({ access_token: "t", expires_in: 3600 });
    const cache = createTokenCache({ grant: grantWith() });
    await Promise.all(Array.from({ length: 100 }, () => cache.get()));
    expect(server.requests).toHaveLength(1);
  });

  // test_token_exchange_failure. The original puts status and body into the error's text. In remint the text may be shown
  // to anybody: the status is `endpointStatus`, and the body, cleaned of secrets, is `errorDescription`.
  test("401 with the text `invalid credentials`: an error with the status and the text, and a message with neither", async () => {
    server.respondAlways({ status: 401, body: "invalid credentials" });
    const error = (await rejectionOf(createTokenCache({ grant: grantWith() }).get())) as RemintError;
    expect(error).toMatchObject({
      code: "ERR_TOKEN_ENDPOINT",
      endpointStatus: 401,
      errorDescription: "invalid credentials",
    });
    expect(error.message).not.toMatch(/401|invalid credentials/);
    expect(error.hint).toContain("401");
  });
});

describe("config.rs: where the settings come from", () => {
  // test_builder_explicit_values. Both use what was given.
  test("all seven options: the config has them, with the source `option`", () => {
    const { config } = chalkGrant({
      clientId: "test-id",
      clientSecret: "test-secret",
      apiServer: "https://custom.chalk.ai",
      environment: "staging",
      branch: "branch-1",
      deploymentTag: "canary",
      queryServer: "https://query.chalk.ai",
    });
    const given = Object.fromEntries(Object.entries(config).filter(([, { source }]) => source === "option"));
    expect(Object.fromEntries(Object.entries(given).map(([name, { value }]) => [name, value]))).toEqual({
      clientId: "test-id",
      clientSecret: undefined, // The original keeps it, and prints it with `{:?}`.
      apiServer: "https://custom.chalk.ai",
      environment: "staging",
      branch: "branch-1",
      deploymentTag: "canary",
      queryServer: "https://query.chalk.ai",
    });
  });

  // test_builder_default_api_server. The same in both.
  test("no API server: https://api.chalk.ai", () => {
    const { config } = chalkGrant({ clientId: "id", clientSecret: "secret" });
    expect(config.apiServer).toEqual({ value: "https://api.chalk.ai", source: "default" });
  });

  // test_builder_missing_credentials. Both refuse, and name what is missing. remint names the variable too.
  test.each([
    ["client id", { clientSecret: "secret" }, /^"clientId" .*CHALK_CLIENT_ID/],
    ["client secret", { clientId: "id" }, /^"clientSecret" .*CHALK_CLIENT_SECRET/],
  ])("no %s: a TypeError that names the option and the variable", (_what, options, message) => {
    expect(() => chalkGrant(options)).toThrow(TypeError);
    expect(() => chalkGrant(options)).toThrow(message);
  });

  // test_get_env_helper. In both an empty variable counts as not set.
  test("a variable that is not set, empty, or set: only the last one counts", () => {
    for (const [value, read] of [
      [undefined, undefined],
      ["", undefined],
      ["hello", "hello"],
    ]) {
      vi.stubEnv("CHALK_BRANCH_ID", value);
      expect(grantWith().config.branch.value).toBe(read);
    }
  });

  // test_builder_explicit_overrides_env. The same in both.
  test("options beside CHALK_CLIENT_ID and CHALK_CLIENT_SECRET: the options count", async () => {
    vi.stubEnv("CHALK_CLIENT_ID", "env-id");
    vi.stubEnv("CHALK_CLIENT_SECRET", "env-secret");
    answer({ access_token: "t" });
    const grant = chalkGrant({ clientId: "explicit-id", clientSecret: "explicit-secret", apiServer: server.origin });
    await createTokenCache({ grant }).get();
    expect(JSON.parse(server.requests[0]?.body ?? "")).toMatchObject({
      client_id: "explicit-id",
      client_secret: "explicit-secret",
    });
  });

  // CHALK_ENV_VARS: each setting is read from CHALK_... first, then from _CHALK_.... The same in both; remint also reads
  // CHALK_BRANCH, which Chalk's other clients use.
  test.each([
    ["clientId", "CLIENT_ID"],
    ["apiServer", "API_SERVER"],
    ["environment", "ACTIVE_ENVIRONMENT"],
    ["branch", "BRANCH_ID"],
    ["branch", "BRANCH"],
    ["deploymentTag", "DEPLOYMENT_TAG"],
    ["queryServer", "QUERY_SERVER"],
  ] as const)("%s: from CHALK_%s, and from that with an underscore before it", (name, variable) => {
    const config = (): unknown =>
      chalkGrant({ clientSecret: "s", ...(name !== "clientId" && { clientId: "id" }) }).config[name];
    vi.stubEnv(`_CHALK_${variable}`, "https://two.example");
    expect(config()).toEqual({ value: "https://two.example", source: `_CHALK_${variable}` });
    vi.stubEnv(`CHALK_${variable}`, "https://one.example");
    expect(config()).toEqual({ value: "https://one.example", source: `CHALK_${variable}` });
  });

  // test_yaml_config_parsing. The original reads ~/.chalk.yml. remint does not: it has no YAML parser, and a library that
  // finds a secret in a home directory is a surprise. docs/chalk.md has the lines that do it, and documents.test.ts runs them.

  // ensure_scheme has no test of its own. The original puts https:// before an address without a scheme. So does remint.
  test.each([
    ["host.chalk.ai:443", "https://host.chalk.ai:443"],
    ["host.chalk.ai", "https://host.chalk.ai"],
    ["http://localhost:9", "http://localhost:9"],
    ["https://host.chalk.ai", "https://host.chalk.ai"],
  ])("an engine with the address %s: its URL is %s", async (address, url) => {
    answer({ access_token: "t", primary_environment: "e", engines: { e: address }, grpc_engines: { e: address } });
    const chalk = chalkToken(await createTokenCache({ grant: grantWith() }).get());
    expect([chalk.engineFor(), chalk.grpcEngineFor(), chalk.queryServer]).toEqual([url, url, url]);
  });
});

/** A cache whose tokens name the test's API as the engine of `env-1`. */
function withEngine(more: ChalkGrantOptions = {}): { readonly cache: TokenCache; readonly grant: ChalkGrant } {
  answer({
    access_token: "jwt",
    expires_in: 3600,
    primary_environment: "env-1",
    engines: { "env-1": engine.origin },
    grpc_engines: {},
  });
  const grant = grantWith(more);
  return { grant, cache: createTokenCache({ grant, warnings: false }) };
}

describe("http_client.rs: requests", () => {
  // test_client_builder. Both find the environment and its engine. The original does so when it is built, which sends a
  // request; remint when there is a token.
  test("the environment env-123: its id and the URL of its engine", async () => {
    answer({
      access_token: "test-jwt",
      primary_environment: "env-123",
      engines: { "env-123": engine.origin },
      environment_id_to_name: { "env-123": "production" },
    });
    const grant = grantWith({ environment: "env-123" });
    const { environment, queryServer } = chalkToken(await createTokenCache({ grant }).get(), grant.config);
    expect([environment, queryServer]).toEqual(["env-123", engine.origin]);
  });

  // ChalkClientBuilder::build. The original takes a name as an id: no engine is found, and requests go to the API server.
  // remint finds the id, in any case, as chalk-go does.
  test("the environment by its name, in another case: its id and its engine", async () => {
    answer({
      access_token: "t",
      engines: { "env-1": engine.origin },
      environment_id_to_name: { "env-1": "production" },
    });
    const grant = grantWith({ environment: "Production" });
    const { environment, queryServer } = chalkToken(await createTokenCache({ grant }).get(), grant.config);
    expect([environment, queryServer]).toEqual(["env-1", engine.origin]);
  });

  // ChalkClientBuilder::build. The original fails when it is built; chalk-go lists the known ones. remint sends no header
  // where no environment is known, and lists the known ones where the name is wrong.
  test("no environment anywhere: no X-Chalk-Env-Id; an unknown one: an error that lists the known ones", async () => {
    answer({ access_token: "t", engines: {} });
    await createAuthFetch(createTokenCache({ grant: grantWith({ queryServer: engine.origin }) }))(engine.origin);
    expect(engine.requests[0]?.headers).not.toHaveProperty("x-chalk-env-id");
    answer({ access_token: "t", environment_id_to_name: { "env-1": "production" } });
    const error = (await rejectionOf(
      createTokenCache({ grant: grantWith({ environment: "prod" }) }).get(),
    )) as RemintError;
    expect(error.hint).toContain("production (env-1)");
  });

  // test_query, test_offline_query, test_offline_query_with_builder, test_wait_for_offline_query_success, ..._failure,
  // ..._timeout, test_get_offline_query_download_urls, test_upload_features, test_upload_features_map. The original's
  // requests carry the token and these headers. So do those of remint; the caller writes path and body.
  test.each([
    ["POST", "/v1/query/online", "application/json"],
    ["POST", "/v1/query/feather", "application/octet-stream"],
    ["POST", "/v4/offline_query", "application/json"],
    ["GET", "/v4/offline_query/rev-1/status", undefined],
    ["GET", "/v2/offline_query/rev-1", undefined],
    ["POST", "/v1/upload_features/multi", "application/octet-stream"],
  ])(
    "%s %s: token, client, environment and deployment type in headers; the body as it is",
    async (method, path, type) => {
      const { cache } = withEngine();
      const body = type === undefined ? undefined : "bytes of the caller";
      const headers = type === undefined ? {} : { "content-type": type };
      engine.respond({ body: { data: [{ field: "user.age", value: 30 }] } });
      const response = await createAuthFetch(cache)(engine.origin + path, { method, headers, ...(body && { body }) });
      expect(await response.json()).toEqual({ data: [{ field: "user.age", value: 30 }] });
      const [sent] = engine.requests;
      expect([sent?.method, sent?.url, sent?.token, sent?.text]).toEqual([method, path, "jwt", body ?? ""]);
      expect(sent?.headers).toMatchObject({
        ...headers,
        "x-chalk-client-id": "test-id",
        "x-chalk-env-id": "env-1",
        "x-chalk-deployment-type": "engine",
        "user-agent": expect.stringMatching(/^remint\//) as string,
      });
    },
  );

  // send_json_request: `X-Chalk-Features-Versioned: true` always. It says that the client itself handles versions in the
  // names of features, which a caller of fetch may not do. In remint it is an option, as in Chalk's TypeScript client.
  test("featuresVersioned: X-Chalk-Features-Versioned is true; without it there is no such header", async () => {
    await createAuthFetch(withEngine().cache)(engine.origin);
    await createAuthFetch(withEngine({ featuresVersioned: true }).cache)(engine.origin);
    expect(engine.requests.map(({ headers }) => headers["x-chalk-features-versioned"])).toEqual([undefined, "true"]);
  });

  // engine_url: with a branch the original goes to the API server. So does `queryServer` of remint.
  test("a branch: queries go to the API server, with X-Chalk-Branch-Id and the deployment type branch", async () => {
    const { cache, grant } = withEngine({
      branch: "branch-42",
      deploymentTag: "canary",
      apiServer: `${server.origin}/`,
    });
    expect(chalkToken(await cache.get(), grant.config).queryServer).toBe(server.origin);
    await createAuthFetch(cache)(engine.origin);
    expect(engine.requests[0]?.headers).toMatchObject({
      "x-chalk-deployment-type": "branch",
      "x-chalk-branch-id": "branch-42",
      "x-chalk-deployment-tag": "canary",
    });
  });

  // ChalkClientBuilder::build: query_server, else the engine, else the API server. The same in both.
  test("a query server, an engine, neither: queries go to the first that there is, else to the API server", async () => {
    const given = withEngine({ queryServer: "query.chalk.ai:443" });
    expect(chalkToken(await given.cache.get(), given.grant.config).queryServer).toBe("https://query.chalk.ai");
    const engines = withEngine();
    expect(chalkToken(await engines.cache.get(), engines.grant.config).queryServer).toBe(engine.origin);
    answer({ access_token: "t" });
    const grant = grantWith();
    expect(chalkToken(await createTokenCache({ grant }).get(), grant.config).queryServer).toBe(server.origin);
  });

  // test_query_api_error. The original turns the answer into an error. remint gives fetch's callers the answer.
  test("the engine answers 500 `internal server error`: the caller gets that answer, and the token stays", async () => {
    const { cache } = withEngine();
    engine.respond({ status: 500, body: "internal server error" });
    const response = await createAuthFetch(cache)(`${engine.origin}/v1/query/online`, { method: "POST", body: "{}" });
    expect([response.status, await response.text(), server.requests.length]).toEqual([500, "internal server error", 1]);
  });

  // The original has nothing for a 401: every query fails until the token's time is over. remint mints once and resends.
  test("the engine answers 401: one new token, and the request is sent again", async () => {
    const { cache } = withEngine();
    engine.respond({ status: 401, body: "unauthorized" });
    expect(
      (await createAuthFetch(cache)(`${engine.origin}/v1/query/online`, { method: "POST", body: "{}" })).status,
    ).toBe(200);
    expect([server.requests.length, engine.requests.length]).toEqual([2, 2]);
  });
});

describe("grpc_client.rs, types.rs and error.rs", () => {
  // test_metadata_injection. The original builds metadata for gRPC by hand. remint does not speak gRPC: token.header and the
  // engine's URL are what a gRPC client needs.
  test("a gRPC client: the header, the environment and the engine's URL are readable", async () => {
    answer({
      access_token: "test-grpc-jwt",
      primary_environment: "env-1",
      grpc_engines: { "env-1": "grpc.chalk.ai:443" },
    });
    const grant = grantWith({ environment: "env-1" });
    const token = await createTokenCache({ grant }).get();
    const chalk = chalkToken(token, grant.config);
    expect([token.header, chalk.environment, chalk.grpcEngineFor()]).toEqual([
      "Bearer test-grpc-jwt",
      "env-1",
      "https://grpc.chalk.ai:443",
    ]);
  });

  // test_token_response_deserialization. In both, members that are missing count as empty.
  test("a token response without names and API server: empty, and undefined", async () => {
    answer({
      access_token: "eyJhbGci...",
      expires_in: 3600,
      primary_environment: "env-123",
      engines: { "env-123": "https://engine1.chalk.ai" },
      grpc_engines: { "env-123": "https://grpc1.chalk.ai" },
    });
    expect(chalkToken(await createTokenCache({ grant: grantWith() }).get())).toMatchObject({
      primaryEnvironment: "env-123",
      engines: { "env-123": "https://engine1.chalk.ai" },
      environmentNames: {},
      apiServer: undefined,
    });
  });

  // test_error_display. The original's text says what is missing, and has status and body. remint: see the refusals above.
  // test_server_errors_display is about the errors inside of an answer, which the caller reads.
  test("S5: a printed config, grant, token and error show no secret and no token", async () => {
    answer({ access_token: "secret-token" });
    const grant = grantWith({ clientSecret: "very-secret" });
    const cache = createTokenCache({ grant, mintRetries: 0 });
    const token = await cache.get();
    server.respondAlways({ status: 401, body: "the secret very-secret is wrong" });
    const error = await rejectionOf(createTokenCache({ grant: grantWith({ clientSecret: "very-secret" }) }).get());
    const shown = [grant, grant.config, cache, token, error].map(
      (value) => inspect(value, { depth: 9, showHidden: true }) + JSON.stringify(value),
    );
    expect(shown.join()).not.toMatch(/very-secret|secret-token/);
  });
});
