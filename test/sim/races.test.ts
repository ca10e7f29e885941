/** Random races of the cache and the request policy: callers, revocations, invalidations, time and failed mints. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BROKEN, FOREIGN, HEALTHY, race, type CallerPlan, type RacePlan } from "./race.ts";
import { search } from "./replay.ts";

const calm: RacePlan = {
  callers: [],
  revocations: 0,
  invalidations: 0,
  lateInvalidations: 0,
  ticks: [],
  failures: 0,
  oneLive: false,
  repeats: false,
  expiresIn: 36_000,
};

const callers = (urls: readonly string[]): fc.Arbitrary<CallerPlan[]> =>
  fc.array(fc.record({ url: fc.constantFrom(...urls), stream: maybe(0.1), aborts: maybe(0.2) }), {
    minLength: 1,
    maxLength: 8,
  });

/** Generates `true` with this probability. */
function maybe(probability: number): fc.Arbitrary<boolean> {
  return fc.nat(99).map((percent) => percent < probability * 100);
}

/** Steps of the clock that together are shorter than the time limit of a mint. */
const ticks = fc.array(fc.constantFrom(10, 400, 900, 2000), { maxLength: 4 });

describe("races of the cache and the request policy", () => {
  const oneRevocation = "Q5: one revocation and a healthy API: no caller gets a 401";
  test(oneRevocation, async () => {
    const plan = fc.record({
      ...fixed(calm),
      callers: callers(HEALTHY),
      revocations: fc.constantFrom(0, 1),
      ticks,
      expiresIn: fc.constantFrom(2, 36_000),
    });
    await search(oneRevocation, 1500, fc.tuple(fc.scheduler(), plan), async ([scheduler, input]) => {
      const seen = await race(scheduler, input);
      expect(seen.violations).toEqual([]);
      expect(seen.surfaced).toEqual([]);
      if (input.ticks.length === 0) expect(seen.mints).toBeLessThanOrEqual(1 + input.revocations);
    });
  });

  const lateRejections = "C5, C6: revocations whose 401s arrive late: one mint for each";
  test(lateRejections, async () => {
    const plan = fc.record({
      ...fixed(calm),
      callers: callers(HEALTHY),
      revocations: fc.nat(3),
      lateInvalidations: fc.nat(2),
    });
    await search(lateRejections, 1000, fc.tuple(fc.scheduler(), plan), async ([scheduler, input]) => {
      const seen = await race(scheduler, input);
      const { revocations } = input;
      expect(seen.violations).toEqual([]);
      // From the second revocation on, a request may get a token that is revoked too, and the flight in progress is then too
      // old for its second renewal (C7).
      expect(seen.mints).toBeLessThanOrEqual(Math.max(1 + revocations, 2 * revocations));
    });
  });

  const brokenPath = "C8: a path that rejects every token: no more mints than the storm guard charges";
  test(brokenPath, async () => {
    const plan = fc.record({
      ...fixed(calm),
      callers: callers([...HEALTHY, BROKEN, BROKEN, FOREIGN]),
      revocations: fc.nat(2),
      invalidations: fc.nat(1),
      oneLive: fc.boolean(),
      repeats: fc.boolean(),
    });
    await search(brokenPath, 1000, fc.tuple(fc.scheduler(), plan), async ([scheduler, input]) => {
      const seen = await race(scheduler, input);
      expect(seen.violations).toEqual([]);
      expect(seen.charges).toBeLessThanOrEqual(10);
      // If a flight returns a token that was rejected meanwhile, the cache does not keep it (C5), and a caller mints again.
      const notKept = input.repeats ? Math.max(0, seen.discardsUncharged) : 0;
      expect(seen.mints).toBeLessThanOrEqual(1 + seen.charges + input.invalidations + notKept);
    });
  });

  const chaos = "C10: revocations, invalidations, aborts, time and failed mints at once: every caller gets an outcome";
  test(chaos, async () => {
    const plan = fc.record({
      callers: callers([...HEALTHY, BROKEN, FOREIGN]),
      revocations: fc.nat(2),
      invalidations: fc.nat(2),
      lateInvalidations: fc.nat(2),
      ticks: fc.array(fc.constantFrom(10, 900, 2000, 9000), { maxLength: 6 }),
      failures: fc.nat(2),
      oneLive: fc.boolean(),
      repeats: fc.boolean(),
      expiresIn: fc.constantFrom(1, 2, 60, 36_000),
    });
    await search(chaos, 1000, fc.tuple(fc.scheduler(), plan), async ([scheduler, input]) => {
      const seen = await race(scheduler, input);
      expect(seen.violations).toEqual([]);
      expect(seen.charges).toBeLessThanOrEqual(10 + seen.elapsed / 1000);
    });
  });
});

function fixed(plan: RacePlan): { [Key in keyof RacePlan]: fc.Arbitrary<RacePlan[Key]> } {
  return {
    callers: fc.constant(plan.callers),
    revocations: fc.constant(plan.revocations),
    invalidations: fc.constant(plan.invalidations),
    lateInvalidations: fc.constant(plan.lateInvalidations),
    ticks: fc.constant(plan.ticks),
    failures: fc.constant(plan.failures),
    oneLive: fc.constant(plan.oneLive),
    repeats: fc.constant(plan.repeats),
    expiresIn: fc.constant(plan.expiresIn),
  };
}
