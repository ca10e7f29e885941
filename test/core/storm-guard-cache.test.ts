import { policyHalf } from "../../src/core/types.ts";
import { describe, expect, test } from "vitest";
import type { TokenCache } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, settle, SITE } from "./cache-under-test.ts";

const site = (origin: string, path = "/"): { origin: string; path: string } => ({ origin, path });

/** One request to an API that says 401 to everything, resent once. */
async function request(cache: TokenCache, at = SITE as { origin: string; path: string }): Promise<boolean> {
  const renewal = policyHalf(cache).rejected(await cache.get(), at);
  await renewal?.next();
  return renewal !== undefined;
}

describe("C8: the cache at its guard", () => {
  test("C8: twenty calls to an always-401 API cost at most four mints", async () => {
    const { cache, grant, told } = cacheUnderTest();
    for (let call = 0; call < 20; call++) await request(cache);
    expect(grant.mints).toBe(4);
    expect([told("rejected").length, told("renewal-refused").length]).toEqual([3, 17]);
    expect(told("renewal-refused")[0]).toEqual({ name: "renewal-refused", ...SITE });
  });

  test("C8: closed, nothing changes: the token stays and is served", async () => {
    const { cache, grant } = cacheUnderTest();
    for (let call = 0; call < 4; call++) await request(cache);
    const current = cache.peek();
    const { mints } = grant;
    expect(policyHalf(cache).rejected(current!, SITE)).toBeUndefined();
    await settle();
    expect(cache.peek()).toBe(current);
    expect(grant.mints).toBe(mints);
  });

  test("C8: the same live token handed out again is no way around it", async () => {
    const { cache, grant, clock } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    for (let call = 0; call < 50; call++) await request(cache);
    expect(grant.mints).toBe(4);
    for (let call = 0; call < 50; call++) {
      await clock.advance(100);
      await request(cache);
    }
    expect(grant.mints).toBe(6);
  });

  test("C8: late 401s to earlier mintings of the same value do not mint each", async () => {
    const { cache, grant } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    const first = await cache.get();
    for (let late = 0; late < 50; late++) await policyHalf(cache).rejected(first, SITE)?.next();
    expect(grant.mints).toBe(4);
  });

  test("C8: late 401s to the same value at many origins and paths do not mint each", async () => {
    const { cache, grant } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    const first = await cache.get();
    for (let late = 0; late < 50; late++)
      await policyHalf(cache)
        .rejected(first, site(`https://${late % 7}.example`, `/${late}`))
        ?.next();
    expect(grant.mints).toBeLessThanOrEqual(1 + 10);
  });

  test("C8: callers at the same time with a token that comes back the same share one mint per round", async () => {
    const { cache, grant } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    for (let round = 0; round < 10; round++) {
      const current = await cache.get();
      await Promise.all(Array.from({ length: 100 }, async () => policyHalf(cache).rejected(current, SITE)?.next()));
    }
    expect(grant.mints).toBe(4);
  });

  test("C8: a renewal is charged when it starts: those who never ask for the token pay as well", async () => {
    const { cache, grant } = cacheUnderTest();
    for (let call = 0; call < 20; call++) {
      const current = await cache.get();
      policyHalf(cache).rejected(current, SITE);
      await settle();
    }
    expect(grant.mints).toBeLessThanOrEqual(4);
  });

  test("C8: one revocation seen by many paths and origins is one charge", async () => {
    const { cache, grant, told } = cacheUnderTest();
    const current = await cache.get();
    const sites = Array.from({ length: 30 }, (_, index) => site(`https://${index % 3}.example`, `/${index}`));
    await Promise.all(sites.map((at) => policyHalf(cache).rejected(current, at)!.next()));
    expect([grant.mints, told("rejected").length]).toEqual([2, 1]);
  });

  test("C8: a healthy API is never closed: the acceptance of each new token clears it", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    for (let revocation = 0; revocation < 100; revocation++) {
      expect(await request(cache)).toBe(true);
      policyHalf(cache).accepted(cache.peek()!, SITE);
      expect(policyHalf(cache).onTrial).toBe(false);
      await clock.advance(2000);
    }
    expect(grant.mints).toBe(101);
  });
});
