import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import type { TokenCache } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, settle, TARGET } from "./cache-under-test.ts";

const targetAt = (origin: string, path = "/"): { origin: string; path: string } => ({ origin, path });

/** Sends one request to an API that rejects every token; returns whether the guard allowed the renewal. */
async function request(cache: TokenCache, at = TARGET as { origin: string; path: string }): Promise<boolean> {
  const renewal = policyHalf(cache).rejected(await cache.get(), at);
  await renewal?.next();
  return renewal !== undefined;
}

describe("C8: the storm guard of a cache", () => {
  test("C8: twenty calls to an always-401 API cost at most four mints", async () => {
    const { cache, grant, eventsNamed } = cacheUnderTest();
    for (let call = 0; call < 20; call++) await request(cache);
    expect(grant.mints).toBe(4);
    expect([eventsNamed("rejected").length, eventsNamed("renewal-refused").length]).toEqual([3, 17]);
    expect(eventsNamed("renewal-refused")[0]).toEqual({ name: "renewal-refused", ...TARGET });
  });

  test("C8: while the guard is closed, the token stays and is served", async () => {
    const { cache, grant } = cacheUnderTest();
    for (let call = 0; call < 4; call++) await request(cache);
    const current = cache.peek();
    const { mints } = grant;
    expect(policyHalf(cache).rejected(current!, TARGET)).toBeUndefined();
    await settle();
    expect(cache.peek()).toBe(current);
    expect(grant.mints).toBe(mints);
  });

  test("C8: mints that return the same value again are limited too", async () => {
    const { cache, grant, clock } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    for (let call = 0; call < 50; call++) await request(cache);
    expect(grant.mints).toBe(4);
    for (let call = 0; call < 50; call++) {
      await clock.advance(100);
      await request(cache);
    }
    expect(grant.mints).toBe(6);
  });

  test("C8: 50 late 401s for a value that every mint returns again cost three renewal mints", async () => {
    const { cache, grant } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    const first = await cache.get();
    for (let late = 0; late < 50; late++) await policyHalf(cache).rejected(first, TARGET)?.next();
    expect(grant.mints).toBe(4);
  });

  test("C8: 50 late 401s for such a value at many origins and paths cost ten renewal mints, and one a second", async () => {
    const { cache, grant, clock } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    const first = await cache.get();
    const renewals: Promise<unknown>[] = [];
    for (let late = 0; late < 50; late++) {
      const renewal = policyHalf(cache).rejected(first, targetAt(`https://${late % 7}.example`, `/${late}`));
      if (renewal !== undefined) renewals.push(renewal.next());
      await settle();
    }
    expect(grant.mints).toBeLessThanOrEqual(1 + 10);
    for (let second = 1; second <= 11; second++) {
      await clock.advance(1000);
      expect(grant.mints).toBeLessThanOrEqual(1 + 10 + second);
    }
    // Nobody waits longer than that.
    await Promise.all(renewals);
  });

  test("C8: concurrent callers with such a value share one mint per round", async () => {
    const { cache, grant } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    for (let round = 0; round < 10; round++) {
      const current = await cache.get();
      await Promise.all(Array.from({ length: 100 }, async () => policyHalf(cache).rejected(current, TARGET)?.next()));
    }
    expect(grant.mints).toBe(4);
  });

  test("C8: a renewal is charged when it starts, also if its token is never asked for", async () => {
    const { cache, grant } = cacheUnderTest();
    for (let call = 0; call < 20; call++) {
      const current = await cache.get();
      policyHalf(cache).rejected(current, TARGET);
      await settle();
    }
    expect(grant.mints).toBeLessThanOrEqual(4);
  });

  test("C8: one revocation that many paths and origins report is one charge", async () => {
    const { cache, grant, eventsNamed } = cacheUnderTest();
    const current = await cache.get();
    const targets = Array.from({ length: 30 }, (_, index) => targetAt(`https://${index % 3}.example`, `/${index}`));
    await Promise.all(targets.map((at) => policyHalf(cache).rejected(current, at)!.next()));
    expect([grant.mints, eventsNamed("rejected").length]).toEqual([2, 1]);
  });

  test("C8: the guard never closes for an API that accepts each new token", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    for (let revocation = 0; revocation < 100; revocation++) {
      expect(await request(cache)).toBe(true);
      policyHalf(cache).accepted(cache.peek()!, TARGET);
      expect(policyHalf(cache).onTrial).toBe(false);
      await clock.advance(2000);
    }
    expect(grant.mints).toBe(101);
  });
});
