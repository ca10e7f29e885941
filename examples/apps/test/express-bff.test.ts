import { randomBytes } from "node:crypto";
import { type Api, type AuthServer, startApi, startAuthServer } from "remint/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type DemoRedis, startRedis } from "../../fleet/redis-server.ts";
import { type AppProcess, startApp } from "./app-process.ts";
import { Browser } from "./browser.ts";

const redis = await startRedis();
if (redis === undefined && process.env["CI"] !== undefined) throw new Error("express-bff needs redis-server");
if (redis === undefined) console.log("skipped: express-bff needs redis-server, which is not installed");

describe.skipIf(redis === undefined)("express-bff", () => {
  const TOKEN_KEY = randomBytes(32).toString("base64");
  let auth: AuthServer;
  let api: Api;
  let app: AppProcess;
  const start = (): Promise<AppProcess> => {
    const { url } = redis as DemoRedis;
    return startApp("express-bff/main.ts", {
      ISSUER: auth.issuer,
      CLIENT_ID: "portal",
      CLIENT_SECRET: "s3cret",
      API_URL: `${api.origin}/v1`,
      REDIS_URL: url.startsWith("/") ? `unix://${url}` : url,
      TOKEN_KEY,
      SESSION_SECRET: "a secret of the test",
    });
  };

  beforeAll(async () => {
    auth = await startAuthServer({ clientId: "portal", clientSecret: "s3cret" });
    api = await startApi({ accepts: auth });
    app = await start();
  });
  beforeEach(() => {
    auth.respondAlways(undefined);
    api.respondAlways(({ token, url }) => {
      const { isLive, subject } = auth.tokenInfo(token ?? "") ?? {};
      return isLive === true ? { body: { url, ownedBy: subject } } : undefined;
    });
  });
  afterAll(async () => {
    await app?.stop();
    await Promise.all([api?.close(), auth?.close(), redis?.stop()]);
  });

  async function signedIn(user: string): Promise<Browser> {
    auth.user = user;
    const browser = new Browser();
    expect((await browser.fetch(`${app.url}/login`)).status).toBe(200);
    return browser;
  }
  const orders = (browser: Browser): Promise<Response> =>
    browser.fetch(`${app.url}/api/orders`, { headers: { "x-bff": "1" } });

  test("nobody is signed in: 401, code sign-in, and the API is not asked", async () => {
    const asked = api.requests.length;
    const response = await orders(new Browser());
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ code: "sign-in" });
    expect(api.requests).toHaveLength(asked);
  });

  test("two users get their own data", async () => {
    const [alice, bob] = [await signedIn("alice"), await signedIn("bob")];
    expect(await (await orders(alice)).json()).toEqual({ url: "/v1/orders", ownedBy: "alice" });
    expect(await (await orders(bob)).json()).toEqual({ url: "/v1/orders", ownedBy: "bob" });
    expect(await (await orders(alice)).json()).toEqual({ url: "/v1/orders", ownedBy: "alice" });
  });

  test("the tokens are revoked: another one is obtained, and the page notices nothing", async () => {
    const alice = await signedIn("alice");
    expect((await orders(alice)).status).toBe(200);
    auth.revokeAll();
    const { mints } = auth;
    const answers = await Promise.all(Array.from({ length: 5 }, () => orders(alice)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(auth.mints).toBe(mints + 1);
  });

  test.each([
    ["answers 503 and says how long", { status: 503, headers: { "retry-after": "1" } }],
    ["breaks connections", { reset: true }],
  ] as const)(
    "the token endpoint %s: 503 with Retry-After; when it is up again, the user is still signed in",
    async (_, answer) => {
      const alice = await signedIn("alice");
      auth.revokeAll();
      auth.respondAlways(answer);
      const response = await orders(alice);
      expect(response.status).toBe(503);
      expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
      expect(await response.json()).toMatchObject({ code: "token" });
      auth.respondAlways(undefined);
      await expect.poll(async () => (await orders(alice)).status, { timeout: 20_000 }).toBe(200);
    },
  );

  test("sign-out: 401 with the cookie of before, and the tokens are revoked", async () => {
    const alice = await signedIn("alice");
    expect((await orders(alice)).status).toBe(200);
    const token = api.requests.at(-1)?.token ?? "";
    const foreign = await alice.fetch(`${app.url}/logout`, { method: "POST" });
    expect(foreign.status).toBe(403);
    expect((await orders(alice)).status).toBe(200);
    const response = await alice.fetch(`${app.url}/logout`, { method: "POST", headers: { "x-bff": "1" } });
    expect(response.status).toBe(204);
    expect((await orders(alice)).status).toBe(401);
    expect(auth.tokenInfo(token)).toMatchObject({ isLive: false, ended: "revoked" });
  });

  test("SIGTERM: the request under way is answered, the process ends, and in the next one the user is signed in", async () => {
    const alice = await signedIn("alice");
    const before = app;
    const release = api.holdAnswers();
    const asked = api.requests.length;
    const answer = orders(alice);
    await api.waitFor(asked + 1);
    const stopped = before.stop();
    await expect.poll(() => fetch(before.url).catch(() => "refused"), { timeout: 20_000 }).toBe("refused");
    release();
    expect((await answer).status).toBe(200);
    expect(await stopped).toBe(0);
    for (const token of auth.issued) expect(before.output()).not.toContain(token);

    app = await start();
    expect(await (await orders(alice)).json()).toMatchObject({ ownedBy: "alice" });
  });
});
