import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import type { AccessToken, TokenCache } from "../../src/index.ts";
import { cacheUnderTest, settle, TARGET, watch, type CacheUnderTest } from "./cache-under-test.ts";

const HOUR = 3_600_000;

/** Creates a cache that holds fake-1, and starts a background refresh that yields fake-2 when `land` is called. */
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

/** Mints two tokens in a row, so that the first one can be rejected late. */
async function twoTokens(cache: TokenCache): Promise<[AccessToken, AccessToken]> {
  const old = await cache.get();
  await cache.invalidate(old.value);
  return [old, await cache.get()];
}

describe("C7: which flight answers which renewal", () => {
  test("C7: a flight begun before the rejection answers the first renewal, and is not final", async () => {
    const { cache, grant, token, land } = await refreshing();
    const renewed = policyHalf(cache).rejected(token, TARGET)!.next();
    await land();
    expect(await renewed).toMatchObject({ final: false, token: { value: "fake-2" } });
    expect(grant.mints).toBe(2);
  });

  test("C7: a flight begun before the rejection does not answer the second renewal: another mint starts", async () => {
    const { cache, grant, token, land } = await refreshing();
    const renewal = policyHalf(cache).rejected(token, TARGET)!;
    const first = renewal.next();
    await land();
    expect(renewal.again((await first).token)).toBe(true);
    expect(await renewal.next()).toMatchObject({ final: true, token: { value: "fake-3" } });
    expect(grant.mints).toBe(3);
  });

  test("C7: the second renewal waits for a flight begun before the rejection, then mints again", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const [old, current] = await twoTokens(cache);
    await clock.advance(HOUR - 30_000);
    const hold = grant.hold();
    cache.peek();
    await settle();
    // The mint of fake-3 is in progress. The rejection of fake-1 yields fake-2, which is rejected too.
    const renewal = policyHalf(cache).rejected(old, TARGET)!;
    expect((await renewal.next()).token).toBe(current);
    expect(renewal.again(current)).toBe(true);
    const second = watch(renewal.next());
    await settle();
    expect([second.state, grant.mints]).toEqual(["pending", 3]);
    hold.release();
    await settle();
    expect(second.value).toMatchObject({ final: true, token: { value: "fake-4" } });
  });

  test("C7: the token of a flight begun after the rejection is final, also if another caller began the flight", async () => {
    const { cache, grant } = cacheUnderTest();
    const token = await cache.get();
    const renewal = policyHalf(cache).rejected(token, TARGET)!;
    const other = await cache.get();
    expect(await renewal.next()).toEqual({ token: other, final: true });
    expect(grant.mints).toBe(2);
  });

  test("C7: the second renewal takes a token that was minted for another request after this request's rejection", async () => {
    const { cache, grant, eventsNamed } = cacheUnderTest();
    const [old, current] = await twoTokens(cache);
    const late = policyHalf(cache).rejected(old, TARGET)!;
    expect((await late.next()).token).toBe(current);
    const { token: newest } = await policyHalf(cache).rejected(current, TARGET)!.next();
    expect(late.again(current)).toBe(true);
    expect(await late.next()).toEqual({ token: newest, final: true });
    expect([grant.mints, eventsNamed("rejected").length]).toEqual([3, 1]);
  });

  test("C7: flights and rejections are kept in order even if no clock moves between them", async () => {
    const { cache, clock } = cacheUnderTest();
    const before = clock.now();
    const [old] = await twoTokens(cache);
    const renewal = policyHalf(cache).rejected(old, TARGET)!;
    expect(await renewal.next()).toMatchObject({ final: false });
    expect(
      await policyHalf(cache)
        .rejected((await renewal.next()).token, TARGET)!
        .next(),
    ).toMatchObject({ final: true });
    expect(clock.now()).toBe(before);
  });

  test("C7: stepping the wall clock back does not change the order of flights and rejections", async () => {
    const { cache, clock, token, land } = await refreshing();
    clock.stepWall(-5 * HOUR);
    const renewal = policyHalf(cache).rejected(token, TARGET)!;
    const first = renewal.next();
    await land();
    expect(await first).toMatchObject({ final: false });
    renewal.again((await first).token);
    expect(await renewal.next()).toMatchObject({ final: true });
  });
});
