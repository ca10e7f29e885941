import { policyHalf } from "../../src/core/types.ts";
import { describe, expect, test } from "vitest";
import { fleetUnderTest, SITE } from "./fleet-under-test.ts";

async function withoutBearer(): Promise<{ access_token: string; token_type: string }> {
  return { access_token: "no-bearer", token_type: "mac" };
}

describe("one mint per fleet", () => {
  test("cold: everybody gets the one token", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 8 });
    const hold = grant.hold();
    const got = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(100);
    hold.release();
    await clock.advance(1000);
    expect((await got).map(({ value }) => value)).toEqual(Array.from({ length: 8 }, () => "fake-1"));
    expect(grant.mints).toBe(1);
  });

  test("warm: no call to the store", async () => {
    const { processes, clock, grant } = fleetUnderTest();
    const all = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(1000);
    await all;
    const before = processes.map(({ store }) => store.calls);
    for (let i = 0; i < 100; i++) for (const { cache } of processes) await cache.get();
    expect(processes.map(({ store }) => store.calls)).toEqual(before);
    expect(grant.mints).toBe(1);
  });

  test("C5: a revocation costs one mint, whoever is rejected first", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 5 });
    const all = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(1000);
    const tokens = await all;
    const renewed = Promise.all(processes.map(({ cache }, i) => policyHalf(cache).rejected(tokens[i]!, SITE)!.next()));
    await clock.advance(2000);
    expect((await renewed).map(({ token }) => token.value)).toEqual(Array.from({ length: 5 }, () => "fake-2"));
    expect(grant.mints).toBe(2);
  });

  test("C3: one process refreshes, the others take it over", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 5 });
    const all = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(1000);
    await all;
    await clock.advance(3600_000 - 58_000);
    for (let i = 0; i < 10; i++) {
      for (const { cache } of processes) expect(cache.peek()).toBeDefined();
      await clock.advance(500);
    }
    expect(grant.mints).toBe(2);
    expect(processes.map(({ cache }) => cache.peek()!.value)).toEqual(Array.from({ length: 5 }, () => "fake-2"));
  });

  test("C8: an API that says 401 to everything costs the fleet at most 10 mints in 20 s", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 16 });
    const all = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(1000);
    await all;
    for (let i = 0; i < 200; i++) {
      const rounds = processes.map(async ({ cache }) => {
        let token = await cache.get();
        let renewal = policyHalf(cache).rejected(token, SITE);
        for (let sends = 1; renewal !== undefined && sends < 3; sends++) {
          const next = await renewal.next();
          if (next.final) return;
          token = next.token;
          if (!renewal.again(token)) renewal = undefined;
        }
      });
      await clock.advance(100);
      void Promise.all(rounds);
    }
    expect(grant.mints).toBeLessThanOrEqual(10);
    expect(grant.mints).toBeGreaterThanOrEqual(6);
  });

  test("C9: a failed mint is everybody's", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 5 });
    grant.fail(Object.assign(new Error("no"), { status: 503 }), Infinity);
    const all = Promise.allSettled(processes.map(({ cache }) => cache.get()));
    await clock.advance(500);
    const outcomes = await all;
    expect(outcomes.map(({ status }) => status)).toEqual(Array.from({ length: 5 }, () => "rejected"));
    expect(grant.mints).toBe(1);
  });

  test("fleet: a token to start with that no request can carry is not shared: somebody mints", async () => {
    const { processes, clock, grant } = fleetUnderTest({ initial: withoutBearer });
    const all = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(1000);
    expect((await all).map(({ value }) => value)).toEqual(["fake-1", "fake-1", "fake-1"]);
    expect(grant.mints).toBe(1);
  });
});
