/**
 * Caches on the machine's own clock, under vitest's fake timers. Jest's are the same library, which is not among the
 * packages of the repository's root. And what the machine's own clock shows after synchronous work.
 */
import axios from "axios";
import { createAuthFetch } from "remint/fetch";
import { createAuthInterceptor } from "remint/axios";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createTokenCache, TokenEndpointError, type TokenCache, type TokenCacheOptions } from "../../src/index.ts";
import { fakeGrant, manualClock, type FakeGrant } from "../../src/testing/index.ts";
import { ORIGIN, settle, watch } from "./cache-under-test.ts";

const HOUR = 3_600_000;

/** The token lives half a second, and is not refreshed before. */
const SHORT = { maxTtl: 500, refreshBuffer: 0, minValidity: 0 };

interface OnSystemClock {
  readonly cache: TokenCache;
  readonly grant: FakeGrant;
}

function onSystemClock(options: Partial<TokenCacheOptions> & { readonly grant?: FakeGrant } = {}): OnSystemClock {
  const { grant = fakeGrant(), ...rest } = options;
  return { grant, cache: createTokenCache({ origins: [ORIGIN], mintRetries: 0, ...rest, grant }) };
}

/** What each client sends as `Authorization`. No request leaves the process. */
const clients: readonly (readonly [string, (tokens: TokenCache) => () => Promise<string | null>])[] = [
  [
    "fetch",
    (tokens) => {
      let sent: string | null = null;
      const answer = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
        sent = new Headers(init?.headers ?? (input as Request).headers).get("authorization");
        return new Response("{}");
      };
      const authFetch = createAuthFetch(tokens, { fetch: answer });
      return () => authFetch(`${ORIGIN}/orders`).then(() => sent);
    },
  ],
  [
    "axios",
    (tokens) => {
      let sent: string | null = null;
      const client = axios.create({
        baseURL: ORIGIN,
        adapter: async (config) => {
          sent = String(config.headers.get("authorization"));
          return { data: {}, status: 200, statusText: "", headers: {}, config };
        },
      });
      client.interceptors.request.use(createAuthInterceptor(tokens));
      return () => client.get("/orders").then(() => sent);
    },
  ],
];

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("E5: the clocks are read at every call", () => {
  test.each(clients)("E5: vi.setSystemTime(+2 h) after two calls of %s: the third has a new token", async (_, make) => {
    vi.useFakeTimers();
    const { cache } = onSystemClock();
    const call = make(cache);
    expect([await call(), await call()]).toEqual(["Bearer fake-1", "Bearer fake-1"]);
    vi.setSystemTime(Date.now() + 2 * HOUR);
    expect(await call()).toBe("Bearer fake-2");
  });

  test("E5: the system time is set between two calls of the same turn", async () => {
    vi.useFakeTimers();
    const { cache } = onSystemClock();
    await cache.get();
    for (let call = 0; call < 100; call++) expect(cache.peek()?.value).toBe("fake-1");
    vi.setSystemTime(Date.now() + 2 * HOUR);
    expect(cache.peek()).toBeUndefined();
  });

  test("E5: a Date that is faked alone, to a day in the past, and then moved on", async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.UTC(2001, 0, 1) });
    const { cache } = onSystemClock();
    const { expiresAt } = await cache.get();
    // The monotonic clock runs, so the mint seems to have begun a little earlier.
    expect(new Date(expiresAt).getUTCFullYear()).toBe(2001);
    expect(cache.peek()?.value).toBe("fake-1");
    vi.setSystemTime(Date.UTC(2001, 0, 1, 2));
    expect(cache.peek()).toBeUndefined();
    expect((await cache.get()).value).toBe("fake-2");
  });

  test("E5: vi.useFakeTimers({ now: 0 })", async () => {
    vi.useFakeTimers({ now: 0 });
    const { cache } = onSystemClock();
    expect((await cache.get()).expiresAt).toBe(HOUR);
    await vi.advanceTimersByTimeAsync(HOUR - 70_000);
    expect(cache.peek()?.value).toBe("fake-1");
    await vi.advanceTimersByTimeAsync(70_000);
    expect(cache.peek()).toBeUndefined();
  });

  test("E5: performance.now() that is faked alone", async () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    const { cache } = onSystemClock();
    await cache.get();
    vi.advanceTimersByTime(2 * HOUR);
    expect(cache.peek()).toBeUndefined();
  });

  test.each(clients)("E5: synchronous work for longer than the token lives, after two calls of %s", async (_, make) => {
    const { cache } = onSystemClock(SHORT);
    const call = make(cache);
    await call();
    const last = await call();
    block(SHORT.maxTtl + 50);
    expect(await call()).not.toBe(last);
  });

  test("E5: after fake timers the real clocks are read again", async () => {
    vi.useFakeTimers();
    const { cache } = onSystemClock(SHORT);
    await cache.get();
    cache.peek();
    vi.useRealTimers();
    const { value } = await cache.get();
    block(SHORT.maxTtl + 50);
    expect(cache.peek()).toBeUndefined();
    expect((await cache.get()).value).not.toBe(value);
  });
});

