/** What holds for every token response, every option and every course of time: random ones, by the thousand. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { lifetimeOf, windowsOf } from "../../src/core/expiry.ts";
import { createTokenCache, type TokenCache, type TokenCacheOptions } from "../../src/index.ts";
import { manualClock, type ManualClock } from "../../src/testing/index.ts";
import { jwt, settle } from "./cache-under-test.ts";

const NOW = Date.UTC(2026, 0, 1);
const SECONDS = NOW / 1000;
/** The last moment that a `Date` can hold. */
const LAST = 8.64e15;

const DURATIONS = ["expires_in", "expiresIn"];
const DATES = ["expires_at", "expiresAt", "expires_on", "expiresOn", "expiresOnTimestamp", "expiry_date", "expiryDate"];
const OTHERS = ["expires", "expiry", "expiration", "serverTime", "notAfter"];

/** A number as a server, a mistake or an attacker may write it. */
const number = fc.oneof(
  fc.integer({ min: -10, max: 100_000 }),
  fc.integer({ min: SECONDS - 100_000, max: SECONDS + 100_000 }),
  fc.integer({ min: NOW - 1e8, max: NOW + 1e8 }),
  fc.double(),
  fc.constantFrom(0, -0, 1e308, -1e308, Number.MIN_VALUE, NaN, Infinity, -Infinity),
);
const date = fc.oneof(
  fc.date({ noInvalidDate: false }),
  fc.integer({ min: -1e8, max: 1e8 }).map((ms) => new Date(NOW + ms)),
);
const text = fc.oneof(
  number.map(String),
  date.map((value) => (Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString())),
  date.map((value) => value.toUTCString()),
  fc.constantFrom("", " ", "soon", "15m", "2026-01-01", "2026-01-01T00:10:00", "2026-01-01 00:10:00+02", "0x10"),
  fc.string(),
);
const anything = fc.oneof(number, text, date, fc.constantFrom(null, undefined, true, {}, []));

const token = fc.oneof(
  fc.constant("opaque"),
  fc.record({ exp: fc.oneof(number, fc.constant("soon")), iat: number }, { requiredKeys: [] }).map(jwt),
);
const members = fc.dictionary(fc.constantFrom(...DURATIONS, ...DATES, ...OTHERS), anything, { maxKeys: 3 });
/** A token response in which anything may be said about the time. */
const response = fc.tuple(token, members).map(([access_token, said]) => ({ ...said, access_token }));
const ttl = fc.constantFrom(0, 1, 500, 60_000, 1_800_000, 1e14);
const context = fc.record({
  sentAt: fc.oneof(fc.constant(NOW), fc.integer({ min: 0, max: 2 * NOW })),
  defaultTtl: ttl,
  maxTtl: fc.oneof(ttl, fc.constant(undefined)),
  seeded: fc.boolean(),
});

