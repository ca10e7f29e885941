/** The refresh token grant: rotation, `onRotate`, `current`, late answers, `invalid_grant` and revocation. */
import { inspect } from "node:util";
import { afterEach, describe, expect, test, vi } from "vitest";
import {
  createTokenCache,
  type Grant,
  refreshTokenGrant,
  type RefreshTokenGrantOptions,
  type TokenCache,
} from "remint";
import { createAuthFetch } from "remint/fetch";
import { type Answer, manualClock, type ManualClock, startApi } from "remint/testing";
import { stateLeftBy } from "../../src/base/left-state.ts";
import { definitionOf } from "../../src/core/grant.ts";
import { rejectionOf, settle, watch } from "../core/cache-under-test.ts";
import { deferred, FIRST, type RotatingServer, startRotatingServer } from "./rotating-server.ts";

const CLIENT = { clientId: "portal", clientSecret: "s3cr3t-value" } as const;

afterEach(() => {
  vi.restoreAllMocks();
});

function grantOf({ auth }: RotatingServer, more: Partial<RefreshTokenGrantOptions> = {}): Grant {
  return refreshTokenGrant({ tokenEndpoint: auth.tokenEndpoint, ...CLIENT, refreshToken: FIRST, ...more });
}

function cacheOf(grant: Grant, clock: ManualClock = manualClock()): TokenCache {
  return createTokenCache({ grant, origins: ["https://api.example"], clock });
}

/** Lets the token expire, so that the next `get` mints without a rejection. */
async function expire(cache: TokenCache, clock: ManualClock): Promise<void> {
  await settle();
  await clock.advance(3600_000);
  expect(cache.peek()).toBeUndefined();
}

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

  test("the state after a mint is the valid refresh token, whether the server rotates it or not", async () => {
    for (const rotates of [true, false]) {
      const server = await startRotatingServer(rotates);
      const minted = await definitionOf(grantOf(server)).mint({ signal: new AbortController().signal });
      expect(minted).toMatchObject({ state: server.live(), refresh_token: undefined });
      expect(minted.state).toBe(rotates ? "rt-1-next" : FIRST);
    }
  });

  test("C11: a 503 is not retried, because the server may have used the refresh token up", async () => {
    const server = await startRotatingServer();
    server.auth.respond({ status: 503 });
    const cache = cacheOf(grantOf(server));
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

  test("two caches with one grant use each refresh token once", async () => {
    const server = await startRotatingServer();
    const grant = grantOf(server);
    const clock = manualClock();
    const caches = [cacheOf(grant, clock), cacheOf(grant, clock)];
    const together = await Promise.all(caches.map((cache) => cache.get()));
    expect(new Set(together.map(({ value }) => value)).size).toBe(1);
    for (const cache of caches) await expire(cache, clock);
    for (const cache of caches) await cache.get();
    expect(server.presented).toEqual([FIRST, "rt-1-next", "rt-2-next"]);
  });

  test("a cache was idle while another rotated 40 times: it does not send the refresh token it remembers", async () => {
    const server = await startRotatingServer();
    const grant = grantOf(server);
    const clock = manualClock();
    const [busy, idle, fresh] = [cacheOf(grant, clock), cacheOf(grant, clock), cacheOf(grant, clock)];
    await idle.get();
    for (let round = 0; round < 40; round++) {
      await busy.get();
      await expire(busy, clock);
    }
    await idle.get();
    await fresh.get();
    expect(server.presented).toEqual([FIRST, ...Array.from({ length: 42 }, (_, i) => `rt-${i + 1}-next`)]);
  });

  test("a copy of the grant with another member uses the same, rotated refresh token", async () => {
    const server = await startRotatingServer();
    const grant = grantOf(server);
    await cacheOf(grant).get();
    await cacheOf(Object.assign({ ...grant }, { defaultTtl: 1 })).get();
    expect(server.presented).toEqual([FIRST, "rt-1-next"]);
  });

  test("a state that this process does not know, for example from a store, is sent", async () => {
    const server = await startRotatingServer();
    const grant = grantOf(server);
    const signal = new AbortController().signal;
    await definitionOf(grant).mint({ signal, state: FIRST });
    const elsewhere = server.rotate();
    expect(await definitionOf(grant).mint({ signal, state: elsewhere })).toMatchObject({ state: server.live() });
    expect(server.presented).toEqual([FIRST, elsewhere]);
  });
});

