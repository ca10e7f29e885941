/**
 * How long a token lives, for every combination of what can be said about it. A table that was written by hand, and a
 * grid whose results are worked out from the rules E1 to E3 in a second way.
 *
 * The token endpoint is a function, and everything between it and the cache is real. Times are seconds, and 0 is the
 * moment of the mint on the server's clock.
 */
import { describe, expect, test } from "vitest";
import { clientCredentialsGrant, createTokenCache } from "../../src/index.ts";
import { manualClock } from "../../src/testing/index.ts";
import { jwt } from "./cache-under-test.ts";

const NOW = Date.UTC(2026, 0, 1) / 1000;
const HOUR = 3600;
/** The `defaultTtl` where none is given. */
const HALF_AN_HOUR = 1800;

/** What is said about a token, and by whose clock. */
interface Said {
  readonly expires_in?: number | string;
  readonly expires_at?: number;
  /** The token is a JWT if `exp` is given. */
  readonly exp?: number;
  readonly iat?: number;
  /** The headers `Date`, or `Date` and `Age`. */
  readonly headers?: "Date" | "Date, Age";
  /** What the local clock shows at the moment 0. */
  readonly skew?: number;
  readonly maxTtl?: number;
  readonly defaultTtl?: number;
}

/** The seconds that a token is kept, counted from the mint. */
type Life = number | "not kept";

describe("E1, E2, E3: a table that was written by hand", () => {
  const table: [Said, Life][] = [
    // One thing is said.
    [{}, 1800],
    [{ expires_in: 600 }, 600],
    [{ expires_in: "600" }, 600],
    [{ expires_in: 0 }, 1800],
    [{ expires_in: -600 }, 1800],
    [{ expires_in: "soon" }, 1800],
    [{ expires_in: 0.5 }, 1],
    [{ expires_at: 600 }, 600],
    [{ expires_at: -600 }, 1800],
    [{ expires_at: 0 }, 1800],
    [{ expires_at: 0.25 }, 1],
    [{ exp: 600 }, 600],
    [{ exp: -600 }, 1800],
    [{ exp: 600, iat: 0 }, 600],
    [{ exp: 600, iat: -3000 }, 600],
    // Two or three are said: the earliest that lies ahead.
    [{ expires_in: 600, expires_at: 500 }, 500],
    [{ expires_in: 500, expires_at: 600 }, 500],
    [{ expires_in: 600, expires_at: -500 }, 600],
    [{ expires_in: 0, expires_at: 500 }, 500],
    [{ expires_in: 600, exp: 500 }, 500],
    [{ expires_in: 600, exp: -500 }, 600],
    [{ expires_in: 0, exp: -500 }, 1800],
    [{ expires_at: 600, exp: 500 }, 500],
    [{ expires_at: 500, exp: 600 }, 500],
    [{ expires_at: -500, exp: 600 }, 600],
    [{ expires_at: -500, exp: -600 }, 1800],
    [{ expires_in: 700, expires_at: 600, exp: 500 }, 500],
    // A local clock that is three hours ahead.
    [{ expires_in: 600, skew: 10_800 }, 600],
    [{ expires_at: 600, skew: 10_800 }, 1800],
    [{ expires_at: 600, skew: 10_800, headers: "Date" }, 600],
    [{ expires_at: 600, skew: 10_800, headers: "Date, Age" }, 1800],
    [{ expires_at: 600, expires_in: 700, skew: 10_800 }, 700],
    [{ exp: 600, skew: 10_800 }, 1800],
    [{ exp: 600, skew: 10_800, headers: "Date" }, 600],
    [{ exp: 600, iat: 0, skew: 10_800 }, 600],
    [{ exp: 600, iat: -60, skew: 10_800 }, 660],
    [{ exp: 600, iat: -60, skew: 10_800, headers: "Date" }, 600],
    [{ exp: 14_400, iat: 0, skew: 10_800 }, 3600],
    // A local clock that is three hours behind.
    [{ expires_in: 600, skew: -10_800 }, 600],
    [{ expires_at: 600, skew: -10_800 }, 11_400],
    [{ expires_at: 600, skew: -10_800, headers: "Date" }, 600],
    [{ expires_at: 600, expires_in: 700, skew: -10_800 }, 700],
    [{ expires_at: -600, skew: -10_800, headers: "Date" }, 1800],
    [{ exp: 600, iat: 0, skew: -10_800 }, 600],
    [{ exp: 600, skew: -10_800, headers: "Date, Age" }, 11_400],
    [{ exp: 600, iat: 0, skew: -10_800, headers: "Date, Age" }, 600],
    // The options.
    [{ defaultTtl: 60 }, 60],
    [{ defaultTtl: 60, expires_in: 600 }, 600],
    [{ defaultTtl: 60, expires_at: -600 }, 60],
    [{ defaultTtl: 0 }, "not kept"],
    [{ defaultTtl: 0, expires_in: 0 }, "not kept"],
    [{ defaultTtl: 0, expires_at: -600 }, "not kept"],
    [{ defaultTtl: 0, exp: -600 }, "not kept"],
    [{ defaultTtl: 0, exp: 600 }, 600],
    [{ defaultTtl: 0, expires_in: 0.5 }, 1],
    [{ maxTtl: 60 }, 60],
    [{ maxTtl: 60, expires_in: 600 }, 60],
    [{ maxTtl: 60, expires_in: 30 }, 30],
    [{ maxTtl: 60, exp: 600, skew: 10_800, headers: "Date" }, 60],
    [{ maxTtl: 0.5, expires_in: 600 }, 0.5],
    [{ maxTtl: 60, defaultTtl: 600 }, 60],
    [{ maxTtl: 600, defaultTtl: 60 }, 60],
    [{ maxTtl: 60, defaultTtl: 0 }, "not kept"],
    [{ maxTtl: 0, expires_in: 600 }, "not kept"],
    [{ maxTtl: 0, exp: 600, expires_at: 500 }, "not kept"],
  ];

  test.each(table)("E1, E2, E3: %o: %s", async (said, life) => {
    expect(await measured(said)).toBe(life);
    expect(expected(said)).toBe(life);
  });
});

