/** What a mint costs in time: slow failures, answers that are not kept, retries, slow endpoints. On a clock that stands still. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  customGrant,
  TokenEndpointError,
  type TokenCache,
} from "../../src/index.ts";
import { ownSupply, storeOf, type TokenNeed } from "../../src/core/supply.ts";
import { policyHalf } from "../../src/core/types.ts";
import { manualClock, type ManualClock } from "../../src/testing/index.ts";
import { cacheOfAge, cacheUnderTest, jwt, ORIGIN, settle, watch } from "./cache-under-test.ts";

const HOUR = 3_600_000;

describe("C9: refreshes fail slowly, and the endpoint recovers near the end of the token", () => {
  test.each([
    [20_000, 10_000],
    [5000, 10_000],
    [1000, 10_000],
    [100, 10_000],
    [1000, 3000],
    [5000, 8000],
    [2000, 25_000],
  ])(
    "C9: the endpoint has been healthy for %i ms when the token ends, and a mint takes %i ms to fail: no call fails but those that wait for a mint of the outage",
    async (healthy, mintTimeout) => {
      const under = await outage(-healthy, mintTimeout);
      const { failed, renewedAt } = await poll(under);
      const waited = Math.max(0, under.isOverAt());
      expect(renewedAt).toBeLessThanOrEqual(waited + 100);
      expect(failed.filter((at) => at >= waited)).toEqual([]);
      expect(under.mints()).toBeLessThan(40);
    },
  );

  test.each([500, 3000, 12_000, 30_000])(
    "C9: the endpoint recovers %i ms after the token has ended: callers are served 5 s after the last mint that failed",
    async (later) => {
      const under = await outage(later, 4000);
      const { failed, renewedAt } = await poll(under);
      expect(renewedAt).toBeLessThanOrEqual(under.isOverAt() + 5100);
      expect(failed.filter((at) => at > renewedAt)).toEqual([]);
    },
  );
});

describe("E3: an answer that is not kept, while a token of before is cached", () => {
  const unstated = { access_token: "unkept" };

  test.each([
    ["in the soft window", 30_000, "fake-1"],
    ["in the hard window", 8000, "unkept"],
    ["in its last moment", 20, "unkept"],
  ])("E3: defaultTtl: 0, and the next answer states no lifetime: one call is one mint, %s", async (_, left, value) => {
    const { cache, grant } = await cacheOfAge(HOUR - left, { defaultTtl: 0 });
    for (let answer = 0; answer < 100; answer++) grant.respond(unstated);
    expect((await cache.get()).value).toBe(value);
    await settle();
    expect(grant.mints).toBe(2);
  });

  test("E3: an answer that is not kept leaves the cached token, which is served until it expires", async () => {
    const { cache, grant, clock } = await cacheOfAge(HOUR - 30_000, { defaultTtl: 0, minValidity: 0 });
    for (let answer = 0; answer < 100; answer++) grant.respond(unstated);
    for (let left = 30_000; left > 0; left -= 1000) {
      expect((await cache.get()).value).toBe("fake-1");
      await clock.advance(1000);
    }
    expect((await cache.get()).value).toBe("unkept");
  });

  test("E3: callers that wait together in the hard window share that one mint, and a signal changes nothing", async () => {
    const { cache, grant } = await cacheOfAge(HOUR - 8000, { defaultTtl: 0 });
    for (let answer = 0; answer < 100; answer++) grant.respond(unstated);
    const { signal } = new AbortController();
    const got = await Promise.all(Array.from({ length: 20 }, (_, call) => cache.get(call % 2 === 0 ? { signal } : {})));
    await settle();
    expect(new Set(got.map((token) => token.value))).toEqual(new Set(["unkept"]));
    expect(grant.mints).toBe(2);
  });

  test("E3: the same with an expires_at that looks past, and with maxTtl: 0", async () => {
    for (const [options, answer] of [
      [{ defaultTtl: 0 }, { ...unstated, expires_at: "2025-12-31T19:00:00" }],
      [{ defaultTtl: 0 }, { ...unstated, expires_in: 0 }],
      [{ defaultTtl: 0 }, { access_token: jwt({ exp: 5 }) }],
    ] as const) {
      const { cache, grant } = await cacheOfAge(HOUR - 5000, options);
      for (let count = 0; count < 100; count++) grant.respond(answer);
      expect((await cache.get()).value).toBe(answer.access_token);
      await settle();
      expect(grant.mints).toBe(2);
    }
    const { cache, grant } = cacheUnderTest({ maxTtl: 0 });
    for (let call = 1; call <= 20; call++) {
      await cache.get();
      await settle();
      expect(grant.mints).toBe(call);
    }
  });
});

describe("E1: an absurd exp claim in a cache", () => {
  test.each([1e308, Number.MAX_VALUE, 1e17])(
    "E1: a JWT with an exp of %d beside expires_in: 60 is replaced after a minute",
    async (exp) => {
      const { cache, grant, clock } = cacheUnderTest({ refreshBuffer: 0, minValidity: 0 });
      grant.respond({ access_token: jwt({ exp }), expires_in: 60 });
      const { expiresAt } = await cache.get();
      expect(expiresAt - clock.now()).toBe(60_000);
      await clock.advance(59_999);
      expect(cache.peek()).toBeDefined();
      await clock.advance(1);
      expect(cache.peek()).toBeUndefined();
      expect((await cache.get()).value).toBe("fake-2");
    },
  );
});

describe("C11: the pauses before retries run on the cache's clock", () => {
  beforeEach(() => {
    // Without jitter: 250 ms, 500 ms. A timer of the platform would never fire.
    vi.spyOn(Math, "random").mockReturnValue(0);
    vi.useFakeTimers({ toFake: ["setTimeout", "setInterval"] });
  });
  afterEach(() => {
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  test("C11: two transient failures: the retries come when manualClock has moved 250 ms and 500 ms", async () => {
    const { cache, grant, clock } = cacheUnderTest({ mintRetries: 2 });
    grant.fail(new TokenEndpointError(500, "x"), 2);
    const got = watch(cache.get());
    const mints: number[] = [];
    for (const ms of [249, 1, 499, 1]) {
      await clock.advance(ms);
      mints.push(grant.mints);
    }
    expect(mints).toEqual([1, 2, 2, 3]);
    expect(got.value?.value).toBe("fake-3");
    expect(clock.timers).toBe(0);
  });

  test.each([600, 4000, 9000])(
    "C11: a network failure with a Retry-After of %i ms is repeated after that, in a mint of 10 s",
    async (retryAfter) => {
      const { cache, grant, clock, eventsNamed } = cacheUnderTest({ mintRetries: 2 });
      grant.fail(new TokenEndpointError(503, "x", { retryAfter }));
      const got = watch(cache.get());
      await clock.advance(retryAfter - 1);
      expect(grant.mints).toBe(1);
      await clock.advance(1);
      expect(got.value?.value).toBe("fake-2");
      expect(eventsNamed("mint-retried")).toHaveLength(1);
    },
  );

  test("C11: a Retry-After that does not fit into the mint is told to the callers at once, and no retry is announced", async () => {
    const { cache, grant, clock, eventsNamed } = cacheUnderTest({ mintRetries: 2 });
    grant.fail(new TokenEndpointError(503, "x", { retryAfter: 10_000 }));
    const got = watch(cache.get());
    await clock.advance(0);
    expect(got.reason).toMatchObject({ code: "ERR_TOKEN_ENDPOINT", retryAfter: 10_000 });
    expect([grant.mints, eventsNamed("mint-retried").length]).toEqual([1, 0]);
  });

  test("C10: the time limit ends a mint in the pause before a retry", async () => {
    const { cache, grant, clock } = cacheUnderTest({ mintRetries: 5, mintTimeout: 1000 });
    grant.fail(new TokenEndpointError(500, "x"), Infinity);
    const got = watch(cache.get());
    await clock.advance(1000);
    expect(got.state).toBe("rejected");
    expect(clock.timers).toBe(0);
  });
});

describe("C10: an attempt in progress is not cut to make room for another", () => {
  test.each([
    [1000, 600],
    [1000, 999],
    [10_000, 9000],
    [300, 200],
  ])("C10: mintTimeout %i, and the endpoint takes %i ms: one request, served", async (mintTimeout, takes) => {
    for (const mintRetries of [0, 1, 2, 5]) {
      const { cache, clock, requests } = slowEndpoint(takes);
      const got = watch(cache({ mintTimeout, mintRetries }).get());
      await clock.advance(takes - 1);
      expect(got.state).toBe("pending");
      await clock.advance(1);
      expect(got.value?.value).toBe("slow");
      expect(requests()).toBe(1);
      expect(clock.timers).toBe(0);
    }
  });

  test("C10: the second attempt has all the time that is left", async () => {
    const { cache, clock, requests } = slowEndpoint("fails", 600);
    const got = watch(cache({ mintTimeout: 1200 }).get());
    // The pause is 250 to 500 ms long.
    await clock.advance(1100);
    expect(got.value?.value).toBe("slow");
    expect(requests()).toBe(2);
  });

  test("C10: mintTimeout 1000, and the endpoint takes 1001 ms: one request, and one time-out", async () => {
    const { cache, clock, requests } = slowEndpoint(1001);
    const got = watch(cache({ mintTimeout: 1000, mintRetries: 2 }).get());
    await clock.advance(1001);
    expect(got.reason).toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
    expect(requests()).toBe(1);
  });
});

describe("C9: a frozen process, on a clock that stands still", () => {
  const thaws: [string, (clock: ManualClock) => void][] = [
    ["both clocks have moved on", (clock) => freeze(clock, 12_001)],
    ["the wall clock alone has moved on: the machine slept", (clock) => clock.suspend(12_001)],
    ["it was frozen for a day", (clock) => freeze(clock, 24 * HOUR)],
  ];

  test.each(thaws)("C9: %s: an answer that came meanwhile is used", async (_, thaw) => {
    const { cache, grant, clock } = cacheUnderTest();
    const hold = grant.hold();
    const got = watch(cache.get());
    await settle();
    thaw(clock);
    hold.release();
    await clock.advance(0);
    expect(got.value?.value).toBe("fake-1");
    expect(grant.mints).toBe(1);
  });

  test.each(thaws)("C9: %s: after a failure, the callers that wait get the token of another mint", async (_, thaw) => {
    const { cache, grant, clock } = cacheUnderTest();
    const hold = grant.hold();
    const callers = [watch(cache.get()), watch(cache.get({ signal: new AbortController().signal }))];
    await settle();
    thaw(clock);
    hold.fail(new TokenEndpointError(503, "x", { retryAfter: 60_000 }));
    await clock.advance(0);
    expect(callers.map(({ value }) => value?.value)).toEqual(["fake-2", "fake-2"]);
    expect(grant.mints).toBe(2);
  });

  test("C9: a freeze and then an outage: one more mint, and its failure is remembered", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const hold = grant.hold();
    const first = watch(cache.get());
    await settle();
    freeze(clock, 12_001);
    grant.fail(new TokenEndpointError(503, "down"), Infinity);
    hold.fail(new TokenEndpointError(503, "x"));
    await clock.advance(0);
    expect(first.reason).toMatchObject({ code: "ERR_TOKEN_ENDPOINT", message: "down" });
    await expect(cache.get()).rejects.toMatchObject({ message: "down" });
    expect(grant.mints).toBe(2);
  });

  test("C9: no answer comes within a second, because the connection is dead: another mint, for those who came later too", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const hold = grant.hold();
    const first = watch(cache.get());
    await settle();
    freeze(clock, 12_001);
    await clock.advance(0);
    const later = watch(cache.get());
    await clock.advance(999);
    expect([first.state, later.state, grant.mints]).toEqual(["pending", "pending", 1]);
    await clock.advance(1);
    expect(grant.mints).toBe(2);
    hold.release();
    await clock.advance(0);
    expect([first.value?.value, later.value?.value]).toEqual(["fake-2", "fake-2"]);
  });

  test("C9: frozen twice in one mint: another mint begins after the second time", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const hold = grant.hold();
    const first = watch(cache.get());
    await settle();
    freeze(clock, 20_000);
    await clock.advance(0);
    freeze(clock, 20_000);
    await clock.advance(0);
    expect(grant.mints).toBe(2);
    hold.release();
    await clock.advance(0);
    expect(first.value?.value).toBe("fake-2");
  });

  test("C9: a renewal after a 401 that was frozen: the rejected token is not served", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const rejected = await cache.get();
    const hold = grant.hold();
    const renewed = watch(policyHalf(cache).rejected(rejected, { origin: ORIGIN, path: "/" })!.next());
    await settle();
    freeze(clock, 12_001);
    hold.fail(new TokenEndpointError(503, "x"));
    await clock.advance(0);
    expect(renewed.value?.token.value).toBe("fake-3");
    expect(cache.peek()?.value).toBe("fake-3");
  });

  test("C5, Q5: a renewal over a store that was frozen: the next flight asks for the same, a fresh token and not a rejected one", async () => {
    const needs: TokenNeed[] = [];
    const store = storeOf({
      supply(settings) {
        const own = ownSupply(settings);
        const obtain = own.obtain.bind(own);
        // The supply has private fields, so it is changed and not copied.
        return Object.assign(own, { obtain: (need: TokenNeed) => (needs.push(need), obtain(need)) });
      },
    });
    const { cache, grant, clock } = cacheUnderTest({ store });
    const renewal = policyHalf(cache).rejected(await cache.get(), { origin: ORIGIN, path: "/" })!;
    const second = await renewal.next();
    renewal.again(second.token);
    const hold = grant.hold();
    const renewed = watch(renewal.next());
    await settle();
    freeze(clock, 12_001);
    hold.fail(new TokenEndpointError(503, "x"));
    await clock.advance(0);
    expect(renewed.value?.token.value).toBe("fake-4");
    const asked = needs.map(({ unwanted, mustBeFresh }) => [
      mustBeFresh,
      ["fake-1", "fake-2"].every((value) => unwanted.includes(value)),
    ]);
    expect(asked.slice(2)).toEqual([
      [true, true],
      [true, true],
    ]);
  });

  test("C10: a caller joins before the late timer has fired: the mint goes on for a second", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const hold = grant.hold();
    const first = watch(cache.get());
    await settle();
    freeze(clock, 12_001);
    const later = watch(cache.get());
    await clock.advance(999);
    expect(grant.mints).toBe(1);
    hold.release();
    await clock.advance(0);
    expect([first.value?.value, later.value?.value]).toEqual(["fake-1", "fake-1"]);
  });

  test("C9: a mint that takes too long without a freeze is remembered, also if the wall clock was set back", async () => {
    for (const step of [0, -HOUR]) {
      const { cache, grant, clock } = cacheUnderTest();
      const hold = grant.hold();
      const first = watch(cache.get());
      await settle();
      clock.stepWall(step);
      await clock.advance(10_000);
      expect(first.state).toBe("rejected");
      hold.release();
      await expect(cache.get()).rejects.toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
      expect(grant.mints).toBe(1);
    }
  });
});

/** A thaw: time has passed for both clocks, and no timer has fired. */
function freeze(clock: ManualClock, ms: number): void {
  clock.stepWall(ms);
  clock.stepMonotonic(ms);
}

