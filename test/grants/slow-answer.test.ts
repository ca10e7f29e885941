/**
 * C10, C14: a mint that takes longer than its callers wait. What only its answer holds is not given up: it lands until
 * `landingTimeout`, and is cut then.
 */
import { describe, expect, test, vi } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  type Grant,
  refreshTokenGrant,
  type RemintEvent,
  type TokenCache,
  type TokenCacheOptions,
  type TokenFetch,
} from "remint";
import { damagedAnswer, manualClock, type ManualClock } from "remint/testing";
import { rejectionOf, settle, watch } from "../core/cache-under-test.ts";
import { CLIENT, expire, settled, startSession } from "./session-under-test.ts";
import { outcomesInto } from "../core/outcomes-into.ts";

const TIMEOUT = { code: "ERR_TOKEN_TIMEOUT", retryable: true, terminal: false, status: 503 };

/** A process whose refresh the server has processed, and whose callers have left. */
async function startLate(more: Partial<TokenCacheOptions> = {}): Promise<
  Awaited<ReturnType<typeof startSession>> & {
    readonly cache: TokenCache;
    readonly clock: ManualClock;
    readonly events: RemintEvent[];
    readonly names: () => string[];
    readonly land: () => Promise<void>;
  }
> {
  const session = await startSession();
  const process = session.start({ cache: more });
  const release = session.auth.holdAnswers({ processFirst: true });
  const failed = rejectionOf(process.cache.get());
  await session.auth.waitForLog("committed", 2);
  await process.clock.advance(9999);
  expect(process.names()).toEqual([]);
  await process.clock.advance(1);
  expect(await failed).toMatchObject(TIMEOUT);
  return {
    ...session,
    ...process,
    async land() {
      release();
      await session.auth.waitForLog("answered", 1);
      await vi.waitFor(() => expect(process.names()).toHaveLength(2), { timeout: 20_000 });
    },
  };
}

describe("C14: the answer comes after mintTimeout", () => {
  test("2 s later: the new refresh token is saved, the token is cached, and the event `minted` says how long it took", async () => {
    const { auth, first, cache, clock, events, names, land, presented, saved, issued } = await startLate();
    await clock.advance(2000);
    await land();
    expect(saved()).toBe(issued()[0]);
    expect(cache.peek()?.value).toBe(auth.issued.at(-1));
    expect(names()).toEqual(["mint-failed", "minted"]);
    expect(events[1]).toMatchObject({ cause: "cold", duration: 12_000, repeated: false });
    await expire({ cache, clock });
    await cache.get();
    expect(presented()).toEqual([first, issued()[0]]);
  });

  test("until then every caller, also of another target, fails at once with the same failure, and nothing is sent", async () => {
    const { auth, cache, clock, names, land, presented } = await startLate();
    const orders = cache.for({ resource: "https://orders.example/" });
    for (let caller = 0; caller < 20; caller++) {
      const [one, other] = [rejectionOf(cache.get()), rejectionOf(orders.get())];
      await settle();
      expect(await one).toMatchObject(TIMEOUT);
      expect(await other).toMatchObject(TIMEOUT);
      await clock.advance(1000);
    }
    expect([presented().length, auth.requests.length]).toEqual([1, 1]);
    expect(names()).toEqual(["mint-failed"]);
    await land();
    expect((await cache.get()).value).toBe(auth.issued.at(-1));
    await clock.advance(5000);
    await orders.get();
    expect(new Set(presented()).size).toBe(2);
  });

  test("the process closes meanwhile: close waits, the refresh token is saved, and nothing is left", async () => {
    const { cache, land, saved, issued, clock } = await startLate();
    const closed = watch(cache.close());
    await settle();
    expect(closed.state).toBe("pending");
    void land().catch(() => {});
    await vi.waitFor(() => expect(closed.value).toEqual({ inFlight: false, unsaved: false }), { timeout: 20_000 });
    expect(saved()).toBe(issued()[0]);
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_CLOSED" });
    await clock.advance(60_000);
  });

  test("the process closes and the answer takes longer: close says that a mint was in flight", async () => {
    const { cache, clock, saved, first } = await startLate();
    const closed = watch(cache.close({ within: 3000 }));
    await clock.advance(2999);
    expect(closed.state).toBe("pending");
    await clock.advance(1);
    expect(closed.value).toEqual({ inFlight: true, unsaved: false });
    expect(saved()).toBe(first);
  });

  test("its access token cannot be used: the new refresh token is saved all the same", async () => {
    const session = await startSession();
    const { cache, clock, names } = session.start();
    const release = session.auth.holdAnswers({ processFirst: true });
    session.auth.respond(damagedAnswer("token_type BearerToken"));
    const failed = rejectionOf(cache.get());
    await session.auth.waitForLog("committed", 2);
    await clock.advance(10_000);
    await failed;
    release();
    await vi.waitFor(() => expect(session.saved()).toBe(session.issued()[0]), { timeout: 20_000 });
    expect(cache.peek()).toBeUndefined();
    await clock.advance(5000);
    await cache.get();
    expect(session.presented()).toEqual([session.first, session.issued()[0]]);
    expect(names()).toEqual(["mint-failed", "minted"]);
  });

  test("it is a refusal: nothing is sent any more", async () => {
    const session = await startSession();
    const { cache, clock } = session.start();
    session.auth.endSignIns();
    const release = session.auth.holdAnswers({ processFirst: true });
    const failed = rejectionOf(cache.get());
    await session.auth.waitForLog("refused", 1);
    await clock.advance(10_000);
    expect(await failed).toMatchObject(TIMEOUT);
    release();
    await session.auth.waitForLog("answered", 1);
    await settle();
    for (let second = 0; second < 10; second++) {
      await clock.advance(1000);
      await rejectionOf(cache.get());
    }
    expect(await rejectionOf(cache.get())).toMatchObject({ error: "invalid_grant", terminal: true });
    expect(session.presented()).toEqual([session.first]);
  });

  test("the session is signed out meanwhile: what lands is neither cached nor saved, and it is revoked", async () => {
    const session = await startSession();
    const { cache, clock, names } = session.start();
    const release = session.auth.holdAnswers({ processFirst: true });
    const failed = rejectionOf(cache.get());
    await session.auth.waitForLog("committed", 2);
    await clock.advance(10_000);
    await failed;
    const signedOut = watch(cache.signOut());
    await settle();
    expect([await rejectionOf(cache.get()), signedOut.state]).toMatchObject([
      { code: "ERR_SESSION", status: 401 },
      "pending",
    ]);
    release();
    await settled(signedOut);
    const tokens = session.auth.requests.filter(({ path }) => path === "/revoke").map(({ form }) => form.get("token"));
    expect(tokens).toEqual(expect.arrayContaining([session.issued()[0], session.auth.issued.at(-1)]));
    expect([cache.peek(), session.saved()]).toEqual([undefined, session.first]);
    expect(session.sessions.log.some(({ step }) => step === "saving")).toBe(false);
    expect(names()).toEqual(["mint-failed", "signed-out"]);
  });

  test("the user signs in meanwhile: what lands is neither cached nor saved", async () => {
    const { auth, cache, land, saved, names } = await startLate();
    const response = auth.signIn("alice");
    await cache.signIn(response);
    await land();
    await settle();
    expect(cache.peek()?.value).toBe(response.access_token);
    expect(saved()).toBe(response.refresh_token);
    expect(names()).toEqual(["mint-failed", "signed-in"]);
  });
});

