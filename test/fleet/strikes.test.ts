/** The storm guard in a fleet: which accepted requests remove charges. */
import { expect, test } from "vitest";
import { policyHalf, type RequestTarget } from "../../src/core/types.ts";
import { TARGET, warm, type FleetUnderTest } from "./fleet-under-test.ts";

const FORBIDDEN: RequestTarget = { origin: TARGET.origin, path: "/forbidden" };

/**
 * Revokes the token: every process is rejected with it, renews it, and the new token is accepted. Returns how many processes
 * would have given their caller a 401.
 */
async function revoke({ processes, clock }: FleetUnderTest): Promise<number> {
  let surfaced = 0;
  const calls = processes.map(async ({ cache }) => {
    const token = await cache.get();
    const renewal = policyHalf(cache).rejected(token, TARGET);
    if (renewal === undefined) {
      surfaced++;
      return;
    }
    const next = await renewal.next();
    if (next.token.value === token.value) surfaced++;
    else if (policyHalf(cache).onTrial) policyHalf(cache).accepted(next.token, TARGET);
  });
  await clock.advance(400);
  await Promise.all(calls);
  return surfaced;
}

test("C8: eight revocations in quick succession, with accepted new tokens: every renewal succeeds", async () => {
  const fleet = await warm({ size: 4 });
  const surfaced: number[] = [];
  for (let i = 0; i < 8; i++) surfaced.push(await revoke(fleet));
  expect(surfaced).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  expect(fleet.grant.mints).toBe(9);
});

test("C8: one path accepts and another rejects every token for 10 s: at most 8 mints", async () => {
  const fleet = await warm({ size: 4 });
  const { processes, clock, grant } = fleet;
  for (let i = 0; i < 100; i++) {
    const calls = processes.map(async ({ cache }) => {
      const token = await cache.get();
      await policyHalf(cache).rejected(token, FORBIDDEN)?.next();
      const now = await cache.get();
      if (policyHalf(cache).onTrial) policyHalf(cache).accepted(now, TARGET);
    });
    await clock.advance(100);
    void Promise.allSettled(calls);
  }
  // In ten seconds there are three mints without a pause, then pauses of 1, 2, 4 and 8 s.
  expect(grant.mints).toBeLessThanOrEqual(8);
});

test("C8: a token was accepted once: further acceptances make no call to the store", async () => {
  const fleet = await warm({ size: 4 });
  await revoke(fleet);
  const before = fleet.processes.reduce((sum, { store }) => sum + store.calls, 0);
  for (const { cache } of fleet.processes) {
    const token = await cache.get();
    if (policyHalf(cache).onTrial) policyHalf(cache).accepted(token, TARGET);
    policyHalf(cache).accepted(token, TARGET);
  }
  await fleet.clock.advance(100);
  expect(fleet.processes.reduce((sum, { store }) => sum + store.calls, 0)).toBe(before);
});
