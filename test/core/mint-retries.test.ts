import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { RemintError, TokenEndpointError, type RemintEvent } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, settle, watch, type CacheUnderTest } from "./cache-under-test.ts";

/** Gets a token, and lets enough time pass for all retries. */
async function getWithRetries(under: CacheUnderTest): Promise<ReturnType<typeof watch>> {
  const got = watch(under.cache.get());
  for (let round = 0; round < 3; round++) {
    await settle();
    await vi.advanceTimersByTimeAsync(2000);
  }
  await settle();
  return got;
}

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
    ["429 with Retry-After", new TokenEndpointError(429, "x", { retryAfter: 1000 }), 1],
    ["503 without Retry-After", new TokenEndpointError(503, "x"), 3],
    ["503 with Retry-After", new TokenEndpointError(503, "x", { retryAfter: 0 }), 1],
    ["an OAuth refusal", new TokenEndpointError(400, "x", { error: "invalid_client" }), 1],
    ["an OAuth refusal with status 401", new TokenEndpointError(401, "x", { error: "invalid_client" }), 1],
    ["a terminal OAuth refusal", new TokenEndpointError(400, "x", { error: "invalid_grant", terminal: true }), 1],
    ["ERR_TOKEN_RESPONSE", new RemintError("ERR_TOKEN_RESPONSE", "x"), 1],
    ["a bug in the grant", new TypeError("x is not a function"), 1],
    ["what an HTTP client throws for a 503", Object.assign(new Error("x"), { response: { status: 503 } }), 3],
    ["what an HTTP client throws for a 403", Object.assign(new Error("x"), { status: 403 }), 1],
  ];

  beforeEach(() => {
    // p-retry waits between attempts on the platform's timers.
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

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
        await settle();
        await vi.advanceTimersByTimeAsync(ms);
        await settle();
        mints.push(under.grant.mints);
      }
      expect(mints).toEqual([1, 2, 2, 3]);
      expect(got.state).toBe("rejected");
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
    await vi.advanceTimersByTimeAsync(500);
    await settle();
    expect(first.value).toBe(second.value);
    expect(under.grant.mints).toBe(2);
  });

  test("C11: no retry for a grant with state, because its refresh token may be used up", async () => {
    const under = cacheUnderTest({ mintRetries: 2, grant: fakeGrant({ state: "refresh-1" }) });
    under.grant.fail(new TokenEndpointError(500, "x"), Infinity);
    await getWithRetries(under);
    expect(under.grant.mints).toBe(1);
  });

  test("C11: no retry for a grant whose state came with its first token", async () => {
    const under = cacheUnderTest({ mintRetries: 2 });
    under.grant.respond({ access_token: "first", expires_in: 60, state: "refresh-2" });
    const first = await getWithRetries(under);
    expect(first.value).toMatchObject({ value: "first" });
    await under.cache.invalidate("first");
    under.grant.fail(new TokenEndpointError(500, "x"), Infinity);
    await getWithRetries(under);
    expect(under.grant.mints).toBe(2);
    expect(under.grant.contexts[1]?.state).toBe("refresh-2");
  });

  test("C10: mintTimeout covers the pauses between attempts, and no attempt starts after it", async () => {
    const under = cacheUnderTest({ mintRetries: 10, mintTimeout: 1000 });
    under.grant.fail(new TokenEndpointError(500, "x"), Infinity);
    const got = watch(under.cache.get());
    await settle();
    await under.clock.advance(1000);
    expect(got.reason).toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(under.grant.mints).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("C10: close ends a pause between attempts", async () => {
    const under = cacheUnderTest({ mintRetries: 2 });
    under.grant.fail(new TokenEndpointError(500, "x"), Infinity);
    const got = watch(under.cache.get());
    await settle();
    await under.cache.close();
    await settle();
    expect(got.reason).toMatchObject({ code: "ERR_CLOSED" });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("C11: the timers of pauses keep no process alive; the timer of mintTimeout does while a caller waits", async () => {
    const under = cacheUnderTest({ mintRetries: 2 });
    under.grant.fail(new TokenEndpointError(500, "x"), Infinity);
    const controller = new AbortController();
    under.cache.get({ signal: controller.signal }).catch(() => {});
    await settle();
    expect([under.clock.timers, under.clock.awaited]).toEqual([1, 1]);
    controller.abort();
    await settle();
    expect([under.clock.timers, under.clock.awaited]).toEqual([1, 0]);
    await under.cache.close();
  });
});