/** A server that takes requests and never answers. */
function blackHole(): { fetch: TokenFetch; signals: AbortSignal[]; presented: (string | null)[] } {
  const signals: AbortSignal[] = [];
  const presented: (string | null)[] = [];
  return {
    signals,
    presented,
    fetch: (_url, { signal, body }) => {
      signals.push(signal!);
      presented.push((body as URLSearchParams).get("refresh_token"));
      return new Promise((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason as Error)));
    },
  };
}

interface Under {
  readonly cache: TokenCache;
  readonly clock: ManualClock;
  readonly names: () => string[];
}

function start(grant: TokenCacheOptions["grant"], more: Partial<TokenCacheOptions> = {}): Under {
  const clock = manualClock();
  const events: RemintEvent[] = [];
  const onEvent = outcomesInto(events);
  const cache = createTokenCache({ grant, origins: ["https://api.example"], clock, onEvent, ...more });
  return { cache, clock, names: () => events.map(({ name }) => name) };
}

const ENDPOINT = "https://auth.example/token";
const refreshing = (fetch: TokenFetch): Grant =>
  refreshTokenGrant({ tokenEndpoint: ENDPOINT, ...CLIENT, refreshToken: "rt", fetch });

describe("C14: the answer never comes", () => {
  test.each([
    ["the default", {}, 60_000],
    ["20 s", { landingTimeout: 20_000 }, 20_000],
    ["as long as mintTimeout", { landingTimeout: 10_000 }, 10_001],
  ])(
    "landingTimeout %s: the request is cut then, the state is in doubt, and the same one is presented next",
    async (_what, more, cut) => {
      const { fetch, signals, presented } = blackHole();
      const { cache, clock, names } = start(refreshing(fetch), more);
      const failed = rejectionOf(cache.get());
      await settle();
      await clock.advance(10_000);
      expect(await failed).toMatchObject(TIMEOUT);
      await clock.advance(cut - 10_000 - 1);
      await settle();
      expect([signals[0]!.aborted, names()]).toEqual([false, ["mint-failed"]]);
      await clock.advance(1);
      await settle();
      expect([signals[0]!.aborted, names()]).toEqual([true, ["mint-failed", "state-in-doubt"]]);
      await clock.advance(5000);
      void cache.get().catch(() => {});
      await settle();
      expect(presented).toEqual(["rt", "rt"]);
    },
  );

  test("a refresh token is never under way twice: in ten minutes of callers, one request at a time", async () => {
    const { fetch, signals, presented } = blackHole();
    const { cache, clock } = start(refreshing(fetch));
    for (let second = 0; second < 600; second++) {
      cache.get().catch(() => {});
      await settle();
      await clock.advance(1000);
      expect(signals.filter(({ aborted }) => !aborted).length).toBeLessThanOrEqual(1);
    }
    expect(presented.length).toBeLessThanOrEqual(10);
    expect(presented.length).toBeGreaterThanOrEqual(8);
  });

  test("landingTimeout shorter than mintTimeout: a TypeError that names it", () => {
    const { fetch } = blackHole();
    expect(() => start(refreshing(fetch), { landingTimeout: 9999 })).toThrow(TypeError);
    expect(() => start(refreshing(fetch), { landingTimeout: 9999 })).toThrow(/"landingTimeout".*mintTimeout/);
  });
});

