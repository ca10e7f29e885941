import { isMainThread } from "node:worker_threads";
import { describe, expect, test, vi } from "vitest";
import { lifetimeOf, receivedAtOf, type LifetimeContext } from "../../src/core/expiry.ts";
import { createTokenCache, customGrant } from "../../src/index.ts";
import { cacheUnderTest, jwt, rejectionOf } from "./cache-under-test.ts";
import { fakeGrant, manualClock } from "../../src/testing/index.ts";

const NOW = Date.UTC(2026, 0, 1);
const SECONDS = NOW / 1000;
const MINUTE = 60_000;
const HOUR = 3_600_000;
/** The lifetime of a token when nothing states one. */
const DEFAULT = 30 * MINUTE;

type Response = Readonly<Record<string, unknown>>;

function lifetime(response: Response, options: Partial<LifetimeContext> = {}): number {
  const context = { sentAt: NOW, defaultTtl: DEFAULT, ...options };
  return lifetimeOf({ access_token: "opaque", ...response }, context).ms;
}

/** The spellings of one moment that are read, whatever the zone of the process. */
const spellingsOf = (ms: number): readonly (readonly [string, unknown])[] => {
  const iso = new Date(ms).toISOString();
  const [day = "", time = ""] = iso.slice(0, 19).split("T");
  const later = new Date(ms + 2 * HOUR).toISOString().slice(0, 19);
  const [laterDay = "", laterTime = ""] = later.split("T");
  const utc = new Date(ms).toUTCString();
  const weekday = new Intl.DateTimeFormat("en", { weekday: "long", timeZone: "UTC" }).format(ms);
  return [
    ["ISO 8601 in UTC", `${day}T${time}Z`],
    ["ISO 8601 with a fraction", iso],
    ["ISO 8601 with a lower-case zone", `${day}T${time}z`],
    ["ISO 8601 with an offset", `${later}+02:00`],
    ["ISO 8601 with an offset without a colon", `${later}+0200`],
    ["ISO 8601 with an offset of hours", `${later}+02`],
    ["ISO 8601 without a zone, which means UTC", `${day}T${time}`],
    ["ISO 8601 with a space behind it", `${day}T${time} `],
    ["ISO 8601 with a space in place of the T, and a fraction", `${day} ${time}.000`],
    ["ISO 8601 without seconds", `${day}T${time.slice(0, 5)}`],
    ["ISO 8601 with a fraction of seven digits", `${day}T${time}.0000000`],
    ["a timestamp of PostgreSQL", `${laterDay} ${laterTime}.123456+02`.replace(".123456", ".000000")],
    ["a timestamp of Ruby", `${day} ${time} UTC`],
    ["the date of an HTTP header", utc],
    ["the obsolete date of an HTTP header", utc.replace(/^.{5}(\d\d) (...) ..(\d\d)/, `${weekday}, $1-$2-$3`)],
    ["epoch seconds", ms / 1000],
    ["epoch seconds as a string", String(ms / 1000)],
    ["epoch milliseconds", ms],
    ["epoch milliseconds as a string", ` ${ms} `],
    ["a Date", new Date(ms)],
  ];
};

/** What a date may be called. */
const DATE_NAMES = [
  "expires_at",
  "expiresAt",
  "expires_on",
  "expiresOn",
  "expiresOnTimestamp",
  "expiry_date",
  "expiryDate",
];

