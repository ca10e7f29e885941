import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { cacheUnderTest, settle, TARGET, watch } from "./cache-under-test.ts";

describe("close", () => {
  test("C12: after close get rejects with ERR_CLOSED, peek is empty, and nothing is minted", async () => {
    const { cache, grant } = cacheUnderTest();
    const token = await cache.get();
    await cache.close();
    expect(cache.peek()).toBeUndefined();
    await expect(cache.get()).rejects.toMatchObject({ code: "ERR_CLOSED", retryable: false });
    expect(policyHalf(cache).rejected(token, TARGET)).toBeUndefined();
    await cache.invalidate(token.value);
    await cache.close();
    expect(grant.mints).toBe(1);
  });

  test("C12: close ends a mint in progress: waiters reject, the grant's signal is aborted, no event, no timer", async () => {
    const { cache, grant, clock, events } = cacheUnderTest();
    grant.hold();
    const got = watch(cache.get());
    await settle();
    await cache.close();
    await settle();
    expect(got.reason).toMatchObject({ code: "ERR_CLOSED" });
    expect(grant.contexts[0]?.signal.aborted).toBe(true);
    expect([clock.timers, events.length]).toEqual([0, 0]);
  });

  test("C10: close does not wait for a grant that ignores its signal", async () => {
    const { cache, grant } = cacheUnderTest();
    const hold = grant.hold({ ignoreSignal: true });
    const got = watch(cache.get());
    await settle();
    expect(await cache.close()).toEqual({ inFlight: false, unsaved: false });
    await settle();
    expect(got.reason).toMatchObject({ code: "ERR_CLOSED" });
    hold.release();
    await settle();
    expect(cache.peek()).toBeUndefined();
  });

  test("C12: a renewal in progress rejects with ERR_CLOSED when the cache is closed", async () => {
    const { cache, grant } = cacheUnderTest();
    const renewal = policyHalf(cache).rejected(await cache.get(), TARGET)!;
    grant.hold();
    const renewed = watch(renewal.next());
    await settle();
    await cache.close();
    await settle();
    expect(renewed.reason).toMatchObject({ code: "ERR_CLOSED" });
    await expect(renewal.next()).rejects.toMatchObject({ code: "ERR_CLOSED" });
  });
});
