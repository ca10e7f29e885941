import { describe, expect, test } from "vitest";
import type { AccessToken, TokenCache } from "../src/index.ts";
import { fakeGrant } from "../src/testing/index.ts";
import { cacheUnderTest, settle, SITE, watch, type CacheUnderTest } from "./cache-under-test.ts";

const HOUR = 3_600_000;

/** A cache with fake-1 in it and a background refresh under way that will yield fake-2. */
async function refreshing(): Promise<
  CacheUnderTest & { readonly token: AccessToken; readonly land: () => Promise<void> }
> {
  const under = cacheUnderTest();
  const token = await under.cache.get();
  await under.clock.advance(HOUR - 30_000);
  const hold = under.grant.hold();
  under.cache.peek();
  await settle();
  const land = async (): Promise<void> => {
    hold.release();
    await settle();
  };
  return { ...under, token, land };
}

/** Two cached tokens in a row: the first one is what late rejections are about. */
async function twoTokens(cache: TokenCache): Promise<[AccessToken, AccessToken]> {
  const old = await cache.get();
  await cache.invalidate(old.value);
  return [old, await cache.get()];
}

describe("C7: which flight answers which renewal", () => {
  test("C7: a flight begun before the rejection answers the first renewal, and is not final", async () => {
    const { cache, grant, token, land } = await refreshing();
    const renewed = cache.rejected(token, SITE)!.next();
    await land();
    expect(await renewed).toMatchObject({ final: false, token: { value: "fake-2" } });
    expect(grant.mints).toBe(2);
  });

  test("C7: it does not answer the second: the re-mint is still owed", async () => {
    const { cache, grant, token, land } = await refreshing();
    const renewal = cache.rejected(token, SITE)!;
    const first = renewal.next();
    await land();
    expect(renewal.again((await first).token)).toBe(true);
    expect(await renewal.next()).toMatchObject({ final: true, token: { value: "fake-3" } });
    expect(grant.mints).toBe(3);
  });

  test("C7: a flight still under way that was begun before the rejection is waited for and then outdone", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const [old, adopted] = await twoTokens(cache);
    await clock.advance(HOUR - 30_000);
    const hold = grant.hold();
    cache.peek();
    await settle();
    // fake-3 is under way. The rejection of fake-1 adopts fake-2, which is dead too.
    const renewal = cache.rejected(old, SITE)!;
    expect((await renewal.next()).token).toBe(adopted);
    expect(renewal.again(adopted)).toBe(true);
    const second = watch(renewal.next());
    await settle();
    expect([second.state, grant.mints]).toEqual(["pending", 3]);
    hold.release();
    await settle();
    expect(second.value).toMatchObject({ final: true, token: { value: "fake-4" } });
  });

  test("C7: a flight begun after the rejection is final, whoever began it", async () => {
    const { cache, grant } = cacheUnderTest();
    const token = await cache.get();
    const renewal = cache.rejected(token, SITE)!;
    const other = await cache.get();
    expect(await renewal.next()).toEqual({ token: other, final: true });
    expect(grant.mints).toBe(2);
  });

  test("C7: a second renewal takes what another request has minted after this one's rejection", async () => {
    const { cache, grant, told } = cacheUnderTest();
    const [old, adopted] = await twoTokens(cache);
    const late = cache.rejected(old, SITE)!;
    expect((await late.next()).token).toBe(adopted);
    const { token: newest } = await cache.rejected(adopted, SITE)!.next();
    expect(late.again(adopted)).toBe(true);
    expect(await late.next()).toEqual({ token: newest, final: true });
    expect([grant.mints, told("rejected").length]).toEqual([3, 1]);
  });

  test("C7: order is a counter: no clock has to move between a flight and a rejection", async () => {
    const { cache, clock } = cacheUnderTest();
    const before = clock.now();
    const [old] = await twoTokens(cache);
    const renewal = cache.rejected(old, SITE)!;
    expect(await renewal.next()).toMatchObject({ final: false });
    expect(await cache.rejected((await renewal.next()).token, SITE)!.next()).toMatchObject({ final: true });
    expect(clock.now()).toBe(before);
  });

  test("C7: stepping the wall clock back changes nothing", async () => {
    const { cache, clock, token, land } = await refreshing();
    clock.stepWall(-5 * HOUR);
    const renewal = cache.rejected(token, SITE)!;
    const first = renewal.next();
    await land();
    expect(await first).toMatchObject({ final: false });
    renewal.again((await first).token);
    expect(await renewal.next()).toMatchObject({ final: true });
  });
});

describe("Q7: once the 401 is gone there is a token or the mint's error", () => {
  test("Q7: a renewal yields a token even when it is the same value", async () => {
    const { cache, grant } = cacheUnderTest();
    const token = await cache.get();
    grant.respond({ access_token: token.value, expires_in: 60 });
    expect(await cache.rejected(token, SITE)!.next()).toMatchObject({ final: true, token: { value: token.value } });
  });

  test("C7: what another has minted after this rejection answers it, even the same value again: no second mint", async () => {
    const { cache, grant, told } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    const token = await cache.get();
    const [quick, slow] = [cache.rejected(token, SITE)!, cache.rejected(token, SITE)!];
    const first = await quick.next();
    expect(await slow.next()).toEqual(first);
    expect(first.final).toBe(true);
    expect([grant.mints, told("rejected").length]).toEqual([2, 1]);
  });

  test("Q7: a mint that fails rejects the renewal with the shared error", async () => {
    const { cache, grant } = cacheUnderTest();
    const token = await cache.get();
    grant.fail(new Error("down"), Infinity);
    const [first, second] = [cache.rejected(token, SITE)!, cache.rejected(token, SITE)!];
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
    const leaver = watch(cache.rejected(token, SITE)!.next({ signal: controller.signal }));
    const stayer = watch(cache.rejected(token, SITE)!.next());
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
    cache.rejected(token, SITE);
    expect((await cache.get()).value).toBe("fake-2");
    expect(grant.mints).toBe(2);
  });
});

describe("C8: the guard and renewals under way", () => {
  /** Rejects every token the cache has until the guard closes; gives the last token. */
  async function closeGuard(cache: TokenCache): Promise<AccessToken> {
    for (;;) {
      const token = await cache.get();
      const renewal = cache.rejected(token, SITE);
      if (renewal === undefined) return token;
      await renewal.next();
    }
  }

  test("C8: a second rejection that finds the guard closed is told so, and changes nothing", async () => {
    const { cache, grant } = cacheUnderTest();
    const old = await cache.get();
    const current = await closeGuard(cache);
    const mints = grant.mints;
    const renewal = cache.rejected(old, SITE)!;
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
      expect((await cache.rejected(old, SITE)!.next()).token).toBe(current);
    }
    expect(grant.mints).toBe(mints);
  });

  test("C8: a flight is joined while the guard is closed", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const current = await closeGuard(cache);
    const mints = grant.mints;
    expect(cache.rejected(current, SITE)).toBeUndefined();
    clock.suspend(HOUR - 30_000);
    const hold = grant.hold();
    cache.peek();
    await settle();
    const renewed = cache.rejected(current, SITE)!.next();
    hold.release();
    expect((await renewed).token.value).toBe(grant.last);
    expect(grant.mints).toBe(mints + 1);
  });
});