describe("E1, E2, E3: every combination", () => {
  const grid: { readonly [Name in keyof Said]-?: readonly Said[Name][] } = {
    expires_in: [undefined, 0, 900, 9000],
    expires_at: [undefined, -HOUR, 800, 5 * HOUR],
    exp: [undefined, -HOUR, 1000, 6 * HOUR],
    iat: [undefined, -2 * HOUR, 0],
    headers: [undefined, "Date", "Date, Age"],
    skew: [0, 3 * HOUR, -3 * HOUR],
    maxTtl: [undefined, 0, 500],
    defaultTtl: [undefined, 0, 700],
  };
  const skews = [...grid.skew].flatMap((skew) => grid.headers.map((headers) => ({ skew, headers })));

  test.each(skews)("E1, E2, E3: a local clock %o", async (clocks) => {
    let count = 0;
    const wrong: unknown[] = [];
    for (const said of combinations({ ...grid, skew: [clocks.skew], headers: [clocks.headers] })) {
      // A token that is no JWT has no `iat`.
      if (said.exp === undefined && said.iat !== undefined) continue;
      count++;
      const [is, should] = [await measured(said), expected(said)];
      if (is !== should) wrong.push({ said, is, should });
    }
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(count).toBe(4 * 4 * (1 + 3 * 3) * 3 * 3);
  });
});

/** The rules, once more. */
function expected(said: Said): Life {
  const { maxTtl = Infinity, defaultTtl = HALF_AN_HOUR } = said;
  const server = knownServerTime(said);
  // E3: what is no positive number says nothing. E1: so does what looks past.
  const ends = [Number(said.expires_in), Number(said.expires_at) - server, Number(said.exp) - server];
  const ahead = ends.filter((end) => end > 0);
  const isSaid = ahead.length > 0;
  // E3: nothing is kept with maxTtl: 0, and what nothing states is not kept with defaultTtl: 0.
  if (maxTtl === 0 || (!isSaid && defaultTtl === 0)) return "not kept";
  // E1: the earliest. E3: under a second is a second. E1: maxTtl bounds everything.
  const life = isSaid ? Math.min(...ahead) : defaultTtl;
  return Math.min(Math.max(life, 1), maxTtl);
}

/** What a client can know of the server's clock (E2). */
function knownServerTime({ headers, exp = Infinity, iat, skew = 0 }: Said): number {
  if (headers === "Date") return 0;
  const cannotBe = iat !== undefined && (iat > skew || exp <= skew);
  return cannotBe ? iat : skew;
}

/** Mints a token about which this is said. */
async function measured({ exp, iat, headers, skew = 0, maxTtl, defaultTtl, ...said }: Said): Promise<Life> {
  const token = exp === undefined ? "opaque" : jwt({ exp: NOW + exp, ...(iat !== undefined && { iat: NOW + iat }) });
  const body = {
    access_token: token,
    token_type: "Bearer",
    ...(said.expires_in !== undefined && { expires_in: said.expires_in }),
    ...(said.expires_at !== undefined && { expires_at: NOW + said.expires_at }),
  };
  const answer = new Response(JSON.stringify(body), { headers: { "content-type": "application/json" } });
  if (headers !== undefined) answer.headers.set("date", new Date(NOW * 1000).toUTCString());
  if (headers === "Date, Age") answer.headers.set("age", "7");
  const clock = manualClock({ now: (NOW + skew) * 1000 });
  const cache = createTokenCache({
    grant: clientCredentialsGrant({
      tokenEndpoint: "https://auth.example/token",
      clientId: "portal",
      clientSecret: "secret",
      fetch: () => Promise.resolve(answer),
    }),
    origins: ["https://api.example"],
    clock,
    ...(maxTtl !== undefined && { maxTtl: maxTtl * 1000 }),
    ...(defaultTtl !== undefined && { defaultTtl: defaultTtl * 1000 }),
  });
  const { value, expiresAt } = await cache.get();
  expect(value).toBe(token);
  const kept = cache.peek();
  if (kept === undefined) return "not kept";
  expect(kept.expiresAt).toBe(expiresAt);
  return expiresAt / 1000 - NOW - skew;
}

/** Every combination of one value of each list. */
function* combinations(lists: { readonly [Name in keyof Said]-?: readonly Said[Name][] }): Generator<Said> {
  let all: Record<string, unknown>[] = [{}];
  for (const [name, values] of Object.entries(lists)) {
    all = all.flatMap((said) => values.map((value) => (value === undefined ? said : { ...said, [name]: value })));
  }
  yield* all as Said[];
}
