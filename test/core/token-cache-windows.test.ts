import { describe, expect, test } from "vitest";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheOfAge, rejectionOf, settle, watch } from "./cache-under-test.ts";

const HOUR = 3_600_000;
/** An age at which the token is in its soft window, whatever the jitter, and not yet in its hard window. */
const SOFT = HOUR - 30_000;
/** An age at which the token is in its hard window. */
const HARD = HOUR - 8000;

describe("C3: the soft window", () => {
  test("C3: the soft window opens refreshBuffer before expiry, at most a tenth earlier", async () => {
    const { cache, grant, clock } = await cacheOfAge(HOUR - 66_001);
    cache.peek();
    await settle();
    expect(grant.mints).toBe(1);
    await clock.advance(6001);
    cache.peek();
    await settle();
    expect(grant.mints).toBe(2);
  });

  test("C3: the valid token is served at once, and one background refresh runs, however many callers there are", async () => {
    const { cache, grant, eventsNamed } = await cacheOfAge(SOFT);
    const hold = grant.hold();
    for (let call = 0; call < 100; call++) expect(cache.peek()?.value).toBe("fake-1");
    const got = await Promise.all(Array.from({ length: 100 }, () => cache.get()));
    expect(got.every(({ value }) => value === "fake-1")).toBe(true);
    expect(grant.mints).toBe(2);
    hold.release();
    await settle();
    expect(cache.peek()?.value).toBe("fake-2");
    expect(grant.mints).toBe(2);
    expect(eventsNamed("minted").map(({ cause }) => cause)).toEqual(["cold", "expiring"]);
  });

  test("C3: the grant gets the token that the refresh replaces", async () => {
    const { cache, grant } = await cacheOfAge(SOFT);
    cache.peek();
    await settle();
    expect(grant.contexts[0]?.previous).toBeUndefined();
    expect(grant.contexts[1]?.previous?.value).toBe("fake-1");
  });

  test("C3: with refreshBuffer 0 there is no soft window", async () => {
    const { cache, grant } = await cacheOfAge(HOUR - 1, { refreshBuffer: 0, minValidity: 0 });
    expect(cache.peek()?.value).toBe("fake-1");
    await settle();
    expect(grant.mints).toBe(1);
  });

  test("C3: after a failed refresh the old token is served, and the refresh is not repeated by every call", async () => {
    const { cache, grant, clock, eventsNamed } = await cacheOfAge(SOFT);
    grant.fail(new Error("down"), Infinity);
    for (let call = 0; call < 50; call++) {
      expect((await cache.get()).value).toBe("fake-1");
      await settle();
    }
    expect(grant.mints).toBe(2);
    expect(eventsNamed("mint-failed")).toMatchObject([{ cause: "expiring", servedStale: true }]);
    await clock.advance(1000);
    expect((await cache.get()).value).toBe("fake-1");
    await settle();
    expect(grant.mints).toBe(3);
  });

  test("C3: while a refresh never settles, the old token is served until it expires", async () => {
    const { cache, grant, clock } = await cacheOfAge(SOFT, { minValidity: 0 });
    grant.hold({ ignoreSignal: true });
    expect(cache.peek()?.value).toBe("fake-1");
    for (let at = SOFT; at < HOUR - 100; at += 100) {
      expect((await cache.get()).value).toBe("fake-1");
      await clock.advance(100);
    }
  });
});

