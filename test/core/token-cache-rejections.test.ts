import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, settle, TARGET, watch } from "./cache-under-test.ts";

const OTHER = { origin: "https://other.example", path: "/" } as const;

describe("C6: what a renewal does to the cache", () => {
  test("C6: a rejection of an older token yields the cached one, and nothing is minted", async () => {
    const { cache, grant } = cacheUnderTest();
    const old = await cache.get();
    await cache.invalidate(old.value);
    const current = await cache.get();
    expect(await policyHalf(cache).rejected(old, TARGET)!.next()).toEqual({ token: current, final: false });
    expect(grant.mints).toBe(2);
  });

  test("C6: a rejection of the cached token removes it synchronously, and the renewal begins a flight", async () => {
    const { cache, grant, eventsNamed } = cacheUnderTest();
    const token = await cache.get();
    const renewal = policyHalf(cache).rejected(token, TARGET)!;
    expect(cache.peek()).toBeUndefined();
    expect(grant.mints).toBe(1);
    expect(await renewal.next()).toMatchObject({ final: true, token: { value: "fake-2" } });
    expect(eventsNamed("minted").map(({ cause }) => cause)).toEqual(["cold", "rejected"]);
  });

  test("C6: three requests rejected with the same token share one mint and one charge", async () => {
    const { cache, grant, eventsNamed } = cacheUnderTest();
    const token = await cache.get();
    const renewals = [
      policyHalf(cache).rejected(token, TARGET)!,
      policyHalf(cache).rejected(token, TARGET)!,
      policyHalf(cache).rejected(token, OTHER)!,
    ];
    const renewed = await Promise.all(renewals.map((renewal) => renewal.next()));
    expect(new Set(renewed.map(({ token: { value } }) => value))).toEqual(new Set(["fake-2"]));
    expect([grant.mints, eventsNamed("rejected").length]).toEqual([2, 1]);
  });

  test("C6: while the path is on trial, the rejected token stays for other callers until the flight lands", async () => {
    const { cache, grant } = cacheUnderTest();
    const first = await cache.get();
    const { token } = await policyHalf(cache).rejected(first, TARGET)!.next();
    expect(policyHalf(cache).onTrial).toBe(true);
    const hold = grant.hold();
    const renewed = policyHalf(cache).rejected(token, TARGET)!.next();
    expect(cache.peek()).toBe(token);
    expect(await cache.get()).toBe(token);
    await settle();
    expect(cache.peek()).toBe(token);
    hold.release();
    expect((await renewed).token.value).toBe("fake-3");
    expect(cache.peek()?.value).toBe("fake-3");
    expect(grant.mints).toBe(3);
  });

  test("C6: another path of the origin is not on trial: its rejection removes the token", async () => {
    const { cache, grant } = cacheUnderTest();
    const { token } = await policyHalf(cache)
      .rejected(await cache.get(), TARGET)!
      .next();
    grant.hold();
    policyHalf(cache).rejected(token, { ...TARGET, path: "/another" });
    expect(cache.peek()).toBeUndefined();
  });

  test("C6: a rejection by an origin that is not on trial removes the token, also while another origin is on trial", async () => {
    const { cache } = cacheUnderTest();
    const { token } = await policyHalf(cache)
      .rejected(await cache.get(), TARGET)!
      .next();
    policyHalf(cache).rejected(token, OTHER);
    expect(cache.peek()).toBeUndefined();
  });

  test("C6: a kept token whose renewal is abandoned is replaced after the next peek", async () => {
    const { cache, grant, eventsNamed } = cacheUnderTest();
    const { token } = await policyHalf(cache)
      .rejected(await cache.get(), TARGET)!
      .next();
    policyHalf(cache).rejected(token, TARGET);
    await settle();
    expect(grant.mints).toBe(2);
    expect(cache.peek()).toBe(token);
    await settle();
    expect(cache.peek()?.value).toBe("fake-3");
    expect(eventsNamed("minted").at(-1)).toMatchObject({ cause: "rejected" });
  });

  test("C6: a kept token is replaced once, even by a mint that returns the same value", async () => {
    const { cache, grant } = cacheUnderTest({ grant: fakeGrant({ response: { access_token: "same" } }) });
    const { token } = await policyHalf(cache)
      .rejected(await cache.get(), TARGET)!
      .next();
    const renewed = await policyHalf(cache).rejected(token, TARGET)!.next();
    expect(renewed).toMatchObject({ final: true, token: { value: "same" } });
    for (let call = 0; call < 20; call++) {
      expect(cache.peek()?.value).toBe("same");
      await settle();
    }
    expect(grant.mints).toBe(3);
  });

  test("C6: while a failed mint is remembered, the rejected token stays, and its caller gets the failure", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const token = await cache.get();
    policyHalf(cache).accepted(token, TARGET);
    await clock.advance(3_600_000 - 30_000);
    grant.fail(new Error("down"), Infinity);
    cache.peek();
    await settle();
    const renewal = policyHalf(cache).rejected(token, TARGET)!;
    await expect(renewal.next()).rejects.toMatchObject({ code: "ERR_GRANT" });
    expect(cache.peek()).toBe(token);
    expect([grant.mints, policyHalf(cache).onTrial]).toEqual([2, false]);
  });

  test("C6: a late 401 of an older token waits for the mint that replaces a token which is known to be rejected", async () => {
    const { cache, grant } = cacheUnderTest();
    const first = await cache.get();
    const second = await policyHalf(cache).rejected(first, TARGET)!.next();
    policyHalf(cache).rejectedAgain(second.token, OTHER);
    const hold = grant.hold();
    const third = policyHalf(cache).rejected(second.token, TARGET)!.next();
    // The path is on trial, so the second token stays for those who were not rejected.
    expect(cache.peek()).toBe(second.token);
    const late = watch(policyHalf(cache).rejected(first, TARGET)!.next());
    await settle();
    expect([late.state, grant.mints]).toEqual(["pending", 3]);
    hold.release();
    await settle();
    expect(late.value).toEqual({ token: (await third).token, final: false });
    expect((await third).token.value).toBe("fake-3");
  });
});
