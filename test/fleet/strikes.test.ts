import { policyHalf } from "../../src/core/types.ts";
import { expect, test } from "vitest";
import { SITE, warm } from "./fleet-under-test.ts";
import type { RequestTarget } from "../../src/core/types.ts";
import type { FleetUnderTest } from "./fleet-under-test.ts";

const FORBIDDEN: RequestTarget = { origin: SITE.origin, path: "/forbidden" };

/** The token is revoked: every process is rejected with it, gets another, and that is accepted. @returns Who got a 401. */
async function revoke({ processes, clock }: FleetUnderTest): Promise<number> {
  let surfaced = 0;
  const calls = processes.map(async ({ cache }) => {
    const token = await cache.get();
    const renewal = policyHalf(cache).rejected(token, SITE);
    if (renewal === undefined) {
      surfaced++;
      return;
    }
    const next = await renewal.next();
    if (next.token.value === token.value) surfaced++;
    else if (policyHalf(cache).onTrial) policyHalf(cache).accepted(next.token, SITE);
  });
  await clock.advance(400);
  await Promise.all(calls);
  return surfaced;
}

test("C8: revocations in quick succession are no storm, as long as what is minted for them is accepted", async () => {
  const fleet = await warm({ size: 4 });
  const surfaced: number[] = [];
  for (let i = 0; i < 8; i++) surfaced.push(await revoke(fleet));
  expect(surfaced).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  expect(fleet.grant.mints).toBe(9);
});

test("C8: what one path accepts is no excuse for another that rejects everything", async () => {
  const fleet = await warm({ size: 4 });
  const { processes, clock, grant } = fleet;
  for (let i = 0; i < 100; i++) {
    const calls = processes.map(async ({ cache }) => {
      const token = await cache.get();
      await policyHalf(cache).rejected(token, FORBIDDEN)?.next();
      const now = await cache.get();
      if (policyHalf(cache).onTrial) policyHalf(cache).accepted(now, SITE);
    });
    await clock.advance(100);
    void Promise.allSettled(calls);
  }
  // Ten seconds: three that are free, then pauses of 1, 2, 4 and 8 s.
  expect(grant.mints).toBeLessThanOrEqual(8);
});

test("C8: what was forgiven once is not told again", async () => {
  const fleet = await warm({ size: 4 });
  await revoke(fleet);
  const before = fleet.processes.reduce((sum, { store }) => sum + store.calls, 0);
  for (const { cache } of fleet.processes) {
    const token = await cache.get();
    if (policyHalf(cache).onTrial) policyHalf(cache).accepted(token, SITE);
    policyHalf(cache).accepted(token, SITE);
  }
  await fleet.clock.advance(100);
  expect(fleet.processes.reduce((sum, { store }) => sum + store.calls, 0)).toBe(before);
});
