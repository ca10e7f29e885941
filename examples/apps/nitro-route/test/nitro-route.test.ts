import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build, createNitro, prepare } from "nitropack";
import { type Api, type AuthServer, startApi, startAuthServer } from "remint/testing";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";

const rootDir = fileURLToPath(new URL("..", import.meta.url));
const client = { clientId: "portal", clientSecret: "the secret of the portal" };

beforeAll(async () => {
  const nitro = await createNitro({ rootDir, dev: false, logLevel: 1 });
  await prepare(nitro);
  await build(nitro);
  await nitro.close();
});

let auth: AuthServer;
let billing: Api;
let server: ChildProcess;
let url: string;
beforeEach(async () => {
  auth = await startAuthServer(client);
  billing = await startApi({ accepts: auth });
  server = spawn(process.execPath, [`${rootDir}.output/server/index.mjs`], {
    stdio: ["ignore", "pipe", "ignore"],
    env: {
      ...process.env,
      NITRO_HOST: "127.0.0.1",
      NITRO_PORT: "00", // Any free port. Nitro takes "0" as not set, and listens on 3000.
      TOKEN_ENDPOINT: auth.tokenEndpoint,
      CLIENT_ID: client.clientId,
      CLIENT_SECRET: client.clientSecret,
      BILLING_URL: billing.origin,
    },
  });
  url = await addressOf(server);
});
afterEach(async () => {
  const gone = once(server, "exit");
  server.kill();
  await gone;
  await Promise.all([billing.close(), auth.close()]);
});

/** Nitro says `Listening on http://…` when it is ready. */
async function addressOf({ stdout }: ChildProcess): Promise<string> {
  if (!stdout) throw new Error("the server has no standard output");
  for await (const line of createInterface(stdout)) {
    const address = /Listening on (http:\S+)/.exec(line)?.[1];
    if (address) return address;
  }
  throw new Error("the server ended before it listened");
}

test("the first request: the route answers what the API says, and one token was requested", async () => {
  const response = await fetch(`${url}/invoices`);
  expect([response.status, await response.json()]).toEqual([200, { ok: true, path: "/invoices" }]);
  expect(auth.requests).toHaveLength(1);
});

test("the token is revoked: it is replaced, and the caller of the route notices nothing", async () => {
  await fetch(`${url}/invoices`);
  auth.revokeAll();
  const responses = await Promise.all([fetch(`${url}/invoices`), fetch(`${url}/invoices`)]);
  expect(responses.map(({ status }) => status)).toEqual([200, 200]);
  expect(auth.mints).toBe(2);
});

test("the token endpoint is down and names a time: 503 with that Retry-After, and nothing of the reason", async () => {
  auth.respondAlways({ status: 503, headers: { "retry-after": "7" } });
  const response = await fetch(`${url}/invoices`);
  expect([response.status, response.headers.get("retry-after")]).toEqual([503, "7"]);
  expect(await response.text()).toBe('{"status":503,"detail":"Invoices cannot be read at the moment."}');
  expect(billing.requests).toEqual([]);
});

test("the token endpoint is down and names no time: 503 with a Retry-After of the application's own", async () => {
  auth.respondAlways({ status: 503 });
  const response = await fetch(`${url}/invoices`);
  expect([response.status, response.headers.get("retry-after")]).toEqual([503, "5"]);
});

test("the token endpoint refuses the client: 503 without Retry-After, because the same would be said again", async () => {
  auth.respondAlways({ status: 401, body: { error: "invalid_client" } });
  const response = await fetch(`${url}/invoices`);
  expect([response.status, response.headers.get("retry-after")]).toEqual([503, null]);
});

test("the token endpoint is up again: the next request succeeds", async () => {
  auth.respondAlways({ status: 503 });
  expect((await fetch(`${url}/invoices`)).status).toBe(503);
  auth.respondAlways(undefined);
  await expect.poll(async () => (await fetch(`${url}/invoices`)).status, { timeout: 20_000 }).toBe(200);
});

test("an error of the API is Nitro's to answer", async () => {
  billing.respondAlways({ status: 404 });
  const response = await fetch(`${url}/invoices`);
  expect([response.status, response.headers.get("retry-after")]).toEqual([404, null]);
});
