import { policyHalf } from "../../src/core/types.ts";
import { describe, expect, test } from "vitest";
import type { AccessToken, TokenCache } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, settle, SITE, watch } from "./cache-under-test.ts";

const HOUR = 3_600_000;

describe("Q7: once the 401 is gone there is a token or the mint's error", () => {
  test("Q7: a renewal yields a token even when it is the same value", async () => {
    const { cache, grant } = cacheUnderTest();
    const token = await cache.get();
    grant.respond({ access_token: token.value, expires_in: 60 });
    expect(await policyHalf(cache).rejected(token, SITE)!.next()).toMatchObject({
      final: true,
      token: { value: token.value },
    });
  });

  test("C7: what another has minted after this rejection answers it, even the same value again: no second mint", async () => {
    const { cache, grant, told } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    const token = await cache.get();
    const [quick, slow] = [policyHalf(cache).rejected(token, SITE)!, policyHalf(cache).rejected(token, SITE)!];
    const first = await quick.next();
    expect(await slow.next()).toEqual(first);
    expect(first.final).toBe(true);
    expect([grant.mints, told("rejected").length]).toEqual([2, 1]);
  });

  test("Q7: a mint that fails rejects the renewal with the shared error", async () => {
    const { cache, grant } = cacheUnderTest();
    const token = await cache.get();
    grant.fail(new Error("down"), Infinity);
    const [first, second] = [policyHalf(cache).rejected(token, SITE)!, policyHalf(cache).rejected(token, SITE)!];
    const failures = await Promise.allSettled([first.next(), second.next(), cache.get()]);
    const reasons = failures.map((result) => (result.status === "rejected" ? (result.reason as unknown) : undefined));
    expect(reasons[0]).toMatchObject({ code: "ERR_GRANT" });
    expect(new Set(reasons).size).toBe(1);
    expect(grant.mints).toBe(2);
  });

  test("C10: an abort rejects this renewal at once with its reason; the flight goes on for the others", async () => {
    const { cache, grant } = cacheUnderTest();
    const token = await cache.get();
    const hold = grant.hold();
    const controller = new AbortController();
    const leaver = watch(policyHalf(cache).rejected(token, SITE)!.next({ signal: controller.signal }));
    const stayer = watch(policyHalf(cache).rejected(token, SITE)!.next());
    await settle();
    controller.abort("enough");
    await settle();
    expect([leaver.state, leaver.reason, stayer.state]).toEqual(["rejected", "enough", "pending"]);
    hold.release();
    await settle();
    expect(stayer.value).toMatchObject({ token: { value: "fake-2" } });
    expect(grant.mints).toBe(2);
  });

  test("C8: a renewal that is abandoned before it begins leaves nothing broken", async () => {
    const { cache, grant } = cacheUnderTest();
    const token = await cache.get();
    policyHalf(cache).rejected(token, SITE);
    expect((await cache.get()).value).toBe("fake-2");
    expect(grant.mints).toBe(2);
  });
});

/** Rejects every token the cache has until the guard closes; gives the last token. */
async function closeGuard(cache: TokenCache): Promise<AccessToken> {
  for (let time = 0; time < 20; time++) {
    const token = await cache.get();
    const renewal = policyHalf(cache).rejected(token, SITE);
    if (renewal === undefined) return token;
    await renewal.next();
  }
  throw new Error("the guard stays open");
}

describe("C8: the guard and renewals under way", () => {
  test("C8: a second rejection that finds the guard closed is told so, and changes nothing", async () => {
    const { cache, grant } = cacheUnderTest();
    const old = await cache.get();
    const current = await closeGuard(cache);
    const mints = grant.mints;
    const renewal = policyHalf(cache).rejected(old, SITE)!;
    expect((await renewal.next()).token).toBe(current);
    expect(renewal.again(current)).toBe(false);
    expect(cache.peek()).toBe(current);
    expect(grant.mints).toBe(mints);
  });

  test("C8: a renewal that needs no mint is allowed while the guard is closed", async () => {
    const { cache, grant } = cacheUnderTest();
    const old = await cache.get();
    const current = await closeGuard(cache);
    const mints = grant.mints;
    for (let late = 0; late < 20; late++) {
      expect((await policyHalf(cache).rejected(old, SITE)!.next()).token).toBe(current);
    }
    expect(grant.mints).toBe(mints);
  });

  test("C8: a flight is joined while the guard is closed", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const current = await closeGuard(cache);
    const mints = grant.mints;
    expect(policyHalf(cache).rejected(current, SITE)).toBeUndefined();
    clock.suspend(HOUR - 30_000);
    const hold = grant.hold();
    cache.peek();
    await settle();
    const renewed = policyHalf(cache).rejected(current, SITE)!.next();
    hold.release();
    expect((await renewed).token.value).toBe(grant.last);
    expect(grant.mints).toBe(mints + 1);
  });
});