describe("C9, C10, C11: fake timers drive everything", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    vi.spyOn(Math, "random").mockReturnValue(0);
  });

  test("C10: a mint that never settles ends after mintTimeout", async () => {
    const { cache } = onSystemClock({ grant: held() });
    const got = watch(cache.get());
    await vi.advanceTimersByTimeAsync(9999);
    expect(got.state).toBe("pending");
    await vi.advanceTimersByTimeAsync(1);
    expect(got.reason).toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("C11: the retries come after 250 ms and 500 ms", async () => {
    const { cache, grant } = onSystemClock({ mintRetries: 2 });
    grant.fail(new TokenEndpointError(500, "x"), 2);
    const got = watch(cache.get());
    const mints: number[] = [];
    for (const ms of [249, 1, 499, 1]) {
      await vi.advanceTimersByTimeAsync(ms);
      mints.push(grant.mints);
    }
    expect(mints).toEqual([1, 2, 2, 3]);
    expect(got.value?.value).toBe("fake-3");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("C11: vi.runAllTimersAsync() brings a mint with retries to its end", async () => {
    const { cache, grant } = onSystemClock({ mintRetries: 2 });
    grant.fail(new TokenEndpointError(500, "x"), Infinity);
    const got = watch(cache.get());
    await vi.runAllTimersAsync();
    expect(got.reason).toMatchObject({ code: "ERR_TOKEN_ENDPOINT" });
    expect(grant.mints).toBe(3);
  });

  test("C9: a failure is remembered for a second", async () => {
    const { cache, grant } = onSystemClock();
    grant.fail(new TokenEndpointError(500, "x"));
    await expect(cache.get()).rejects.toThrow();
    await vi.advanceTimersByTimeAsync(999);
    await expect(cache.get()).rejects.toThrow();
    expect(grant.mints).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect((await cache.get()).value).toBe("fake-2");
  });

  test("C3, C4: the soft window, the hard window and the half of what is left", async () => {
    const { cache, grant } = onSystemClock();
    await cache.get();
    await vi.advanceTimersByTimeAsync(HOUR - 60_001);
    cache.peek();
    expect(grant.mints).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    const hold = grant.hold();
    expect(cache.peek()?.value).toBe("fake-1");
    // That refresh ends after 10 s. The next one begins when the next call comes.
    await vi.advanceTimersByTimeAsync(52_000);
    expect(grant.mints).toBe(2);
    const got = watch(cache.get());
    await vi.advanceTimersByTimeAsync(3999);
    expect(got.state).toBe("pending");
    await vi.advanceTimersByTimeAsync(1);
    expect(got.value?.value).toBe("fake-1");
    hold.release();
    await vi.advanceTimersByTimeAsync(0);
    expect(cache.peek()?.value).toBe("fake-3");
  });

  test("C9: vi.setSystemTime(+2 h) during a mint is a thaw: the caller gets the token of another mint", async () => {
    const { cache, grant } = onSystemClock();
    const hold = grant.hold();
    const first = watch(cache.get());
    await vi.advanceTimersByTimeAsync(1000);
    vi.setSystemTime(Date.now() + 2 * HOUR);
    hold.fail(new TokenEndpointError(503, "x"));
    await vi.advanceTimersByTimeAsync(0);
    expect(first.value?.value).toBe("fake-2");
    expect(grant.mints).toBe(2);
  });

  test("C9: a mint that began under fake timers, which are gone: later callers get the token of another mint", async () => {
    const { cache, grant } = onSystemClock({ mintTimeout: 1000 });
    const hold = grant.hold();
    const first = watch(cache.get());
    await vi.advanceTimersByTimeAsync(100);
    vi.useRealTimers();
    vi.useFakeTimers({ now: Date.now() + HOUR });
    const later = watch(cache.get());
    await vi.advanceTimersByTimeAsync(999);
    expect(later.state).toBe("pending");
    await vi.advanceTimersByTimeAsync(1);
    hold.release();
    await vi.advanceTimersByTimeAsync(0);
    expect([first.value?.value, later.value?.value]).toEqual(["fake-2", "fake-2"]);
  });

  test("E5: manualClock works as ever", async () => {
    const clock = manualClock();
    const { cache, grant } = onSystemClock({ clock, mintRetries: 2 });
    grant.fail(new TokenEndpointError(500, "x"), 2);
    const got = watch(cache.get());
    vi.advanceTimersByTime(HOUR);
    expect(got.state).toBe("pending");
    await clock.advance(750);
    expect(got.value?.value).toBe("fake-3");
    vi.setSystemTime(0);
    expect(cache.peek()?.value).toBe("fake-3");
    await clock.advance(HOUR);
    expect(cache.peek()).toBeUndefined();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("E5: fake timers that come or go while a cache is used", () => {
  test("E5: they come in the middle of a mint", async () => {
    const { cache, grant } = onSystemClock();
    const hold = grant.hold();
    const got = watch(cache.get());
    await settle();
    vi.useFakeTimers();
    hold.release();
    await vi.advanceTimersByTimeAsync(0);
    expect(got.value?.value).toBe("fake-1");
    expect(cache.peek()?.value).toBe("fake-1");
    vi.setSystemTime(Date.now() + 2 * HOUR);
    expect((await cache.get()).value).toBe("fake-2");
  });

  test("E5: they go in the middle of a mint", async () => {
    vi.useFakeTimers();
    const { cache, grant } = onSystemClock();
    const hold = grant.hold();
    const got = watch(cache.get());
    await vi.advanceTimersByTimeAsync(0);
    vi.useRealTimers();
    hold.release();
    await settle();
    expect(got.value?.value).toBe("fake-1");
    expect((await cache.get()).value).toMatch(/^fake-/);
  });

  test("C9: they go while a failure is remembered: it is not remembered for longer than it would be", async () => {
    vi.useFakeTimers({ now: Date.now() + 24 * HOUR });
    const { cache, grant } = onSystemClock({ mintTimeout: 200 });
    grant.fail(new TokenEndpointError(500, "x"));
    await expect(cache.get()).rejects.toThrow();
    vi.useRealTimers();
    block(1100);
    expect((await cache.get()).value).toBe("fake-2");
  });

  test("E5: a token of a day in the future, after fake timers that stood there", async () => {
    vi.useFakeTimers({ now: Date.now() + 24 * HOUR });
    const { cache } = onSystemClock(SHORT);
    await cache.get();
    vi.useRealTimers();
    block(SHORT.maxTtl + 50);
    expect(cache.peek()).toBeUndefined();
  });
});

/** A grant whose mints never settle. */
function held(): FakeGrant {
  const grant = fakeGrant();
  grant.hold({ ignoreSignal: true });
  return grant;
}

/** Blocks the process, as synchronous work does. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
