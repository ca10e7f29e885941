/** The refresh token grant: the token request, rotation, `onRotate`, `invalid_grant`, revocation and options. */
import { inspect } from "node:util";
import { afterEach, describe, expect, test, vi } from "vitest";
import {
  createTokenCache,
  type Grant,
  refreshTokenGrant,
  type RefreshTokenGrantOptions,
  type RemintError,
  type RemintEvent,
  type TokenCache,
  type TokenCacheOptions,
} from "remint";
import { createAuthFetch } from "remint/fetch";
import { type Answer, manualClock, type ManualClock, startApi } from "remint/testing";
import { definitionOf } from "../../src/core/grant.ts";
import { rejectionOf, settle, watch } from "../core/cache-under-test.ts";
import { deferred, FIRST, type RotatingServer, startRotatingServer } from "./rotating-server.ts";
import { outcomesInto } from "../core/outcomes-into.ts";

const CLIENT = { clientId: "portal", clientSecret: "s3cr3t-value" } as const;

afterEach(() => {
  vi.restoreAllMocks();
});

function grantOf({ auth }: RotatingServer, more: Partial<RefreshTokenGrantOptions> = {}): Grant {
  return refreshTokenGrant({ tokenEndpoint: auth.tokenEndpoint, ...CLIENT, refreshToken: FIRST, ...more });
}

function cacheOf(grant: Grant, clock: ManualClock = manualClock(), more: Partial<TokenCacheOptions> = {}): TokenCache {
  return createTokenCache({ grant, origins: ["https://api.example"], clock, warnings: false, ...more });
}

/** Lets the token expire, so that the next `get` mints without a rejection. */
async function expire(cache: TokenCache, clock: ManualClock): Promise<void> {
  await settle();
  await clock.advance(3600_000);
  expect(cache.peek()).toBeUndefined();
}

/** Returns a function that returns these values one after another, and the last one from then on. */
function inTurn<T>(...values: T[]): ReturnType<typeof vi.fn<() => T>> {
  return vi.fn(() => (values.length > 1 ? values.shift()! : values[0]!));
}

/** A function that gives the refresh token has to have one that keeps it. */
const KEEPER = { onRotate: () => undefined } as const;

describe("the token request", () => {
  test("has the refresh token, the scope and the parameters, and nothing else (RFC 6749 section 6)", async () => {
    const server = await startRotatingServer();
    await cacheOf(grantOf(server, { scope: "a b", parameters: { tenant: "t1" } })).get();
    expect([...server.auth.requests[0]!.form]).toEqual([
      ["scope", "a b"],
      ["tenant", "t1"],
      ["refresh_token", FIRST],
      ["grant_type", "refresh_token"],
    ]);
  });

  test("the answer has a refresh token: it replaces the old one; it has none: the old one is used again", async () => {
    for (const rotates of [true, false]) {
      const server = await startRotatingServer(rotates);
      const clock = manualClock();
      const cache = cacheOf(grantOf(server), clock);
      await cache.get();
      await expire(cache, clock);
      await cache.get();
      expect(server.presented).toEqual([FIRST, rotates ? "rt-1-next" : FIRST]);
    }
  });

  test("C14: a mint says which refresh token comes next, if there is another, and keeps none itself", async () => {
    for (const rotates of [true, false]) {
      const server = await startRotatingServer(rotates);
      server.acceptReplaced();
      const grant = grantOf(server);
      const definition = definitionOf(grant);
      const { signal } = new AbortController();
      const step = await definition.mint({ signal, state: FIRST });
      expect(step).toMatchObject({ response: { access_token: "at-1", refresh_token: undefined } });
      expect(step.next).toEqual(rotates ? { state: "rt-1-next" } : undefined);
      server.acceptReplaced();
      await definition.mint({ signal, state: FIRST });
      expect(server.presented).toEqual([FIRST, FIRST]);
    }
  });

  test("C11: a 503 is not repeated, because the server may have used the refresh token up", async () => {
    const server = await startRotatingServer();
    server.auth.respond({ status: 503 });
    const cache = cacheOf(grantOf(server), manualClock(), { mintRetries: 5 });
    expect(await rejectionOf(cache.get())).toMatchObject({
      code: "ERR_TOKEN_ENDPOINT",
      endpointStatus: 503,
      retryable: true,
    });
    expect(server.auth.requests).toHaveLength(1);
  });
});

