import { inspect } from "node:util";
import { afterEach, describe, expect, test } from "vitest";
import { definitionOf } from "../../src/core/grant.ts";
import { policyHalf } from "../../src/core/types.ts";
import {
  clientCredentialsGrant,
  createTokenCache,
  createTokenPool,
  RemintError,
  type TokenCache,
} from "../../src/index.ts";
import { createAuthFetch } from "../../src/adapters/fetch.ts";
import { startApi, startAuthServer, type Answer, type Api, type AuthServer } from "../../src/testing/index.ts";
import { cacheUnderTest, jwt, rejectionOf } from "./cache-under-test.ts";

const SECRET = "s3cret";

/** Every form in which a log may print a value. */
function printed(value: unknown): string {
  const options = { depth: 10, showHidden: true, getters: true } as const;
  return [inspect(value, options), inspect(value, { depth: 10 }), JSON.stringify(value) ?? "", String(value)].join(
    "\n",
  );
}

const running: (AuthServer | Api)[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close()));
});

async function serverWith(answer: Answer): Promise<TokenCache> {
  const server = await startAuthServer();
  running.push(server);
  server.respond(answer);
  return cacheOf(server.tokenEndpoint);
}

function cacheOf(tokenEndpoint: string): TokenCache {
  const grant = clientCredentialsGrant({ tokenEndpoint, clientId: "me", clientSecret: SECRET });
  return createTokenCache({ grant, origins: ["https://api.example"], mintRetries: 0 });
}

const make = (tokenEndpoint: string, allowHttp?: boolean): unknown =>
  clientCredentialsGrant({ tokenEndpoint, clientId: "me", clientSecret: SECRET, allowHttp });

describe("S1: transport", () => {
  test("S1: a token endpoint over plain http is a TypeError, except on loopback and with allowHttp", () => {
    expect(() => make("http://auth.example/token")).toThrow(/"tokenEndpoint" must be an https URL/);
    expect(() => make("http://auth.example/token", false)).toThrow(TypeError);
    expect(make("http://auth.example/token", true)).toBeDefined();
    expect(make("http://127.0.0.1:1/token")).toBeDefined();
  });

  test("S1: a token is not sent over http to an origin that is listed with https", () => {
    const { cache } = cacheUnderTest({ origins: ["https://api.example"] });
    expect(policyHalf(cache).rules.allows("http://api.example/")).toBe(false);
  });
});

describe("S2, S3: answers of a token endpoint", () => {
  test.each([301, 302, 303, 307, 308])(
    "S2: a %i redirect is not followed: its target gets no request",
    async (status) => {
      const target = await startAuthServer();
      running.push(target);
      const cache = await serverWith({ status, headers: { location: target.tokenEndpoint } });
      const error = await rejectionOf(cache.get());
      expect(error).toMatchObject({ name: expect.stringMatching(/Error$/), retryable: false });
      expect(target.requests).toHaveLength(0);
      expect(cache.peek()).toBeUndefined();
    },
  );

  test("S3: an answer of 2 MiB is refused", async () => {
    const body = JSON.stringify({ access_token: "a", padding: "x".repeat(2 ** 21) });
    const cache = await serverWith({ status: 200, headers: { "content-type": "application/json" }, body });
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
    expect(cache.peek()).toBeUndefined();
  });

  test("S3: an answer just under 1 MiB is accepted", async () => {
    const body = JSON.stringify({ access_token: "a", token_type: "Bearer", padding: "x".repeat(2 ** 20 - 200) });
    const cache = await serverWith({ status: 200, headers: { "content-type": "application/json" }, body });
    expect((await cache.get()).value).toBe("a");
  });
});

