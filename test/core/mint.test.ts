import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { isRemintError, type Grant } from "../../src/index.ts";
import { fakeGrant, type FakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, rejectionOf, settle, watch, type CacheUnderTest } from "./cache-under-test.ts";

/** A cache over a grant that is more, or less, than a fake can be. */
function cacheOver(mint: (...args: never[]) => unknown, members: Partial<Grant> = {}): CacheUnderTest {
  return cacheUnderTest({ grant: { ...members, mint } as unknown as FakeGrant });
}

describe("C10: one time limit", () => {
  test("C10: a mint that never settles rejects after mintTimeout with a typed error", async () => {
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

  test("C10: a grant that ignores its signal is raced against it, and what it says later is not heard", async () => {
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

  test("C10: the grant's signal fires with the reason, and not after a success", async () => {
    const { cache, grant, clock } = cacheUnderTest({ mintTimeout: 500 });
    grant.hold();
    cache.get().catch(() => {});
    await clock.advance(500);
    expect(grant.contexts[0]?.signal).toMatchObject({ aborted: true, reason: { code: "ERR_TOKEN_TIMEOUT" } });
    const other = cacheUnderTest({ mintTimeout: 500 });
    await other.cache.get();
    await other.clock.advance(10_000);
    expect(other.grant.contexts[0]?.signal.aborted).toBe(false);
  });

  test("C10: one attempt gets at most half of it when there may be another", async () => {
    const { cache, grant, clock } = cacheUnderTest({ mintRetries: 1 });
    grant.hold();
    cache.get().catch(() => {});
    await clock.advance(4999);
    expect(grant.contexts[0]?.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(grant.contexts[0]?.signal.aborted).toBe(true);
    await cache.close();
  });

  test("C10: the only attempt gets all of it", async () => {
    const { cache, grant, clock } = cacheUnderTest({ mintRetries: 0 });
    const hold = grant.hold();
    const got = watch(cache.get());
    await clock.advance(9999);
    hold.release();
    await settle();
    expect(got.value?.value).toBe("fake-1");
  });
});

describe("C10: what a grant may do wrong", () => {
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
    ["returns undefined", () => undefined, "ERR_TOKEN_RESPONSE"],
    ["resolves to null", () => Promise.resolve(null), "ERR_TOKEN_RESPONSE"],
    ["resolves to a string", () => Promise.resolve("token"), "ERR_TOKEN_RESPONSE"],
    ["resolves to an array", () => Promise.resolve(["token"]), "ERR_TOKEN_RESPONSE"],
    ["has no access_token", () => Promise.resolve({}), "ERR_TOKEN_RESPONSE"],
    ["has an empty access_token", () => Promise.resolve({ access_token: "" }), "ERR_TOKEN_RESPONSE"],
    ["has a number for it", () => Promise.resolve({ access_token: 1 }), "ERR_TOKEN_RESPONSE"],
    ["answers with an OAuth error", () => Promise.resolve({ error: "invalid_client" }), "ERR_TOKEN_RESPONSE"],
    [
      "has a token_type nobody knows",
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

  test("C10: a grant may answer synchronously", async () => {
    const { cache } = cacheOver(() => ({ access_token: "at-once", expires_in: 60 }));
    expect((await cache.get()).value).toBe("at-once");
  });

  test("C10: a plain function is a grant", async () => {
    const { cache } = cacheUnderTest({ grant: (async () => ({ access_token: "bare" })) as unknown as FakeGrant });
    expect((await cache.get()).value).toBe("bare");
  });

  test("C10: a method of a class keeps its this", async () => {
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
  test("C11: what one mint leaves the next one gets; a mint that leaves nothing changes nothing", async () => {
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
    ["no access token", {}],
    ["one that is no string", { access_token: 7 }],
    ["one that cannot stand in a header", { access_token: "a b" }],
    ["one of a type that is not ours", { access_token: "a", token_type: "mac" }],
  ])("S4, C11: %s is no reason to lose the refresh token that came with it", async (_what, response) => {
    const { cache, clock, grant, told } = cacheUnderTest({ grant: fakeGrant({ state: "s0" }) });
    grant.respond({ ...response, state: "s1" });
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
    expect(inspect(told("mint-failed"), { depth: 5, showHidden: true })).not.toContain("s1");
    await clock.advance(1000);
    expect((await cache.get()).value).toBe("fake-2");
    expect(grant.contexts.map(({ state }) => state)).toEqual(["s0", "s1"]);
  });
});
