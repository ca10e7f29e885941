/** Functions that use the very client that waits for them, and functions that hang: what callers are told. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createAuthFetch } from "../../src/adapters/fetch.ts";
import {
  clientCredentialsGrant,
  createTokenCache,
  customGrant,
  refreshTokenGrant,
  tokenExchangeGrant,
  type AccessToken,
  type Grant,
  type InitialToken,
  type RemintEvent,
  type TokenCache,
} from "../../src/index.ts";
import { manualClock, startAuthServer, type AuthServer, type ManualClock } from "../../src/testing/index.ts";
import { cacheUnderTest, ORIGIN, rejectionOf, watch, type Watched } from "./cache-under-test.ts";
import { outcomesInto } from "./outcomes-into.ts";

let server: AuthServer;
beforeAll(async () => {
  server = await startAuthServer();
});
afterAll(() => server.close());

const open: { readonly cache: TokenCache; readonly clock: ManualClock }[] = [];
afterEach(async () => {
  for (const { cache, clock } of open.splice(0)) {
    const closed = cache.close();
    await clock.advance(60_000);
    await closed;
  }
});

/** What a function does that needs a token itself. */
type Use = (cache: TokenCache) => Promise<unknown>;
/** Makes the grant whose function does so. */
type GrantWith = (use: () => Promise<unknown>) => Grant;

const endpoint = (): { tokenEndpoint: string; clientId: string; clientSecret: string } => ({
  tokenEndpoint: server.tokenEndpoint,
  clientId: "shop",
  clientSecret: "s3cret",
});
/** Answers a refresh token with the next one. */
const answerRefresh = (): void =>
  server.respondAlways({ body: { access_token: "at", token_type: "Bearer", expires_in: 3600, refresh_token: "rt-2" } });
const STATEFUL = { mint: async () => ({ access_token: "at" }), onState: () => {} };

const USES: [string, Use][] = [
  ["the cache's get()", (cache) => cache.get()],
  [
    "a client of the cache",
    (cache) => createAuthFetch(cache, { fetch: async () => new Response() })(`${ORIGIN}/secrets`),
  ],
];
const FUNCTIONS: [string, GrantWith][] = [
  ["the function of a custom grant", (use) => customGrant({ mint: async () => (await use()) as never })],
  ["a bare function", (use) => (async () => (await use()) as never) as unknown as Grant],
  [
    "clientSecret",
    (use) => clientCredentialsGrant({ ...endpoint(), clientSecret: async () => (await use()) as never }),
  ],
  ["subjectToken", (use) => tokenExchangeGrant({ ...endpoint(), subjectToken: async () => (await use()) as never })],
  [
    "refreshToken",
    (use) => refreshTokenGrant({ ...endpoint(), refreshToken: async () => (await use()) as never, onRotate: () => {} }),
  ],
  ["state of a custom grant", (use) => customGrant({ ...STATEFUL, state: async () => (await use()) as never })],
  [
    "clientSecret of a refresh token grant",
    (use) =>
      refreshTokenGrant({ ...endpoint(), refreshToken: "rt-1", clientSecret: async () => (await use()) as never }),
  ],
];

/** A cache over a grant one of whose functions uses the cache. */
function selfUsing(
  grantWith: GrantWith,
  use: Use,
): { cache: TokenCache; clock: ManualClock; events: readonly RemintEvent[] } {
  const clock = manualClock();
  const events: RemintEvent[] = [];
  const onEvent = outcomesInto(events);
  const cache: TokenCache = createTokenCache({ grant: grantWith(() => use(cache)), clock, onEvent, origins: [ORIGIN] });
  open.push({ cache, clock });
  return { cache, clock, events };
}

