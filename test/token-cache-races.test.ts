import { describe, expect, test } from "vitest";
import { fakeGrant } from "../src/testing/index.ts";
import { cacheUnderTest, settle, SITE, watch } from "./cache-under-test.ts";

const OTHER = { origin: "https://other.example", path: "/" } as const;

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

  test("C2: a mint that fails fails for all who share it, with one error", async () => {
    const { cache, grant } = cacheUnderTest();
    grant.fail(new Error("down"));
    const results = await Promise.allSettled(Array.from({ length: 1000 }, () => cache.get()));
    const reasons = results.map((result) => (result.status === "rejected" ? (result.reason as unknown) : undefined));
    expect(new Set(reasons).size).toBe(1);
    expect(reasons[0]).toMatchObject({ code: "ERR_GRANT" });
    expect(grant.mints).toBe(1);
  });

  test("C2: a renewal and cold callers share one mint", async () => {
    const { cache, grant } = cacheUnderTest();
    const token = await cache.get();
    const hold = grant.hold();
    const renewed = cache.rejected(token, SITE)!.next();
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
    const renewed = cache.rejected(token, SITE)!.next();
    await settle();
    hold.release();
    expect((await renewed).token.value).toBe("fake-2");
    expect(grant.mints).toBe(2);
  });
});