describe("S4: header injection", () => {
  test.each(["a\r\nX-Evil: 1", "a b", "ünïcode", "a\0"])(
    "S4: an access token of %j is refused and not printed",
    async (access_token) => {
      const body = JSON.stringify({ access_token, token_type: "Bearer", expires_in: 60 });
      const cache = await serverWith({ status: 200, headers: { "content-type": "application/json" }, body });
      const error = await rejectionOf(cache.get());
      expect(error).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
      expect(printed(error)).not.toContain(access_token);
      expect(cache.peek()).toBeUndefined();
    },
  );
});

describe("S5: no secret in any printed form", () => {
  test("S5: caches, pools, grants and clients print no secret", async () => {
    const { cache } = cacheUnderTest({ initial: { access_token: SECRET, refresh_token: SECRET } });
    const pool = createTokenPool({ create: () => cache });
    pool.get("user");
    const grant = clientCredentialsGrant({
      tokenEndpoint: "https://auth.example/token",
      clientId: "me",
      clientSecret: SECRET,
    });
    for (const value of [cache, pool, grant, createAuthFetch(cache), policyHalf(cache).rules, cache.peek()]) {
      expect(printed(value)).not.toContain(SECRET);
    }
    expect(definitionOf(grant).key ?? "").not.toContain(SECRET);
  });

  test("S5: a token that is a JWT prints no part of it", async () => {
    const value = jwt({ sub: "me", exp: 2e9 });
    const { cache } = cacheUnderTest({ initial: { access_token: value } });
    const text = printed(cache.peek()) + printed(cache);
    for (const part of value.split(".").slice(0, 2)) expect(text).not.toContain(part);
  });

  test("S5: the error of a refused mint prints no secret, though the server repeats it", async () => {
    const body = JSON.stringify({ error: "invalid_client", error_description: `the secret ${SECRET} is wrong` });
    const cache = await serverWith({ status: 401, headers: { "content-type": "application/json" }, body });
    const error = await rejectionOf(cache.get());
    expect(error).toMatchObject({ code: "ERR_TOKEN_ENDPOINT", error: "invalid_client" });
    expect(printed(error)).not.toContain(SECRET);
    expect((error as { errorDescription?: string }).errorDescription ?? "").not.toContain(SECRET);
  });

  test("S5: an error of the user's own grant: no event prints a secret, nor does our error beside its cause", async () => {
    const { cache, grant, clock, events } = cacheUnderTest({ mintRetries: 1 });
    const foreign = Object.assign(new Error(`401 for Authorization: Basic ${SECRET}`), {
      config: { auth: { password: SECRET } },
      response: { status: 503, data: { access_token: SECRET } },
      cause: Object.assign(new Error("inner"), { request: { _header: `Authorization: Bearer ${SECRET}` } }),
    });
    const outer = new Error("outer", { cause: new RemintError("ERR_GRANT", "inner", { cause: foreign }) });
    for (const error of [foreign, outer]) {
      grant.fail(error, Infinity);
      const got = rejectionOf(cache.get());
      await clock.advance(2000);
      const told = (await got) as RemintError;
      // The caller's cause is what the caller's own function threw.
      expect(told.cause).toBe(error);
      expect([told.message, told.stack, told.hint, JSON.stringify(told)].join("\n")).not.toContain(SECRET);
      grant.recover();
      await clock.advance(5000);
    }
    expect(events.map(({ name }) => name)).toEqual(["mint-retried", "mint-failed", "mint-failed"]);
    expect(printed(events)).not.toContain(SECRET);
  });

  test("S5: the error of a mint that fails after a 401 prints no secret", async () => {
    const api = await startApi({ accepts: () => false });
    running.push(api);
    const { cache, grant } = cacheUnderTest({ origins: [api.origin], initial: { access_token: SECRET } });
    grant.fail(new Error("down"), Infinity);
    const error = await rejectionOf(createAuthFetch(cache)(`${api.origin}/x?code=${SECRET}`));
    expect(error).toMatchObject({ code: "ERR_GRANT", rejected: { status: 401 } });
    expect(printed(error)).not.toContain(SECRET);
  });
});
