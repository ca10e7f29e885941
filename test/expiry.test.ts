import { describe, expect, test } from "vitest";
import { lifetimeOf, windowsOf } from "../src/expiry.ts";
import { cacheUnderTest, jwt } from "./cache-under-test.ts";
import { fakeGrant, manualClock } from "../src/testing/index.ts";

const NOW = Date.UTC(2026, 0, 1);
const SECONDS = NOW / 1000;
const HOUR = 3_600_000;

const lifetime = (response: Readonly<Record<string, unknown>>, options: { sentAt?: number; seeded?: boolean } = {}) =>
  lifetimeOf({ access_token: "opaque", ...response }, { sentAt: NOW, defaultTtl: 1_800_000, ...options }).ms;

describe("E1: where a lifetime comes from", () => {
  test.each([
    ["ISO 8601 in UTC", "2026-01-01T02:00:00Z"],
    ["ISO 8601 with an offset", "2026-01-01T04:00:00+02:00"],
    ["ISO 8601 without a zone, which means UTC", "2026-01-01T02:00:00"],
    ["the same with a space and a fraction", "2026-01-01 02:00:00.000"],
    ["without seconds", "2026-01-01T02:00"],
    ["more digits than JavaScript keeps", "2026-01-01T02:00:00.0000000"],
    ["epoch seconds", SECONDS + 7200],
    ["epoch seconds as a string", String(SECONDS + 7200)],
    ["epoch milliseconds", NOW + 7_200_000],
  ])("E1: expires_at comes before expires_in: %s", (_, expires_at) => {
    expect(lifetime({ expires_at, expires_in: 60 })).toBe(2 * HOUR);
  });

  test("E1: a time without a zone is UTC wherever the process runs", () => {
    const before = process.env["TZ"];
    process.env["TZ"] = "America/New_York";
    try {
      expect(new Date(NOW).getTimezoneOffset()).not.toBe(0);
      expect(lifetime({ expires_at: "2026-01-01T02:00:00" })).toBe(2 * HOUR);
    } finally {
      if (before === undefined) delete process.env["TZ"];
      else process.env["TZ"] = before;
    }
  });

  test.each(["tomorrow", "2026-13-45T00:00:00Z", "", "  ", null, {}, [], Number.NaN, -5, 0, true])(
    "E1: an expires_at that does not parse (%j) leaves the word to expires_in",
    (expires_at) => {
      expect(lifetime({ expires_at, expires_in: 60 })).toBe(60_000);
    },
  );

  test.each([60, "60", " 60 ", "60.0", 60.0])(
    "E1: expires_in may be a number or a numeric string: %j",
    (expires_in) => {
      expect(lifetime({ expires_in })).toBe(60_000);
    },
  );

  test("E1: without both the exp claim of a JWT counts", () => {
    expect(lifetime({ access_token: jwt({ exp: SECONDS + 90 }) })).toBe(90_000);
  });

  test("E1: without any of them defaultTtl does", () => {
    expect(lifetime({})).toBe(1_800_000);
    expect(lifetimeOf({ access_token: "a" }, { sentAt: NOW, defaultTtl: 5000 })).toEqual({ ms: 5000, stated: false });
  });

  test("E1: the lifetime of a JWT never exceeds what exp allows", () => {
    const access_token = jwt({ exp: SECONDS + 90 });
    expect(lifetime({ access_token, expires_in: 3600 })).toBe(90_000);
    expect(lifetime({ access_token, expires_at: SECONDS + 3600 })).toBe(90_000);
    expect(lifetime({ access_token, expires_in: 30 })).toBe(30_000);
  });

  test("E1: a positive expires_in beats an exp that looks past", () => {
    expect(lifetime({ access_token: jwt({ exp: SECONDS - 7200 }), expires_in: 3600 })).toBe(HOUR);
  });

  test("E1: an exp that looks past counts when expires_in says nothing", () => {
    expect(lifetime({ access_token: jwt({ exp: SECONDS - 7200 }), expires_in: 0 })).toBe(1000);
  });

  test.each([
    ["two dots and no JWT", "a.b.c"],
    ["an exp that is no number", jwt({ exp: "soon" })],
    ["no exp", jwt({ sub: "me" })],
    ["a payload that is no object", `x.${Buffer.from("null").toString("base64url")}.y`],
    ["four dots", "a.b.c.d.e"],
  ])("E1: what only looks like a JWT says nothing: %s", (_, access_token) => {
    expect(lifetime({ access_token })).toBe(1_800_000);
  });
});