describe("E1: where a lifetime comes from", () => {
  test.each(spellingsOf(NOW + 2 * HOUR))("E1: expires_at alone: %s", (_, expires_at) => {
    expect(lifetime({ expires_at })).toBe(2 * HOUR);
  });

  // The mutation tests run in worker threads, and a thread keeps the time zone that its process began with.
  test.runIf(isMainThread).each(["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati"])(
    "E1: every spelling of a date is the same moment in a process of the zone %s",
    (zone) => {
      vi.stubEnv("TZ", zone);
      try {
        expect(new Date(NOW).getTimezoneOffset() === 0).toBe(zone === "UTC");
        for (const [spelling, expires_at] of spellingsOf(NOW + 2 * HOUR)) {
          expect([spelling, lifetime({ expires_at })]).toEqual([spelling, 2 * HOUR]);
        }
      } finally {
        vi.unstubAllEnvs();
      }
    },
  );

  test.each(DATE_NAMES)("E1: a date may be called %s", (name) => {
    expect(lifetime({ [name]: SECONDS + 7200 })).toBe(2 * HOUR);
    expect(lifetime({ [name]: new Date(NOW + 2 * HOUR) })).toBe(2 * HOUR);
  });

  test.each(["expires_in", "expiresIn"])("E1: seconds may be called %s", (name) => {
    expect(lifetime({ [name]: 60 })).toBe(MINUTE);
    expect(lifetime({ [name]: "60" })).toBe(MINUTE);
  });

  test.each([60, "60", " 60 ", "60.0", 60.0, "6e1"])(
    "E1: expires_in may be a number or a numeric string: %j",
    (expires_in) => {
      expect(lifetime({ expires_in })).toBe(MINUTE);
    },
  );

  test("E1: of expires_in and an expires_at that lies ahead, the earlier counts", () => {
    expect(lifetime({ expires_in: 60, expires_at: SECONDS + 7200 })).toBe(MINUTE);
    expect(lifetime({ expires_in: 7200, expires_at: SECONDS + 60 })).toBe(MINUTE);
    expect(lifetime({ expires_in: 7200, expires_at: new Date(NOW + MINUTE).toISOString() })).toBe(MINUTE);
  });

  test("E1: of several spellings beside each other, the earliest counts", () => {
    expect(lifetime({ expires_in: 7200, expiresIn: 60 })).toBe(MINUTE);
    expect(lifetime({ expires_at: SECONDS + 7200, expiry_date: NOW + MINUTE })).toBe(MINUTE);
    expect(lifetime({ expires_at: SECONDS - 7200, expires_on: String(SECONDS + 60) })).toBe(MINUTE);
    expect(lifetime({ expires_in: 0, expiresIn: 60 })).toBe(MINUTE);
  });

  const looksPast: [string, unknown][] = [
    ["local time of a server in the west, without a zone", "2025-12-31T19:00:00"],
    ["the date of today", "2026-01-01"],
    ["a duration in seconds", 3600],
    ["a moment ago", SECONDS - 1],
    ["now", SECONDS],
    ["years ago", "1970-01-02T00:00:00Z"],
    ["Go's and .NET's zero", "0001-01-01T00:00:00Z"],
    ["a Date", new Date(NOW - 1)],
    ["the date of an HTTP header", new Date(NOW - HOUR).toUTCString()],
  ];

  test.each(looksPast)("E1: an expires_at that looks past says nothing beside expires_in: %s", (_, expires_at) => {
    expect(lifetime({ expires_in: 3600, expires_at })).toBe(HOUR);
  });

  test.each(looksPast)("E1: an expires_at that looks past says nothing alone: %s", (_, expires_at) => {
    expect(lifetime({ expires_at })).toBe(DEFAULT);
    expect(lifetime({ expires_at }, { defaultTtl: 5000 })).toBe(5000);
    expect(lifetime({ expires_at, access_token: jwt({ exp: SECONDS + 90 }) })).toBe(90_000);
  });

  test.each(looksPast)("E1: an expires_at that looks past causes no mint per call: %s", async (_, expires_at) => {
    for (const response of [{ expires_in: 3600, expires_at }, { expires_at }]) {
      const { cache, grant, clock } = cacheUnderTest({ grant: fakeGrant({ expiresIn: null, response }) });
      for (let call = 0; call < 100; call++) {
        await cache.get();
        await clock.advance(1000);
      }
      expect(grant.mints).toBe(1);
    }
  });

  test.each(["tomorrow", "2026-13-45T00:00:00Z", "", "  ", null, {}, [], Number.NaN, -5, 0, "0", true])(
    "E1: expires_in counts when expires_at does not parse: %j",
    (expires_at) => {
      expect(lifetime({ expires_at, expires_in: 60 })).toBe(MINUTE);
      expect(lifetime({ expires_at })).toBe(DEFAULT);
    },
  );

  test.each(["Monday 5 GMT", "2026-01-01 10:00 PM", "2026", "2026-01", "5 January 2026", "1/2/2027", "1e400"])(
    "E1: a text that JavaScript would read as some date or number says nothing: %s",
    (expires_at) => {
      expect(lifetime({ expires_at })).toBe(DEFAULT);
    },
  );

  test("E1: a date from another realm, as in a vm context or in Jest, is read", async () => {
    const { runInNewContext } = await import("node:vm");
    const expires_at: unknown = runInNewContext(`new Date(${NOW + HOUR})`);
    expect(expires_at).not.toBeInstanceOf(Date);
    expect(lifetime({ expires_at }, { isOwn: true })).toBe(HOUR);
  });

  test("E1: without expires_at and expires_in, the exp claim of a JWT counts", () => {
    expect(lifetime({ access_token: jwt({ exp: SECONDS + 90 }) })).toBe(90_000);
  });

  test("E1: without expires_at, expires_in and exp, defaultTtl counts", () => {
    expect(lifetime({})).toBe(DEFAULT);
    expect(lifetimeOf({ access_token: "a" }, { sentAt: NOW, defaultTtl: 5000 })).toEqual({ ms: 5000, stated: false });
  });

  test("E1: the lifetime of a JWT never exceeds its exp claim", () => {
    const access_token = jwt({ exp: SECONDS + 90 });
    expect(lifetime({ access_token, expires_in: 3600 })).toBe(90_000);
    expect(lifetime({ access_token, expires_at: SECONDS + 3600 })).toBe(90_000);
    expect(lifetime({ access_token, expires_in: 30 })).toBe(30_000);
  });

  test("E1: an exp claim that looks past says nothing, beside expires_in and alone", () => {
    const access_token = jwt({ exp: SECONDS - 7200 });
    expect(lifetime({ access_token, expires_in: 3600 })).toBe(HOUR);
    expect(lifetime({ access_token, expires_in: 0 })).toBe(DEFAULT);
    expect(lifetime({ access_token })).toBe(DEFAULT);
  });

  test.each([1e308, Number.MAX_VALUE, 1e15, -1e308, 0, -1])(
    "E1: an exp claim of %d leaves what expires_in says, and a finite lifetime",
    (exp) => {
      const access_token = jwt({ exp });
      expect(lifetime({ access_token, expires_in: 60 })).toBe(MINUTE);
      expect(new Date(NOW + lifetime({ access_token })).getTime()).toBeGreaterThan(NOW);
    },
  );

  test.each([1e308, Number.MAX_VALUE, -1e308, 0])("E1: an iat claim of %d is no clock", (iat) => {
    expect(lifetime({ access_token: jwt({ iat, exp: SECONDS + 90 }) })).toBe(90_000);
    expect(lifetime({ access_token: jwt({ iat, exp: SECONDS - 90 }) })).toBe(DEFAULT);
  });

  test.each([
    ["three parts that are no JSON", "a.b.c"],
    ["an exp claim that is no number", jwt({ exp: "soon" })],
    ["no exp claim", jwt({ sub: "me" })],
    ["a payload that is no object", `x.${Buffer.from("null").toString("base64url")}.y`],
    ["four dots", "a.b.c.d.e"],
  ])("E1: a token without a readable exp claim gets defaultTtl: %s", (_, access_token) => {
    expect(lifetime({ access_token })).toBe(DEFAULT);
  });

  test("E1: the grant's notAfter bounds the lifetime, whatever spelling the date has", () => {
    for (const notAfter of [NOW + 90_000, String(NOW + 90_000), new Date(NOW + 90_000), "2026-01-01T00:01:30"]) {
      expect(lifetime({ notAfter, expires_in: 3600 })).toBe(90_000);
      expect(lifetime({ notAfter })).toBe(90_000);
      expect(lifetime({ notAfter, expires_in: 30 })).toBe(30_000);
    }
  });

  test("E1: 1e11 as a date is epoch milliseconds, of the year 1973, and one less is seconds", () => {
    expect(lifetime({ expires_at: 1e11 })).toBe(DEFAULT);
    expect(lifetime({ expires_at: 1e11 - 1 })).toBe((1e11 - 1) * 1000 - NOW);
  });

  test("E1: a date with spaces around it", () => {
    expect(lifetime({ expires_at: " 2026-01-01T02:00:00Z " })).toBe(2 * HOUR);
  });
});

