import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { isRemintError, TokenEndpointError, type Grant } from "../../src/index.ts";
import { fakeGrant, type FakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, rejectionOf, settle, watch, type CacheUnderTest } from "./cache-under-test.ts";

/** Creates a cache over a grant that fakeGrant cannot imitate. */
function cacheOver(mint: (...args: never[]) => unknown, members: Partial<Grant> = {}): CacheUnderTest {
  return cacheUnderTest({ grant: { ...members, mint } as unknown as FakeGrant });
}

describe("C10: one time limit", () => {
  test("C10: a mint that never settles rejects after mintTimeout with ERR_TOKEN_TIMEOUT", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    grant.hold();
    const got = watch(cache.get());
    await clock.advance(9999);
    expect(got.state).toBe("pending");
    await clock.advance(1);
    expect(got.reason).toMatchObject({ code: "ERR_TOKEN_TIMEOUT", retryable: true });
    expect(String(got.reason)).toMatch(/10000 ms/);
    expect(clock.timers).toBe(0);
  });

  test("C10: a grant that ignores its signal does not delay the timeout, and its late answer is not cached", async () => {
    const { cache, grant, clock } = cacheUnderTest({ mintTimeout: 500 });
    const hold = grant.hold({ ignoreSignal: true });
    const got = watch(cache.get());
    await clock.advance(500);
    expect(got.reason).toMatchObject({ code: "ERR_TOKEN_TIMEOUT" });
    hold.release();
    await clock.advance(1000);
    expect(cache.peek()).toBeUndefined();
    expect((await cache.get()).value).toBe("fake-2");
  });

  test("C10: the grant's signal aborts with ERR_TOKEN_TIMEOUT as its reason, and not after a success", async () => {
    const { cache, grant, clock } = cacheUnderTest({ mintTimeout: 500 });
    grant.hold();
    cache.get().catch(() => {});
    await clock.advance(500);
    expect(grant.contexts[0]?.signal).toMatchObject({ aborted: true, reason: { code: "ERR_TOKEN_TIMEOUT" } });
    // Functions of the user's see it: what it aborts for them has to be an error.
    expect(grant.contexts[0]?.signal.reason).toBeInstanceOf(Error);
    const other = cacheUnderTest({ mintTimeout: 500 });
    await other.cache.get();
    await other.clock.advance(10_000);
    expect(other.grant.contexts[0]?.signal.aborted).toBe(false);
  });

  test.each([0, 1, 2, 10])(
    "C10: with %d retries allowed, the first attempt gets all of mintTimeout",
    async (retries) => {
      const { cache, grant, clock } = cacheUnderTest({ mintRetries: retries });
      const hold = grant.hold();
      const got = watch(cache.get());
      await clock.advance(9999);
      expect(grant.contexts[0]?.signal.aborted).toBe(false);
      hold.release();
      await settle();
      expect(got.value?.value).toBe("fake-1");
      expect(grant.mints).toBe(1);
    },
  );

  test("C10: an endpoint that takes 600 ms, with mintTimeout 1000: one request, and a token", async () => {
    const { cache, grant, clock } = cacheUnderTest({ mintRetries: undefined, mintTimeout: 1000 });
    const hold = grant.hold();
    const got = watch(cache.get());
    await clock.advance(600);
    hold.release();
    await settle();
    expect([got.value?.value, grant.mints]).toEqual(["fake-1", 1]);
  });

  test("C10: the last attempt is cut at mintTimeout, and gets all that is left of it", async () => {
    const { cache, grant, clock } = cacheUnderTest({ mintRetries: 1 });
    grant.fail(new TokenEndpointError(503, "x", { retryAfter: 4000 }));
    const got = watch(cache.get());
    await clock.advance(4000);
    grant.hold();
    expect(grant.mints).toBe(2);
    await clock.advance(0);
    expect(got.state).toBe("fulfilled");
    const late = cacheUnderTest({ mintRetries: 1 });
    late.grant.fail(new TokenEndpointError(503, "x", { retryAfter: 4000 }));
    const waiting = watch(late.cache.get());
    await settle();
    late.grant.hold();
    await late.clock.advance(9999);
    expect([late.grant.mints, late.grant.contexts[1]?.signal.aborted, waiting.state]).toEqual([2, false, "pending"]);
    await late.clock.advance(1);
    expect([late.grant.contexts[1]?.signal.aborted, waiting.state]).toEqual([true, "rejected"]);
  });
});

