import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { RemintError, TokenEndpointError, type TokenEndpointErrorOptions } from "../../src/base/errors.ts";
import { cacheUnderTest, rejectionOf, settle, TARGET } from "./cache-under-test.ts";

const HOUR = 3_600_000;

const network = (): RemintError => new RemintError("ERR_TOKEN_NETWORK", "no way there", { retryable: true });
const answer = (status: number, options: TokenEndpointErrorOptions = {}): TokenEndpointError =>
  new TokenEndpointError(status, `status ${status}`, options);

describe("C9: the cache after a failed mint", () => {
  test("C9: callers after a failed mint get the same frozen error, and no mint starts", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    grant.fail(network(), Infinity);
    const error = await rejectionOf(cache.get());
    expect(Object.isFrozen(error)).toBe(true);
    for (let call = 0; call < 100; call++) expect(await rejectionOf(cache.get())).toBe(error);
    expect(cache.peek()).toBeUndefined();
    await clock.advance(999);
    expect(await rejectionOf(cache.get())).toBe(error);
    expect(grant.mints).toBe(1);
  });

  test("C9: 1,000 callers over 10 s of an outage cause four mints", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    grant.fail(network(), Infinity);
    for (let call = 0; call < 1000; call++) {
      await rejectionOf(cache.get());
      await clock.advance(10);
    }
    // At 0, 1, 3 and 7 s.
    expect(grant.mints).toBe(4);
  });

  test("C9: after a success, the next failure is remembered for one second again", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    grant.fail(network(), 3);
    for (const pause of [1000, 2000, 4000]) {
      await rejectionOf(cache.get());
      await clock.advance(pause);
    }
    const { value } = await cache.get();
    await cache.invalidate(value);
    grant.fail(network(), Infinity);
    await rejectionOf(cache.get());
    await clock.advance(1000);
    await rejectionOf(cache.get());
    expect(grant.mints).toBe(6);
  });

  test("C9: failed background refreshes back off to 30 s while the old token is served", async () => {
    const { cache, grant, clock } = cacheUnderTest({ refreshBuffer: HOUR / 2, minValidity: 0 });
    await cache.get();
    await clock.advance(HOUR / 2);
    grant.fail(network(), Infinity);
    const failedAt: number[] = [];
    for (let at = 0; at < 100_000; at += 500) {
      const before = grant.mints;
      expect(cache.peek()?.value).toBe("fake-1");
      await settle();
      if (grant.mints > before) failedAt.push(at / 1000);
      await clock.advance(500);
    }
    expect(failedAt).toEqual([0, 1, 3, 7, 15, 31, 61, 91]);
  });

  test("C9: after a terminal refusal no further mint starts, not even for a rejected token", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const token = await cache.get();
    await clock.advance(HOUR - 30_000);
    grant.fail(answer(400, { error: "invalid_grant", terminal: true }), Infinity);
    cache.peek();
    await clock.advance(10_000);
    expect(cache.peek()).toBe(token);
    await expect(policyHalf(cache).rejected(token, TARGET)!.next()).rejects.toMatchObject({ terminal: true });
    await clock.advance(10 * HOUR);
    await expect(cache.get()).rejects.toMatchObject({ terminal: true });
    expect(grant.mints).toBe(2);
  });

  test("C9: an error that the user's grant throws repeatedly is not frozen; the RemintError around it is", async () => {
    const { cache, grant } = cacheUnderTest();
    const foreign = new Error("down");
    grant.fail(foreign, Infinity);
    const error = (await rejectionOf(cache.get())) as Error;
    expect([Object.isFrozen(foreign), Object.isFrozen(error)]).toEqual([false, true]);
    expect(error.cause).not.toBe(foreign);
    expect(error.cause).toMatchObject({ message: "down" });
  });

  test("C9: a grant may throw the same frozen RemintError repeatedly", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    const error = network();
    grant.fail(error, Infinity);
    expect(await rejectionOf(cache.get())).toBe(error);
    await clock.advance(1000);
    expect(await rejectionOf(cache.get())).toBe(error);
    expect(grant.mints).toBe(2);
  });

  test("C9: mint-failed comes once per failed mint, not once per caller", async () => {
    const { cache, grant, eventsNamed } = cacheUnderTest();
    grant.fail(network(), Infinity);
    for (let call = 0; call < 10; call++) await rejectionOf(cache.get());
    expect(eventsNamed("mint-failed")).toMatchObject([
      { cause: "cold", servedStale: false, error: { code: "ERR_TOKEN_NETWORK" } },
    ]);
  });
});
