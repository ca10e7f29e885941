/** Three processes behind one port and a real Redis: what one of them does holds in all. */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { type DemoRedis, startRedis } from "../../fleet/redis-server.ts";
import { Apis } from "../apis.ts";
import { AuthServer } from "../auth-server.ts";
import { Browser, signIn } from "../browser.ts";
import { RESOURCES, SCOPE } from "../provider.ts";
import { Replicas } from "../replicas.ts";
import { call, holdTokens, OWN, outcome, userIn } from "./stage.ts";

const LONG = { timeout: 30_000, interval: 100 };
const SESSION = "__Host-Http-bff";
const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;
if (!hasRedis && process.env["CI"] === "true") throw new Error("redis-server is missing");

// Skipped where there is no redis-server to start.
describe.skipIf(!hasRedis)("three processes and a Redis", () => {
  const secrets: [kind: string, secret: string][] = [];
  const tokenRequests: number[] = [];
  const server = createServer();
  let redis: DemoRedis;
  let auth: AuthServer;
  let apis: Apis;
  let replicas: Replicas;
  let origin: string;
  const changes: [id: number, alive: boolean][] = [];

  beforeAll(async () => {
    redis = (await startRedis())!;
    server.listen(0, "localhost");
    await once(server, "listening");
    origin = `http://localhost:${(server.address() as AddressInfo).port}`;
    auth = await AuthServer.start({ origin, record: (kind, secret) => secrets.push([kind, secret]) });
    auth.events.on("token-request", ({ status }) => tokenRequests.push(status));
    apis = await Apis.start(auth);
    const settings = {
      origin,
      issuer: auth.issuer,
      clientId: "bff",
      clientSecret: auth.secrets.bff,
      scope: SCOPE,
      resources: [RESOURCES.orders, RESOURCES.billing] as [string, string],
      apis: { orders: apis.place("orders"), billing: apis.place("billing") },
      redisUrl: redis.url,
      secret: randomBytes(32).toString("base64"),
      tokenKey: randomBytes(32).toString("base64"),
      files: [["/", { type: "text/html", body: "the app" }]] as const,
    };
    replicas = await Replicas.start(3, settings, (id, alive) => changes.push([id, alive]));
    server.on("request", (request, response) => replicas.forward(request, response));
  }, 120_000);
  afterEach(() => {
    auth.tokenFault = undefined;
  });
  afterAll(async () => {
    server.close();
    server.closeAllConnections();
    await replicas.close();
    await Promise.all([auth.close(), apis.close()]);
    await redis.stop();
  });

  async function alice(): Promise<Browser> {
    const browser = new Browser();
    expect((await signIn(browser, origin)).url.href).toBe(`${origin}/`);
    return browser;
  }
  /** Sends so many requests, spread over the processes by turns. */
  const spread = (browser: Browser, count: number, path = "/api/orders/list"): Promise<string[]> =>
    Promise.all(Array.from({ length: count }, () => outcome(browser, origin + path)));

  test("50 requests at once after a revocation, one session: 1 token request, 50 answers of 200", async () => {
    const browser = await alice();
    expect(new Set(await spread(browser, 6))).toEqual(new Set(["200"]));
    auth.kill(auth.alive());
    tokenRequests.length = 0;
    expect(new Set(await spread(browser, 50))).toEqual(new Set(["200"]));
    expect(tokenRequests).toEqual([200]);
  });

  test("no process presents a refresh token that another has used up, however often they take turns", async () => {
    const browser = await alice();
    const reused: unknown[] = [];
    auth.events.on("reuse", (event) => reused.push(event));
    for (let turn = 0; turn < 6; turn++) {
      auth.kill(auth.alive());
      expect(new Set(await spread(browser, 7))).toEqual(new Set(["200"]));
    }
    expect(reused).toEqual([]);
  });

  test("orders and billing are renewed at the same time in several processes: each API gets its own audience", async () => {
    const browser = await alice();
    await Promise.all([spread(browser, 6), spread(browser, 6, "/api/billing/list")]);
    auth.kill(auth.alive());
    const both = await Promise.all([spread(browser, 9), spread(browser, 9, "/api/billing/list")]);
    expect(new Set(both.flat())).toEqual(new Set(["200"]));
  });

  test("a sign-out in one process holds in all of them, also for a refresh that is in flight", async () => {
    const browser = await alice();
    const cookie = `${SESSION}=${browser.cookie("localhost", SESSION)}`;
    await spread(browser, 6);
    auth.kill(auth.alive());
    const hold = holdTokens();
    auth.tokenFault = hold.fault;
    const inFlight = spread(browser, 6);
    await hold.arrived;
    await browser.visit(`${origin}/bff/logout`, { method: "POST", from: origin, stopAt: "/session/end" });
    hold.release();
    expect(new Set(await inFlight)).toEqual(new Set(["401 sign-in"]));
    for (const each of replicas.origins) {
      const answer = await fetch(`${each}/api/orders/list`, { headers: { ...OWN, cookie } });
      expect(answer.status).toBe(401);
    }
    await vi.waitFor(() => expect(auth.alive().filter(({ client }) => client === "bff")).toEqual([]), LONG);
  });

  test("a stream in one process ends when another process signs the user out", async () => {
    const browser = await alice();
    const streams = await Promise.all(
      [1, 2, 3].map(() => browser.request(`${origin}/api/orders/events`, { headers: { accept: "text/event-stream" } })),
    );
    expect(streams.map(({ status }) => status)).toEqual([200, 200, 200]);
    await browser.visit(`${origin}/bff/logout`, { method: "POST", from: origin, stopAt: "/session/end" });
    for (const stream of streams) {
      const reader = stream.body!.getReader();
      let isOver = false;
      while (!isOver) isOver = (await reader.read()).done;
    }
  });

  test("a back-channel logout that one process gets ends the session in all of them, and its token is taken once", async () => {
    const browser = await alice();
    await spread(browser, 6);
    const user = (await (await call(browser, `${origin}/bff/user`)).json()) as { session: { claims: { sid: string } } };
    await auth.endSession(auth.sessionOf(user.session.claims.sid)!);
    expect(new Set(await spread(browser, 6))).toEqual(new Set(["401 sign-in"]));
    const now = Math.floor(Date.now() / 1000);
    const events = { "http://schemas.openid.net/event/backchannel-logout": {} };
    const claims = { iss: auth.issuer, aud: "bff", iat: now, exp: now + 60, jti: "once", sub: "nobody", events };
    const body = new URLSearchParams({ logout_token: await auth.sign(claims, { typ: "logout+jwt" }) });
    const statuses = [];
    for (let turn = 0; turn < 3; turn++) {
      statuses.push((await fetch(`${origin}/bff/backchannel`, { method: "POST", body })).status);
    }
    expect(statuses).toEqual([200, 400, 400]);
  });

  test("a process is killed during a refresh: the others go on with the session, and it comes back", async () => {
    const browser = await alice();
    await spread(browser, 6);
    auth.kill(auth.alive());
    const hold = holdTokens();
    let isFirst = true;
    auth.tokenFault = async (request, response) => {
      if (!isFirst) return false;
      isFirst = false;
      await hold.fault(request, response);
      request.socket.destroy();
      return true;
    };
    changes.length = 0;
    const cookie = `${SESSION}=${browser.cookie("localhost", SESSION)}`;
    const lost = fetch(`${replicas.origins[1]}/api/orders/list`, { headers: { ...OWN, cookie } });
    await hold.arrived;
    replicas.kill(2);
    await expect(lost).rejects.toThrow();
    hold.release();
    await vi.waitFor(async () => expect(new Set(await spread(browser, 4))).toEqual(new Set(["200"])), LONG);
    expect(await userIn(browser, origin)).toBe("alice");
    await vi.waitFor(
      () =>
        expect(changes).toEqual([
          [2, false],
          [2, true],
        ]),
      LONG,
    );
    expect(new Set(await spread(browser, 6))).toEqual(new Set(["200"]));
  });

  test("nothing in the Redis is a token, a secret, a verifier, a name or the id of a session", async () => {
    const browser = await alice();
    await spread(browser, 6);
    await spread(browser, 3, "/api/billing/list");
    const id = browser.cookie("localhost", SESSION)!;
    const client = new Redis(redis.url);
    await client.set("planted", `x${id}x`);
    const dump = await dumpOf(client);
    const needles = [...secrets.map(([, secret]) => secret), auth.secrets.bff, id, "Alice", "alice"];
    expect(secrets.filter(([kind]) => kind === "refresh_token").length).toBeGreaterThan(3);
    const found = needles.filter((needle) => dump.includes(needle));
    expect(found, "the planted needle is found, and no other").toEqual([id]);
    await client.del("planted");
    expect((await dumpOf(client)).includes(id)).toBe(false);
    client.disconnect();
  });
});

/** Everything that a Redis holds, keys and values. */
async function dumpOf(redis: Redis): Promise<string> {
  const parts: string[] = [];
  for (const key of await redis.keys("*")) {
    const type = await redis.type(key);
    parts.push(key, ...(type === "set" ? await redis.smembers(key) : [(await redis.get(key)) ?? ""]));
  }
  return parts.join("\n");
}
