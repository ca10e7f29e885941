import { describe, expect, test } from "vitest";
import { cacheUnderTest, settle, watch } from "./cache-under-test.ts";

const HOUR = 3_600_000;

describe("initial", () => {
  const initial = { access_token: "mine", expires_in: 3600 };

  test("C1: an initial token is served at once, without a mint", async () => {
    const { cache, grant } = cacheUnderTest({ initial });
    expect(cache.peek()?.value).toBe("mine");
    expect((await cache.get()).value).toBe("mine");
    expect(grant.mints).toBe(0);
  });

  test("C3: the lifetime of an initial token counts from receivedAt", async () => {
    const under = cacheUnderTest();
    const receivedAt = under.clock.now() - (HOUR - 30_000);
    const { cache, grant } = cacheUnderTest({ initial: { ...initial, receivedAt } });
    expect(cache.peek()?.value).toBe("mine");
    await settle();
    expect(cache.peek()?.value).toBe("fake-1");
    expect(grant.contexts[0]?.previous?.value).toBe("mine");
  });

  test("C12: an initial function is called when a token is needed, once, and before any mint", async () => {
    let calls = 0;
    const { cache, grant } = cacheUnderTest({ initial: async () => (calls++, initial) });
    await settle();
    expect(calls).toBe(0);
    expect((await cache.get()).value).toBe("mine");
    await cache.invalidate("mine");
    expect((await cache.get()).value).toBe("fake-1");
    expect([calls, grant.mints]).toEqual([1, 1]);
  });

  const nothing: [string, () => Promise<never>][] = [
    ["undefined", async () => undefined as never],
    ["null", async () => null as never],
    ["no token", async () => ({}) as never],
    ["a token that cannot stand in a header", async () => ({ access_token: "a b" }) as never],
    ["an error", () => Promise.reject(new Error("no session"))],
    [
      "an error, synchronously",
      () => {
        throw new Error("no session");
      },
    ],
    ["an expired token", async () => ({ access_token: "past", expires_in: 60, receivedAt: 1000 }) as never],
  ];

  test.each(nothing)("C2: an initial function that gives %s leads to one mint", async (_, give) => {
    const { cache, grant } = cacheUnderTest({ initial: give });
    const [first, second] = await Promise.all([cache.get(), cache.get()]);
    expect([first.value, second.value]).toEqual(["fake-1", "fake-1"]);
    expect(grant.mints).toBe(1);
  });

  test("C10: an initial function that never settles rejects its callers after mintTimeout", async () => {
    const { cache, clock } = cacheUnderTest({ initial: () => new Promise(() => {}) });
    const got = watch(cache.get());
    await clock.advance(10_000);
    expect(got.reason).toMatchObject({
      code: "ERR_TOKEN_TIMEOUT",
      hint: expect.stringContaining('"initial"') as string,
    });
    // The function is not called again.
    await clock.advance(1000);
    expect((await cache.get()).value).toBe("fake-1");
  });

  test.each([Number.NaN, -1, "soon", {}])(
    "E2: the answer of an initial function whose receivedAt is %o, which is no time, is not used",
    async (receivedAt) => {
      const { cache, grant } = cacheUnderTest({
        initial: async () => ({ ...initial, receivedAt: receivedAt as never }),
      });
      expect((await cache.get()).value).toBe("fake-1");
      expect(grant.mints).toBe(1);
    },
  );

  test.each([undefined, null, "2026-01-01", new Date("2026-01-01")])(
    "E2: a receivedAt of %o in the answer of an initial function is now",
    async (receivedAt) => {
      const { cache, clock } = cacheUnderTest({
        initial: async () => ({ ...initial, receivedAt: receivedAt as never }),
      });
      expect((await cache.get()).expiresAt).toBe(clock.now() + HOUR);
      expect(cache.peek()?.value).toBe("mine");
    },
  );
});
