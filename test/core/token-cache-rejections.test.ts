import { policyHalf } from "../../src/core/types.ts";
import { describe, expect, test } from "vitest";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, settle, SITE } from "./cache-under-test.ts";

const OTHER = { origin: "https://other.example", path: "/" } as const;

describe("C6: what a renewal does to the cache", () => {
  test("C6: if another token is cached it is used and nothing is minted", async () => {
    const { cache, grant } = cacheUnderTest();
    const old = await cache.get();
    await cache.invalidate(old.value);
    const current = await cache.get();
    expect(await policyHalf(cache).rejected(old, SITE)!.next()).toEqual({ token: current, final: false });
    expect(grant.mints).toBe(2);
  });

  test("C6: else the rejected one is forgotten before anything is awaited, and a flight begun", async () => {
    const { cache, grant, told } = cacheUnderTest();
    const token = await cache.get();
    const renewal = policyHalf(cache).rejected(token, SITE)!;
    expect(cache.peek()).toBeUndefined();
    expect(grant.mints).toBe(1);
    expect(await renewal.next()).toMatchObject({ final: true, token: { value: "fake-2" } });
    expect(told("minted").map(({ cause }) => cause)).toEqual(["cold", "rejected"]);
  });

  test("C6: two who are rejected with the same token share the mint and one charge", async () => {
    const { cache, grant, told } = cacheUnderTest();
    const token = await cache.get();
    const renewals = [
      policyHalf(cache).rejected(token, SITE)!,
      policyHalf(cache).rejected(token, SITE)!,
      policyHalf(cache).rejected(token, OTHER)!,
    ];
    const renewed = await Promise.all(renewals.map((renewal) => renewal.next()));
    expect(new Set(renewed.map(({ token: { value } }) => value))).toEqual(new Set(["fake-2"]));
    expect([grant.mints, told("rejected").length]).toEqual([2, 1]);
  });

  test("C6: while the origin is on trial the token stays for the others until the flight lands", async () => {
    const { cache, grant } = cacheUnderTest();
    const first = await cache.get();
    const { token } = await policyHalf(cache).rejected(first, SITE)!.next();
    expect(policyHalf(cache).onTrial).toBe(true);
    const hold = grant.hold();
    const renewed = policyHalf(cache).rejected(token, SITE)!.next();
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
    const { token } = await policyHalf(cache)
      .rejected(await cache.get(), SITE)!
      .next();
    grant.hold();
    policyHalf(cache).rejected(token, { ...SITE, path: "/another" });
    expect(cache.peek()).toBe(token);
  });

  test("C6: an origin that is not on trial is believed at once, whatever the others are", async () => {
    const { cache } = cacheUnderTest();
    const { token } = await policyHalf(cache)
      .rejected(await cache.get(), SITE)!
      .next();
    policyHalf(cache).rejected(token, OTHER);
    expect(cache.peek()).toBeUndefined();
  });

  test("C6: a kept token whose renewal is abandoned is replaced by the next who looks", async () => {
    const { cache, grant, told } = cacheUnderTest();
    const { token } = await policyHalf(cache)
      .rejected(await cache.get(), SITE)!
      .next();
    policyHalf(cache).rejected(token, SITE);
    await settle();
    expect(grant.mints).toBe(2);
    expect(cache.peek()).toBe(token);
    await settle();
    expect(cache.peek()?.value).toBe("fake-3");
    expect(told("minted").at(-1)).toMatchObject({ cause: "rejected" });
  });

  test("C6: a kept token is replaced even by its own value, once", async () => {
    const { cache, grant } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    const { token } = await policyHalf(cache)
      .rejected(await cache.get(), SITE)!
      .next();
    const renewed = await policyHalf(cache).rejected(token, SITE)!.next();
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
    const renewal = policyHalf(cache).rejected(token, SITE)!;
    await expect(renewal.next()).rejects.toMatchObject({ code: "ERR_GRANT" });
    expect(cache.peek()).toBe(token);
    expect([grant.mints, policyHalf(cache).onTrial]).toEqual([2, false]);
  });
});
