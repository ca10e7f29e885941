/** Callers that ask for another token than the current one: `get({ forceRefresh: true })`. */
import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { createTokenCache, type AccessToken, type TokenCache } from "../../src/index.ts";
import { fleetUnderTest } from "../fleet/fleet-under-test.ts";
import { manualClock } from "../../src/testing/index.ts";
import { cacheUnderTest, ORIGIN, rejectionOf, settle, TARGET } from "./cache-under-test.ts";

const force = (cache: TokenCache, signal?: AbortSignal): Promise<AccessToken> =>
  cache.get({ forceRefresh: true, signal });

describe("C5: forceRefresh", () => {
  test("C5: the caller gets another token, and so does everybody after", async () => {
    const { cache, grant, eventsNamed } = cacheUnderTest();
    await cache.get();
    expect((await force(cache)).value).toBe("fake-2");
    expect(cache.peek()!.value).toBe("fake-2");
    expect(grant.mints).toBe(2);
    expect(eventsNamed("minted").map(({ cause }) => cause)).toEqual(["cold", "forced"]);
    expect(eventsNamed("invalidated")).toEqual([]);
  });

  test("C5: of an empty cache: one mint", async () => {
    const { cache, grant, eventsNamed } = cacheUnderTest();
    expect((await force(cache)).value).toBe("fake-1");
    expect(grant.mints).toBe(1);
    expect(eventsNamed("minted").map(({ cause }) => cause)).toEqual(["cold"]);
  });

  test("C5: `forceRefresh: false` and `undefined` are a plain get", async () => {
    const { cache } = cacheUnderTest();
    const token = await cache.get();
    expect(await cache.get({ forceRefresh: false })).toBe(token);
    expect(await cache.get({ forceRefresh: undefined })).toBe(token);
  });

  test.each(["true", 1, null, {}])(
    "C5: %j as forceRefresh is a TypeError that names it, and the token stays",
    async (value) => {
      const { cache } = cacheUnderTest();
      const token = await cache.get();
      const error = await rejectionOf(cache.get({ forceRefresh: value as never }));
      expect(error).toBeInstanceOf(TypeError);
      expect(String(error)).toContain('"forceRefresh"');
      expect(cache.peek()).toBe(token);
    },
  );

  test("C2, C5: 1,000 callers at once share one mint", async () => {
    const { cache, grant } = cacheUnderTest();
    await cache.get();
    const got = await Promise.all(Array.from({ length: 1000 }, () => force(cache)));
    expect(new Set(got.map(({ value }) => value))).toEqual(new Set(["fake-2"]));
    expect(grant.mints).toBe(2);
  });

  test("C2, C5: during a background refresh the caller waits for it, and it is not charged", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    await cache.get();
    await clock.advance(3_600_000 - 30_000);
    const hold = grant.hold();
    cache.peek();
    const forced = force(cache);
    await settle();
    hold.release();
    expect((await forced).value).toBe("fake-2");
    expect(grant.mints).toBe(2);
    for (let call = 0; call < 10; call++) await force(cache);
    expect(grant.mints).toBe(12);
  });

  test("C8: a loop of 100 calls costs ten mints, and gets the last of their tokens", async () => {
    const { cache, grant } = cacheUnderTest();
    await cache.get();
    let last: AccessToken | undefined;
    for (let call = 0; call < 100; call++) last = await force(cache);
    expect(grant.mints).toBe(11);
    expect(last!.value).toBe("fake-11");
  });

  test("C8: then one mint a second", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    await cache.get();
    for (let call = 0; call < 100; call++) await force(cache);
    for (let second = 0; second < 5; second++) {
      await clock.advance(1000);
      for (let call = 0; call < 10; call++) await force(cache);
    }
    expect(grant.mints).toBe(16);
  });

  test("C8: a 401 after a burst of forced refreshes finds no mint left, and waits for its turn", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    await cache.get();
    let token = await cache.get();
    for (let call = 0; call < 10; call++) token = await force(cache);
    const renewed = policyHalf(cache).rejected(token, TARGET)!.next();
    await settle();
    expect(grant.mints).toBe(11);
    await clock.advance(2000);
    expect((await renewed).token.value).toBe("fake-12");
  });

  test("C9: while a failure is remembered nothing is asked, the caller gets it, and the others keep their token", async () => {
    const { cache, grant, clock, eventsNamed } = cacheUnderTest();
    await cache.get();
    await clock.advance(3_600_000 - 50_000);
    grant.fail(new Error("down"));
    const token = cache.peek();
    await settle();
    expect(eventsNamed("mint-failed")).toHaveLength(1);
    expect(await rejectionOf(force(cache))).toMatchObject({ code: "ERR_GRANT" });
    expect(grant.mints).toBe(2);
    expect(cache.peek()).toBe(token);
    expect(token).toBeDefined();
    await clock.advance(1000);
    expect((await force(cache)).value).toBe("fake-3");
  });

  test("C8, C9: callers whom a remembered failure reaches use none of the ten mints", async () => {
    const { cache, grant, clock } = cacheUnderTest();
    await cache.get();
    grant.fail(new Error("down"));
    for (let call = 0; call < 30; call++) await rejectionOf(force(cache));
    expect(grant.mints).toBe(2);
    await clock.advance(1000);
    for (let call = 0; call < 30; call++) await force(cache);
    expect(grant.mints).toBe(12);
  });

  test("C4: other callers get the current token while the mint is under way, and when it has failed", async () => {
    const { cache, grant, eventsNamed } = cacheUnderTest();
    const token = await cache.get();
    const hold = grant.hold();
    const forced = rejectionOf(force(cache));
    await settle();
    expect(await cache.get()).toBe(token);
    hold.fail(new Error("down"));
    expect(await forced).toMatchObject({ code: "ERR_GRANT" });
    expect(cache.peek()).toBe(token);
    expect(eventsNamed("mint-failed")).toMatchObject([{ cause: "forced", servedStale: true, waiters: 1 }]);
  });

  test("C5: a server that issues the same token again: the caller gets it, and it is cached again", async () => {
    const { cache, grant } = cacheUnderTest();
    grant.respond({ access_token: "same", token_type: "Bearer", expires_in: 3600 });
    grant.respond({ access_token: "same", token_type: "Bearer", expires_in: 3600 });
    await cache.get();
    expect((await force(cache)).value).toBe("same");
    expect(grant.mints).toBe(2);
  });

  test("C10: a caller whose signal has aborted starts nothing; one who aborts later leaves the mint to the others", async () => {
    const { cache, grant } = cacheUnderTest();
    const token = await cache.get();
    expect(await rejectionOf(force(cache, AbortSignal.abort(new Error("gone"))))).toMatchObject({ message: "gone" });
    expect(cache.peek()).toBe(token);
    const hold = grant.hold();
    const controller = new AbortController();
    const forced = rejectionOf(force(cache, controller.signal));
    const other = force(cache);
    await settle();
    controller.abort(new Error("late"));
    expect(await forced).toMatchObject({ message: "late" });
    hold.release();
    expect((await other).value).toBe("fake-2");
    expect(grant.mints).toBe(2);
  });

  test("C17: a cache of another target forgets its own token only", async () => {
    const { cache } = cacheUnderTest();
    const other = cache.for({ resource: "https://other.example" });
    const token = await cache.get();
    const before = await other.get();
    expect((await force(other)).value).not.toBe(before.value);
    expect(cache.peek()).toBe(token);
  });

  test("C10: the grant itself, during a background refresh: an error that says so, and no wait for itself", async () => {
    const asked: unknown[] = [];
    const clock = manualClock();
    const cache: TokenCache = createTokenCache({
      clock,
      origins: [ORIGIN],
      grant: async () => {
        asked.push(await force(cache).catch((error: unknown) => error));
        return { access_token: `minted-${asked.length}`, expires_in: 3600 };
      },
    });
    await cache.get();
    await clock.advance(3_600_000 - 30_000);
    cache.peek();
    await settle();
    expect(asked).toHaveLength(2);
    expect(asked[1]).toMatchObject({
      code: "ERR_GRANT",
      message: "the grant asked its own token cache for a token, and would have waited for itself",
    });
  });

  test("after close: ERR_CLOSED", async () => {
    const { cache } = cacheUnderTest();
    await cache.get();
    await cache.close();
    expect(await rejectionOf(force(cache))).toMatchObject({ code: "ERR_CLOSED" });
  });

  test("C5: in a fleet the other processes adopt the new token when they next look", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 3 });
    const all = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(1000);
    await all;
    const [first, second, third] = processes.map(({ cache }) => cache) as [TokenCache, TokenCache, TokenCache];
    const forced = force(first);
    await clock.advance(1000);
    expect((await forced).value).toBe("fake-2");
    // The token that this process holds was replaced already: the process takes the new one, and mints nothing.
    const also = force(second);
    await clock.advance(1000);
    expect((await also).value).toBe("fake-2");
    expect(third.peek()!.value).toBe("fake-1");
    expect(grant.mints).toBe(2);
  });

  test("C5: in a fleet, while another process mints for the same reason: the caller waits for that token", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 2 });
    const all = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(1000);
    await all;
    const hold = grant.hold();
    const forced = Promise.all(processes.map(({ cache }) => force(cache)));
    await clock.advance(500);
    hold.release();
    await clock.advance(1000);
    expect((await forced).map(({ value }) => value)).toEqual(["fake-2", "fake-2"]);
    expect(grant.mints).toBe(2);
  });

  test("C5: in a fleet that looks at the store every second: a token that is far from its end is replaced too", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 1, fleet: { maxStaleness: 1000 } });
    const { cache } = processes[0]!;
    const first = cache.get();
    await clock.advance(1000);
    await first;
    const again = cache.get();
    await clock.advance(100);
    expect((await again).value).toBe("fake-1");
    const forced = force(cache);
    await clock.advance(1000);
    expect((await forced).value).toBe("fake-2");
    expect(grant.mints).toBe(2);
  });
});