describe("onRotate", () => {
  test("gets the new and the replaced refresh token and a response without tokens, before the token is served", async () => {
    const server = await startRotatingServer();
    const saved = deferred();
    const onRotate = vi.fn<NonNullable<RefreshTokenGrantOptions["onRotate"]>>(() => saved.promise);
    const cache = cacheOf(grantOf(server, { onRotate }));
    const got = watch(cache.get());
    await vi.waitFor(() => expect(onRotate).toHaveBeenCalledOnce());
    await settle();
    expect([got.state, cache.peek()]).toEqual(["pending", undefined]);
    saved.resolve();
    await vi.waitFor(() => expect(got.state).toBe("fulfilled"));
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

  test("fails twice: callers get a retryable error; the next mint saves the same token again and sends nothing", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    const onRotate = vi
      .fn<(token: string) => void>()
      .mockImplementationOnce((token) => {
        throw new Error(`database is down, could not save ${token}`);
      })
      .mockImplementationOnce(() => {
        throw new Error("still down");
      });
    const cache = cacheOf(grantOf(server, { onRotate }), clock);
    const error = await rejectionOf(cache.get());
    expect(error).toMatchObject({
      code: "ERR_GRANT",
      retryable: true,
      message: "no token is available: a function that was given to the grant failed",
      hint:
        'the function "onRotate" failed; see the cause. The new refresh token is kept in memory only; the next mint ' +
        "calls onRotate again",
      cause: { message: "database is down, could not save [redacted]" },
    });
    expect(inspect(error, { depth: 5 })).not.toContain("rt-1-next");
    await clock.advance(1000);
    expect(await rejectionOf(cache.get())).toMatchObject({ cause: { message: "still down" } });
    await clock.advance(2000);
    expect((await cache.get()).value).toBe("at-1");
    expect(onRotate.mock.calls.map(([token]) => token)).toEqual(["rt-1-next", "rt-1-next", "rt-1-next"]);
    expect(server.presented).toEqual([FIRST]);
    await expire(cache, clock);
    expect((await cache.get()).value).toBe("at-2");
    expect(server.presented).toEqual([FIRST, "rt-1-next"]);
  });

  test("fails: the error carries the new refresh token for a store, and does not print it", async () => {
    const server = await startRotatingServer();
    const grant = grantOf(server, { onRotate: () => Promise.reject(new Error("down")) });
    const error = await rejectionOf(definitionOf(grant).mint({ signal: new AbortController().signal, state: FIRST }));
    expect(stateLeftBy(error as Error)).toBe("rt-1-next");
    expect(inspect(error, { depth: 5, showHidden: true }) + JSON.stringify(error)).not.toContain("rt-1");
  });

  test("fails until the access token is nearly expired: the new refresh token is saved, then used", async () => {
    const server = await startRotatingServer();
    const onRotate = vi.fn<(token: string) => void>().mockImplementationOnce(() => {
      throw new Error("down");
    });
    const grant = grantOf(server, { onRotate });
    const signal = new AbortController().signal;
    const start = Date.now();
    await rejectionOf(definitionOf(grant).mint({ signal, state: FIRST }));
    vi.spyOn(Date, "now").mockReturnValue(start + 3595_000);
    expect((await definitionOf(grant).mint({ signal, state: FIRST })).access_token).toBe("at-2");
    expect(onRotate.mock.calls.map(([token]) => token)).toEqual(["rt-1-next", "rt-1-next", "rt-2-next"]);
    expect(server.presented).toEqual([FIRST, "rt-1-next"]);
  });

  test("fails once: the access token, served ten minutes late, has ten minutes less to live", async () => {
    const server = await startRotatingServer();
    server.auth.respond({
      headers: { date: undefined },
      body: { access_token: "at-1", token_type: "Bearer", expires_in: 3600, refresh_token: server.rotate() },
    });
    const onRotate = vi.fn<() => void>().mockImplementationOnce(() => {
      throw new Error("down");
    });
    const grant = grantOf(server, { onRotate });
    const signal = new AbortController().signal;
    const start = Date.now();
    await rejectionOf(definitionOf(grant).mint({ signal, state: FIRST }));
    vi.spyOn(Date, "now").mockReturnValue(start + 600_000);
    const { access_token, expires_in } = await definitionOf(grant).mint({ signal, state: FIRST });
    expect(access_token).toBe("at-1");
    expect(Number(expires_in)).toBeLessThanOrEqual(3001);
    expect(Number(expires_in)).toBeGreaterThan(2900);
  });

  test("never settles: the mint fails at its time limit, and the next mint calls onRotate again", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    const onRotate = vi.fn<() => Promise<void>>(() => Promise.resolve());
    onRotate.mockImplementationOnce(() => new Promise(() => {}));
    const cache = cacheOf(grantOf(server, { onRotate }), clock);
    const error = rejectionOf(cache.get());
    await vi.waitFor(() => expect(onRotate).toHaveBeenCalledOnce());
    await clock.advance(10_000);
    expect(await error).toMatchObject({ code: "ERR_TOKEN_TIMEOUT", retryable: true });
    await clock.advance(1000);
    expect((await cache.get()).value).toBe("at-1");
    expect(onRotate).toHaveBeenCalledTimes(2);
    expect(server.presented).toEqual([FIRST]);
  });
});

