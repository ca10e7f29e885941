/** One mint per fleet: cold, warm, after a rejection, in the soft window, under a 401 storm, and for failures. */
import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { fleetUnderTest, TARGET } from "./fleet-under-test.ts";

async function withoutBearer(): Promise<{ access_token: string; token_type: string }> {
  return { access_token: "no-bearer", token_type: "mac" };
}

describe("one mint per fleet", () => {
  test("8 cold processes: all get the one token", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 8 });
    const hold = grant.hold();
    const got = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(100);
    hold.release();
    await clock.advance(1000);
    expect((await got).map(({ value }) => value)).toEqual(Array.from({ length: 8 }, () => "fake-1"));
    expect(grant.mints).toBe(1);
  });

  test("warm processes: no call to the store", async () => {
    const { processes, clock, grant } = fleetUnderTest();
    const all = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(1000);
    await all;
    const before = processes.map(({ store }) => store.calls);
    for (let i = 0; i < 100; i++) for (const { cache } of processes) await cache.get();
    expect(processes.map(({ store }) => store.calls)).toEqual(before);
    expect(grant.mints).toBe(1);
  });

  test("C5: the token of 5 processes is rejected: one mint", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 5 });
    const all = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(1000);
    const tokens = await all;
    const renewed = Promise.all(
      processes.map(({ cache }, i) => policyHalf(cache).rejected(tokens[i]!, TARGET)!.next()),
    );
    await clock.advance(2000);
    expect((await renewed).map(({ token }) => token.value)).toEqual(Array.from({ length: 5 }, () => "fake-2"));
    expect(grant.mints).toBe(2);
  });

  test("C3: in the soft window one process refreshes and the others adopt its token", async () => {
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

  test("C8: an API answers every request of 16 processes with 401 for 20 s: 6 to 10 mints", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 16 });
    const all = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(1000);
    await all;
    for (let i = 0; i < 200; i++) {
      const rounds = processes.map(async ({ cache }) => {
        let token = await cache.get();
        let renewal = policyHalf(cache).rejected(token, TARGET);
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

  test("C9: a mint fails: two attempts, and the callers of all 5 processes get the failure", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 5 });
    grant.fail(Object.assign(new Error("no"), { status: 503 }), Infinity);
    const all = Promise.allSettled(processes.map(({ cache }) => cache.get()));
    await clock.advance(500);
    const outcomes = await all;
    expect(outcomes.map(({ status }) => status)).toEqual(Array.from({ length: 5 }, () => "rejected"));
    expect(grant.mints).toBe(2);
  });

  test("an initial token that no request can carry is not shared: one process mints", async () => {
    const { processes, clock, grant } = fleetUnderTest({ initial: withoutBearer });
    const all = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(1000);
    expect((await all).map(({ value }) => value)).toEqual(["fake-1", "fake-1", "fake-1"]);
    expect(grant.mints).toBe(1);
  });
});