describe("sharing", () => {
  test("100 concurrent callers at first, after an expiry, and after a revocation: each refresh token is used once", async () => {
    const server = await startRotatingServer();
    const api = await startApi({ accepts: server.auth });
    const clock = manualClock();
    const cache = createTokenCache({ grant: grantOf(server), origins: [api.origin], clock });
    const authFetch = createAuthFetch(cache);
    const storm = (): Promise<number[]> =>
      Promise.all(Array.from({ length: 100 }, async (_, i) => (await authFetch(`${api.origin}/${i}`)).status));

    expect(new Set(await storm())).toEqual(new Set([200]));
    await expire(cache, clock);
    expect(new Set(await storm())).toEqual(new Set([200]));
    server.auth.revokeAll();
    expect(new Set(await storm())).toEqual(new Set([200]));
    expect(server.presented).toEqual([FIRST, "rt-1-next", "rt-2-next"]);
    await api.close();
  });

  test("C14: two caches with one grant: a TypeError while the first is open; afterwards the second goes on from its state", async () => {
    const server = await startRotatingServer();
    const grant = grantOf(server);
    const clock = manualClock();
    for (let round = 0; round < 3; round++) {
      const cache = cacheOf(grant, clock);
      expect(() => cacheOf(grant, clock)).toThrow(TypeError);
      expect(() => cacheOf(Object.assign({ ...grant }, { defaultTtl: 1 }), clock)).toThrow(
        /^"grant" must not be used by two caches at a time.*cache\.for\(/,
      );
      await cache.get();
      await cache.close();
    }
    expect(server.presented).toEqual([FIRST, "rt-1-next", "rt-2-next"]);
  });

  test("C14: a copy of the grant with another member goes on from the same state", async () => {
    const server = await startRotatingServer();
    const grant = grantOf(server);
    const first = cacheOf(grant);
    await first.get();
    await first.close();
    await cacheOf(Object.assign({ ...grant }, { defaultTtl: 1 })).get();
    expect(server.presented).toEqual([FIRST, "rt-1-next"]);
  });

  test("C14: a second cache that could not be created because of a wrong option does not keep the grant", async () => {
    const server = await startRotatingServer();
    const grant = grantOf(server);
    expect(() => cacheOf(grant, manualClock(), { mintTimeout: -1 })).toThrow(TypeError);
    expect((await cacheOf(grant).get()).value).toBe("at-1");
  });
});

describe("onRotate", () => {
  test("gets the new and the replaced refresh token and a response without tokens, before the token is served", async () => {
    const server = await startRotatingServer();
    const saved = deferred();
    const onRotate = vi.fn<NonNullable<RefreshTokenGrantOptions["onRotate"]>>(() => saved.promise);
    const cache = cacheOf(grantOf(server, { onRotate }));
    const got = watch(cache.get());
    await vi.waitFor(() => expect(onRotate).toHaveBeenCalledOnce(), { timeout: 20_000 });
    await settle();
    expect([got.state, cache.peek()]).toEqual(["pending", undefined]);
    saved.resolve();
    await vi.waitFor(() => expect(got.state).toBe("fulfilled"), { timeout: 20_000 });
    const [token, rotated] = onRotate.mock.calls[0]!;
    expect([token, rotated.replaced]).toEqual(["rt-1-next", FIRST]);
    expect(rotated.response).toMatchObject({ token_type: "bearer", expires_in: 3600 });
    expect(JSON.stringify(rotated.response)).not.toMatch(/at-1|rt-1/);
    expect(rotated.signal).toBeInstanceOf(AbortSignal);
  });

  test("is not called when the server keeps the refresh token", async () => {
    const server = await startRotatingServer(false);
    const onRotate = vi.fn<() => void>();
    await cacheOf(grantOf(server, { onRotate })).get();
    expect(onRotate).not.toHaveBeenCalled();
  });

  test("C14: fails twice: the token is served, an event tells, and the same token is saved again after 1 and 2 s", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    const onRotate = vi
      .fn<(token: string) => void>()
      .mockImplementationOnce((token) => {
        throw new Error(`database is down, could not save ${token} for ${FIRST}`);
      })
      .mockImplementationOnce(() => {
        throw new Error("still down");
      });
    const events: RemintEvent[] = [];
    const onEvent = outcomesInto(events);
    const cache = cacheOf(grantOf(server, { onRotate }), clock, { onEvent });
    expect((await cache.get()).value).toBe("at-1");
    const unsaved = (): RemintError[] =>
      events.flatMap((event) => (event.name === "state-unsaved" ? [event.error] : []));
    expect(unsaved()).toMatchObject([
      {
        code: "ERR_GRANT",
        retryable: true,
        terminal: false,
        message: "no token is available: a function that was given to the grant failed",
        hint:
          'the function "onRotate" failed; see the cause. The new refreshToken is kept in memory, and onRotate is ' +
          "called again",
        cause: { message: "database is down, could not save [redacted] for [redacted]" },
      },
    ]);
    expect(inspect(unsaved(), { depth: 5, showHidden: true })).not.toMatch(/rt-1-next|rt-0-first/);
    await clock.advance(999);
    expect(onRotate).toHaveBeenCalledTimes(1);
    await clock.advance(1);
    expect(onRotate).toHaveBeenCalledTimes(2);
    await clock.advance(1999);
    expect(onRotate).toHaveBeenCalledTimes(2);
    await clock.advance(1);
    await clock.advance(600_000);
    expect(onRotate.mock.calls.map(([token]) => token)).toEqual(["rt-1-next", "rt-1-next", "rt-1-next"]);
    expect(events.map(({ name }) => name)).toEqual(["state-unsaved", "minted", "state-unsaved"]);
    expect(server.presented).toEqual([FIRST]);
  });

  test("C14: fails for an hour: it is called again after 1, 2, 4, 8, 16 and then every 30 s", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    const at: number[] = [];
    const onRotate = (): void => {
      at.push(clock.monotonic());
      throw new Error("down");
    };
    const cache = cacheOf(grantOf(server, { onRotate }), clock);
    await cache.get();
    for (let second = 0; second < 125; second++) await clock.advance(1000);
    const pauses = at.slice(1).map((time, index) => (time - at[index]!) / 1000);
    expect(pauses).toEqual([1, 2, 4, 8, 16, 30, 30, 30]);
  });

  test("C14: fails beyond the next rotation: only the newest is saved, and what it replaced is the last one saved or not", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    let isDown = true;
    const onRotate = vi.fn<NonNullable<RefreshTokenGrantOptions["onRotate"]>>(() => {
      if (isDown) throw new Error("down");
    });
    const cache = cacheOf(grantOf(server, { onRotate }), clock);
    await cache.get();
    await expire(cache, clock);
    await cache.get();
    isDown = false;
    await clock.advance(60_000);
    expect(onRotate.mock.lastCall?.[0]).toBe("rt-2-next");
    const after = onRotate.mock.calls.length;
    await clock.advance(600_000);
    expect(onRotate).toHaveBeenCalledTimes(after);
    expect(server.presented).toEqual([FIRST, "rt-1-next"]);
  });

  test("C14: never settles: the token is served after half of mintTimeout; the signal of the save aborts, and it is called again", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    const onRotate = vi.fn<NonNullable<RefreshTokenGrantOptions["onRotate"]>>(() => Promise.resolve());
    onRotate.mockImplementationOnce(() => new Promise(() => {}));
    const events: RemintEvent[] = [];
    const onEvent = outcomesInto(events);
    const cache = cacheOf(grantOf(server, { onRotate }), clock, { onEvent, mintTimeout: 8000 });
    const got = watch(cache.get());
    await vi.waitFor(() => expect(onRotate).toHaveBeenCalledOnce(), { timeout: 20_000 });
    const { signal } = onRotate.mock.calls[0]![1];
    await clock.advance(3999);
    expect([got.state, signal.aborted]).toEqual(["pending", false]);
    await clock.advance(1);
    expect([got.value?.value, signal.aborted]).toEqual(["at-1", true]);
    expect(events.map(({ name }) => name)).toEqual(["state-unsaved", "minted"]);
    await clock.advance(1000);
    expect(onRotate).toHaveBeenCalledTimes(2);
    expect(server.presented).toEqual([FIRST]);
  });

  test("C14: the next mint saves what is unsaved before it asks anything, and close() does", async () => {
    for (const how of ["mint", "close"] as const) {
      const server = await startRotatingServer();
      const clock = manualClock();
      const onRotate = vi.fn<(token: string) => void>().mockImplementationOnce(() => {
        throw new Error("down");
      });
      const cache = cacheOf(grantOf(server, { onRotate }), clock);
      const { value } = await cache.get();
      const again = (): Promise<unknown> => cache.invalidate(value).then(() => cache.get());
      const outcome = how === "close" ? await cache.close() : await again();
      if (how === "close") expect(outcome).toEqual({ inFlight: false, unsaved: false });
      expect(onRotate.mock.calls.map(([token]) => token)).toEqual(
        how === "close" ? ["rt-1-next", "rt-1-next"] : ["rt-1-next", "rt-1-next", "rt-2-next"],
      );
    }
  });

  test("C14: saves are serial and the newest wins: while one hangs, no other is in progress", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    let running = 0;
    let most = 0;
    const order: string[] = [];
    const gates: (() => void)[] = [];
    const onRotate = async (token: string): Promise<void> => {
      most = Math.max(most, ++running);
      order.push(token);
      await new Promise<void>((resolve) => gates.push(resolve));
      running--;
    };
    const cache = cacheOf(grantOf(server, { onRotate }), clock);
    const first = watch(cache.get());
    await vi.waitFor(() => expect(gates).toHaveLength(1), { timeout: 20_000 });
    // Another access token of the same session is minted after the first is saved.
    const second = watch(cache.for({ scope: "b" }).get());
    await settle();
    gates[0]!();
    await vi.waitFor(() => expect(gates).toHaveLength(2), { timeout: 20_000 });
    gates[1]!();
    await vi.waitFor(() => expect([first.state, second.state]).toEqual(["fulfilled", "fulfilled"]), {
      timeout: 20_000,
    });
    expect([most, order]).toEqual([1, ["rt-1-next", "rt-2-next"]]);
  });

  test("C14: neither onRotate nor a store: one warning at the first rotation, which names both; with warnings: false, none", async () => {
    for (const warnings of [true, false]) {
      const server = await startRotatingServer();
      const clock = manualClock();
      const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
      const cache = cacheOf(grantOf(server), clock, { warnings });
      expect(warn).not.toHaveBeenCalled();
      await cache.get();
      await expire(cache, clock);
      await cache.get();
      expect(warn).toHaveBeenCalledTimes(warnings ? 1 : 0);
      if (warnings) expect(String(warn.mock.calls[0]![0])).toMatch(/"onRotate".*"store"/);
      if (warnings) expect(String(warn.mock.calls[0]![0])).not.toMatch(/rt-/);
      warn.mockRestore();
    }
  });
});