describe("C10: a function that uses the very client that waits for it", () => {
  describe.each(USES)("%s", (_, use) => {
    test.each(FUNCTIONS)(
      "C10: %s, at once: its callers are told at once",
      async (name, grantWith) => {
        const { cache, clock } = selfUsing(grantWith, use);
        // No time passes on the clock, so nothing but the notice can end the wait.
        const error = await rejectionOf(cache.get());
        expect(error).toMatchObject({ code: "ERR_GRANT" });
        const told = name.includes("function") ? error : (error as Error).cause;
        expect(told).toMatchObject({
          code: "ERR_GRANT",
          message: "the grant asked its own token cache for a token, and would have waited for itself",
          hint: expect.stringContaining("give the grant a client without tokens") as string,
        });
        expect(clock.monotonic()).toBe(0);
      },
      5000,
    );

    test.each(FUNCTIONS)("C10: %s, after a while: the timeout says what to look for", async (name, grantWith) => {
      let reached!: () => void;
      const isThere = new Promise<void>((resolve) => (reached = resolve));
      const { cache, clock } = selfUsing((used) => {
        return grantWith(async () => {
          await new Promise<void>((resolve) => void setImmediate(resolve));
          reached();
          return used();
        });
      }, use);
      const got = watch(cache.get());
      await isThere;
      await clock.advance(9999);
      expect(got.state).toBe("pending");
      await clock.advance(1);
      expect(got.reason).toMatchObject({
        code: "ERR_TOKEN_TIMEOUT",
        message: "no token is available: the grant took longer than 10000 ms",
        hint: expect.stringMatching(
          /did not settle\. A function that sends a request through a client of this very token cache waits for itself/,
        ) as string,
      });
      const named = name.includes("function") ? "the grant's function" : `the function "${name.split(" ")[0]}"`;
      expect((got.reason as { hint: string }).hint).toMatch(new RegExp(`^${named}`));
    });
  });

  test.each(USES)(
    "C14: onRotate, which is awaited before the token is served, at once: %s: the event says so",
    async (_, use) => {
      answerRefresh();
      const { cache, clock, events } = selfUsing(
        (used) => refreshTokenGrant({ ...endpoint(), refreshToken: "rt-1", onRotate: async () => void (await used()) }),
        use,
      );
      // No time passes on the clock, so the save has not waited for itself.
      expect((await cache.get()).value).toBe("at");
      expect(clock.monotonic()).toBe(0);
      const unsaved = events.filter((event) => event.name === "state-unsaved");
      expect(unsaved).toMatchObject([
        {
          error: {
            code: "ERR_GRANT",
            hint: expect.stringContaining('the function "onRotate" failed') as string,
            cause: {
              code: "ERR_GRANT",
              hint: expect.stringContaining("give the grant a client without tokens") as string,
            },
          },
        },
      ]);
      // The token is there when the save is repeated.
      await clock.advance(1000);
      expect(await cache.close()).toEqual({ inFlight: false, unsaved: false });
    },
  );

  test.each(USES)(
    "C14: onRotate, after a while: %s: it waits for itself for half of mintTimeout, and is then repeated",
    async (_, use) => {
      answerRefresh();
      let reached!: () => void;
      const isThere = new Promise<void>((resolve) => (reached = resolve));
      const { cache, clock, events } = selfUsing((used) => {
        const onRotate = async (): Promise<void> => {
          await new Promise<void>((resolve) => void setImmediate(resolve));
          reached();
          await used();
        };
        return refreshTokenGrant({ ...endpoint(), refreshToken: "rt-1", onRotate });
      }, use);
      const got = watch(cache.get());
      await isThere;
      await clock.advance(4999);
      expect([got.state, events.length]).toEqual(["pending", 0]);
      await clock.advance(1);
      expect(got.value?.value).toBe("at");
      expect(events.map(({ name }) => name)).toEqual(["state-unsaved", "minted"]);
      await clock.advance(1000);
      expect(await cache.close()).toEqual({ inFlight: false, unsaved: false });
    },
  );

  test("C10: an initial function: the grant is asked, as for one that fails", async () => {
    for (const use of USES.map(([, each]) => each)) {
      const under = cacheUnderTest({
        initial: async (): Promise<InitialToken | undefined> => (await use(under.cache)) as never,
      });
      expect((await under.cache.get()).value).toBe("fake-1");
      expect(under.clock.monotonic()).toBe(0);
    }
  });

  test("C10: a grant that uses another cache gets its token, also when that cache is cold", async () => {
    const other = cacheUnderTest();
    const { cache } = selfUsing(
      (use) => customGrant({ mint: async () => ({ access_token: `for-${((await use()) as AccessToken).value}` }) }),
      () => other.cache.get(),
    );
    expect((await cache.get()).value).toBe("for-fake-1");
  });

  test("C10: a grant that uses its own cache while that has a valid token gets the token", async () => {
    let mints = 0;
    const clock = manualClock();
    const used: Watched<AccessToken>[] = [];
    const cache: TokenCache = createTokenCache({
      clock,
      origins: [ORIGIN],
      grant: async () => {
        if (mints++ > 0) used.push(watch(cache.get()));
        return { access_token: `at-${mints}`, expires_in: 60 };
      },
    });
    await cache.get();
    await clock.advance(40_000);
    expect(cache.peek()?.value).toBe("at-1");
    await clock.advance(0);
    expect([used[0]?.value?.value, cache.peek()?.value]).toEqual(["at-1", "at-2"]);
  });

  test("C10: callers who come while the grant runs are no functions of the grant: they wait, and are served", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const hold = grant.hold();
    const first = watch(cache.get());
    const second = watch(cache.get());
    await clock.advance(0);
    const third = watch(cache.get());
    hold.release();
    await clock.advance(0);
    expect([first, second, third].map(({ value }) => value?.value)).toEqual(["fake-1", "fake-1", "fake-1"]);
  });
});

