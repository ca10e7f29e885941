import { type Api, type AuthServer, startApi, startAuthServer } from "remint/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type AppProcess, startApp, stopDuring } from "./app-process.ts";

let auth: AuthServer;
let orders: Api;
let billing: Api;
let app: AppProcess;

beforeAll(async () => {
  auth = await startAuthServer({ clientId: "shop", clientSecret: "s3cret" });
  const only = (audience: string) => (token: string) =>
    auth.isLive(token) && auth.tokenInfo(token)?.audience.join() === audience;
  orders = await startApi({ accepts: only("orders") });
  billing = await startApi({ accepts: only("billing") });
  app = await startApp("hono-two-audiences/main.ts", {
    ISSUER: auth.issuer,
    CLIENT_ID: "shop",
    CLIENT_SECRET: "s3cret",
    ORDERS_API: `${orders.origin}/v1`,
    BILLING_API: `${billing.origin}/v1`,
  });
});
beforeEach(() => {
  for (const server of [auth, orders, billing]) server.respondAlways(undefined);
});
afterAll(async () => {
  await app?.stop();
  await Promise.all([auth, orders, billing].map((server) => server?.close()));
});

const order = (): Promise<Response> => fetch(`${app.url}/orders/7`);

test("each API gets a token of its own audience", async () => {
  const response = await order();
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({
    order: { ok: true, path: "/v1/orders/7" },
    invoice: { ok: true, path: "/v1/invoices/7" },
  });
  expect([orders.unauthorized, billing.unauthorized]).toEqual([0, 0]);
});

test("both tokens are revoked: each is replaced once, and ten callers notice nothing", async () => {
  await order();
  auth.revokeAll();
  const { mints } = auth;
  const answers = await Promise.all(Array.from({ length: 10 }, order));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  expect(auth.mints).toBe(mints + 2);
});

test.each([
  ["answers 503 and says how long", { status: 503, headers: { "retry-after": "1" } }, "1"],
  ["answers 503", { status: 503 }, "5"],
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
    expect(app.output()).toContain(auth.tokenEndpoint);
    auth.respondAlways(undefined);
    await expect.poll(async () => (await order()).status, { timeout: 20_000 }).toBe(200);
  },
);

test("an API fails: 502; it does not know the order: 404", async () => {
  billing.respondAlways({ status: 500 });
  expect((await order()).status).toBe(502);
  billing.respondAlways({ status: 404 });
  expect((await order()).status).toBe(404);
});

test("SIGTERM: the request under way is answered, and the process ends without having printed a token", async () => {
  const { answer, code } = await stopDuring(app, billing, order);
  expect([answer.status, code]).toEqual([200, 0]);
  for (const token of auth.issued) expect(app.output()).not.toContain(token);
});