describe("C9: invalid_grant", () => {
  test("a string: terminal: nothing more is sent, and the error says to sign in again", async () => {
    const server = await startRotatingServer();
    server.rotate();
    const clock = manualClock();
    const events: RemintEvent[] = [];
    const cache = cacheOf(grantOf(server), clock, { onEvent: outcomesInto(events) });
    const error = await rejectionOf(cache.get());
    expect(error).toMatchObject({
      code: "ERR_TOKEN_ENDPOINT",
      error: "invalid_grant",
      terminal: true,
      retryable: false,
      status: 401,
      hint: expect.stringMatching(/sign in again/) as string,
    });
    for (let hour = 0; hour < 24; hour++) {
      await clock.advance(3600_000);
      const again = await rejectionOf(cache.get());
      expect(again).toEqual(error);
      expect(again).not.toBe(error);
    }
    expect(server.auth.requests).toHaveLength(1);
    expect(events.map(({ name }) => name)).toEqual(["mint-failed"]);
  });

  test("S5: the server repeats the refresh token: neither the error nor its description does", async () => {
    const server = await startRotatingServer();
    server.rotate();
    const error = await rejectionOf(cacheOf(grantOf(server)).get());
    expect((error as { errorDescription?: string }).errorDescription).toBe("[redacted] is not good");
    expect(inspect(error, { depth: 5, showHidden: true })).not.toContain(FIRST);
  });

  test("another process has rotated meanwhile: the function is asked once more, and its token is sent in the same mint", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    server.auth.respond({ status: 400, body: { error: "invalid_grant" } }); // a server without reuse detection
    const winner = server.rotate();
    const saved = [winner];
    const refreshToken = vi.fn(() => (refreshToken.mock.calls.length === 1 ? FIRST : saved.at(-1)));
    const onRotate = vi.fn((next: string) => void saved.push(next));
    const events: RemintEvent[] = [];
    const onEvent = outcomesInto(events);
    const cache = cacheOf(grantOf(server, { refreshToken, onRotate }), clock, { onEvent });
    expect((await cache.get()).value).toBe("at-1");
    expect(refreshToken).toHaveBeenCalledTimes(2);
    expect(events.map(({ name }) => name)).toEqual(["minted"]);
    await expire(cache, clock);
    await cache.get();
    expect(saved).toEqual([winner, "rt-2-next", "rt-3-next"]);
    expect(server.presented).toEqual([winner, "rt-2-next"]);
  });

  test.each([
    ["the refused refresh token", FIRST],
    ["null", null],
    ["undefined", undefined],
  ])("is terminal if the function then returns %s: it is asked twice", async (_what, then) => {
    const server = await startRotatingServer();
    server.rotate();
    const refreshToken = inTurn<string | null | undefined>(FIRST, then);
    const error = await rejectionOf(cacheOf(grantOf(server, { refreshToken, ...KEEPER })).get());
    expect(error).toMatchObject({ error: "invalid_grant", terminal: true });
    expect(refreshToken).toHaveBeenCalledTimes(2);
    expect(server.presented).toEqual([FIRST]);
  });

  test("is terminal if the function returns a token that this process has used up: it is not sent again", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    const refreshToken = vi.fn(() => FIRST);
    const cache = cacheOf(grantOf(server, { refreshToken, ...KEEPER }), clock);
    await cache.get();
    await expire(cache, clock);
    server.rotate();
    expect(await rejectionOf(cache.get())).toMatchObject({ error: "invalid_grant", terminal: true });
    for (let second = 0; second < 5; second++) {
      await clock.advance(1000);
      expect(await rejectionOf(cache.get())).toMatchObject({ error: "invalid_grant", terminal: true });
    }
    expect(server.presented).toEqual([FIRST, "rt-1-next"]);
  });

  test("is terminal if the other refresh token is refused too: neither is sent again", async () => {
    const server = await startRotatingServer();
    server.rotate();
    const clock = manualClock();
    const refreshToken = inTurn(FIRST, "rt-of-yesterday");
    const cache = cacheOf(grantOf(server, { refreshToken, ...KEEPER }), clock);
    expect(await rejectionOf(cache.get())).toMatchObject({ error: "invalid_grant", terminal: true });
    expect(refreshToken).toHaveBeenCalledTimes(2);
    await clock.advance(1000);
    expect(await rejectionOf(cache.get())).toMatchObject({ error: "invalid_grant", terminal: true });
    expect(server.presented).toEqual([FIRST, "rt-of-yesterday"]);
  });

  test("the function throws when it is asked once more: the refused refresh token is not sent again", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    const refreshToken = inTurn<() => string>(
      () => FIRST,
      () => {
        throw new Error(`database is down: no row for ${FIRST}`);
      },
      () => FIRST,
    );
    server.rotate();
    const cache = cacheOf(grantOf(server, { refreshToken: () => refreshToken()(), ...KEEPER }), clock);
    const error = await rejectionOf(cache.get());
    expect(error).toMatchObject({
      code: "ERR_GRANT",
      terminal: false,
      status: 503,
      hint: expect.stringMatching(/^the function "refreshToken" failed; see the cause/) as string,
      cause: { message: "database is down: no row for [redacted]" },
    });
    expect(inspect(error, { depth: 5, showHidden: true })).not.toContain(FIRST);
    await clock.advance(5000);
    expect(await rejectionOf(cache.get())).toMatchObject({ error: "invalid_grant", terminal: true });
    expect(server.presented).toEqual([FIRST]);
  });
});