describe("E1, E3: the lifetime in any token response", () => {
  test("E3: it is a finite number of milliseconds, and the token expires at a moment that a Date can hold", () => {
    fc.assert(
      fc.property(response, context, (said, given) => {
        const { ms } = lifetimeOf(said, given);
        expect(Number.isFinite(ms)).toBe(true);
        expect(given.sentAt + ms).toBeLessThanOrEqual(LAST);
        expect(ms).toBeLessThanOrEqual(given.maxTtl ?? LAST);
        if (given.maxTtl === 0) expect(ms).toBe(0);
        if (!given.seeded && ms !== 0) expect(ms).toBeGreaterThanOrEqual(Math.min(1000, given.maxTtl ?? 1000));
      }),
      { numRuns: 3000 },
    );
  });

  test("E1: it is never longer than any one thing that the answer says, and a second at least", () => {
    const seconds = fc.integer({ min: 1, max: 100_000 });
    const saids = fc.record(
      Object.fromEntries([...DURATIONS, ...DATES, "exp", "notAfter"].map((name) => [name, seconds])),
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(saids, fc.nat(2), ({ exp, notAfter, ...rest }, spelling) => {
        const spelled = Object.entries(rest).map(([name, life]) => {
          const at = SECONDS + life!;
          return [name, DURATIONS.includes(name) ? life : [at, new Date(at * 1000), String(at)][spelling]];
        });
        const said = {
          access_token: exp === undefined ? "opaque" : jwt({ exp: SECONDS + exp }),
          ...Object.fromEntries(spelled),
          ...(notAfter !== undefined && { notAfter: NOW + notAfter * 1000 }),
        };
        const { ms } = lifetimeOf(said, { sentAt: NOW, defaultTtl: 1_800_000 });
        const stated = [...Object.values(rest), exp].filter((life) => life !== undefined);
        const bounds = stated.length === 0 ? [1800] : stated;
        expect(ms / 1000).toBe(Math.min(...bounds, notAfter ?? Infinity));
      }),
      { numRuns: 2000 },
    );
  });

  test("E1: what the user made is read, or refused with a TypeError that names the member", () => {
    fc.assert(
      fc.property(response, context, (said, given) => {
        const own = (): unknown => lifetimeOf(said, { ...given, isOwn: true });
        let refusal: unknown;
        try {
          own();
        } catch (error) {
          refusal = error;
        }
        if (refusal === undefined) return;
        expect(refusal).toBeInstanceOf(TypeError);
        const [, name = ""] = /^"(?:initial\.)?(\w+)" must be /.exec((refusal as Error).message) ?? [];
        expect(said).toHaveProperty(name);
        expect(typeof said[name as keyof typeof said]).not.toBe(
          name in { expires: 1, expiry: 1, expiration: 1 } ? "undefined" : "number",
        );
      }),
      { numRuns: 3000 },
    );
  });

  test("E4: both windows lie within the lifetime, and the hard one within the soft one", () => {
    const positive = fc.integer({ min: 0, max: LAST });
    fc.assert(
      fc.property(
        positive,
        positive,
        positive,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (life, soft, hard, random) => {
          const windows = windowsOf(life, soft, hard, random);
          expect(windows.hard).toBe(Math.min(hard, life / 4));
          expect(windows.soft).toBeGreaterThanOrEqual(windows.hard);
          expect(windows.soft).toBeLessThanOrEqual(Math.max(life * 0.55, windows.hard));
          expect(windows.soft).toBeGreaterThanOrEqual(Math.min(soft, life / 2));
        },
      ),
    );
  });
});