describe("E1: maxTtl", () => {
  test("E1: maxTtl bounds what the response says, and what defaultTtl says", () => {
    const options = { maxTtl: 45_000 };
    expect(lifetime({ expires_in: 3600 }, options)).toBe(45_000);
    expect(lifetime({ expires_at: SECONDS + 3600 }, options)).toBe(45_000);
    expect(lifetime({ access_token: jwt({ exp: SECONDS + 3600 }) }, options)).toBe(45_000);
    expect(lifetime({ notAfter: NOW + HOUR }, options)).toBe(45_000);
    expect(lifetime({}, options)).toBe(45_000);
    expect(lifetime({ expires_in: 30 }, options)).toBe(30_000);
  });

  test("E1: a maxTtl under a second bounds too", () => {
    expect(lifetime({ expires_in: 3600 }, { maxTtl: 500 })).toBe(500);
    expect(lifetime({ expires_in: 0.1 }, { maxTtl: 500 })).toBe(500);
  });

  test("E1: a token is kept for maxTtl at most, and an initial token counts from receivedAt", async () => {
    const { cache, grant, clock } = cacheUnderTest({ maxTtl: 60_000 });
    expect((await cache.get()).expiresAt).toBe(NOW + 60_000);
    await clock.advance(60_000);
    expect((await cache.get()).value).toBe("fake-2");
    expect(grant.mints).toBe(2);
    const initial = { access_token: "mine", expires_in: 3600, receivedAt: NOW - 60_000 };
    expect(cacheUnderTest({ maxTtl: 90_000, initial }).cache.peek()?.expiresAt).toBe(NOW + 30_000);
    expect(cacheUnderTest({ maxTtl: 60_000, initial }).cache.peek()).toBeUndefined();
  });

  test("E3: maxTtl: 0 keeps no token: callers share the mint they wait for, and the next one mints anew", async () => {
    const initial = { access_token: "mine", expires_in: 3600 };
    const { cache, grant } = cacheUnderTest({ maxTtl: 0, initial });
    expect(cache.peek()).toBeUndefined();
    const [first, second] = await Promise.all([cache.get(), cache.get()]);
    expect([first, second].map(({ value }) => value)).toEqual(["fake-1", "fake-1"]);
    expect(cache.peek()).toBeUndefined();
    expect((await cache.get()).value).toBe("fake-2");
    expect(grant.mints).toBe(2);
  });

  test.each([-1, Number.NaN, Number.POSITIVE_INFINITY, "60", null])("E1: a maxTtl of %j is refused", (maxTtl) => {
    expect(() => cacheUnderTest({ maxTtl: maxTtl as never })).toThrow(/"maxTtl" must be/);
  });
});

