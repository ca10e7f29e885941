import { type Api, type AuthServer, startApi, startAuthServer } from "remint/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type AppProcess, startApp, stopDuring } from "./app-process.ts";

let auth: AuthServer;
let api: Api;
let app: AppProcess;

beforeAll(async () => {
  auth = await startAuthServer({ clientId: "shop", clientSecret: "s3cret" });
  api = await startApi({ accepts: auth });
  app = await startApp("nest-http/main.ts", {
    ISSUER: auth.issuer,
    CLIENT_ID: "shop",
    CLIENT_SECRET: "s3cret",
    API_URL: `${api.origin}/v1/`,
  });
});
beforeEach(() => {
  for (const server of [auth, api]) server.respondAlways(undefined);
});
afterAll(async () => {
  await app?.stop();
  await Promise.all([auth, api].map((server) => server?.close()));
});

const order = (): Promise<Response> => fetch(`${app.url}/orders/7`);

test("the API gets a token", async () => {
  const response = await order();
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({ ok: true, path: "/v1/orders/7" });
});

test("the token is revoked: it is replaced once, and ten callers notice nothing", async () => {
  await order();
  auth.revokeAll();
  const { mints } = auth;
  const answers = await Promise.all(Array.from({ length: 10 }, order));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  expect(auth.mints).toBe(mints + 1);
});

test.each([
  ["answers 503 and says how long", { status: 503, headers: { "retry-after": "1" } }, "1"],
  ["breaks connections", { reset: true }, "5"],
  ["refuses the client", { status: 401, body: { error: "invalid_client" } }, "30"],
] as const)(
  "the token endpoint %s: 503 with Retry-After, the log says why, and then it works again",
  async (_, answer, retryAfter) => {
    await order();
    auth.revokeAll();
    auth.respondAlways(answer);
    const response = await order();
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe(retryAfter);
    expect(JSON.stringify(await response.json())).not.toContain(auth.origin);
    await expect.poll(() => app.output(), { timeout: 20_000 }).toContain(auth.tokenEndpoint);
    auth.respondAlways(undefined);
    await expect.poll(async () => (await order()).status, { timeout: 20_000 }).toBe(200);
  },
);

test("the API fails: 502; it does not know the order: 404", async () => {
  api.respondAlways({ status: 500 });
  expect((await order()).status).toBe(502);
  api.respondAlways({ status: 404 });
  expect((await order()).status).toBe(404);
});

test("SIGTERM: the request under way is answered, and the process ends without having printed a token", async () => {
  const { answer } = await stopDuring(app, api, order);
  expect(answer.status).toBe(200);
  for (const token of auth.issued) expect(app.output()).not.toContain(token);
});