describe("E3, E5: a cache in any course of time", () => {
  /** What the grant of a test answers with, and the options of the cache. */
  const answers = fc.array(
    fc.record(
      {
        access_token: fc.constantFrom("same", "other", jwt({ exp: SECONDS + 30 }), jwt({ exp: SECONDS - 30 })),
        expires_in: fc.constantFrom(0, 1, 5, 60, 3600),
        expires_at: fc.constantFrom(SECONDS - 60, SECONDS + 5, SECONDS + 600, "2025-12-31T19:00:00"),
      },
      { requiredKeys: ["access_token"] },
    ),
    { minLength: 1, maxLength: 6 },
  );
  const options = fc.record({
    defaultTtl: fc.constantFrom(0, 500, 60_000),
    maxTtl: fc.constantFrom(undefined, 0, 500, 30_000),
    refreshBuffer: fc.constantFrom(0, 2000, 60_000),
    minValidity: fc.constantFrom(0, 10_000),
  });
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.constant(["get"] as const) },
    { weight: 3, arbitrary: fc.constant(["peek"] as const) },
    { weight: 4, arbitrary: fc.tuple(fc.constant("advance" as const), fc.constantFrom(1, 300, 900, 5000, 40_000)) },
    // Into the soft window, into the hard one, and to the end of the token that is cached.
    { weight: 4, arbitrary: fc.tuple(fc.constant("nearEnd" as const), fc.constantFrom(0.4, 0.2, 0.05, 0)) },
    fc.tuple(fc.constant("stepWall" as const), fc.constantFrom(-7_200_000, -1000, 1000, 7_200_000)),
    fc.tuple(fc.constantFrom("stepMonotonic" as const, "suspend" as const), fc.constantFrom(1000, 7_200_000)),
  );
  const steps = fc.array(step, { minLength: 1, maxLength: 30 });

  test("E3: one call costs one mint at most, whatever the grant says and the clocks do", async () => {
    await fc.assert(
      fc.asyncProperty(answers, options, steps, async (said, given, course) => {
        const { cache, clock, mints } = cacheOver(said, given);
        let calls = 0;
        for (const [name, ms] of course) {
          // `nearEnd` peeks too.
          const isCall = name === "get" || name === "peek" || name === "nearEnd";
          const before = mints();
          if (name === "get") await cache.get();
          else if (name === "peek") cache.peek();
          else await move({ cache, clock }, name, ms);
          await settle();
          calls += isCall ? 1 : 0;
          expect(mints() - before).toBeLessThanOrEqual(isCall ? 1 : 0);
        }
        expect(mints()).toBeLessThanOrEqual(calls);
      }),
      { numRuns: 3000 },
    );
  });

  test("E5: no token is handed out from the cache that either clock says has expired", async () => {
    await fc.assert(
      fc.asyncProperty(answers, options, steps, async (said, given, course) => {
        const { cache, clock, ends } = cacheOver(said, given);
        let wallOffset = 0;
        let last: unknown;
        for (const [name, ms] of course) {
          if (name === "get") await cache.get();
          else if (name !== "peek") await move({ cache, clock }, name, ms);
          await settle();
          const held = cache.peek();
          if (held === undefined) continue;
          // An end is on the clock of the moment at which the token was cached.
          if (held !== last) wallOffset = clock.now() - clock.monotonic();
          last = held;
          const end = ends.get(held.value)!;
          expect(clock.now()).toBeLessThan(end);
          expect(clock.monotonic() + wallOffset).toBeLessThan(end);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("E3, E4: calls that come every 50 ms mint twice a second at most, and nothing is minted without a call", async () => {
    await fc.assert(
      fc.asyncProperty(answers, options, fc.boolean(), async (said, given, peeks) => {
        // With a life of zero every call mints, as it was asked for.
        const kept = { ...given, defaultTtl: given.defaultTtl || 1, maxTtl: given.maxTtl === 0 ? 1000 : given.maxTtl };
        const { cache, clock, mints } = cacheOver(said, kept);
        const seconds = 8;
        for (let call = 0; call < seconds * 20; call++) {
          if (!peeks || cache.peek() === undefined) await cache.get();
          await clock.advance(50);
        }
        // A life of 500 ms has a soft window of 250 ms.
        const perSecond = (kept.maxTtl ?? 1000) < 1000 ? 4.5 : 2.5;
        expect(mints()).toBeLessThanOrEqual(1 + perSecond * seconds);
        const before = mints();
        await clock.advance(7_200_000);
        expect(mints()).toBe(before);
        expect(clock.timers).toBe(0);
      }),
      { numRuns: 50 },
    );
  });
});

interface CacheInTime {
  readonly cache: TokenCache;
  readonly clock: ManualClock;
  readonly mints: () => number;
  /** When each token ends: the latest that was said of it. */
  readonly ends: ReadonlyMap<string, number>;
}

/** A cache whose grant gives these answers, the last one again and again. */
function cacheOver(said: readonly { readonly access_token: string }[], given: Partial<TokenCacheOptions>): CacheInTime {
  const clock = manualClock();
  const ends = new Map<string, number>();
  let mints = 0;
  let value = "";
  const mint = async (): Promise<never> => {
    const answer = said[Math.min(mints++, said.length - 1)]!;
    value = answer.access_token;
    return answer as never;
  };
  const cache = createTokenCache({
    ...given,
    grant: mint,
    origins: ["https://api.example"],
    clock,
    mintRetries: 0,
    onEvent(event) {
      if (event.name === "minted") ends.set(value, Math.max(event.expiresAt, ends.get(value) ?? 0));
    },
  });
  return { cache, clock, mints: () => mints, ends };
}

/** Moves the clock. `nearEnd` leaves this part of the life that the cached token has left. */
async function move({ cache, clock }: Pick<CacheInTime, "cache" | "clock">, name: string, amount = 0): Promise<void> {
  if (name === "advance") await clock.advance(amount);
  else if (name === "nearEnd") {
    const left = (cache.peek()?.expiresAt ?? clock.now()) - clock.now();
    await clock.advance(Math.max(0, left * (1 - amount)));
  } else if (name === "stepWall") clock.stepWall(amount);
  else if (name === "suspend") clock.suspend(amount);
  else clock.stepMonotonic(amount);
}