describe("E1: times that cannot be read, in what the user made", () => {
  const unreadable: [Response, string][] = [
    [{ expires_in: "15m" }, '"expires_in" must be a number of seconds'],
    [{ expiresIn: "15m" }, '"expiresIn" must be a number of seconds'],
    [{ expires_in: "" }, '"expires_in" must be a number of seconds'],
    [{ expiresIn: new Date(NOW) }, '"expiresIn" must be a number of seconds'],
    [{ expires_in: true }, '"expires_in" must be a number of seconds'],
    [{ expires_in: [60] }, '"expires_in" must be a number of seconds'],
    ...["tomorrow", "", new Date(Number.NaN), {}, true, "2026-01-01 10:00 PM"].map((value): [Response, string] => [
      { expires_at: value },
      '"expires_at" must be a Date, epoch seconds or an ISO 8601 date',
    ]),
    ...DATE_NAMES.map((name): [Response, string] => [{ [name]: "soon" }, `"${name}" must be a Date`]),
    [{ expires: 900_000 }, '"expires" must be left out: return expires_in (seconds) or expires_at (a date)'],
    [{ expires: new Date(NOW + HOUR) }, '"expires" must be left out'],
    [{ expiry: "1h" }, '"expiry" must be left out'],
    [{ expiration: NOW + HOUR }, '"expiration" must be left out'],
    [{ serverTime: "now" }, '"serverTime" must be a Date, epoch milliseconds'],
    [{ notAfter: "never" }, '"notAfter" must be a Date, epoch milliseconds'],
  ];

  test.each(unreadable)(
    "E1: a mint that returns %j fails, with a TypeError that names the member",
    async (response, text) => {
      const grant = async () => ({ access_token: "a", ...response });
      const { cache } = cacheUnderTest({ grant: grant as never });
      const error = (await rejectionOf(cache.get())) as { code: string; cause: Error };
      expect(error.code).toBe("ERR_GRANT");
      expect(error.cause).toBeInstanceOf(TypeError);
      expect(error.cause.message).toContain(text);
      expect(error.cause.message).toContain("in what the grant's function returns");
    },
  );

  test.each(unreadable)("E1: the same members of a server's answer say nothing: %j", (response) => {
    expect(lifetime(response)).toBe(DEFAULT);
  });

  test.each(unreadable)("E1: an initial token with %j is refused when the cache is created", (response, text) => {
    const initial = { access_token: "mine", ...response };
    const named = text.replace('"', '"initial.');
    expect(() => cacheUnderTest({ initial })).toThrow(TypeError);
    expect(() => cacheUnderTest({ initial })).toThrow(named);
  });

  test.each(unreadable)("E1: an initial function that returns %j is not used", async (response) => {
    const { cache } = cacheUnderTest({ initial: async () => ({ access_token: "mine", ...response }) });
    expect((await cache.get()).value).toBe("fake-1");
  });

  test.each([
    { expires_in: 0 },
    { expires_in: -1 },
    { expires_in: Number.NaN },
    { expires_in: Number.POSITIVE_INFINITY },
    { expires_at: 0 },
    { expires_at: "0" },
    { expires_at: Number.NaN },
    { expires_in: null },
    { expires_at: null, expires: null },
    { expires_in: undefined },
    { expires: 900_000, expires_in: 60 },
    { expires: "soon", expires_at: SECONDS + 60 },
  ])("E1: what says nothing, or is not needed, is not refused: %j", async (response) => {
    const { cache } = cacheUnderTest({ grant: fakeGrant({ expiresIn: null, response }) });
    const isSaid = "expires" in response && response.expires !== null;
    expect((await cache.get()).expiresAt).toBe(NOW + (isSaid ? MINUTE : DEFAULT));
  });

  const custom: [string, object, number][] = [
    ["accessToken with expiresIn", { accessToken: "a", expiresIn: 60 }, MINUTE],
    ["accessToken with expiresAt, a Date", { accessToken: "a", expiresAt: new Date(NOW + MINUTE) }, MINUTE],
    ["accessToken with expiresOn, a Date", { accessToken: "a", expiresOn: new Date(NOW + MINUTE) }, MINUTE],
    [
      "accessToken with expiresAt null and expiresOn",
      { accessToken: "a", expiresAt: null, expiresOn: NOW + MINUTE },
      MINUTE,
    ],
    ["accessToken with expiryDate", { accessToken: "a", expiryDate: NOW + MINUTE }, MINUTE],
    ["token with expiresOnTimestamp", { token: "a", expiresOnTimestamp: NOW + MINUTE }, MINUTE],
    [
      "access_token with expiry_date, as google-auth-library has it",
      { access_token: "a", expiry_date: NOW + MINUTE },
      MINUTE,
    ],
    ["expires_at of 0, which means never to some", { access_token: "a", expires_at: 0 }, DEFAULT],
  ];

  test.each(custom)("E1: customGrant: %s", async (_, minted, ms) => {
    const grant = customGrant({ mint: () => minted as never });
    const cache = createTokenCache({ grant, origins: ["https://api.example"], clock: manualClock() });
    expect((await cache.get()).expiresAt).toBe(NOW + ms);
  });

  test.each([
    ["expiresIn", { accessToken: "a", expiresIn: "15m" }],
    ["expiresAt", { accessToken: "a", expiresAt: "tomorrow" }],
    ["expiresAt", { accessToken: "a", expiresAt: new Date(Number.NaN) }],
    ["expiresOn", { accessToken: "a", expiresOn: {} }],
    ["expiresOnTimestamp", { token: "a", expiresOnTimestamp: "tomorrow" }],
    ["expires", { access_token: "a", expires: 900_000 }],
  ])("E1: customGrant: an unreadable %s is refused by its own name", async (name, minted) => {
    const grant = customGrant({ mint: () => minted as never });
    const cache = createTokenCache({ grant, origins: ["https://api.example"], clock: manualClock(), mintRetries: 0 });
    const { cause } = (await rejectionOf(cache.get())) as { cause: Error };
    expect(cause).toBeInstanceOf(TypeError);
    expect(cause.message).toContain(`"${name}" must be`);
  });

  test.each(["expires_in", "expires_at"])("E1: a %s of spaces alone is no number: refused", (name) => {
    expect(() => lifetime({ [name]: "  " }, { isOwn: true })).toThrow(`"${name}" must be`);
  });
});