describe("C14: the function `refreshToken`", () => {
  test("is asked before every mint, sync or async, with a signal", async () => {
    for (const isAsync of [false, true]) {
      const server = await startRotatingServer();
      const clock = manualClock();
      let saved = FIRST;
      const refreshToken = vi.fn<(context: { signal: AbortSignal }) => string | Promise<string>>(() =>
        isAsync ? Promise.resolve(saved) : saved,
      );
      const cache = cacheOf(grantOf(server, { refreshToken, onRotate: (next) => void (saved = next) }), clock);
      for (let mint = 1; mint <= 3; mint++) {
        await cache.get();
        expect(refreshToken).toHaveBeenCalledTimes(mint);
        await expire(cache, clock);
      }
      expect(refreshToken.mock.calls[0]![0].signal).toBeInstanceOf(AbortSignal);
      expect(server.presented).toEqual([FIRST, "rt-1-next", "rt-2-next"]);
    }
  });

  test("another process has rotated: its token is presented, and not the one in memory", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    let saved = FIRST;
    const cache = cacheOf(
      grantOf(server, { refreshToken: () => saved, onRotate: (next) => void (saved = next) }),
      clock,
    );
    await cache.get();
    await expire(cache, clock);
    saved = server.rotate();
    await cache.get();
    expect(server.presented).toEqual([FIRST, "rt-2-next"]);
  });

  test.each([1, 8])(
    "it returns a token that this process used up %i rotations ago: the newest in memory is presented",
    async (ago) => {
      const server = await startRotatingServer();
      const clock = manualClock();
      const used = [FIRST];
      let stale: string | undefined;
      const options = { refreshToken: () => stale ?? used.at(-1), onRotate: (next: string) => void used.push(next) };
      const cache = cacheOf(grantOf(server, options), clock);
      for (let mint = 0; mint < ago; mint++) {
        await cache.get();
        await expire(cache, clock);
      }
      stale = FIRST;
      expect((await cache.get()).value).toBe(`at-${ago + 1}`);
      expect(server.presented.at(-1)).toBe(`rt-${ago}-next`);
    },
  );

  test("it throws: nothing is presented, the error names it and is not terminal; the next mint asks again", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    let saved = FIRST;
    const refreshToken = vi.fn(() => saved);
    const cache = cacheOf(grantOf(server, { refreshToken, onRotate: (next) => void (saved = next) }), clock);
    await cache.get();
    await expire(cache, clock);
    refreshToken.mockImplementationOnce(() => {
      throw new Error(`no row with ${saved}`);
    });
    const error = await rejectionOf(cache.get());
    expect(error).toMatchObject({
      code: "ERR_GRANT",
      terminal: false,
      status: 503,
      hint: 'the function "refreshToken" failed; see the cause',
      cause: { message: "no row with [redacted]" },
    });
    expect(server.presented).toEqual([FIRST]);
    await clock.advance(1000);
    await cache.get();
    expect(server.presented).toEqual([FIRST, "rt-1-next"]);
  });

  test("the database is down for an hour, for reads and for writes: the newest in memory is presented, and nobody notices", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    let saved = FIRST;
    let isDown = false;
    const whileUp = <T>(value: () => T): T => {
      if (isDown) throw new Error("down");
      return value();
    };
    const refreshToken = vi.fn(() => whileUp(() => saved));
    const onRotate = (next: string): void => whileUp(() => void (saved = next));
    const send = async (url: string, init: RequestInit): Promise<Response> => {
      isDown = true; // The function was asked, and the answer will be on its way.
      return fetch(url, init);
    };
    const cache = cacheOf(grantOf(server, { refreshToken, onRotate, fetch: send }), clock);
    for (let mint = 1; mint <= 6; mint++) {
      expect((await cache.get()).value).toBe(`at-${mint}`);
      await expire(cache, clock);
    }
    expect(refreshToken).toHaveBeenCalledOnce();
    isDown = false;
    await clock.advance(60_000);
    expect(saved).toBe(server.live());
  });

  test("it hangs: nothing is presented, and the hint of the failure names it", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    const failed = rejectionOf(
      cacheOf(grantOf(server, { refreshToken: () => new Promise<string>(() => {}), ...KEEPER }), clock).get(),
    );
    await settle();
    await clock.advance(10_000);
    expect(await failed).toMatchObject({
      code: "ERR_TOKEN_TIMEOUT",
      hint: expect.stringMatching(/^the function "refreshToken" did not settle/) as string,
    });
    await clock.advance(60_000);
    expect(server.auth.requests).toEqual([]);
  });

  test.each([{ refreshToken: "rt-1-next" }, 7, true, "", ["rt"]])(
    "it returns something other than a refresh token (%j): a TypeError, and nothing is sent",
    async (known) => {
      const server = await startRotatingServer();
      const cache = cacheOf(grantOf(server, { refreshToken: () => known as never, ...KEEPER }));
      const error = await rejectionOf(cache.get());
      expect(error).toMatchObject({ code: "ERR_GRANT", retryable: false, cause: { name: "TypeError" } });
      expect(inspect(error)).toContain('"refreshToken" must be a function that returns a refresh token, or null');
      expect(inspect(error, { depth: 5, showHidden: true })).not.toContain("rt-1-next");
      expect(server.auth.requests).toEqual([]);
    },
  );

  test.each([null, undefined])(
    "C9: it returns %s: nobody is signed in: 401, no event, asked at most once a second; then a token: served",
    async (nobody) => {
      const server = await startRotatingServer();
      const clock = manualClock();
      const events: RemintEvent[] = [];
      let saved: string | null | undefined = nobody;
      const refreshToken = vi.fn(() => saved);
      const options = { refreshToken, onRotate: (next: string) => void (saved = next) };
      const cache = cacheOf(grantOf(server, options), clock, { onEvent: outcomesInto(events) });
      const failure = { code: "ERR_NO_SESSION", status: 401, terminal: true };
      for (let caller = 0; caller < 10; caller++) expect(await rejectionOf(cache.get())).toMatchObject(failure);
      expect(refreshToken).toHaveBeenCalledTimes(1);
      await clock.advance(999);
      expect(await rejectionOf(cache.get())).toMatchObject(failure);
      expect(refreshToken).toHaveBeenCalledTimes(1);
      await clock.advance(1);
      expect(await rejectionOf(cache.get())).toMatchObject(failure);
      expect(refreshToken).toHaveBeenCalledTimes(2);
      expect(events).toEqual([]);
      saved = FIRST;
      await clock.advance(1000);
      expect((await cache.get()).value).toBe("at-1");
      expect(events.map(({ name }) => name)).toEqual(["minted"]);
    },
  );

  test("without onRotate and without a store: createTokenCache throws a TypeError that names both", async () => {
    const server = await startRotatingServer();
    const grant = grantOf(server, { refreshToken: () => FIRST });
    expect(() => cacheOf(grant)).toThrow(TypeError);
    expect(() => cacheOf(grant)).toThrow(
      /^"refreshToken" is a function, so "onRotate" must be given too, or the cache a "store"/,
    );
    expect(server.auth.requests).toEqual([]);
  });
});