describe("C10, C14: a function of the user's counts as one that may use something up", () => {
  test("its answer takes 6 s of 10: called once, not aborted, served", async () => {
    const signals: AbortSignal[] = [];
    const mint = vi.fn(async ({ signal }: { readonly signal: AbortSignal }) => {
      signals.push(signal);
      await new Promise<void>((resolve) => void clock.setTimeout(resolve, 6000));
      return "token";
    });
    const { cache, clock } = start(mint);
    const got = watch(cache.get());
    await settle();
    await clock.advance(6000);
    expect(got.value?.value).toBe("token");
    expect([mint.mock.calls.length, signals[0]!.aborted]).toEqual([1, false]);
  });

  test("its answer takes 12 s of 10: its callers leave, it is not aborted, and its token is cached", async () => {
    const signals: AbortSignal[] = [];
    const mint = vi.fn(async ({ signal }: { readonly signal: AbortSignal }) => {
      signals.push(signal);
      await new Promise<void>((resolve) => void clock.setTimeout(resolve, 12_000));
      return "token";
    });
    const { cache, clock, names } = start(mint);
    const failed = rejectionOf(cache.get());
    await settle();
    await clock.advance(10_000);
    expect(await failed).toMatchObject(TIMEOUT);
    await clock.advance(2000);
    await settle();
    expect(cache.peek()?.value).toBe("token");
    expect([mint.mock.calls.length, signals[0]!.aborted, names()]).toEqual([1, false, ["mint-failed", "minted"]]);
  });
});

describe("C10: client credentials use nothing up", () => {
  test("the request is aborted after mintTimeout, the next mint begins at once when its turn has come, and nothing is in doubt", async () => {
    const { fetch, signals } = blackHole();
    const { cache, clock, names } = start(clientCredentialsGrant({ tokenEndpoint: ENDPOINT, ...CLIENT, fetch }));
    const failed = rejectionOf(cache.get());
    await settle();
    await clock.advance(9999);
    expect(signals[0]!.aborted).toBe(false);
    await clock.advance(1);
    expect(await failed).toMatchObject(TIMEOUT);
    expect([signals[0]!.aborted, names()]).toEqual([true, ["mint-failed"]]);
    await clock.advance(5000);
    cache.get().catch(() => {});
    await settle();
    expect(signals).toHaveLength(2);
  });
});

test("C10: the signal of a caller ends the wait of this caller alone: the refresh token is saved, and the others are served", async () => {
  const session = await startSession();
  const { cache } = session.start({ clock: manualClock() });
  const release = session.auth.holdAnswers({ processFirst: true });
  const controller = new AbortController();
  const left = rejectionOf(cache.get({ signal: controller.signal }));
  const stays = cache.get();
  await session.auth.waitForLog("committed", 2);
  const reason = new Error("the browser has gone");
  controller.abort(reason);
  expect(await left).toBe(reason);
  release();
  expect((await stays).value).toBe(session.auth.issued.at(-1));
  expect(session.saved()).toBe(session.issued()[0]);
});

test("C10: every caller leaves: the refresh token is saved, and the token is there for the next", async () => {
  const session = await startSession();
  const { cache } = session.start();
  const release = session.auth.holdAnswers({ processFirst: true });
  const controller = new AbortController();
  const left = rejectionOf(cache.get({ signal: controller.signal }));
  await session.auth.waitForLog("committed", 2);
  controller.abort(new Error("the browser has gone"));
  await left;
  release();
  await vi.waitFor(() => expect(cache.peek()?.value).toBe(session.auth.issued.at(-1)), { timeout: 20_000 });
  expect(session.saved()).toBe(session.issued()[0]);
  expect(session.presented()).toEqual([session.first]);
});