describe("E2: clocks that differ", () => {
  const hoursOff = [-5, -1, 1, 5].map((hours) => [hours, hours * HOUR] as const);

  test.each(hoursOff)("E2: expires_at is compared with the server's Date: local clock %i h off", (_, offset) => {
    const response = { expires_at: SECONDS + 3600, serverTime: NOW };
    expect(lifetime(response, { sentAt: NOW + offset })).toBe(HOUR);
  });

  test.each(hoursOff)("E2: exp is compared with the server's Date: local clock %i h off", (_, offset) => {
    const response = { access_token: jwt({ exp: SECONDS + 3600, iat: SECONDS }), serverTime: NOW };
    expect(lifetime(response, { sentAt: NOW + offset })).toBe(HOUR);
  });

  test.each(hoursOff)("E2: without a Date the JWT's iat tells the server's time: local clock %i h off", (_, offset) => {
    const response = { access_token: jwt({ exp: SECONDS + 3600, iat: SECONDS }) };
    expect(lifetime(response, { sentAt: NOW + offset })).toBe(HOUR);
  });

  test("E2: without Date and iat the local clock has to do", () => {
    expect(lifetime({ expires_at: SECONDS + 3600 }, { sentAt: NOW + 600_000 })).toBe(3_000_000);
  });

  test("E2: a token that was made a while ago is not taken for a fresh one", () => {
    const access_token = jwt({ iat: SECONDS - 1800, exp: SECONDS + 1800 });
    expect(lifetime({ access_token })).toBe(HOUR / 2);
    expect(lifetime({ access_token, expires_in: 1800 })).toBe(HOUR / 2);
  });

  test("E2: expires_in does not care about any clock", () => {
    expect(lifetime({ expires_in: 3600, serverTime: NOW - 5 * HOUR })).toBe(HOUR);
  });

  test("E2: expires_in counts from the moment the request was sent", async () => {
    const { cache, grant, clock } = cacheUnderTest({ grant: fakeGrant({ expiresIn: 100 }) });
    const hold = grant.hold();
    const got = cache.get();
    await clock.advance(4000);
    hold.release();
    expect((await got).expiresAt).toBe(NOW + 100_000);
  });

  test("E2: stepping the wall clock back during a mint does not lengthen the token's life", async () => {
    const { cache, grant, clock } = cacheUnderTest({ grant: fakeGrant({ expiresIn: 100 }) });
    const hold = grant.hold();
    const got = cache.get();
    await clock.advance(1000);
    clock.stepWall(-HOUR);
    hold.release();
    expect((await got).expiresAt).toBe(NOW - HOUR + 100_000);
    expect(cache.peek()).toBeDefined();
    await clock.advance(100_000);
    expect(cache.peek()).toBeUndefined();
  });

  test.each([-6, 6])("E2: a host whose clock is %i hours off caches for the whole life of the token", async (hours) => {
    const clock = manualClock({ now: NOW + hours * HOUR });
    const response = { access_token: jwt({ iat: SECONDS, exp: SECONDS + 600 }) };
    const { cache, grant } = cacheUnderTest({ clock, grant: fakeGrant({ expiresIn: null, response }) });
    await cache.get();
    await clock.advance(530_000);
    expect(cache.peek()).toBeDefined();
    expect(grant.mints).toBe(1);
    await clock.advance(70_000);
    expect(cache.peek()).toBeUndefined();
  });
});

describe("E3: expires_in that says nothing", () => {
  test.each([0, "0", -1, "-1", Number.NaN, "NaN", "soon", "", null, true, {}, []])(
    "E3: %j leaves the word to the next source",
    (expires_in) => {
      expect(lifetime({ expires_in })).toBe(1_800_000);
      expect(lifetime({ expires_in, access_token: jwt({ exp: SECONDS + 90 }) })).toBe(90_000);
    },
  );

  test.each([1e12, 1e300, Number.MAX_VALUE, Number.POSITIVE_INFINITY])(
    "E3: an absurdly large %d is clamped to what a date can hold",
    async (expires_in) => {
      expect(new Date(NOW + lifetime({ expires_in })).getTime()).toBeGreaterThan(NOW);
      expect(new Date(NOW + lifetime({ expires_at: expires_in })).getTime()).toBeGreaterThan(NOW);
      const { cache, grant, clock } = cacheUnderTest({ grant: fakeGrant({ response: { expires_in } }) });
      const { expiresAt } = await cache.get();
      expect(Number.isFinite(expiresAt)).toBe(true);
      await clock.advance(400 * 24 * HOUR);
      expect(cache.peek()).toBeDefined();
      expect(grant.mints).toBe(1);
    },
  );

  test.each([
    { expires_in: 0.2 },
    { expires_at: SECONDS + 0.5 },
    { expires_at: SECONDS - 900 },
    { expires_in: "1e-9" },
  ])("E3: a lifetime under a second counts as a second: %j", (response) => {
    expect(lifetime(response)).toBe(1000);
  });

  test("E3: a token that is past already is not minted per call", async () => {
    const { cache, grant } = cacheUnderTest({ grant: fakeGrant({ response: { expires_at: SECONDS - 900 } }) });
    for (let call = 0; call < 50; call++) await cache.get();
    expect(grant.mints).toBe(1);
  });

  test("E3: defaultTtl 0 means do not cache, and callers at the same time still share the mint", async () => {
    const { cache, grant } = cacheUnderTest({ grant: fakeGrant({ expiresIn: null }), defaultTtl: 0 });
    const [first, second] = await Promise.all([cache.get(), cache.get()]);
    expect(first).toBe(second);
    expect(cache.peek()).toBeUndefined();
    expect((await cache.get()).value).toBe("fake-2");
    expect(grant.mints).toBe(2);
  });

  test("E3: defaultTtl 0 does not keep a token out of the cache whose life is stated", async () => {
    const { cache } = cacheUnderTest({ defaultTtl: 0 });
    await cache.get();
    expect(cache.peek()?.value).toBe("fake-1");
  });

  test("E3: the cache's defaultTtl comes before the grant's", async () => {
    const own = cacheUnderTest({ grant: fakeGrant({ expiresIn: null, defaultTtl: 60_000 }) });
    expect((await own.cache.get()).expiresAt).toBe(NOW + 60_000);
    const both = cacheUnderTest({ grant: fakeGrant({ expiresIn: null, defaultTtl: 60_000 }), defaultTtl: 90_000 });
    expect((await both.cache.get()).expiresAt).toBe(NOW + 90_000);
  });

  test("E3: a token the user had already may be past, and is not cached then", async () => {
    expect(lifetime({ expires_in: 60 }, { seeded: true })).toBe(60_000);
    expect(lifetime({ expires_at: SECONDS - 60 }, { seeded: true })).toBe(-60_000);
    const initial = { access_token: "old", expires_in: 60, receivedAt: NOW - 60_000 };
    const { cache } = cacheUnderTest({ initial });
    expect(cache.peek()).toBeUndefined();
    expect((await cache.get()).value).toBe("fake-1");
  });
});