describe("an answer that comes after the mint's time limit", () => {
  test("is saved at once and used by the next mint: the refresh token is not sent again", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    const saved = deferred<string>();
    const cache = cacheOf(grantOf(server, { onRotate: (token) => saved.resolve(token) }), clock);
    const release = server.auth.holdAnswers();
    const error = rejectionOf(cache.get());
    await server.auth.waitFor(1);
    await clock.advance(10_000);
    expect(await error).toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
    release();
    expect(await saved.promise).toBe("rt-1-next");
    await clock.advance(1000);
    expect((await cache.get()).value).toBe("at-1");
    expect(server.presented).toEqual([FIRST]);
  });

  test("is awaited by the next mint, which sends nothing", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    const cache = cacheOf(grantOf(server), clock);
    const release = server.auth.holdAnswers();
    const error = rejectionOf(cache.get());
    await server.auth.waitFor(1);
    await clock.advance(10_000);
    await error;
    await clock.advance(1000);
    const second = watch(cache.get());
    await settle();
    expect(second.state).toBe("pending");
    release();
    await vi.waitFor(() => expect(second.value?.value).toBe("at-1"));
    expect(server.auth.requests).toHaveLength(1);
  });

  test("is saved even if the cache was closed meanwhile", async () => {
    const server = await startRotatingServer();
    const saved = deferred<string>();
    const cache = cacheOf(grantOf(server, { onRotate: (token) => saved.resolve(token) }));
    const release = server.auth.holdAnswers();
    const error = rejectionOf(cache.get());
    await server.auth.waitFor(1);
    await cache.close();
    expect(await error).toMatchObject({ code: "ERR_CLOSED" });
    release();
    expect(await saved.promise).toBe("rt-1-next");
  });

  test("is awaited for 30 s, then its request is aborted", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      let signal: AbortSignal | undefined;
      const fetch = vi.fn((_url: string, init: RequestInit) => {
        signal = init.signal ?? undefined;
        return new Promise<Response>((_, reject) => signal?.addEventListener("abort", () => reject(new Error("x"))));
      });
      const grant = refreshTokenGrant({ tokenEndpoint: "https://auth.example", ...CLIENT, refreshToken: FIRST, fetch });
      const mint = new AbortController();
      const failed = rejectionOf(definitionOf(grant).mint({ signal: mint.signal, state: FIRST }));
      await settle();
      mint.abort(new Error("the mint's time is up"));
      await failed;
      expect(signal?.aborted).toBe(false);
      await vi.advanceTimersByTimeAsync(30_000);
      expect(signal?.aborted).toBe(true);
      await settle();
      const another = new AbortController();
      definitionOf(grant)
        .mint({ signal: another.signal, state: FIRST })
        .catch(() => {});
      await settle();
      expect(fetch).toHaveBeenCalledTimes(2);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("C9: invalid_grant", () => {
  test("without current() is terminal: nothing more is sent, and the error says to sign in again", async () => {
    const server = await startRotatingServer();
    server.rotate();
    const clock = manualClock();
    const cache = cacheOf(grantOf(server), clock);
    const error = await rejectionOf(cache.get());
    expect(error).toMatchObject({
      code: "ERR_TOKEN_ENDPOINT",
      error: "invalid_grant",
      terminal: true,
      retryable: false,
      status: 401,
      hint: expect.stringMatching(/sign in again/) as string,
    });
    await clock.advance(24 * 3600_000);
    const again = await rejectionOf(cache.get());
    expect(again).toEqual(error);
    expect(again).not.toBe(error);
    expect(server.auth.requests).toHaveLength(1);
  });

  test("S5: the server repeats the refresh token: neither the error nor its description does", async () => {
    const server = await startRotatingServer();
    server.rotate();
    const error = await rejectionOf(cacheOf(grantOf(server)).get());
    expect((error as { errorDescription?: string }).errorDescription).toBe("[redacted] is not good");
    expect(inspect(error, { depth: 5, showHidden: true })).not.toContain(FIRST);
  });

  test("another process has rotated: current() is asked once, its token is sent and not reported to onRotate", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    const current = vi.fn<() => Promise<string>>(() => Promise.resolve("rt-1-next"));
    const onRotate = vi.fn<(token: string) => void>();
    server.auth.respond({ status: 400, body: { error: "invalid_grant" } }); // a server without reuse detection
    server.rotate();
    const cache = cacheOf(grantOf(server, { current, onRotate }), clock);
    expect((await cache.get()).value).toBe("at-1");
    expect(current).toHaveBeenCalledOnce();
    expect(onRotate.mock.calls.map(([token]) => token)).toEqual(["rt-2-next"]);
    await expire(cache, clock);
    await cache.get();
    expect(server.presented).toEqual(["rt-1-next", "rt-2-next"]);
    expect(current).toHaveBeenCalledOnce();
  });

  test.each([
    ["the refused refresh token", FIRST],
    ["nothing", undefined],
    ["an empty string", ""],
  ])("is terminal if current() returns %s: current() is asked once", async (_what, known) => {
    const server = await startRotatingServer();
    server.rotate();
    const current = vi.fn<() => string | undefined>(() => known);
    const error = await rejectionOf(cacheOf(grantOf(server, { current })).get());
    expect(error).toMatchObject({ error: "invalid_grant", terminal: true });
    expect(current).toHaveBeenCalledOnce();
    expect(server.presented).toEqual([FIRST]);
  });

  test("is terminal if current() returns a token that this process has used up: it is not sent again", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    const cache = cacheOf(grantOf(server, { current: () => FIRST }), clock);
    await cache.get();
    await expire(cache, clock);
    server.rotate();
    expect(await rejectionOf(cache.get())).toMatchObject({ error: "invalid_grant", terminal: true });
    expect(server.presented).toEqual([FIRST, "rt-1-next"]);
  });

  test.each([{ refreshToken: "rt-1-next" }, 7, true])(
    "current() returns something other than a string (%j): a TypeError, and nothing is sent",
    async (known) => {
      const server = await startRotatingServer();
      server.rotate();
      const cache = cacheOf(grantOf(server, { current: () => known as never }));
      const error = await rejectionOf(cache.get());
      expect(error).toMatchObject({ code: "ERR_GRANT", retryable: false, cause: { name: "TypeError" } });
      expect(inspect(error)).toContain('"current" must be a function that returns a refresh token, got');
      expect(server.presented).toEqual([FIRST]);
    },
  );

  test("is terminal if the refresh token from current() is refused too", async () => {
    const server = await startRotatingServer();
    server.rotate();
    const current = vi.fn<() => string>(() => "rt-of-yesterday");
    const error = await rejectionOf(cacheOf(grantOf(server, { current })).get());
    expect(error).toMatchObject({ error: "invalid_grant", terminal: true });
    expect(current).toHaveBeenCalledOnce();
    expect(server.presented).toEqual([FIRST, "rt-of-yesterday"]);
  });

  test("current() throws: a retryable error; the refused refresh token is not sent again", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    const current = vi.fn<() => string | undefined>().mockImplementationOnce(() => {
      throw new Error(`database is down: no row for ${FIRST}`);
    });
    server.rotate();
    const cache = cacheOf(grantOf(server, { current }), clock);
    const error = await rejectionOf(cache.get());
    const cause = { message: "database is down: no row for [redacted]" };
    expect(error).toMatchObject({
      code: "ERR_GRANT",
      retryable: true,
      message: "no token is available: a function that was given to the grant failed",
      hint:
        'the function "current" failed; see the cause. The refresh token was refused, and current() failed to tell ' +
        "whether there is another one",
      cause,
    });
    expect(inspect(error, { depth: 5, showHidden: true })).not.toContain(FIRST);
    await clock.advance(1000);
    expect(await rejectionOf(cache.get())).toMatchObject({ terminal: true });
    expect(server.presented).toEqual([FIRST]);
    expect(current).toHaveBeenCalledTimes(2);
  });

  test("a process is killed between the answer and onRotate: the next process is refused once and sends no more", async () => {
    const server = await startRotatingServer();
    let database = FIRST;
    const start = (onRotate: (token: string) => void | Promise<void>, clock: ManualClock): TokenCache =>
      cacheOf(grantOf(server, { refreshToken: database, onRotate, current: () => database }), clock);

    // The answer has come and onRotate never ends: this process counts as killed.
    const hanging = vi.fn<() => Promise<void>>(() => new Promise(() => {}));
    void start(hanging, manualClock())
      .get()
      .catch(() => {});
    await vi.waitFor(() => expect(hanging).toHaveBeenCalledOnce());

    const clock = manualClock();
    const restarted = start((token) => void (database = token), clock);
    for (let attempt = 0; attempt < 5; attempt++) {
      expect(await rejectionOf(restarted.get())).toMatchObject({ error: "invalid_grant", terminal: true });
      await clock.advance(60_000);
    }
    expect(server.presented).toEqual([FIRST, FIRST]);
  });
});

