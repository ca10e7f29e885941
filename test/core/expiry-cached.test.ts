import { describe, expect, test } from "vitest";
import { windowsOf } from "../../src/core/expiry.ts";
import { cacheUnderTest } from "./cache-under-test.ts";
import { fakeGrant, manualClock, type ManualClock } from "../../src/testing/index.ts";

const NOW = Date.UTC(2026, 0, 1);
const HOUR = 3_600_000;

describe("E4: windows of short tokens", () => {
  test("E4: refreshBuffer and minValidity are clamped to a half and a quarter of the lifetime", () => {
    expect(windowsOf(HOUR, 60_000, 10_000, 0)).toEqual({ soft: 60_000, hard: 10_000 });
    expect(windowsOf(100_000, 60_000, 10_000, 0)).toEqual({ soft: 50_000, hard: 10_000 });
    expect(windowsOf(20_000, 60_000, 10_000, 0)).toEqual({ soft: 10_000, hard: 5000 });
  });

  test.each([
    ["no refreshBuffer", 0, 10_000, 10_000],
    ["a refreshBuffer shorter than minValidity", 2000, 10_000, 10_000],
    ["no minValidity", 60_000, 0, 60_000],
    ["neither", 0, 0, 0],
  ])("E4: each window holds whatever the other is: %s", (_, refreshBuffer, minValidity, soft) => {
    expect(windowsOf(HOUR, refreshBuffer, minValidity, 0)).toEqual({ soft, hard: minValidity });
  });

  test.each([0, 2000])(
    "E4: with a refreshBuffer of %i ms and a minValidity of 10 s, callers wait for a new token in the last 10 s",
    async (refreshBuffer) => {
      const { cache, grant, clock } = cacheUnderTest({ refreshBuffer, minValidity: 10_000 });
      await cache.get();
      await clock.advance(HOUR - 10_001);
      expect(cache.peek()?.value).toBe("fake-1");
      expect(grant.mints).toBe(1);
      await clock.advance(1);
      expect(cache.peek()).toBeUndefined();
      expect((await cache.get()).value).toBe("fake-2");
      expect(grant.mints).toBe(2);
    },
  );

  test.each([1, 2, 5, 30, 61])(
    "E4: a token with a lifetime of %i s is minted at most 2.5 times per lifetime, not once per call",
    async (expiresIn) => {
      const { cache, grant, clock } = cacheUnderTest({ grant: fakeGrant({ expiresIn }) });
      const lives = 10;
      for (let call = 0; call < 50 * lives; call++) {
        await cache.get();
        await clock.advance(expiresIn * 20);
      }
      // The soft window is at most half of the lifetime, so a refresh comes at about half of it at the earliest.
      expect(grant.mints).toBeLessThanOrEqual(2.5 * lives);
      expect(grant.mints).toBeGreaterThanOrEqual(lives);
    },
  );

  test("E4: a server that returns the same value with its remaining lifetime is asked at most 10 times", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const end = NOW + 600_000;
    const last: string[] = [];
    for (let left = 600_000; left > 50; left = end - clock.now()) {
      grant.recover();
      grant.respond({ access_token: "same", expires_in: left / 1000 });
      last.push((await cache.get()).value);
      await clock.advance(left > 70_000 ? 10_000 : 100);
    }
    expect(new Set(last)).toEqual(new Set(["same"]));
    // The refreshes come with this many seconds left: 60, 30, 15, 7, 3, 1.
    expect(grant.mints).toBeLessThanOrEqual(10);
  });

  test("E4: two mints that return the same value are at least one second apart", async () => {
    const response = { access_token: "same", expires_in: 2 };
    const { cache, grant, clock } = cacheUnderTest({ grant: fakeGrant({ response }) });
    const mintedAt: number[] = [];
    for (let at = 0; at < 20_000; at += 20) {
      const before = grant.mints;
      await cache.get();
      await clock.advance(20);
      if (grant.mints > before) mintedAt.push(at);
    }
    const pauses = mintedAt.slice(1).map((at, index) => at - mintedAt[index]!);
    expect(Math.min(...pauses.slice(1))).toBeGreaterThanOrEqual(1000 - 20);
  });

  test("E4: the same value without a stated lifetime keeps its first expiry and is served until then", async () => {
    const grant = fakeGrant({ response: { access_token: "same" }, expiresIn: null });
    const { cache, clock, eventsNamed } = cacheUnderTest({ grant, defaultTtl: 100_000, minValidity: 0 });
    const { expiresAt } = await cache.get();
    await clock.advance(60_000);
    cache.peek();
    await clock.advance(0);
    expect(eventsNamed("minted").map(({ repeated }) => repeated)).toEqual([false, true]);
    // The server stated no lifetime, so a second mint of the same value is no evidence of a later expiry.
    await clock.advance(39_999);
    expect(cache.peek()?.value).toBe("same");
    await clock.advance(1);
    expect(cache.peek()).toBeUndefined();
    expect(expiresAt).toBe(NOW + 100_000);
  });

  test("E4: the same value with a later stated expiry is served until that expiry", async () => {
    const grant = fakeGrant({ response: { access_token: "same" }, expiresIn: 100 });
    const { cache, clock } = cacheUnderTest({ grant });
    await cache.get();
    await clock.advance(60_000);
    cache.peek();
    await clock.advance(60_000);
    expect(cache.peek()?.value).toBe("same");
  });
});