describe("E1: a token that exists already", () => {
  test.each([
    ["expires_at", { expires_at: SECONDS - 60 }],
    ["expires_at, a Date", { expires_at: new Date(NOW - MINUTE) }],
    ["expiry_date", { expiry_date: NOW - MINUTE }],
    ["expires_at beside expires_in", { expires_at: SECONDS - 60, expires_in: 3600 }],
    ["the exp claim", { access_token: jwt({ exp: SECONDS - 60 }) }],
    ["the exp claim beside expires_in", { access_token: jwt({ exp: SECONDS - 60 }), expires_in: 3600 }],
    ["the exp claim, issued in the future", { access_token: jwt({ exp: SECONDS - 60, iat: SECONDS + 60 }) }],
    ["expires_in, counted from receivedAt", { expires_in: 60, receivedAt: NOW - 120_000 }],
    ["defaultTtl, counted from receivedAt", { receivedAt: NOW - DEFAULT }],
    ["notAfter", { notAfter: NOW - MINUTE, expires_in: 3600 }],
  ])("E1: an initial token whose time is over is not used: %s", async (_, response) => {
    const initial = { access_token: "mine", ...response } as never;
    expect(cacheUnderTest({ initial }).cache.peek()).toBeUndefined();
    const { cache } = cacheUnderTest({ initial: async () => initial });
    expect((await cache.get()).value).toBe("fake-1");
  });

  test("E1: the lifetime of a token that exists already may be under a second", () => {
    expect(lifetime({ expires_at: SECONDS + 0.1 }, { seeded: true })).toBe(100);
    expect(lifetime({ expires_at: SECONDS - 60 }, { seeded: true })).toBe(-MINUTE);
  });

  const received = NOW - MINUTE;
  const spellings: [string, unknown][] = [
    ["epoch milliseconds", received],
    ["epoch milliseconds as a string", String(received)],
    ["a Date", new Date(received)],
    ["an ISO 8601 date", new Date(received).toISOString()],
    ["an ISO 8601 date without a zone", "2025-12-31T23:59:00"],
    ["the date of an HTTP header", new Date(received).toUTCString()],
  ];

  test.each(spellings)("E1: receivedAt may be %s", async (_, receivedAt) => {
    expect(receivedAtOf({ receivedAt })).toBe(received);
    const initial = { access_token: "mine", expires_in: 3600, receivedAt: receivedAt as never };
    expect(cacheUnderTest({ initial }).cache.peek()?.expiresAt).toBe(received + HOUR);
    const { cache } = cacheUnderTest({ initial: async () => initial });
    expect((await cache.get()).expiresAt).toBe(received + HOUR);
  });

  test("E1: a receivedAt of 0 is a time: the token has expired", () => {
    expect(receivedAtOf({ receivedAt: 0 })).toBe(0);
    const initial = { access_token: "mine", expires_in: 3600, receivedAt: 0 };
    expect(cacheUnderTest({ initial }).cache.peek()).toBeUndefined();
  });

  test("E2: the iat of a token that exists already is no clock: it does not lengthen the token's life", () => {
    const seconds = NOW / 1000;
    const early = jwt({ iat: seconds + 3600, exp: seconds + 7200 });
    expect(lifetime({ access_token: early }, { seeded: true })).toBe(2 * HOUR);
    expect(lifetime({ access_token: early })).toBe(HOUR);
    const expired = jwt({ iat: seconds - 7200, exp: seconds - 3600 });
    expect(lifetime({ access_token: expired }, { seeded: true })).toBe(-HOUR);
    expect(lifetime({ access_token: expired })).toBe(HOUR);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, -1, "yesterday", "", new Date(Number.NaN), {}, true])(
    "E1: a receivedAt of %j is refused",
    async (receivedAt) => {
      const initial = { access_token: "mine", expires_in: 3600, receivedAt: receivedAt as never };
      expect(() => cacheUnderTest({ initial })).toThrow(/"initial.receivedAt" must be epoch milliseconds, a Date/);
      const { cache } = cacheUnderTest({ initial: async () => initial });
      expect((await cache.get()).value).toBe("fake-1");
    },
  );

  test("E1: no receivedAt is now", () => {
    expect(receivedAtOf({})).toBeUndefined();
    expect(receivedAtOf({ receivedAt: null })).toBeUndefined();
    const initial = { access_token: "mine", expires_in: 60 };
    expect(cacheUnderTest({ initial }).cache.peek()?.expiresAt).toBe(NOW + MINUTE);
  });

  test("E1: a receivedAt in the future is now: the clock of the page's server is ahead of the browser's", async () => {
    const initial = { access_token: "mine", expires_in: 3600, receivedAt: NOW + 5 * HOUR };
    expect(cacheUnderTest({ initial }).cache.peek()?.expiresAt).toBe(NOW + HOUR);
    const { cache } = cacheUnderTest({ initial: async () => initial });
    expect((await cache.get()).expiresAt).toBe(NOW + HOUR);
  });
});

