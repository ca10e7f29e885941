import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { cacheOfAge, cacheUnderTest, settle, TARGET } from "./cache-under-test.ts";

const HOUR = 3_600_000;

describe("C1: the warm path", () => {
  test("C1: peek of an empty cache starts nothing", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    expect(cache.peek()).toBeUndefined();
    await settle();
    expect([grant.mints, clock.timers]).toEqual([0, 0]);
  });

  test("C1: peek gives the very same object, synchronously, and starts nothing outside the windows", async () => {
    const { cache, grant, clock } = await cacheOfAge(HOUR - 67_000);
    const first = cache.peek();
    expect(first?.value).toBe("fake-1");
    for (let call = 0; call < 100; call++) expect(cache.peek()).toBe(first);
    await settle();
    expect([grant.mints, clock.timers]).toEqual([1, 0]);
  });

  test("C1: peek of an expired token is undefined and starts nothing", async () => {
    const { cache, grant, clock } = await cacheOfAge(HOUR);
    expect(cache.peek()).toBeUndefined();
    await settle();
    expect([grant.mints, clock.timers]).toEqual([1, 0]);
  });

  test("C1: get of a warm cache sets no timer and starts no mint", async () => {
    const { cache, grant, clock } = await cacheOfAge(0);
    expect((await cache.get()).value).toBe("fake-1");
    expect([grant.mints, clock.timers]).toEqual([1, 0]);
  });

  test("C1: onTrial, accepted and skipped start no mint", async () => {
    const { cache, grant } = await cacheOfAge(0);
    const token = cache.peek()!;
    expect(policyHalf(cache).onTrial).toBe(true);
    policyHalf(cache).accepted(token, TARGET);
    expect(policyHalf(cache).onTrial).toBe(false);
    policyHalf(cache).skipped("opted-out", "https://api.example/x?secret=1");
    await settle();
    expect(grant.mints).toBe(1);
  });
});
