import { describe, expect, test } from "vitest";
import { lifetimeOf } from "../../src/core/expiry.ts";
import { cacheUnderTest, jwt } from "./cache-under-test.ts";
import { fakeGrant } from "../../src/testing/index.ts";

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
    ["ISO 8601 with a space instead of the T, and a fraction", "2026-01-01 02:00:00.000"],
    ["ISO 8601 without seconds", "2026-01-01T02:00"],
    ["ISO 8601 with a fraction of seven digits", "2026-01-01T02:00:00.0000000"],
    ["epoch seconds", SECONDS + 7200],
    ["epoch seconds as a string", String(SECONDS + 7200)],
    ["epoch milliseconds", NOW + 7_200_000],
  ])("E1: expires_at takes precedence over expires_in: %s", (_, expires_at) => {
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
    "E1: expires_in counts when expires_at does not parse: %j",
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

  test("E1: without expires_at and expires_in, the exp claim of a JWT counts", () => {
    expect(lifetime({ access_token: jwt({ exp: SECONDS + 90 }) })).toBe(90_000);
  });

  test("E1: without expires_at, expires_in and exp, defaultTtl counts", () => {
    expect(lifetime({})).toBe(1_800_000);
    expect(lifetimeOf({ access_token: "a" }, { sentAt: NOW, defaultTtl: 5000 })).toEqual({ ms: 5000, stated: false });
  });

  test("E1: the lifetime of a JWT never exceeds its exp claim", () => {
    const access_token = jwt({ exp: SECONDS + 90 });
    expect(lifetime({ access_token, expires_in: 3600 })).toBe(90_000);
    expect(lifetime({ access_token, expires_at: SECONDS + 3600 })).toBe(90_000);
    expect(lifetime({ access_token, expires_in: 30 })).toBe(30_000);
  });

  test("E1: a positive expires_in takes precedence over an exp claim in the past", () => {
    expect(lifetime({ access_token: jwt({ exp: SECONDS - 7200 }), expires_in: 3600 })).toBe(HOUR);
  });

  test("E1: an exp claim in the past counts when expires_in is 0", () => {
    expect(lifetime({ access_token: jwt({ exp: SECONDS - 7200 }), expires_in: 0 })).toBe(1000);
  });

  test.each([
    ["three parts that are no JSON", "a.b.c"],
    ["an exp claim that is no number", jwt({ exp: "soon" })],
    ["no exp claim", jwt({ sub: "me" })],
    ["a payload that is no object", `x.${Buffer.from("null").toString("base64url")}.y`],
    ["four dots", "a.b.c.d.e"],
  ])("E1: a token without a readable exp claim gets defaultTtl: %s", (_, access_token) => {
    expect(lifetime({ access_token })).toBe(1_800_000);
  });
});

describe("E3: expires_in without a usable value", () => {
  test.each([0, "0", -1, "-1", Number.NaN, "NaN", "soon", "", null, true, {}, []])(
    "E3: an expires_in of %j is ignored: the exp claim or defaultTtl counts",
    (expires_in) => {
      expect(lifetime({ expires_in })).toBe(1_800_000);
      expect(lifetime({ expires_in, access_token: jwt({ exp: SECONDS + 90 }) })).toBe(90_000);
    },
  );

  test.each([1e12, 1e300, Number.MAX_VALUE, Number.POSITIVE_INFINITY])(
    "E3: an absurdly large lifetime of %d is clamped to what a date can hold",
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

  test("E3: a token with an expires_at in the past is not minted once per call", async () => {
    const { cache, grant } = cacheUnderTest({ grant: fakeGrant({ response: { expires_at: SECONDS - 900 } }) });
    for (let call = 0; call < 50; call++) await cache.get();
    expect(grant.mints).toBe(1);
  });

  test("E3: with defaultTtl 0 nothing is cached, and concurrent callers still share one mint", async () => {
    const { cache, grant } = cacheUnderTest({ grant: fakeGrant({ expiresIn: null }), defaultTtl: 0 });
    const [first, second] = await Promise.all([cache.get(), cache.get()]);
    expect(first).toBe(second);
    expect(cache.peek()).toBeUndefined();
    expect((await cache.get()).value).toBe("fake-2");
    expect(grant.mints).toBe(2);
  });

  test("E3: with defaultTtl 0 a token with a stated lifetime is cached", async () => {
    const { cache } = cacheUnderTest({ defaultTtl: 0 });
    await cache.get();
    expect(cache.peek()?.value).toBe("fake-1");
  });

  test("E3: the cache's defaultTtl takes precedence over the grant's", async () => {
    const own = cacheUnderTest({ grant: fakeGrant({ expiresIn: null, defaultTtl: 60_000 }) });
    expect((await own.cache.get()).expiresAt).toBe(NOW + 60_000);
    const both = cacheUnderTest({ grant: fakeGrant({ expiresIn: null, defaultTtl: 60_000 }), defaultTtl: 90_000 });
    expect((await both.cache.get()).expiresAt).toBe(NOW + 90_000);
  });

  test("E3: an initial token that has expired is not cached", async () => {
    expect(lifetime({ expires_in: 60 }, { seeded: true })).toBe(60_000);
    expect(lifetime({ expires_at: SECONDS - 60 }, { seeded: true })).toBe(-60_000);
    const initial = { access_token: "old", expires_in: 60, receivedAt: NOW - 60_000 };
    const { cache } = cacheUnderTest({ initial });
    expect(cache.peek()).toBeUndefined();
    expect((await cache.get()).value).toBe("fake-1");
  });
});
