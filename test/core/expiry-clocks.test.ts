import { describe, expect, test } from "vitest";
import { lifetimeOf } from "../../src/core/expiry.ts";
import { cacheUnderTest, jwt } from "./cache-under-test.ts";
import { fakeGrant, manualClock } from "../../src/testing/index.ts";

const NOW = Date.UTC(2026, 0, 1);
const SECONDS = NOW / 1000;
const HOUR = 3_600_000;

const lifetime = (response: Readonly<Record<string, unknown>>, options: { sentAt?: number; seeded?: boolean } = {}) =>
  lifetimeOf({ access_token: "opaque", ...response }, { sentAt: NOW, defaultTtl: 1_800_000, ...options }).ms;

describe("E2: the local clock differs from the server's", () => {
  const hoursOff = [-5, -1, 1, 5].map((hours) => [hours, hours * HOUR] as const);

  test.each(hoursOff)("E2: expires_at is compared with the server's Date header: local clock %i h off", (_, offset) => {
    const response = { expires_at: SECONDS + 3600, serverTime: NOW };
    expect(lifetime(response, { sentAt: NOW + offset })).toBe(HOUR);
  });

  test.each(hoursOff)("E2: exp is compared with the server's Date header: local clock %i h off", (_, offset) => {
    const response = { access_token: jwt({ exp: SECONDS + 3600, iat: SECONDS }), serverTime: NOW };
    expect(lifetime(response, { sentAt: NOW + offset })).toBe(HOUR);
  });

  test.each(hoursOff)(
    "E2: without a Date header the JWT's iat gives the server's time: local clock %i h off",
    (_, offset) => {
      const response = { access_token: jwt({ exp: SECONDS + 3600, iat: SECONDS }) };
      expect(lifetime(response, { sentAt: NOW + offset })).toBe(HOUR);
    },
  );

  test.each(hoursOff)(
    "E2: serverTime may be a Date or ISO 8601, and expires_at any date: local clock %i h off",
    (_, offset) => {
      const end = new Date(NOW + HOUR);
      for (const serverTime of [NOW, new Date(NOW), "2026-01-01T00:00:00"]) {
        for (const expires_at of [end, end.toUTCString(), end.toISOString(), SECONDS + 3600]) {
          expect(lifetime({ expires_at, serverTime }, { sentAt: NOW + offset })).toBe(HOUR);
        }
      }
    },
  );

  test.each(hoursOff)("E2: what looks past is told by the server's clock: local clock %i h off", (_, offset) => {
    const sentAt = NOW + offset;
    const response = { expires_at: SECONDS - 1, serverTime: NOW };
    expect(lifetime(response, { sentAt })).toBe(1_800_000);
    expect(lifetime({ ...response, expires_in: 60 }, { sentAt })).toBe(60_000);
    expect(lifetime({ access_token: jwt({ exp: SECONDS - 1 }), serverTime: NOW }, { sentAt })).toBe(1_800_000);
  });

  test("E2: without a Date header and iat, expires_at is compared with the local clock", () => {
    expect(lifetime({ expires_at: SECONDS + 3600 }, { sentAt: NOW + 600_000 })).toBe(3_000_000);
  });

  test("E2: a JWT issued half an hour before the request has only its remaining half hour", () => {
    const access_token = jwt({ iat: SECONDS - 1800, exp: SECONDS + 1800 });
    expect(lifetime({ access_token })).toBe(HOUR / 2);
    expect(lifetime({ access_token, expires_in: 1800 })).toBe(HOUR / 2);
  });

  test("E2: expires_in is independent of the server's clock", () => {
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

  test("E2: stepping the wall clock back during a mint does not lengthen the token's lifetime", async () => {
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

  test.each([-6, 6])("E2: a host whose clock is %i hours off caches a token for its whole lifetime", async (hours) => {
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