describe("C10: grants that misbehave", () => {
  const wrong: [string, () => unknown, string][] = [
    [
      "throws synchronously",
      () => {
        throw new Error("boom");
      },
      "ERR_GRANT",
    ],
    ["rejects", () => Promise.reject(new Error("boom")), "ERR_GRANT"],
    ["rejects with undefined", () => Promise.reject(undefined), "ERR_GRANT"],
    ["rejects with a string", () => Promise.reject("boom"), "ERR_GRANT"],
    ["returns undefined: nobody is signed in", () => undefined, "ERR_NO_SESSION"],
    ["resolves to null: nobody is signed in", () => Promise.resolve(null), "ERR_NO_SESSION"],
    ["resolves to an empty string", () => Promise.resolve(""), "ERR_TOKEN_RESPONSE"],
    ["resolves to a number", () => Promise.resolve(7), "ERR_TOKEN_RESPONSE"],
    ["resolves to an array", () => Promise.resolve(["token"]), "ERR_TOKEN_RESPONSE"],
    ["has no access_token", () => Promise.resolve({}), "ERR_TOKEN_RESPONSE"],
    ["has an empty access_token", () => Promise.resolve({ access_token: "" }), "ERR_TOKEN_RESPONSE"],
    ["has a number as its access_token", () => Promise.resolve({ access_token: 1 }), "ERR_TOKEN_RESPONSE"],
    ["answers with an OAuth error", () => Promise.resolve({ error: "invalid_client" }), "ERR_TOKEN_RESPONSE"],
    [
      "has an unknown token_type",
      () => Promise.resolve({ access_token: "a", token_type: "mac" }),
      "ERR_TOKEN_RESPONSE",
    ],
  ];

  test.each(wrong)(
    "C10: a grant that %s: a typed error, nothing cached, no retry, no timer left",
    async (_, mint, code) => {
      let calls = 0;
      const { cache, clock } = cacheOver(() => (calls++, mint()));
      const error = await rejectionOf(cache.get());
      expect(isRemintError(error)).toBe(true);
      expect(error).toMatchObject({ code, retryable: false });
      expect([calls, cache.peek(), clock.timers]).toEqual([1, undefined, 0]);
    },
  );

  test("C10: a grant may answer synchronously, and with the token as a string", async () => {
    for (const answer of ["at-once", { access_token: "at-once", expires_in: 60 }]) {
      const { cache } = cacheOver(() => answer);
      expect((await cache.get()).value).toBe("at-once");
    }
  });

  test("C10: a plain function is a grant", async () => {
    const { cache } = cacheUnderTest({ grant: (async () => ({ access_token: "bare" })) as unknown as FakeGrant });
    expect((await cache.get()).value).toBe("bare");
  });

  test("C10: mint is called as a method, so that a class keeps its `this`", async () => {
    class Own {
      readonly value = "own";
      mint(): Promise<{ access_token: string }> {
        return Promise.resolve({ access_token: this.value });
      }
    }
    const { cache } = cacheUnderTest({ grant: new Own() as unknown as FakeGrant });
    expect((await cache.get()).value).toBe("own");
  });
});

describe("state between mints", () => {
  test("C11: the state of one mint goes to the next; a mint without a state leaves it as it was", async () => {
    const { cache, grant } = cacheUnderTest({ grant: fakeGrant({ state: "s0" }) });
    grant.respond({ access_token: "a", expires_in: 60, state: "s1" });
    await cache.get();
    await cache.invalidate("a");
    await cache.get();
    await cache.invalidate("fake-2");
    await cache.get();
    expect(grant.contexts.map(({ state }) => state)).toEqual(["s0", "s1", "s1"]);
  });

  test.each([
    ["an answer without an access token", {}],
    ["an access token that is no string", { access_token: 7 }],
    ["an access token that cannot stand in a header", { access_token: "a b" }],
    ["a token of an unknown type", { access_token: "a", token_type: "mac" }],
  ])("S4, C11: %s is refused, and the refresh token that came with it is kept", async (_what, response) => {
    const { cache, clock, grant, eventsNamed } = cacheUnderTest({ grant: fakeGrant({ state: "s0" }) });
    grant.respond({ ...response, state: "s1" });
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
    expect(inspect(eventsNamed("mint-failed"), { depth: 5, showHidden: true })).not.toContain("s1");
    await clock.advance(1000);
    expect((await cache.get()).value).toBe("fake-2");
    expect(grant.contexts.map(({ state }) => state)).toEqual(["s0", "s1"]);
  });
});