interface Outage {
  readonly cache: TokenCache;
  readonly clock: ManualClock;
  /** When the token of before the outage ends. */
  readonly end: number;
  readonly mints: () => number;
  /** When the last mint fails that began in the outage. */
  readonly isOverAt: () => number;
}

/**
 * A cache whose token was minted before an outage. During the outage no request is answered: a mint fails when its time
 * is over. A request of after the outage is answered at once.
 */
async function outage(recoversAt: number, mintTimeout: number): Promise<Outage> {
  const clock = manualClock();
  const end = clock.now() + HOUR;
  let mints = 0;
  let isOverAt = -Infinity;
  const mint = async (): Promise<{ access_token: string; expires_in: number }> => {
    mints++;
    if (mints > 1 && clock.now() < end + recoversAt) {
      isOverAt = clock.now() + mintTimeout - end;
      await new Promise<never>(() => {});
    }
    return { access_token: `t${mints}`, expires_in: 3600 };
  };
  const options = { origins: [ORIGIN], clock, mintTimeout, mintRetries: 0, refreshBuffer: 300_000 };
  const cache = createTokenCache({ ...options, grant: customGrant({ mint, mintRetries: 0 }) });
  await cache.get();
  await clock.advance(HOUR - 331_000);
  return { cache, clock, end, mints: () => mints, isOverAt: () => isOverAt };
}