/** Mints and signs out, and returns the token and the hint of each revocation request, in order. */
async function revoked(...answers: Answer[]): Promise<string[][]> {
  const server = await startRotatingServer();
  const { tokenEndpoint } = server.auth;
  const cache = cacheOf(grantOf(server, { revocationEndpoint: `${tokenEndpoint}/revoke` }));
  await cache.get();
  server.auth.respond(...answers);
  await cache.signOut();
  return revocationsOf(server);
}

function revocationsOf({ auth }: RotatingServer): string[][] {
  const forms = auth.requests.filter(({ path }) => path.endsWith("/revoke")).map(({ form }) => form);
  return forms.map((form) => [form.get("token") ?? "", form.get("token_type_hint") ?? ""]);
}

describe("signing out", () => {
  const both = [
    ["rt-1-next", "refresh_token"],
    ["at-1", "access_token"],
  ];

  test("sends the current refresh token, then the access token", async () => {
    expect(await revoked({ status: 200 }, { status: 200 })).toEqual(both);
  });

  test("succeeds if the server cannot revoke access tokens", async () => {
    expect(await revoked({ status: 200 }, { status: 400, body: { error: "unsupported_token_type" } })).toEqual(both);
  });

  test("succeeds if the access token ended with the refresh token and the server calls it invalid", async () => {
    expect(await revoked({ status: 200 }, { status: 400, body: { error: "invalid_token" } })).toEqual(both);
  });

  test("sends the access token even if the refresh token could not be revoked, and rejects", async () => {
    const server = await startRotatingServer();
    const cache = cacheOf(grantOf(server, { revocationEndpoint: `${server.auth.tokenEndpoint}/revoke` }));
    await cache.get();
    server.auth.respond({ status: 400, body: { error: "unsupported_token_type" } }, { status: 200 });
    await expect(cache.signOut()).rejects.toMatchObject({ error: "unsupported_token_type" });
    expect(revocationsOf(server)).toEqual(both);
  });

  test("sends the access tokens of every target", async () => {
    const server = await startRotatingServer();
    const cache = cacheOf(grantOf(server, { revocationEndpoint: `${server.auth.origin}/revoke` }));
    for (const tokens of [cache, cache.for({ scope: "b" }), cache.for({ scope: "c" })]) await tokens.get();
    server.auth.respondAlways({ status: 200 });
    await cache.signOut();
    expect(revocationsOf(server)).toEqual([
      ["rt-3-next", "refresh_token"],
      ["at-1", "access_token"],
      ["at-2", "access_token"],
      ["at-3", "access_token"],
    ]);
  });

  test("before the first mint: sends the refresh token that the grant was given", async () => {
    const server = await startRotatingServer();
    const cache = cacheOf(grantOf(server, { revocationEndpoint: `${server.auth.origin}/revoke` }));
    server.auth.respondAlways({ status: 200 });
    await cache.signOut();
    expect(revocationsOf(server)).toEqual([[FIRST, "refresh_token"]]);
  });

  test("rejects if the server refuses or fails, and the session is over nevertheless", async () => {
    await expect(revoked({ status: 400, body: { error: "invalid_client" } })).rejects.toMatchObject({
      error: "invalid_client",
    });
    await expect(revoked({ status: 200 }, { status: 503 })).rejects.toMatchObject({ endpointStatus: 503 });
  });

  test("C10: the revocation endpoint never answers: rejects after mintTimeout", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    const cache = cacheOf(grantOf(server, { revocationEndpoint: `${server.auth.origin}/revoke` }), clock);
    await cache.get();
    server.auth.respond({ hang: true });
    const failed = rejectionOf(cache.signOut());
    await server.auth.waitFor(2);
    await clock.advance(10_000);
    expect(await failed).toMatchObject({
      code: "ERR_TOKEN_TIMEOUT",
      message: "the revocation took longer than 10000 ms",
    });
  });

  test("without a revocation endpoint: nothing is sent; with revoke: true a TypeError, and the session goes on", async () => {
    const server = await startRotatingServer();
    const grant = grantOf(server);
    expect(grant).not.toHaveProperty("revoke");
    const cache = cacheOf(grant);
    await cache.get();
    await expect(cache.signOut({ revoke: true })).rejects.toThrow(TypeError);
    await expect(cache.signOut({ revoke: true })).rejects.toThrow(/revocationEndpoint/);
    expect((await cache.get()).value).toBe("at-1");
    await cache.signOut();
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_SESSION", status: 401 });
    expect(server.auth.requests).toHaveLength(1);
  });

  test("with revoke: false nothing is sent, and the session is over in this process", async () => {
    const server = await startRotatingServer();
    const cache = cacheOf(grantOf(server, { revocationEndpoint: `${server.auth.origin}/revoke` }));
    await cache.get();
    await cache.signOut({ revoke: false });
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_SESSION", status: 401, terminal: true });
    expect(server.auth.requests).toHaveLength(1);
  });
});