describe("E4: windows of short tokens", () => {
  test("E4: refreshBuffer and minValidity are clamped to a half and a quarter of the lifetime", () => {
    expect(windowsOf(HOUR, 60_000, 10_000, 0)).toEqual({ soft: 60_000, hard: 10_000 });
    expect(windowsOf(100_000, 60_000, 10_000, 0)).toEqual({ soft: 50_000, hard: 10_000 });
    expect(windowsOf(20_000, 60_000, 10_000, 0)).toEqual({ soft: 10_000, hard: 5000 });
  });

  test.each([1, 2, 5, 30, 61])("E4: a token of %i s is not minted per call", async (expiresIn) => {
    const { cache, grant, clock } = cacheUnderTest({ grant: fakeGrant({ expiresIn }) });
    const lives = 10;
    for (let call = 0; call < 50 * lives; call++) {
      await cache.get();
      await clock.advance(expiresIn * 20);
    }
    // Refreshed at a little more than half of its life at the earliest.
    expect(grant.mints).toBeLessThanOrEqual(2.5 * lives);
    expect(grant.mints).toBeGreaterThanOrEqual(lives);
  });

  test("E4: a value that comes again with what is left of its life is chased by few mints", async () => {
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
    // 600 s, first asked again 60 s before the end: 60, 30, 15, 7, 3, 1.
    expect(grant.mints).toBeLessThanOrEqual(10);
  });

  test("E4: between two mints that brought the same value there is a second at least", async () => {
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

  test("E4: a value that comes again resets no window and is served until its expiry", async () => {
    const grant = fakeGrant({ response: { access_token: "same" }, expiresIn: null });
    const { cache, clock, told } = cacheUnderTest({ grant, defaultTtl: 100_000, minValidity: 0 });
    const { expiresAt } = await cache.get();
    await clock.advance(60_000);
    cache.peek();
    await clock.advance(0);
    expect(told("minted").map(({ repeated }) => repeated)).toEqual([false, true]);
    // Nobody stated how long it lives, so the same value is no reason to believe it lives longer.
    await clock.advance(39_999);
    expect(cache.peek()?.value).toBe("same");
    await clock.advance(1);
    expect(cache.peek()).toBeUndefined();
    expect(expiresAt).toBe(NOW + 100_000);
  });

  test("E4: a value that comes again with a longer life is good for that long", async () => {
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
  test("E5: a token ends when the monotonic clock says so, though the wall clock was stepped back", async () => {
    const { cache, clock } = cacheUnderTest({ refreshBuffer: 0, minValidity: 0 });
    await cache.get();
    clock.stepWall(-10 * HOUR);
    expect(cache.peek()).toBeDefined();
    await clock.advance(HOUR - 1);
    expect(cache.peek()).toBeDefined();
    await clock.advance(1);
    expect(cache.peek()).toBeUndefined();
  });

  test("E5: a token ends when the wall clock says so, though the machine was suspended", async () => {
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

  test("E6: two caches over tokens of the same life do not refresh at the same moment", async () => {
    const clock = manualClock();
    const caches = Array.from({ length: 20 }, () => cacheUnderTest({ clock }));
    await Promise.all(caches.map(({ cache }) => cache.get()));
    await clock.advance(HOUR - 66_001);
    const refreshedAt = new Set<number>();
    for (let at = 0; at <= 6000; at += 100) {
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
