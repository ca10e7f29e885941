/** Metrics and spans of whole stories, as the SDK of OpenTelemetry exports them. */
import { clientCredentialsGrant, createTokenCache, type TokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";
import { fleetStore, memoryStore, type Store } from "remint/fleet";
import { fakeGrant, manualClock, startApi, startAuthServer } from "remint/testing";
import { afterEach, expect, test, vi } from "vitest";
import { startTelemetry, type Telemetry } from "./exported.ts";
import type { Api, AuthServer, ManualClock } from "remint/testing";

const SOON = { timeout: 20_000 };

afterEach(() => vi.restoreAllMocks());

interface Stage extends AsyncDisposable {
  readonly auth: AuthServer;
  readonly api: Api;
  readonly clock: ManualClock;
  readonly telemetry: Telemetry;
  readonly cache: TokenCache;
  readonly get: (path: string) => Promise<number>;
}

/** A real authorization server and a real API, and a cache whose time stands still. */
async function stage(mintRetries = 0): Promise<Stage> {
  const auth = await startAuthServer({ clientId: "shop", clientSecret: "s3cret-client" });
  const api = await startApi({ accepts: auth });
  const clock = manualClock();
  const telemetry = startTelemetry();
  const { tokenEndpoint } = auth;
  const cache = createTokenCache({
    grant: clientCredentialsGrant({ tokenEndpoint, clientId: "shop", clientSecret: "s3cret-client" }),
    origins: [api.origin],
    clock,
    mintRetries,
    onEvent: telemetry.onEvent,
  });
  const authFetch = createAuthFetch(cache);
  const get = async (path: string): Promise<number> => {
    const response = await telemetry.request(`GET ${path}`, () => authFetch(`${api.origin}${path}?card=s3cret-card`));
    await response.arrayBuffer();
    return response.status;
  };
  return {
    auth,
    api,
    clock,
    telemetry,
    cache,
    get,
    async [Symbol.asyncDispose]() {
      await cache.close();
      await api.close();
      await auth.close();
    },
  };
}

test("a cold start of three requests: one mint, a child of the first", async () => {
  await using on = await stage();
  const release = on.auth.holdAnswers();
  const answers = Promise.all(["/a", "/b", "/c"].map(on.get));
  await on.auth.waitFor(1);
  await on.clock.advance(250);
  release();
  expect(await answers).toEqual([200, 200, 200]);
  expect(await on.get("/d")).toBe(200);
  expect(on.telemetry.spans()).toMatchInlineSnapshot(`
    [
      "GET /a",
      "  remint.mint {remint.mint.cause=cold server.address=127.0.0.1 server.port=PORT remint.mint.outcome=minted remint.mint.waiters=3}",
      "GET /b",
      "GET /c",
      "GET /d",
    ]
  `);
  expect(await on.telemetry.metrics()).toMatchInlineSnapshot(`
    [
      "remint.mint.duration 1 x, sum 0.25 s {remint.mint.cause=cold server.address=127.0.0.1 server.port=PORT}",
      "remint.mint.waiters 1 x, sum 3 {caller} {remint.mint.cause=cold}",
    ]
  `);
});

test("a renewal after a 401: its mint is a child of the request that was rejected, and others wait for it", async () => {
  await using on = await stage();
  expect(await on.get("/first")).toBe(200);
  on.auth.revokeAll();
  const release = on.auth.holdAnswers();
  const rejected = on.get("/rejected");
  await on.auth.waitFor(2);
  const meanwhile = on.get("/meanwhile");
  await on.clock.advance(400);
  release();
  expect(await Promise.all([rejected, meanwhile])).toEqual([200, 200]);
  expect(on.telemetry.spans()).toMatchInlineSnapshot(`
    [
      "GET /first",
      "  remint.mint {remint.mint.cause=cold server.address=127.0.0.1 server.port=PORT remint.mint.outcome=minted remint.mint.waiters=1}",
      "GET /rejected",
      "  remint.mint {remint.mint.cause=rejected server.address=127.0.0.1 server.port=PORT remint.mint.outcome=minted remint.mint.waiters=2}",
      "GET /meanwhile",
    ]
  `);
  expect(await on.telemetry.metrics()).toMatchInlineSnapshot(`
    [
      "remint.mint.duration 1 x, sum 0 s {remint.mint.cause=cold server.address=127.0.0.1 server.port=PORT}",
      "remint.mint.duration 1 x, sum 0.4 s {remint.mint.cause=rejected server.address=127.0.0.1 server.port=PORT}",
      "remint.mint.waiters 1 x, sum 1 {caller} {remint.mint.cause=cold}",
      "remint.mint.waiters 1 x, sum 2 {caller} {remint.mint.cause=rejected}",
      "remint.renewal.duration 1 x, sum 0.4 s {remint.renewal.source=minted}",
      "remint.token.rejections 1 {rejection}",
    ]
  `);
});

test("an outage of the token endpoint: the failure, who is concerned, and the mint that ends it", async () => {
  await using on = await stage(1);
  on.auth.respondAlways({ status: 503, headers: { "retry-after": "3" }, body: { error: "temporarily_unavailable" } });
  const failed = Promise.allSettled([on.get("/a"), on.get("/b")]);
  await on.auth.waitFor(1);
  await vi.waitUntil(() => on.clock.timers > 1, SOON);
  await on.clock.advance(3000);
  expect((await failed).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  // What is remembered of a failure costs no mint and is no second one.
  await expect(on.get("/c")).rejects.toMatchObject({ code: "ERR_TOKEN_ENDPOINT" });
  on.auth.respondAlways(undefined);
  await on.clock.advance(60_000);
  expect(await on.get("/d")).toBe(200);
  expect(on.telemetry.spans()).toMatchInlineSnapshot(`
    [
      "GET /a",
      "  remint.mint {remint.mint.cause=cold server.address=127.0.0.1 server.port=PORT remint.mint.outcome=failed remint.mint.waiters=2 error.type=ERR_TOKEN_ENDPOINT http.response.status_code=503 remint.oauth.error=temporarily_unavailable remint.failure.owner=server remint.mint.served_stale=false}, error "no token is available: the authorization server failed"; event remint.mint.retry {error.type=ERR_TOKEN_ENDPOINT http.response.status_code=503 remint.oauth.error=temporarily_unavailable}",
      "GET /b",
      "GET /c",
      "GET /d",
      "  remint.mint {remint.mint.cause=cold server.address=127.0.0.1 server.port=PORT remint.mint.outcome=minted remint.mint.waiters=1}",
    ]
  `);
  expect(await on.telemetry.metrics()).toMatchInlineSnapshot(`
    [
      "remint.mint.duration 1 x, sum 3 s {remint.mint.cause=cold server.address=127.0.0.1 server.port=PORT error.type=ERR_TOKEN_ENDPOINT}",
      "remint.mint.duration 1 x, sum 0 s {remint.mint.cause=cold server.address=127.0.0.1 server.port=PORT}",
      "remint.mint.waiters 2 x, sum 3 {caller} {remint.mint.cause=cold}",
      "remint.mint.failures 1 {failure} {remint.mint.cause=cold server.address=127.0.0.1 server.port=PORT error.type=ERR_TOKEN_ENDPOINT http.response.status_code=503 remint.oauth.error=temporarily_unavailable remint.failure.owner=server remint.mint.served_stale=false}",
      "remint.mint.retries 1 {retry} {error.type=ERR_TOKEN_ENDPOINT http.response.status_code=503 remint.oauth.error=temporarily_unavailable}",
    ]
  `);
});

/** A store that a test can cut off. */
function switchable(store: Store): Store & { isAway: boolean } {
  return {
    isAway: false,
    swap(...swap) {
      return this.isAway ? Promise.reject(new Error("connection refused")) : store.swap(...swap);
    },
  };
}

test("an outage of the store and its end: the process mints for itself meanwhile", async () => {
  const clock = manualClock();
  const telemetry = startTelemetry();
  const store = switchable(memoryStore({ clock }));
  await using cache = createTokenCache({
    grant: fakeGrant({ key: "orders" }),
    origins: ["https://api.example"],
    store: fleetStore(store, { encryptionKey: "none" }),
    clock,
    onEvent: telemetry.onEvent,
  });
  const get = async (name: string): Promise<string> => {
    const got = telemetry.request(name, () => cache.get());
    await clock.advance(1000);
    return (await got).value;
  };
  store.isAway = true;
  expect(await get("during the outage")).toBe("fake-1");
  expect(await telemetry.metrics()).toContain("remint.store.degraded 1 {store}");
  store.isAway = false;
  await clock.advance(10_000);
  await cache.invalidate("fake-1");
  expect(await get("after the outage")).toBe("fake-2");
  expect(telemetry.spans()).toMatchInlineSnapshot(`
    [
      "during the outage",
      "  remint.mint {remint.mint.cause=cold remint.mint.outcome=minted remint.mint.waiters=1}",
      "after the outage",
      "  remint.mint {remint.mint.cause=cold remint.mint.outcome=minted remint.mint.waiters=1}",
    ]
  `);
  expect(await telemetry.metrics()).toMatchInlineSnapshot(`
    [
      "remint.mint.duration 2 x, sum 0.25 s {remint.mint.cause=cold}",
      "remint.mint.waiters 2 x, sum 2 {caller} {remint.mint.cause=cold}",
      "remint.store.changes 1 {change} {remint.store.state=degraded}",
      "remint.store.changes 1 {change} {remint.store.state=recovered}",
      "remint.store.degraded 0 {store}",
    ]
  `);
});

test("a take-over in a fleet: one process is cut off while it mints, another mints, and the first takes that token", async () => {
  // How long a process waits before it looks at the record again is random otherwise.
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  const clock = manualClock();
  const shared = memoryStore({ clock });
  const join = () => {
    const store = switchable(shared);
    const telemetry = startTelemetry();
    const grant = fakeGrant({ key: "orders", state: "first", onState: () => {} });
    const cache = createTokenCache({
      grant,
      origins: ["https://api.example"],
      store: fleetStore(store, { encryptionKey: "none", lease: 3000 }),
      clock,
      onEvent: telemetry.onEvent,
    });
    return { store, grant, cache, telemetry };
  };
  const [slow, other] = [join(), join()];
  const hold = slow.grant.hold();
  const waits = slow.telemetry.request("GET /slow", () => slow.cache.get());
  await clock.advance(100);
  slow.store.isAway = true;
  const takesOver = other.telemetry.request("GET /other", () => other.cache.get());
  await clock.advance(5000);
  const { value } = await takesOver;
  slow.store.isAway = false;
  hold.release();
  await clock.advance(1000);
  expect((await waits).value).toBe(value);
  expect(slow.telemetry.spans()).toMatchInlineSnapshot(`
    [
      "GET /slow",
      "  remint.mint {remint.mint.cause=cold remint.mint.outcome=adopted remint.mint.waiters=1}",
    ]
  `);
  expect(await slow.telemetry.metrics()).toMatchInlineSnapshot(`
    [
      "remint.adoption.duration 1 x, sum 5.1 s {remint.mint.cause=cold}",
      "remint.lease.losses 1 {loss}",
    ]
  `);
  expect(other.telemetry.spans()).toMatchInlineSnapshot(`
    [
      "GET /other",
      "  remint.mint {remint.mint.cause=cold remint.mint.outcome=minted remint.mint.waiters=1}",
    ]
  `);
  expect(await other.telemetry.metrics()).toMatchInlineSnapshot(`
    [
      "remint.mint.duration 1 x, sum 3.117596 s {remint.mint.cause=cold}",
      "remint.mint.waiters 1 x, sum 1 {caller} {remint.mint.cause=cold}",
    ]
  `);
  await slow.cache.close();
  await other.cache.close();
});