describe("the grant", () => {
  test("S5: the printed grant, a copy, a list with it and its cache show neither refresh token nor client", async () => {
    const server = await startRotatingServer();
    const grant = grantOf(server, { key: "alice" });
    const cache = cacheOf(grant);
    await cache.get();
    const options = { depth: 10, showHidden: true, getters: true } as const;
    for (const value of [grant, { ...grant }, [grant], cache]) {
      expect(inspect(value, options) + JSON.stringify(value)).not.toMatch(/rt-\d|s3cr3t|portal/);
    }
  });

  test("has a key only with the option `key`, and no secret in it", async () => {
    const server = await startRotatingServer();
    const keyFor = (key?: string, token = FIRST): string | undefined =>
      definitionOf(grantOf(server, { key, refreshToken: token })).key;
    expect(keyFor()).toBeUndefined();
    expect(keyFor("alice")).toBe(keyFor("alice", "another"));
    expect(keyFor("alice")).not.toBe(keyFor("bob"));
    expect(keyFor("alice")).not.toContain(FIRST);
  });

  test.each([
    [
      "refreshToken",
      { refreshToken: "" },
      /"refreshToken" must be a non-empty string, or a function .*, got an empty string/,
    ],
    [
      "refreshToken (none)",
      { refreshToken: undefined },
      /"refreshToken" must be a non-empty string, or .*, got undefined/,
    ],
    [
      "refreshToken (an object)",
      { refreshToken: {} },
      /"refreshToken" must be a non-empty string, or .*, got an object/,
    ],
    ["onRotate", { onRotate: true }, /"onRotate" must be a function, got a boolean/],
    ["key", { key: "" }, /"key" must be a non-empty string/],
    [
      "parameter (one that the grant sets itself)",
      { parameters: { refresh_token: "x" } },
      /"parameters" must not have "refresh_token"/,
    ],
    ["clientId", { clientId: undefined }, /"clientId"/],
  ])("a wrong %s is a TypeError that names it", (_name, more, message) => {
    const good = { tokenEndpoint: "https://auth.example", ...CLIENT, refreshToken: FIRST };
    const build = (): unknown => refreshTokenGrant({ ...good, ...more } as RefreshTokenGrantOptions);
    expect(build).toThrow(TypeError);
    expect(build).toThrow(message);
    expect(() => refreshTokenGrant(undefined as never)).toThrow("refreshTokenGrant takes options");
  });

  test("has the given origins and defaultTtl, and its server's endpoint without the query", () => {
    const tokenEndpoint = "https://auth.example/t?x=1";
    const grant = refreshTokenGrant({ tokenEndpoint, ...CLIENT, refreshToken: FIRST, origins: "any", defaultTtl: 5 });
    expect(grant).toMatchObject({
      server: { endpoint: "https://auth.example/t", client: CLIENT.clientId },
      origins: "any",
      defaultTtl: 5,
    });
    expect(definitionOf(grant).source?.initial?.()).toBe(FIRST);
  });
});
