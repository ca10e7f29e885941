/** The Chalk grant against a scripted Chalk server: request, settings, expiry, engines, origins and errors. */
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

const VARIABLES = ["CHALK_CLIENT_ID", "CHALK_CLIENT_SECRET", "CHALK_API_SERVER", "CHALK_ACTIVE_ENVIRONMENT"];
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
    expect(definitionOf(grant).headers?.(token)).toEqual({ "X-Chalk-Env-Id": "env-dev" });
  });

  test("as options win over the environment variables", async () => {
    for (const name of VARIABLES) vi.stubEnv(name, "https://elsewhere.example");
    await cacheOf().get();
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
    ["environment", { environment: "" }, /"environment" must be a non-empty string/],
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
      grpcEngines: ANSWER.grpc_engines,
      environmentNames: ANSWER.environment_id_to_name,
      apiServer: ANSWER.api_server,
    });
    expect(chalk.engineFor()).toBe("https://engine.chalk.example");
    expect(chalk.engineFor("env-dev")).toBe("https://dev.chalk.example");
    expect(chalk.engineFor("development")).toBe("https://dev.chalk.example");
    expect(chalk.grpcEngineFor()).toBe("grpc.chalk.example:443");
    expect(chalk.engineFor("env-unknown")).toBeUndefined();
    expect(chalk.engineFor("toString")).toBeUndefined();
  });

  test("access_token, primary_environment and engines give the token, its environment and its engine", async () => {
    const token = await cacheOf().get();
    expect(token.value).toBe("chalk-token");
    expect(chalkToken(token).primaryEnvironment).toBe("env-abc");
    expect(chalkToken(token).engineFor()).toBe("https://engine.chalk.example");
  });

  test("may all be missing", async () => {
    auth.respondAlways({ body: { access_token: "t" } });
    const token = await cacheOf().get();
    const chalk = chalkToken(token);
    expect([chalk.primaryEnvironment, chalk.engines, chalk.engineFor()]).toEqual([undefined, {}, undefined]);
    expect(policyHalf(cacheOf()).rules.headers?.(token)).toEqual({});
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