describe("C4: the hard window", () => {
  test("C4: the hard window opens minValidity before expiry: callers wait for the refresh", async () => {
    const { cache, grant, clock } = await cacheOfAge(HOUR - 10_001);
    const hold = grant.hold();
    expect(cache.peek()?.value).toBe("fake-1");
    await clock.advance(1);
    expect(cache.peek()).toBeUndefined();
    const got = watch(cache.get());
    await settle();
    expect(got.state).toBe("pending");
    hold.release();
    await settle();
    expect(got.value?.value).toBe("fake-2");
    expect(grant.mints).toBe(2);
  });

  test("C4: callers wait at most half of what is left, then get the old token", async () => {
    const { cache, grant, clock } = await cacheOfAge(HARD);
    grant.hold();
    const got = watch(cache.get());
    await clock.advance(3999);
    expect(got.state).toBe("pending");
    await clock.advance(1);
    expect(got.value?.value).toBe("fake-1");
    expect(grant.mints).toBe(2);
  });

  test("C4: after one caller has waited in vain, later callers get the old token without waiting", async () => {
    const { cache, grant, clock } = await cacheOfAge(HARD);
    const hold = grant.hold();
    const first = watch(cache.get());
    await clock.advance(4000);
    expect(first.value?.value).toBe("fake-1");
    expect(cache.peek()?.value).toBe("fake-1");
    expect((await cache.get()).value).toBe("fake-1");
    hold.release();
    await settle();
    expect(cache.peek()?.value).toBe("fake-2");
  });

  test("C4: a caller that comes while others wait, waits for the same mint", async () => {
    const { cache, grant, clock } = await cacheOfAge(HARD);
    const hold = grant.hold();
    const first = watch(cache.get());
    await clock.advance(1000);
    const second = watch(cache.get());
    hold.release();
    await settle();
    expect([first.value?.value, second.value?.value]).toEqual(["fake-2", "fake-2"]);
    expect(grant.mints).toBe(2);
  });

  test("C4: when the mint fails, callers get the old token at once, and the failure is an event", async () => {
    const { cache, grant, eventsNamed } = await cacheOfAge(HARD);
    grant.fail(new Error("down"), Infinity);
    expect((await cache.get()).value).toBe("fake-1");
    expect((await cache.get()).value).toBe("fake-1");
    expect(grant.mints).toBe(2);
    expect(eventsNamed("mint-failed")).toMatchObject([{ servedStale: true }]);
  });

  test("C4: while every mint fails, a valid token is served until it expires, and not longer", async () => {
    const { cache, grant, clock } = await cacheOfAge(HARD);
    grant.fail(new Error("down"), Infinity);
    await cache.get();
    await clock.advance(7999);
    expect((await cache.get()).value).toBe("fake-1");
    await clock.advance(1);
    expect(cache.peek()).toBeUndefined();
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_GRANT" });
  });

  test("C4: a token that expires while callers wait is not handed out: they go on waiting for the mint", async () => {
    const { cache, grant, clock } = await cacheOfAge(HARD);
    const hold = grant.hold();
    const got = watch(cache.get());
    clock.stepWall(10_000);
    await clock.advance(4000);
    expect(got.state).toBe("pending");
    hold.release();
    await settle();
    expect(got.value?.value).toBe("fake-2");
  });

  test("C4: an abort while waiting rejects with its reason, at once, and the others still get their token", async () => {
    const { cache, grant } = await cacheOfAge(HARD);
    const hold = grant.hold();
    const controller = new AbortController();
    const leaver = watch(cache.get({ signal: controller.signal }));
    const stayer = watch(cache.get());
    await settle();
    const reason = { why: "gone" };
    controller.abort(reason);
    await settle();
    expect(leaver.reason).toBe(reason);
    hold.release();
    await settle();
    expect(stayer.value?.value).toBe("fake-2");
  });

  test("C4: waiting leaves no timer behind", async () => {
    const { cache, grant, clock } = await cacheOfAge(HARD);
    const hold = grant.hold();
    const got = Promise.all([cache.get(), cache.get(), cache.get()]);
    await settle();
    hold.release();
    await got;
    expect(clock.timers).toBe(0);
  });

  test("C4: the windows of a short-lived token open late enough for it to be used", async () => {
    const { cache, grant, clock } = await cacheOfAge(0, { grant: fakeGrant({ expiresIn: 8 }) });
    await clock.advance(3500);
    expect(cache.peek()?.value).toBe("fake-1");
    await settle();
    expect(grant.mints).toBe(1);
    grant.hold();
    await clock.advance(2499);
    expect(cache.peek()?.value).toBe("fake-1");
    await clock.advance(1);
    expect(cache.peek()).toBeUndefined();
  });
});