/** A call every 100 ms until there is another token. Times count from the end of the first one. */
async function poll({ cache, clock, end }: Outage): Promise<{ failed: number[]; renewedAt: number }> {
  const failed: number[] = [];
  const renewed: number[] = [];
  while (renewed.length === 0 && clock.now() < end + 60_000) {
    const at = clock.now() - end;
    cache.get().then(
      ({ value }) => {
        if (value !== "t1") renewed.push(clock.now() - end);
      },
      () => failed.push(at),
    );
    await clock.advance(100);
  }
  await clock.advance(20_000);
  return { failed, renewedAt: renewed[0] ?? Number.NaN };
}

/** A token endpoint that answers after so many milliseconds, the last number again and again. */
function slowEndpoint(...takes: readonly (number | "fails")[]): {
  cache: (options: object) => TokenCache;
  clock: ManualClock;
  requests: () => number;
} {
  const clock = manualClock();
  let requests = 0;
  const answer = { access_token: "slow", token_type: "Bearer", expires_in: 3600 };
  const fetch = (_: string, { signal }: RequestInit): Promise<Response> =>
    new Promise((resolve, reject) => {
      const time = takes[Math.min(requests++, takes.length - 1)]!;
      signal?.addEventListener("abort", () => reject(signal.reason as Error));
      if (time === "fails") reject(Object.assign(new Error("reset"), { code: "ECONNRESET" }));
      else clock.setTimeout(() => resolve(Response.json(answer)), time);
    });
  const grant = clientCredentialsGrant({
    tokenEndpoint: "https://auth.example/token",
    clientId: "portal",
    clientSecret: "secret",
    fetch,
  });
  return {
    clock,
    requests: () => requests,
    cache: (options) => createTokenCache({ grant, origins: [ORIGIN], clock, ...options }),
  };
}