describe("C5: forgetting by value", () => {
  test("C5: invalidate forgets the cached token, and the effect is there when it returns", async () => {
    const { cache, told } = cacheUnderTest();
    const { value } = await cache.get();
    const done = cache.invalidate(value);
    expect(cache.peek()).toBeUndefined();
    await done;
    expect(told("invalidated")).toHaveLength(1);
    expect((await cache.get()).value).toBe("fake-2");
  });

  test("C5: invalidate ignores a token that is no longer the cached one", async () => {
    const { cache, grant, told } = cacheUnderTest();
    await cache.get();
    await cache.invalidate("fake-1");
    const current = await cache.get();
    for (const value of ["fake-1", "never", "", "fake-20"]) await cache.invalidate(value);
    expect(cache.peek()).toBe(current);
    expect([grant.mints, told("invalidated").length]).toEqual([2, 1]);
  });

  test("C5: invalidate of an empty cache does nothing", async () => {
    const { cache, grant, events } = cacheUnderTest();
    await cache.invalidate("fake-1");
    expect([grant.mints, events.length]).toEqual([0, 0]);
  });

  test("C5: twenty late 401s for an old token mint nothing and leave the new one", async () => {
    const { cache, grant, told } = cacheUnderTest();
    const old = await cache.get();
    const { token } = await cache.rejected(old, SITE)!.next();
    for (let late = 0; late < 20; late++) {
      const renewal = cache.rejected(old, { ...SITE, path: `/${late}` });
      expect((await renewal!.next()).token).toBe(token);
    }
    expect(cache.peek()).toBe(token);
    expect([grant.mints, told("rejected").length]).toEqual([2, 1]);
  });

  test("C5: a flight begun before the invalidation that yields the value is not cached", async () => {
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

  test("C5: a flight begun after it that yields the value again is cached", async () => {
    const { cache, grant } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    await cache.get();
    await cache.invalidate("same");
    await cache.get();
    expect(cache.peek()?.value).toBe("same");
    expect(grant.mints).toBe(2);
  });

  test("C5: a flight begun before the rejection that yields the value is not cached, and the re-mint is owed", async () => {
    const { cache, grant, clock } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    const token = await cache.get();
    await clock.advance(3_600_000 - 30_000);
    const hold = grant.hold();
    cache.peek();
    const renewed = cache.rejected(token, SITE)!.next();
    await settle();
    expect(grant.mints).toBe(2);
    hold.release();
    expect(await renewed).toMatchObject({ final: true });
    expect(grant.mints).toBe(3);
  });
});

describe("C6: what a renewal does to the cache", () => {
  test("C6: if another token is cached it is used and nothing is minted", async () => {
    const { cache, grant } = cacheUnderTest();
    const old = await cache.get();
    await cache.invalidate(old.value);
    const current = await cache.get();
    expect(await cache.rejected(old, SITE)!.next()).toEqual({ token: current, final: false });
    expect(grant.mints).toBe(2);
  });

  test("C6: else the rejected one is forgotten before anything is awaited, and a flight begun", async () => {
    const { cache, grant, told } = cacheUnderTest();
    const token = await cache.get();
    const renewal = cache.rejected(token, SITE)!;
    expect(cache.peek()).toBeUndefined();
    expect(grant.mints).toBe(1);
    expect(await renewal.next()).toMatchObject({ final: true, token: { value: "fake-2" } });
    expect(told("minted").map(({ cause }) => cause)).toEqual(["cold", "rejected"]);
  });

  test("C6: two who are rejected with the same token share the mint and one charge", async () => {
    const { cache, grant, told } = cacheUnderTest();
    const token = await cache.get();
    const renewals = [cache.rejected(token, SITE)!, cache.rejected(token, SITE)!, cache.rejected(token, OTHER)!];
    const renewed = await Promise.all(renewals.map((renewal) => renewal.next()));
    expect(new Set(renewed.map(({ token: { value } }) => value))).toEqual(new Set(["fake-2"]));
    expect([grant.mints, told("rejected").length]).toEqual([2, 1]);
  });

  test("C6: while the origin is on trial the token stays for the others until the flight lands", async () => {
    const { cache, grant } = cacheUnderTest();
    const first = await cache.get();
    const { token } = await cache.rejected(first, SITE)!.next();
    expect(cache.onTrial).toBe(true);
    const hold = grant.hold();
    const renewed = cache.rejected(token, SITE)!.next();
    expect(cache.peek()).toBe(token);
    expect(await cache.get()).toBe(token);
    await settle();
    expect(cache.peek()).toBe(token);
    hold.release();
    expect((await renewed).token.value).toBe("fake-3");
    expect(cache.peek()?.value).toBe("fake-3");
    expect(grant.mints).toBe(3);
  });

  test("C6: another path of an origin on trial is on trial too", async () => {
    const { cache, grant } = cacheUnderTest();
    const { token } = await cache.rejected(await cache.get(), SITE)!.next();
    grant.hold();
    cache.rejected(token, { ...SITE, path: "/another" });
    expect(cache.peek()).toBe(token);
  });

  test("C6: an origin that is not on trial is believed at once, whatever the others are", async () => {
    const { cache } = cacheUnderTest();
    const { token } = await cache.rejected(await cache.get(), SITE)!.next();
    cache.rejected(token, OTHER);
    expect(cache.peek()).toBeUndefined();
  });

  test("C6: a kept token whose renewal is abandoned is replaced by the next who looks", async () => {
    const { cache, grant, told } = cacheUnderTest();
    const { token } = await cache.rejected(await cache.get(), SITE)!.next();
    cache.rejected(token, SITE);
    await settle();
    expect(grant.mints).toBe(2);
    expect(cache.peek()).toBe(token);
    await settle();
    expect(cache.peek()?.value).toBe("fake-3");
    expect(told("minted").at(-1)).toMatchObject({ cause: "rejected" });
  });

  test("C6: a kept token is replaced even by its own value, once", async () => {
    const { cache, grant } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    const { token } = await cache.rejected(await cache.get(), SITE)!.next();
    const renewed = await cache.rejected(token, SITE)!.next();
    expect(renewed).toMatchObject({ final: true, token: { value: "same" } });
    for (let call = 0; call < 20; call++) {
      expect(cache.peek()?.value).toBe("same");
      await settle();
    }
    expect(grant.mints).toBe(3);
  });

  test("C6: while a mint is known to fail the token stays, and the caller gets the failure", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const token = await cache.get();
    await clock.advance(3_600_000 - 30_000);
    grant.fail(new Error("down"), Infinity);
    cache.peek();
    await settle();
    const renewal = cache.rejected(token, SITE)!;
    await expect(renewal.next()).rejects.toMatchObject({ code: "ERR_GRANT" });
    expect(cache.peek()).toBe(token);
    expect([grant.mints, cache.onTrial]).toEqual([2, false]);
  });
});

describe("close", () => {
  test("C12: after close get rejects with ERR_CLOSED, peek is empty, and nothing is minted", async () => {
    const { cache, grant } = cacheUnderTest();
    const token = await cache.get();
    await cache.close();
    expect(cache.peek()).toBeUndefined();
    await expect(cache.get()).rejects.toMatchObject({ code: "ERR_CLOSED", retryable: false });
    expect(cache.rejected(token, SITE)).toBeUndefined();
    await cache.invalidate(token.value);
    await cache.close();
    expect(grant.mints).toBe(1);
  });

  test("C12: close ends a mint under way: waiters reject, the grant's signal fires, no event, no timer", async () => {
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
    await cache.close();
    expect(got.reason).toMatchObject({ code: "ERR_CLOSED" });
    hold.release();
    await settle();
    expect(cache.peek()).toBeUndefined();
  });

  test("C12: a renewal under way when the cache is closed rejects with ERR_CLOSED", async () => {
    const { cache, grant } = cacheUnderTest();
    const renewal = cache.rejected(await cache.get(), SITE)!;
    grant.hold();
    const renewed = watch(renewal.next());
    await settle();
    await cache.close();
    await settle();
    expect(renewed.reason).toMatchObject({ code: "ERR_CLOSED" });
    await expect(renewal.next()).rejects.toMatchObject({ code: "ERR_CLOSED" });
  });
});
