import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import type { AccessToken, TokenCache } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, rejectionOf, settle, TARGET, watch } from "./cache-under-test.ts";

const HOUR = 3_600_000;

describe("Q7: a renewal yields a token or the mint's error", () => {
  test("Q7: a renewal yields a token even when the mint returns the same value", async () => {
    const { cache, grant } = cacheUnderTest();
    const token = await cache.get();
    grant.respond({ access_token: token.value, expires_in: 60 });
    expect(await policyHalf(cache).rejected(token, TARGET)!.next()).toMatchObject({
      final: true,
      token: { value: token.value },
    });
  });

  test("C7: a token minted after this rejection for another request answers this one too, even with the same value", async () => {
    const { cache, grant, eventsNamed } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    const token = await cache.get();
    const [quick, slow] = [policyHalf(cache).rejected(token, TARGET)!, policyHalf(cache).rejected(token, TARGET)!];
    const first = await quick.next();
    expect(await slow.next()).toEqual(first);
    expect(first.final).toBe(true);
    expect([grant.mints, eventsNamed("rejected").length]).toEqual([2, 1]);
  });

  test("Q7: a failed mint rejects each renewal with an error of its own, which names the request if it was given", async () => {
    const { cache, grant } = cacheUnderTest();
    const token = await cache.get();
    grant.fail(new Error("down"), Infinity);
    const [first, second] = [policyHalf(cache).rejected(token, TARGET)!, policyHalf(cache).rejected(token, TARGET)!];
    const rejected = { status: 401, url: "https://api.example/orders" };
    const failures = await Promise.allSettled([first.next({ rejected }), second.next(), cache.get()]);
    const reasons = failures.map((result) => (result.status === "rejected" ? (result.reason as unknown) : undefined));
    expect(reasons[0]).toMatchObject({ code: "ERR_GRANT", rejected });
    expect(new Set(reasons).size).toBe(3);
    for (const reason of reasons) expect(reason).toEqual(reasons[0]);
    for (const reason of reasons.slice(1)) expect(reason).not.toHaveProperty("rejected");
    // A renewal that begins while the failure is remembered.
    expect(await rejectionOf(second.next({ rejected }))).toMatchObject({ code: "ERR_GRANT", rejected });
    expect(grant.mints).toBe(2);
  });

  test("C10: an abort rejects this renewal at once with its reason; the flight goes on for the others", async () => {
    const { cache, grant } = cacheUnderTest();
    const token = await cache.get();
    const hold = grant.hold();
    const controller = new AbortController();
    const leaver = watch(policyHalf(cache).rejected(token, TARGET)!.next({ signal: controller.signal }));
    const stayer = watch(policyHalf(cache).rejected(token, TARGET)!.next());
    await settle();
    controller.abort("enough");
    await settle();
    expect([leaver.state, leaver.reason, stayer.state]).toEqual(["rejected", "enough", "pending"]);
    hold.release();
    await settle();
    expect(stayer.value).toMatchObject({ token: { value: "fake-2" } });
    expect(grant.mints).toBe(2);
  });

  test("C8: after a renewal whose token is never asked for, the next caller gets a new token", async () => {
    const { cache, grant } = cacheUnderTest();
    const token = await cache.get();
    policyHalf(cache).rejected(token, TARGET);
    expect((await cache.get()).value).toBe("fake-2");
    expect(grant.mints).toBe(2);
  });
});

/** Rejects every token of the cache until the guard closes; returns the last token. */
async function closeGuard(cache: TokenCache): Promise<AccessToken> {
  for (let time = 0; time < 20; time++) {
    const token = await cache.get();
    const renewal = policyHalf(cache).rejected(token, TARGET);
    if (renewal === undefined) return token;
    await renewal.next();
  }
  throw new Error("the guard stays open");
}

describe("C8: renewals while the guard is closed", () => {
  test("C8: a second rejection within one renewal is refused, and changes nothing", async () => {
    const { cache, grant } = cacheUnderTest();
    const old = await cache.get();
    const current = await closeGuard(cache);
    const mints = grant.mints;
    const renewal = policyHalf(cache).rejected(old, TARGET)!;
    expect((await renewal.next()).token).toBe(current);
    expect(renewal.again(current)).toBe(false);
    expect(cache.peek()).toBe(current);
    expect(grant.mints).toBe(mints);
  });

  test("C8: a renewal that needs no mint is allowed", async () => {
    const { cache, grant } = cacheUnderTest();
    const old = await cache.get();
    const current = await closeGuard(cache);
    const mints = grant.mints;
    for (let late = 0; late < 20; late++) {
      expect((await policyHalf(cache).rejected(old, TARGET)!.next()).token).toBe(current);
    }
    expect(grant.mints).toBe(mints);
  });

  test("C8: a renewal may join a flight in progress", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const current = await closeGuard(cache);
    const mints = grant.mints;
    expect(policyHalf(cache).rejected(current, TARGET)).toBeUndefined();
    clock.suspend(HOUR - 30_000);
    const hold = grant.hold();
    cache.peek();
    await settle();
    const renewed = policyHalf(cache).rejected(current, TARGET)!.next();
    hold.release();
    expect((await renewed).token.value).toBe(grant.last);
    expect(grant.mints).toBe(mints + 1);
  });
});
