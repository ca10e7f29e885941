import { afterEach, describe, expect, test, vi } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  RemintError,
  TokenEndpointError,
  type RemintEvent,
} from "../../src/index.ts";
import { fakeGrant, manualClock, startAuthServer, type Answer, type ManualClock } from "../../src/testing/index.ts";
import { cacheUnderTest, ORIGIN, settle, watch, type CacheUnderTest, type Watched } from "./cache-under-test.ts";
import type { AccessToken } from "../../src/index.ts";

/** Gets a token, and lets enough time pass for all retries. */
async function getWithRetries(under: CacheUnderTest): Promise<Watched<AccessToken>> {
  const got = watch(under.cache.get());
  await under.clock.advance(6000);
  return got;
}

afterEach(() => vi.restoreAllMocks());

describe("C11: retries", () => {
  const failures: [string, unknown, number][] = [
    ["a refused connection", Object.assign(new Error("connect"), { code: "ECONNREFUSED" }), 3],
    [
      "a failed fetch",
      new TypeError("fetch failed", { cause: Object.assign(new Error("x"), { code: "ENOTFOUND" }) }),
      3,
    ],
    ["a timeout of undici's own", Object.assign(new Error("x"), { code: "UND_ERR_CONNECT_TIMEOUT" }), 3],
    ["a browser's failed fetch", new TypeError("Failed to fetch"), 3],
    ["ERR_TOKEN_NETWORK", new RemintError("ERR_TOKEN_NETWORK", "x", { retryable: true }), 3],
    ["ERR_TOKEN_TIMEOUT", new RemintError("ERR_TOKEN_TIMEOUT", "x", { retryable: true }), 3],
    ["408", new TokenEndpointError(408, "x"), 3],
    ["500", new TokenEndpointError(500, "x"), 3],
    ["502 with Retry-After", new TokenEndpointError(502, "x", { retryAfter: 1000 }), 3],
    ["429 without Retry-After", new TokenEndpointError(429, "x"), 3],
    ["429 with Retry-After: 1", new TokenEndpointError(429, "x", { retryAfter: 1000 }), 3],
    ["429 with Retry-After: 2", new TokenEndpointError(429, "x", { retryAfter: 2000 }), 3],
    ["429 with Retry-After: 60", new TokenEndpointError(429, "x", { retryAfter: 60_000 }), 1],
    ["503 without Retry-After", new TokenEndpointError(503, "x"), 3],
    ["503 with Retry-After: 0", new TokenEndpointError(503, "x", { retryAfter: 0 }), 3],
    ["503 with Retry-After: 60", new TokenEndpointError(503, "x", { retryAfter: 60_000 }), 1],
    ["400 temporarily_unavailable", new TokenEndpointError(400, "x", { retryable: true }), 3],
    ["an OAuth refusal", new TokenEndpointError(400, "x", { error: "invalid_client" }), 1],
    ["an OAuth refusal with status 401", new TokenEndpointError(401, "x", { error: "invalid_client" }), 1],
    ["an OAuth refusal with Retry-After", new TokenEndpointError(400, "x", { retryAfter: 1000 }), 1],
    ["a terminal OAuth refusal", new TokenEndpointError(400, "x", { error: "invalid_grant", terminal: true }), 1],
    ["ERR_TOKEN_RESPONSE", new RemintError("ERR_TOKEN_RESPONSE", "x"), 1],
    ["a bug in the grant", new TypeError("x is not a function"), 1],
    ["what an HTTP client throws for a 503", Object.assign(new Error("x"), { response: { status: 503 } }), 3],
    ["what an HTTP client throws for a 403", Object.assign(new Error("x"), { status: 403 }), 1],
    ["a file that is missing", Object.assign(new Error("x"), { code: "ENOENT" }), 1],
  ];

  test.each(failures)("C11: the number of attempts after %s", async (_, error, attempts) => {
    const under = cacheUnderTest({ mintRetries: 2 });
    under.grant.fail(error, Infinity);
    expect((await getWithRetries(under)).state).toBe("rejected");
    expect(under.grant.mints).toBe(attempts);
    expect(under.eventsNamed("mint-retried")).toHaveLength(attempts - 1);
    expect(under.eventsNamed("mint-failed")).toHaveLength(1);
  });

  test.each([
    ["least", 0, 250, 500],
    ["most", 1, 500, 1000],
  ])(
    "C11: two retries by default, after 250 ms and 500 ms, up to doubled by jitter: with the %s jitter",
    async (_, random, first, second) => {
      vi.spyOn(Math, "random").mockReturnValue(random);
      const under = cacheUnderTest({ mintRetries: undefined });
      under.grant.fail(new TokenEndpointError(500, "x"), Infinity);
      const got = watch(under.cache.get());
      const mints: number[] = [];
      for (const ms of [first - 1, 1, second - 1, 1]) {
        await under.clock.advance(ms);
        mints.push(under.grant.mints);
      }
      expect(mints).toEqual([1, 2, 2, 3]);
      expect(got.state).toBe("rejected");
    },
  );

  test.each([
    [1, 10_000, [0, 1000, 2000]],
    [4, 10_000, [0, 4000, 8000]],
    // After 6 s there are 4 s left: the second wait does not fit, the first one did.
    [6, 10_000, [0, 6000]],
    [9, 10_000, [0, 9000]],
    [10, 10_000, [0]],
    [1, 1000, [0]],
  ])(
    "C11: Retry-After: %d is waited for when it fits into mintTimeout %d, and is the least pause: %j",
    async (seconds, mintTimeout, expected) => {
      vi.spyOn(Math, "random").mockReturnValue(0);
      const under = cacheUnderTest({ mintRetries: 2, mintTimeout });
      under.grant.fail(new TokenEndpointError(503, "x", { retryAfter: seconds * 1000 }), Infinity);
      const got = watch(under.cache.get());
      const attempts = [0];
      for (let at = 500; at <= 12_000; at += 500) {
        await under.clock.advance(500);
        while (attempts.length < under.grant.mints) attempts.push(at);
      }
      expect(attempts).toEqual(expected);
      expect(got.reason).toMatchObject({ endpointStatus: 503, retryAfter: seconds * 1000 });
    },
  );

  test("C11: a mint that has waited for Retry-After: 6 succeeds", async () => {
    const under = cacheUnderTest({ mintRetries: 2 });
    under.grant.fail(new TokenEndpointError(503, "x", { retryAfter: 6000 }));
    expect((await getWithRetries(under)).value).toMatchObject({ value: "fake-2" });
  });

  test.each<[string, Answer, number]>([
    ["400 temporarily_unavailable", { status: 400, body: { error: "temporarily_unavailable" } }, 500],
    ["400 server_error", { status: 400, body: { error: "server_error" } }, 500],
    ["429 with Retry-After: 1", { status: 429, headers: { "retry-after": "1" } }, 1000],
    ["503 with Retry-After: 2", { status: 503, headers: { "retry-after": "2" } }, 2000],
    ["503 with Retry-After: 0", { status: 503, headers: { "retry-after": "0" } }, 500],
  ])("C11: a token endpoint that answers %s once: two requests, and a token", async (_, answer, wait) => {
    await using server = await startAuthServer();
    server.respond(answer);
    const { tokenEndpoint } = server;
    const clock = manualClock();
    const grant = clientCredentialsGrant({ tokenEndpoint, clientId: "me", clientSecret: "s3cret" });
    const cache = createTokenCache({ grant, clock, origins: [ORIGIN] });
    const got = watch(cache.get());
    // The answer arrives in real time: then there is a timer for the pause beside that of the mint.
    while (clock.timers < 2) await settle();
    await clock.advance(wait);
    await server.waitFor(2);
    while (got.state === "pending") await settle();
    expect(got.value?.value).toBe(server.issued[0]);
    expect(server.requests).toHaveLength(2);
  });

  test.each([
    ["the machine slept", (clock: ManualClock) => clock.suspend(20_000)],
    [
      "the process was stopped",
      (clock: ManualClock) => {
        clock.stepMonotonic(20_000);
        clock.stepWall(20_000);
      },
    ],
  ])(
    "C11: a connection that broke because %s for 20 s is tried again, also before any timer fires",
    async (_, freeze) => {
      const under = cacheUnderTest({ mintRetries: 1 });
      const hold = under.grant.hold();
      const got = watch(under.cache.get());
      await settle();
      freeze(under.clock);
      hold.fail(Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }));
      await settle();
      await under.clock.advance(500);
      expect(got.value?.value).toBe("fake-2");
      expect(under.clock.timers).toBe(0);
    },
  );

  test("C11: when a retry succeeds, the only events are mint-retried and minted", async () => {
    const under = cacheUnderTest({ mintRetries: 2 });
    under.grant.fail(new TokenEndpointError(500, "x"), 2);
    expect((await getWithRetries(under)).value).toMatchObject({ value: "fake-3" });
    const names = under.events.map((event: RemintEvent) => event.name);
    expect(names).toEqual(["mint-retried", "mint-retried", "minted"]);
    expect(under.eventsNamed("mint-retried").map(({ attempt }) => attempt)).toEqual([1, 2]);
  });

  test("C11: a caller that comes between two attempts shares the flight", async () => {
    const under = cacheUnderTest({ mintRetries: 2 });
    under.grant.fail(new TokenEndpointError(500, "x"), 1);
    const first = watch(under.cache.get());
    await settle();
    const second = watch(under.cache.get());
    await under.clock.advance(500);
    expect(first.state).toBe("fulfilled");
    expect(first.value).toBe(second.value);
    expect(under.grant.mints).toBe(2);
  });

  test("C11: no retry for a grant with state, because its refresh token may be used up", async () => {
    const under = cacheUnderTest({ mintRetries: 2, grant: fakeGrant({ state: "refresh-1" }) });
    under.grant.fail(new TokenEndpointError(500, "x"), Infinity);
    await getWithRetries(under);
    expect(under.grant.mints).toBe(1);
  });

  test("C11: no retry for a grant with onState alone, whose state comes with its first token", async () => {
    const under = cacheUnderTest({ mintRetries: 2, grant: fakeGrant({ state: "refresh-1", onState: () => {} }) });
    under.grant.respond({ access_token: "first", expires_in: 60, state: "refresh-2" });
    const first = await getWithRetries(under);
    expect(first.value).toMatchObject({ value: "first" });
    await under.cache.invalidate("first");
    under.grant.fail(new TokenEndpointError(500, "x"), Infinity);
    await getWithRetries(under);
    expect(under.grant.mints).toBe(2);
    expect(under.grant.contexts[1]?.state).toBe("refresh-2");
  });

  test.each([
    ["a refused connection", Object.assign(new Error("connect"), { code: "ECONNREFUSED" }), 3],
    ["a host without an address", Object.assign(new Error("x"), { code: "ENOTFOUND" }), 3],
    ["a connection that was reset", Object.assign(new Error("read"), { code: "ECONNRESET" }), 1],
  ])("C11: with a state, only what was never sent is repeated: %s", async (_, error, attempts) => {
    const under = cacheUnderTest({ mintRetries: 2, grant: fakeGrant({ state: "refresh-1" }) });
    under.grant.fail(error, Infinity);
    expect((await getWithRetries(under)).state).toBe("rejected");
    expect(under.grant.mints).toBe(attempts);
    expect(new Set(under.grant.contexts.map(({ state }) => state))).toEqual(new Set(["refresh-1"]));
  });

  test("C11: a member `state` of an answer, from a grant that declares no state, stops no retry and is nobody's state", async () => {
    const under = cacheUnderTest({ mintRetries: 2 });
    under.grant.respond({ access_token: "first", expires_in: 60, state: "of the server" });
    expect((await getWithRetries(under)).value).toMatchObject({ value: "first" });
    await under.cache.invalidate("first");
    under.grant.fail(new TokenEndpointError(500, "x"), 2);
    expect((await getWithRetries(under)).value).toMatchObject({ value: "fake-4" });
    expect(under.grant.contexts.map(({ state }) => state)).toEqual([undefined, undefined, undefined, undefined]);
  });

  test("C10: mintTimeout covers the pauses, and callers do not wait for a pause that would outlast it", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0);
    const under = cacheUnderTest({ mintRetries: 10, mintTimeout: 1000 });
    under.grant.fail(new TokenEndpointError(500, "x"), Infinity);
    const got = watch(under.cache.get());
    // Attempts at 0, 250 and 750 ms; the next pause would be one of 1000 ms.
    await under.clock.advance(749);
    expect(got.state).toBe("pending");
    await under.clock.advance(1);
    expect(got.reason).toMatchObject({ code: "ERR_TOKEN_ENDPOINT", endpointStatus: 500 });
    await under.clock.advance(60_000);
    expect(under.grant.mints).toBe(3);
    expect(under.clock.timers).toBe(0);
  });

  test("C10: close ends a pause between attempts", async () => {
    const under = cacheUnderTest({ mintRetries: 2 });
    under.grant.fail(new TokenEndpointError(500, "x"), Infinity);
    const got = watch(under.cache.get());
    await settle();
    await under.cache.close();
    await settle();
    expect(got.reason).toMatchObject({ code: "ERR_CLOSED" });
    await under.clock.advance(60_000);
    expect([under.grant.mints, under.clock.timers]).toEqual([1, 0]);
  });

  test("C11: the pauses run on the cache's clock: no timer of the platform is set", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval"] });
    try {
      const under = cacheUnderTest({ mintRetries: 2 });
      under.grant.fail(new TokenEndpointError(500, "x"), Infinity);
      const got = watch(under.cache.get());
      await settle();
      expect([vi.getTimerCount(), got.state, under.clock.timers]).toEqual([0, "pending", 2]);
      await vi.advanceTimersByTimeAsync(60_000);
      expect([got.state, under.grant.mints]).toEqual(["pending", 1]);
    } finally {
      vi.useRealTimers();
    }
  });

  test("C11: the timers of pauses keep no process alive; the timer of mintTimeout does while a caller waits", async () => {
    const under = cacheUnderTest({ mintRetries: 2 });
    under.grant.fail(new TokenEndpointError(500, "x"), Infinity);
    const controller = new AbortController();
    under.cache.get({ signal: controller.signal }).catch(() => {});
    await settle();
    expect([under.clock.timers, under.clock.awaited]).toEqual([2, 1]);
    controller.abort();
    await settle();
    expect([under.clock.timers, under.clock.awaited]).toEqual([2, 0]);
    await under.cache.close();
    await settle();
    expect(under.clock.timers).toBe(0);
  });
});