describe("E3: expires_in without a usable value", () => {
  test.each([0, "0", -1, "-1", Number.NaN, "NaN", Infinity, "Infinity", "soon", "", null, true, {}, []])(
    "E3: an expires_in of %j is ignored: the exp claim or defaultTtl counts",
    (expires_in) => {
      expect(lifetime({ expires_in })).toBe(DEFAULT);
      expect(lifetime({ expires_in, access_token: jwt({ exp: SECONDS + 90 }) })).toBe(90_000);
    },
  );

  test.each([1e12, 1e300, Number.MAX_VALUE])(
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
    { expires_at: new Date(NOW + 1) },
    { access_token: jwt({ exp: SECONDS + 0.5 }) },
    { notAfter: NOW - 900 },
    { expires_in: "1e-9" },
  ])("E3: a lifetime under a second counts as a second: %j", (response) => {
    expect(lifetime(response)).toBe(1000);
  });

  test.each([{ expires_in: 0.001 }, { expires_at: SECONDS + 0.001 }])(
    "E3: a token that says %j is not minted once per call",
    async (response) => {
      const { cache, grant } = cacheUnderTest({ grant: fakeGrant({ expiresIn: null, response }) });
      for (let call = 0; call < 50; call++) await cache.get();
      expect(grant.mints).toBe(1);
    },
  );

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
});