const never = (): Promise<never> => new Promise(() => {});

describe("C10: what did not settle is named", () => {
  const hangs: [string, (() => Grant) | { initial: () => Promise<never> }, string][] = [
    ["initial", { initial: never }, 'the function "initial"'],
    ["a custom grant", () => customGrant({ mint: never }), "the grant's function"],
    [
      "clientSecret",
      () => clientCredentialsGrant({ ...endpoint(), clientSecret: never }),
      'the function "clientSecret"',
    ],
    ["subjectToken", () => tokenExchangeGrant({ ...endpoint(), subjectToken: never }), 'the function "subjectToken"'],
    [
      "refreshToken",
      () => refreshTokenGrant({ ...endpoint(), refreshToken: never, onRotate: () => {} }),
      'the function "refreshToken"',
    ],
    ["state", () => customGrant({ ...STATEFUL, state: never }), 'the function "state"'],
  ];

  test.each(hangs)("C10: %s hangs: the hint names it, the public message does not", async (_, what, named) => {
    const clock = manualClock();
    const options = { clock, origins: [ORIGIN], mintTimeout: 5000 };
    const cache =
      typeof what === "function"
        ? createTokenCache({ ...options, grant: what() })
        : createTokenCache({ ...options, grant: async () => ({ access_token: "at" }), ...what });
    open.push({ cache, clock });
    const got = watch(cache.get());
    await clock.advance(5000);
    expect(got.reason).toMatchObject({ code: "ERR_TOKEN_TIMEOUT", retryable: true });
    const { message, hint, stack } = got.reason as Error & { hint: string };
    expect(message).toBe("no token is available: the grant took longer than 5000 ms");
    expect(hint).toContain(`${named} did not settle`);
    expect(stack).toContain(`    hint: ${named} did not settle`);
    expect(hint).not.toContain(server.tokenEndpoint);
  });

  test("C14: onRotate hangs: the token is served after half of mintTimeout, and the event names the function", async () => {
    const clock = manualClock();
    const events: RemintEvent[] = [];
    const rotated = { access_token: "at", token_type: "Bearer", expires_in: 3600, refresh_token: "rt-2" };
    const fetch = async (): Promise<Response> => Response.json(rotated);
    const grant = refreshTokenGrant({ ...endpoint(), fetch, refreshToken: "rt-1", onRotate: never });
    const onEvent = outcomesInto(events);
    const cache = createTokenCache({ grant, clock, onEvent, origins: [ORIGIN], mintTimeout: 5000 });
    open.push({ cache, clock });
    const got = watch(cache.get());
    await clock.advance(2499);
    expect(got.state).toBe("pending");
    await clock.advance(1);
    expect(got.value?.value).toBe("at");
    const unsaved = events.find((event) => event.name === "state-unsaved");
    expect(unsaved?.error.hint).toContain('the function "onRotate" failed');
    expect(unsaved?.error.message).not.toContain("onRotate");
  });
});
