import assert from "node:assert/strict";
import { clientCredentialsGrant, createTokenCache } from "remint";
import { afterEach, describe, expect, test } from "vitest";
import { type AuthServer, type AuthServerOptions, startAuthServer } from "../../src/testing/index.ts";

const servers: AuthServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function start(options?: AuthServerOptions): Promise<AuthServer> {
  const server = await startAuthServer(options);
  servers.push(server);
  return server;
}

function ask(server: AuthServer, form: Record<string, string> = {}, headers: Record<string, string> = {}) {
  const body = new URLSearchParams({ grant_type: "client_credentials", ...form });
  return fetch(server.tokenEndpoint, { method: "POST", body, headers });
}

const basic = (id: string, secret: string) => ({
  authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString("base64")}`,
});

describe("startAuthServer", () => {
  test("answers the client credentials grant with unique opaque tokens", async () => {
    const server = await start();
    const response = await ask(server, { scope: "orders:read" });
    const first = await response.json();
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(response.headers.get("date")).not.toBeNull();
    expect(first).toEqual({
      access_token: expect.stringMatching(/^at-1-[\w-]{32}$/),
      token_type: "Bearer",
      expires_in: 3600,
      scope: "orders:read",
    });
    const second = await (await ask(server)).json();
    expect(second.access_token).toMatch(/^at-2-/);
    expect(server.issued).toEqual([first.access_token, second.access_token]);
    expect(server.mints).toBe(2);
  });

  test("records its requests", async () => {
    const server = await start();
    await ask(server, { scope: "a b" }, { "x-request": "7" });
    const [request] = server.requests;
    expect(request).toMatchObject({ method: "POST", path: "/token", body: "grant_type=client_credentials&scope=a+b" });
    expect(request?.headers["x-request"]).toBe("7");
    expect(request?.form.get("scope")).toBe("a b");
  });

  test("a token is live until it is revoked", async () => {
    const server = await start();
    await ask(server);
    await ask(server);
    const [first = "", second = ""] = server.issued;
    server.revoke(first);
    expect([server.isLive(first), server.isLive(second), server.isLive("at-1-made-up")]).toEqual([false, true, false]);
    server.revokeAll();
    expect(server.isLive(second)).toBe(false);
  });

  test("expiresIn can be left out and changed", async () => {
    const server = await start({ expiresIn: null });
    expect(await (await ask(server)).json()).not.toHaveProperty("expires_in");
    server.expiresIn = 60;
    expect(await (await ask(server)).json()).toMatchObject({ expires_in: 60 });
  });

  test("accepts the right client with client_secret_post and client_secret_basic, form-decoded", async () => {
    const server = await start({ clientId: "my app", clientSecret: "a:b+c%é" });
    expect((await ask(server, { client_id: "my app", client_secret: "a:b+c%é" })).status).toBe(200);
    expect((await ask(server, {}, basic("my+app", "a%3Ab%2Bc%25%C3%A9"))).status).toBe(200);
    expect((await ask(server, {}, basic("my%20app", "a:b%2Bc%25%C3%A9"))).status).toBe(200);
  });

  test("answers 401 invalid_client to wrong credentials", async () => {
    const server = await start({ clientId: "me", clientSecret: "s%3A" });
    const refused = [
      ask(server),
      ask(server, { client_id: "me" }),
      ask(server, { client_id: "me", client_secret: "wrong" }),
      ask(server, {}, basic("me", "s%3A")),
      ask(server, {}, basic("me", "%zz")),
      ask(server, {}, { authorization: "Basic !" }),
      ask(server, { client_secret: "s%3A" }, basic("me", "s%253A")),
    ];
    for (const response of await Promise.all(refused)) {
      expect(response.status).toBe(401);
      expect(await response.json()).toEqual({ error: "invalid_client" });
    }
    expect((await ask(server, {}, basic("me", "no"))).headers.get("www-authenticate")).toMatch(/^Basic /);
    expect((await ask(server, {}, basic("me", "s%253A"))).status).toBe(200);
    expect(server.mints).toBe(1);
  });

  test("refuses anything but a form post of the client credentials grant", async () => {
    const server = await start();
    expect(await (await ask(server, { grant_type: "password" })).json()).toEqual({ error: "unsupported_grant_type" });
    const json = { method: "POST", body: '{"grant_type":"client_credentials"}' };
    expect((await fetch(server.tokenEndpoint, json)).status).toBe(400);
    expect((await fetch(server.tokenEndpoint)).status).toBe(405);
    expect((await fetch(`${server.origin}/elsewhere`, json)).status).toBe(404);
    expect(server.mints).toBe(0);
  });

  test("queued answers come first, then the one of respondAlways, then the normal one", async () => {
    const server = await start();
    server.respondAlways({ status: 503 });
    server.respond({ status: 400, body: { error: "invalid_scope" } }, { body: "<html>" });
    const refusal = await ask(server);
    expect([refusal.status, await refusal.json()]).toEqual([400, { error: "invalid_scope" }]);
    expect(await (await ask(server)).text()).toBe("<html>");
    const standing = await ask(server);
    expect([standing.status, await standing.text()]).toEqual([503, ""]);
    expect((await ask(server)).status).toBe(503);
    server.respondAlways(undefined);
    expect((await ask(server)).status).toBe(200);
    expect([server.mints, server.requests.length]).toEqual([1, 5]);
  });

  test("a function gets the request, and undefined means the normal answer", async () => {
    const server = await start();
    server.respondAlways((request) => (request.form.has("scope") ? { status: 400 } : undefined));
    expect((await ask(server, { scope: "x" })).status).toBe(400);
    expect((await ask(server)).status).toBe(200);
  });

  test("an answer with headers only is the normal one with these headers, and undefined removes a header", async () => {
    const server = await start();
    server.respond({ headers: { Date: "Thu, 01 Jan 1970 00:00:00 GMT", age: "3" } }, { headers: { date: undefined } });
    const dated = await ask(server);
    expect([dated.headers.get("date"), dated.headers.get("age")]).toEqual(["Thu, 01 Jan 1970 00:00:00 GMT", "3"]);
    expect(await dated.json()).toHaveProperty("access_token", server.issued[0]);
    expect((await ask(server)).headers.get("date")).toBeNull();
  });

  test("the token of a scripted token response counts as issued", async () => {
    const server = await start();
    server.respond({ body: { access_token: "custom" } });
    await ask(server);
    expect([server.issued, server.mints, server.isLive("custom")]).toEqual([["custom"], 1, true]);
  });

  test("the token of a scripted error answer is not issued", async () => {
    const server = await start();
    server.respond({ status: 400, body: { access_token: "custom" } });
    await ask(server);
    expect([server.mints, server.isLive("custom")]).toEqual([0, false]);
  });

  test("reset destroys the connection, and the error of a script that throws is in the answer", async () => {
    const server = await start();
    server.respond({ reset: true }, () => {
      throw new Error("not what I expected");
    });
    await expect(ask(server)).rejects.toThrow("fetch failed");
    const answer = await ask(server);
    expect(answer.status).toBe(500);
    expect(await answer.text()).toContain("not what I expected");
    expect(server.mints).toBe(0);
    await expect(server.close()).rejects.toThrow("not what I expected");
  });

  test("an expectation in a script fails, and the client tries again and is content: close rejects with it, once", async () => {
    const server = await startAuthServer();
    const grant = clientCredentialsGrant({
      tokenEndpoint: server.tokenEndpoint,
      clientId: "a",
      clientSecret: "secret",
    });
    const tokens = createTokenCache({ grant, origins: ["https://api.example"] });
    server.respond(({ form }) => {
      assert.equal(form.get("scope"), "read");
      return undefined;
    });
    await tokens.get();
    expect(server.requests).toHaveLength(2);
    const closed = await Promise.allSettled([server.close(), server.close()]);
    expect(closed).toEqual([
      { status: "rejected", reason: expect.any(assert.AssertionError) },
      { status: "fulfilled", value: undefined },
    ]);
    await expect(server.waitForLog("lost", 1)).rejects.toThrow("closed");
    await server[Symbol.asyncDispose]();
  });

  test("close ends requests that hang, are held or are delayed, and can be called twice", async () => {
    const server = await start();
    server.respond({ hang: true }, { delay: 3_600_000 });
    const pending = [ask(server), ask(server)];
    await server.waitFor(2);
    server.holdAnswers();
    pending.push(ask(server));
    await server.waitFor(3);
    expect(server.waiting).toBe(1);
    await Promise.all([server.close(), server.close()]);
    for (const outcome of await Promise.allSettled(pending)) expect(outcome.status).toBe("rejected");
    await expect(ask(server)).rejects.toThrow("fetch failed");
    await server[Symbol.asyncDispose]();
  });

  test("a wrong option is a TypeError that names it", async () => {
    await expect(startAuthServer({ clientSecret: "s" })).rejects.toThrow(/"clientId"/);
    await expect(startAuthServer({ latency: -1 })).rejects.toThrow(/"latency"/);
    // @ts-expect-error a string is no number of seconds
    await expect(startAuthServer({ expiresIn: "60" })).rejects.toThrow(/"expiresIn"/);
    await expect(startAuthServer({ gracePeriod: -1 })).rejects.toThrow(/"gracePeriod"/);
    // @ts-expect-error a string is neither true nor false
    await expect(startAuthServer({ rotation: "false" })).rejects.toThrow(/"rotation"/);
    await expect(startAuthServer({ user: "" })).rejects.toThrow(/"user"/);
    // @ts-expect-error a Date is no clock
    await expect(startAuthServer({ clock: new Date() })).rejects.toThrow(/"clock"/);
  });
});