/** Mints and revokes, and returns the token and the hint of each revocation request, in order. */
async function revoked(...answers: Answer[]): Promise<string[][]> {
  const server = await startRotatingServer();
  const { tokenEndpoint } = server.auth;
  const grant = grantOf(server, { revocationEndpoint: `${tokenEndpoint}/revoke` });
  const token = await cacheOf(grant).get();
  server.auth.respond(...answers);
  await definitionOf(grant).revoke!(token, { signal: new AbortController().signal });
  const { requests } = server.auth;
  return requests.slice(1).map(({ form }) => [form.get("token") ?? "", form.get("token_type_hint") ?? ""]);
}

describe("revoking", () => {
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
    const grant = grantOf(server, { revocationEndpoint: `${server.auth.tokenEndpoint}/revoke` });
    const token = await cacheOf(grant).get();
    server.auth.respond({ status: 400, body: { error: "unsupported_token_type" } }, { status: 200 });
    const revocation = definitionOf(grant).revoke!(token, { signal: new AbortController().signal });
    await expect(revocation).rejects.toMatchObject({ error: "unsupported_token_type" });
    expect(server.auth.requests.slice(1).map(({ form }) => form.get("token_type_hint"))).toEqual([
      "refresh_token",
      "access_token",
    ]);
  });

  test("waits for a refresh in progress, whose answer has the current refresh token", async () => {
    const server = await startRotatingServer();
    const { auth } = server;
    const cache = cacheOf(grantOf(server, { revocationEndpoint: `${auth.origin}/revoke` }));
    const release = auth.holdAnswers();
    const minted = rejectionOf(cache.get());
    await auth.waitFor(1);
    const closed = watch(cache.close({ revoke: true }));
    expect(await minted).toMatchObject({ code: "ERR_CLOSED" });
    await settle();
    expect([closed.state, auth.requests.length]).toEqual(["pending", 1]);
    release();
    await auth.waitFor(2);
    expect(auth.requests[1]?.form.get("token")).toBe("rt-1-next");
    await vi.waitFor(() => expect(closed.state).not.toBe("pending"));
  });

  test("C10: a refresh in progress never ends: closing with revoke rejects after 10 s", async () => {
    const server = await startRotatingServer();
    const clock = manualClock();
    const cache = cacheOf(grantOf(server, { revocationEndpoint: `${server.auth.origin}/revoke` }), clock);
    server.auth.respond({ hang: true });
    rejectionOf(cache.get()).catch(() => {});
    await server.auth.waitFor(1);
    const closed = rejectionOf(cache.close({ revoke: true }));
    await settle();
    await clock.advance(10_000);
    expect(await closed).toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
  });

  test("rejects if the server refuses", async () => {
    await expect(revoked({ status: 400, body: { error: "invalid_client" } })).rejects.toMatchObject({
      error: "invalid_client",
    });
    await expect(revoked({ status: 200 }, { status: 503 })).rejects.toMatchObject({ endpointStatus: 503 });
  });

  test("is not offered without a revocation endpoint", async () => {
    expect(grantOf(await startRotatingServer())).not.toHaveProperty("revoke");
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
    ["refreshToken", { refreshToken: "" }, /"refreshToken" must be a non-empty string, got an empty string/],
    ["onRotate", { onRotate: true }, /"onRotate" must be a function, got a boolean/],
    ["current", { current: "rt" }, /"current" must be a function, got a string/],
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
    expect(() => refreshTokenGrant(undefined as never)).toThrow('"refreshTokenGrant options" must be an object');
  });

  test("has the given origins and defaultTtl, and its server's endpoint without the query", () => {
    const tokenEndpoint = "https://auth.example/t?x=1";
    const grant = refreshTokenGrant({ tokenEndpoint, ...CLIENT, refreshToken: FIRST, origins: "any", defaultTtl: 5 });
    expect(grant).toMatchObject({
      server: { endpoint: "https://auth.example/t", client: CLIENT.clientId },
      origins: "any",
      defaultTtl: 5,
      state: FIRST,
    });
  });
});
