import { policyHalf } from "../../src/core/types.ts";
import { describe, expect, test } from "vitest";
import type { AccessToken, TokenCache } from "../../src/index.ts";
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
    const renewed = policyHalf(cache).rejected(token, SITE)!.next();
    await land();
    expect(await renewed).toMatchObject({ final: false, token: { value: "fake-2" } });
    expect(grant.mints).toBe(2);
  });

  test("C7: it does not answer the second: the re-mint is still owed", async () => {
    const { cache, grant, token, land } = await refreshing();
    const renewal = policyHalf(cache).rejected(token, SITE)!;
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
    const renewal = policyHalf(cache).rejected(old, SITE)!;
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
    const renewal = policyHalf(cache).rejected(token, SITE)!;
    const other = await cache.get();
    expect(await renewal.next()).toEqual({ token: other, final: true });
    expect(grant.mints).toBe(2);
  });

  test("C7: a second renewal takes what another request has minted after this one's rejection", async () => {
    const { cache, grant, told } = cacheUnderTest();
    const [old, adopted] = await twoTokens(cache);
    const late = policyHalf(cache).rejected(old, SITE)!;
    expect((await late.next()).token).toBe(adopted);
    const { token: newest } = await policyHalf(cache).rejected(adopted, SITE)!.next();
    expect(late.again(adopted)).toBe(true);
    expect(await late.next()).toEqual({ token: newest, final: true });
    expect([grant.mints, told("rejected").length]).toEqual([3, 1]);
  });

  test("C7: order is a counter: no clock has to move between a flight and a rejection", async () => {
    const { cache, clock } = cacheUnderTest();
    const before = clock.now();
    const [old] = await twoTokens(cache);
    const renewal = policyHalf(cache).rejected(old, SITE)!;
    expect(await renewal.next()).toMatchObject({ final: false });
    expect(
      await policyHalf(cache)
        .rejected((await renewal.next()).token, SITE)!
        .next(),
    ).toMatchObject({ final: true });
    expect(clock.now()).toBe(before);
  });

  test("C7: stepping the wall clock back changes nothing", async () => {
    const { cache, clock, token, land } = await refreshing();
    clock.stepWall(-5 * HOUR);
    const renewal = policyHalf(cache).rejected(token, SITE)!;
    const first = renewal.next();
    await land();
    expect(await first).toMatchObject({ final: false });
    renewal.again((await first).token);
    expect(await renewal.next()).toMatchObject({ final: true });
  });
});