describe("E5: two clocks", () => {
  test.each([
    ["the wall clock", (clock: ManualClock) => clock.stepWall(HOUR)],
    ["the monotonic clock", (clock: ManualClock) => clock.stepMonotonic(HOUR)],
  ])("E5: %s is read at every call: a token expires between two calls of the same turn", async (_, step) => {
    const { cache, clock, grant } = cacheUnderTest();
    await cache.get();
    for (let call = 0; call < 1000; call++) expect(cache.peek()?.value).toBe("fake-1");
    step(clock);
    expect(cache.peek()).toBeUndefined();
    expect(grant.mints).toBe(1);
    expect((await cache.get()).value).toBe("fake-2");
  });

  test("E5: a wall clock that is set forward and back again between two calls changes nothing", async () => {
    const { cache, clock } = cacheUnderTest();
    await cache.get();
    clock.stepWall(5 * HOUR);
    clock.stepWall(-5 * HOUR);
    expect(cache.peek()?.value).toBe("fake-1");
  });

  test("E5: a token expires by the monotonic clock, even if the wall clock was stepped back", async () => {
    const { cache, clock } = cacheUnderTest({ refreshBuffer: 0, minValidity: 0 });
    await cache.get();
    clock.stepWall(-10 * HOUR);
    expect(cache.peek()).toBeDefined();
    await clock.advance(HOUR - 1);
    expect(cache.peek()).toBeDefined();
    await clock.advance(1);
    expect(cache.peek()).toBeUndefined();
  });

  test("E5: a token expires by the wall clock, even if the monotonic clock stood still during a suspend", async () => {
    const { cache, clock } = cacheUnderTest({ refreshBuffer: 0, minValidity: 0 });
    await cache.get();
    clock.suspend(HOUR - 1);
    expect(cache.peek()).toBeDefined();
    clock.suspend(1);
    expect(cache.peek()).toBeUndefined();
  });
});

describe("E6: jitter", () => {
  test("E6: the soft window is up to 10 % longer at random, never shorter", () => {
    expect(windowsOf(HOUR, 60_000, 10_000, 0).soft).toBe(60_000);
    expect(windowsOf(HOUR, 60_000, 10_000, 0.5).soft).toBe(63_000);
    const some = Array.from({ length: 200 }, () => windowsOf(HOUR, 60_000, 10_000));
    for (const { soft, hard } of some) {
      expect(soft).toBeGreaterThanOrEqual(60_000);
      expect(soft).toBeLessThanOrEqual(66_000);
      expect(hard).toBe(10_000);
    }
    expect(new Set(some.map(({ soft }) => soft)).size).toBeGreaterThan(100);
  });

  test("E6: 20 caches with tokens of the same lifetime do not all refresh at the same moment", async () => {
    const clock = manualClock();
    const caches = Array.from({ length: 20 }, () => cacheUnderTest({ clock }));
    await Promise.all(caches.map(({ cache }) => cache.get()));
    await clock.advance(HOUR - 66_001);
    const refreshedAt = new Set<number>();
    // One step more than the jitter is long: it may be next to nothing.
    for (let at = 0; at <= 6100; at += 100) {
      for (const { cache, grant } of caches) {
        if (grant.mints > 1) continue;
        cache.peek();
        await clock.advance(0);
        if (grant.mints > 1) refreshedAt.add(at);
      }
      await clock.advance(100);
    }
    expect(caches.every(({ grant }) => grant.mints === 2)).toBe(true);
    expect(refreshedAt.size).toBeGreaterThan(3);
  });
});
