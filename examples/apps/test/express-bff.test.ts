import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { type Api, startApi } from "remint/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type DemoRedis, startRedis } from "../../fleet/redis-server.ts";
import { type AppProcess, startApp } from "./app-process.ts";
import { Browser } from "./browser.ts";
import { CLIENT, type SignInServer, startProvider } from "./provider.ts";

const redis = await startRedis();
if (redis === undefined && process.env["CI"] !== undefined) throw new Error("express-bff needs redis-server");
if (redis === undefined) console.log("skipped: express-bff needs redis-server, which is not installed");

describe.skipIf(redis === undefined)("express-bff", () => {
  const TOKEN_KEY = randomBytes(32).toString("base64");
  let auth: SignInServer;
  let api: Api;
  let app: AppProcess;
  const start = (): Promise<AppProcess> => {
    const { url } = redis as DemoRedis;
    return startApp("express-bff/main.ts", {
      ISSUER: auth.issuer,
      CLIENT_ID: CLIENT.id,
      CLIENT_SECRET: CLIENT.secret,
      API_URL: `${api.origin}/v1`,
      REDIS_URL: url.startsWith("/") ? `unix://${url}` : url,
      TOKEN_KEY,
      SESSION_SECRET: "a secret of the test",
    });
  };

  beforeAll(async () => {
    auth = await startProvider();
    api = await startApi({ accepts: (token) => auth.ownerOf(token) !== undefined });
    app = await start();
  });
  beforeEach(() => {
    auth.outage = undefined;
    api.respondAlways(({ token, url }) => {
      const ownedBy = auth.ownerOf(token ?? "");
      return ownedBy === undefined ? undefined : { body: { url, ownedBy } };
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
    expect(await (await alice.fetch(`${app.url}/user`)).json()).toEqual({ name: "ALICE" });
    expect(await (await bob.fetch(`${app.url}/user`)).json()).toEqual({ name: "BOB" });
    expect(await (await orders(alice)).json()).toEqual({ url: "/v1/orders", ownedBy: "alice" });
    expect(await (await orders(bob)).json()).toEqual({ url: "/v1/orders", ownedBy: "bob" });
    expect(await (await orders(alice)).json()).toEqual({ url: "/v1/orders", ownedBy: "alice" });
  });

  test("a second sign-in in the same browser: the session and its tokens are the new ones", async () => {
    const browser = await signedIn("alice");
    expect((await orders(browser)).status).toBe(200);
    const { length } = auth.issued;
    expect((await browser.fetch(`${app.url}/login`)).status).toBe(200);
    expect((await orders(browser)).status).toBe(200);
    expect(api.requests.at(-1)?.token).toBe(auth.issued[length]);
  });

  test("the token endpoint is down during a sign-in: 502, and nobody is signed in", async () => {
    auth.outage = (response) => void response.writeHead(503).end();
    const browser = new Browser();
    expect((await browser.fetch(`${app.url}/login`)).status).toBe(502);
    expect((await orders(browser)).status).toBe(401);
  });

  test("the tokens are revoked: another one is obtained, and the page notices nothing", async () => {
    const alice = await signedIn("alice");
    expect((await orders(alice)).status).toBe(200);
    auth.revokeAll();
    const { length } = auth.issued;
    const answers = await Promise.all(Array.from({ length: 5 }, () => orders(alice)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(auth.issued).toHaveLength(length + 1);
  });

  test.each([
    ["answers 503", (response: ServerResponse) => void response.writeHead(503).end()],
    ["breaks connections", (response: ServerResponse) => void response.destroy()],
  ])(
    "the token endpoint %s: 503 with Retry-After; when it is up again, the user is still signed in",
    async (_, outage) => {
      const alice = await signedIn("alice");
      auth.revokeAll();
      auth.outage = outage;
      const response = await orders(alice);
      expect(response.status).toBe(503);
      expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
      expect(await response.json()).toMatchObject({ code: "token" });
      auth.outage = undefined;
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
    expect(auth.ownerOf(token)).toBeUndefined();
    expect(await (await alice.fetch(`${app.url}/user`)).json()).toBeNull();
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
