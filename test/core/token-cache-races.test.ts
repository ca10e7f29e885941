import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, settle, TARGET } from "./cache-under-test.ts";

describe("C2: single flight", () => {
  test("C2: 100,000 cold callers share one mint and one token", async () => {
    const { cache, grant } = cacheUnderTest();
    const got = await Promise.all(Array.from({ length: 100_000 }, () => cache.get()));
    expect(grant.mints).toBe(1);
    expect(new Set(got)).toEqual(new Set([got[0]]));
  });

  test("C2: callers that come while the mint runs join it, with and without a signal", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const hold = grant.hold();
    const got = [cache.get()];
    for (let caller = 0; caller < 10; caller++) {
      await clock.advance(100);
      got.push(cache.get(), cache.get({ signal: new AbortController().signal }));
    }
    hold.release();
    expect(new Set(await Promise.all(got)).size).toBe(1);
    expect(grant.mints).toBe(1);
  });

  test("C2: one failed mint rejects all its callers, with equal errors", async () => {
    const { cache, grant } = cacheUnderTest();
    grant.fail(new Error("down"));
    const results = await Promise.allSettled(Array.from({ length: 1000 }, () => cache.get()));
    const reasons = results.map((result) => (result.status === "rejected" ? (result.reason as unknown) : undefined));
    expect(new Set(reasons).size).toBe(1000);
    for (const reason of reasons) expect(reason).toEqual(reasons[0]);
    expect(reasons[0]).toMatchObject({ code: "ERR_GRANT" });
    expect(grant.mints).toBe(1);
  });

  test("C2: a renewal and cold callers share one mint", async () => {
    const { cache, grant } = cacheUnderTest();
    const token = await cache.get();
    const hold = grant.hold();
    const renewed = policyHalf(cache).rejected(token, TARGET)!.next();
    const cold = cache.get();
    await settle();
    hold.release();
    expect((await renewed).token).toBe(await cold);
    expect(grant.mints).toBe(2);
  });

  test("C2: a background refresh and a renewal share one mint", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const token = await cache.get();
    await clock.advance(3_600_000 - 30_000);
    const hold = grant.hold();
    expect(cache.peek()).toBe(token);
    const renewed = policyHalf(cache).rejected(token, TARGET)!.next();
    await settle();
    hold.release();
    expect((await renewed).token.value).toBe("fake-2");
    expect(grant.mints).toBe(2);
  });
});

describe("C5: invalidate by value", () => {
  test("C5: invalidate removes the cached token before it returns its promise", async () => {
    const { cache, eventsNamed } = cacheUnderTest();
    const { value } = await cache.get();
    const done = cache.invalidate(value);
    expect(cache.peek()).toBeUndefined();
    await done;
    expect(eventsNamed("invalidated")).toHaveLength(1);
    expect((await cache.get()).value).toBe("fake-2");
  });

  test("C5: invalidate ignores a token that is no longer the cached one", async () => {
    const { cache, grant, eventsNamed } = cacheUnderTest();
    await cache.get();
    await cache.invalidate("fake-1");
    const current = await cache.get();
    for (const value of ["fake-1", "never", "", "fake-20"]) await cache.invalidate(value);
    expect(cache.peek()).toBe(current);
    expect([grant.mints, eventsNamed("invalidated").length]).toEqual([2, 1]);
  });

  test("C5: invalidate of an empty cache does nothing", async () => {
    const { cache, grant, events } = cacheUnderTest();
    await cache.invalidate("fake-1");
    expect([grant.mints, events.length]).toEqual([0, 0]);
  });

  test("C5: twenty late 401s for an old token mint nothing and leave the new one", async () => {
    const { cache, grant, eventsNamed } = cacheUnderTest();
    const old = await cache.get();
    const { token } = await policyHalf(cache).rejected(old, TARGET)!.next();
    for (let late = 0; late < 20; late++) {
      const renewal = policyHalf(cache).rejected(old, { ...TARGET, path: `/${late}` });
      expect((await renewal!.next()).token).toBe(token);
    }
    expect(cache.peek()).toBe(token);
    expect([grant.mints, eventsNamed("rejected").length]).toEqual([2, 1]);
  });

  test("C5: a flight begun before invalidate that yields the invalidated value is not cached", async () => {
    const { cache, grant } = cacheUnderTest();
    const hold = grant.hold();
    const got = cache.get();
    await cache.invalidate("fake-1");
    hold.release();
    expect((await got).value).toBe("fake-1");
    expect(cache.peek()).toBeUndefined();
    expect((await cache.get()).value).toBe("fake-2");
    expect(cache.peek()?.value).toBe("fake-2");
  });

  test("C5: a flight begun after invalidate that yields the same value again is cached", async () => {
    const { cache, grant } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    await cache.get();
    await cache.invalidate("same");
    await cache.get();
    expect(cache.peek()?.value).toBe("same");
    expect(grant.mints).toBe(2);
  });

  test("C5: a flight begun before the rejection that yields the rejected value does not answer it: another mint starts", async () => {
    const { cache, grant, clock } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    const token = await cache.get();
    await clock.advance(3_600_000 - 30_000);
    const hold = grant.hold();
    cache.peek();
    const renewed = policyHalf(cache).rejected(token, TARGET)!.next();
    await settle();
    expect(grant.mints).toBe(2);
    hold.release();
    expect(await renewed).toMatchObject({ final: true });
    expect(grant.mints).toBe(3);
  });
});
