/** Random races of a simulated fleet: calls, revocations, crashes, pauses and store faults in any order. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { runFleet, type FleetEvent, type FleetPlan } from "./fleet-world.ts";
import { search } from "./replay.ts";

const who = fc.nat(4);
const call = fc.record({ what: fc.constant("call" as const), who });
const revoke = fc.constant<FleetEvent>({ what: "revoke" });
const crash = fc.record({ what: fc.constant("crash" as const), who: fc.constant(0) });
const pause = fc.record({ what: fc.constant("pause" as const), who, for: fc.constantFrom(100, 2000, 3500, 8000) });
const cut = fc.record({ what: fc.constant("cut" as const), who, for: fc.constantFrom(200, 1500, 6000) });
const disturbance = fc.oneof(
  fc.constantFrom<FleetEvent>({ what: "flush" }, { what: "garble" }, { what: "fail" }),
  cut,
  pause,
);

/** Generates plans of calls with these events among them. */
function plans(
  extra: fc.Arbitrary<FleetEvent[]>,
  { expiresIn = fc.constant(36_000) }: { expiresIn?: fc.Arbitrary<number> } = {},
): fc.Arbitrary<FleetPlan> {
  const events = fc
    .tuple(fc.array(call, { minLength: 2, maxLength: 14 }), extra)
    .chain(([calls, others]) =>
      fc.shuffledSubarray<FleetEvent>([...calls, ...others], { minLength: calls.length + others.length }),
    )
    .chain((all) =>
      fc.tuple(
        ...all.map((event) => fc.record({ after: fc.constantFrom(0, 1, 5, 30, 300, 1500), event: fc.constant(event) })),
      ),
    );
  return fc.record({
    processes: fc.integer({ min: 2, max: 4 }),
    events,
    storeDelays: fc.array(fc.constantFrom(0, 1, 5, 40), { minLength: 1, maxLength: 5 }),
    mintDelays: fc.array(fc.constantFrom(0, 20, 250, 1200), { minLength: 1, maxLength: 3 }),
    expiresIn,
  });
}

function count(plan: FleetPlan, ...what: FleetEvent["what"][]): number {
  return plan.events.filter(({ event }) => what.includes(event.what)).length;
}

describe("races of a fleet", () => {
  const healthy = "a cold start and at most one revocation: one mint each, and no caller gets a 401";
  test(healthy, async () => {
    const plan = plans(fc.array(revoke, { maxLength: 1 }));
    await search(healthy, 150, plan, async (input) => {
      const seen = await runFleet(input);
      expect(seen.violations).toEqual([]);
      expect(seen.hanging).toBe(0);
      expect(seen.outcomes.filter((outcome) => outcome !== 200)).toEqual([]);
      expect(seen.mints).toBeLessThanOrEqual(1 + count(input, "revoke"));
      expect(seen.mostMintsAtOnce).toBe(1);
      expect(seen.mintsAfterwards).toBe(1);
    });
  });

  const stopped = "a crash and pauses: at most one more mint each, and no caller of a living process gets a 401";
  test(stopped, async () => {
    const extra = fc
      .tuple(fc.array(revoke, { maxLength: 1 }), fc.array(crash, { maxLength: 1 }), fc.array(pause, { maxLength: 2 }))
      .map((lists) => lists.flat());
    await search(stopped, 150, plans(extra), async (input) => {
      const seen = await runFleet(input);
      expect(seen.violations).toEqual([]);
      expect(seen.hanging).toBe(0);
      expect(seen.outcomes.filter((outcome) => outcome !== 200)).toEqual([]);
      expect(seen.mints).toBeLessThanOrEqual(1 + count(input, "revoke", "crash", "pause"));
      expect(seen.mintsAfterwards).toBe(1);
    });
  });

  const refreshing =
    "Q5: tokens that expire within seconds and processes that are cut off or pause: no caller gets a 401";
  test(refreshing, async () => {
    const extra = fc
      .tuple(fc.array(revoke, { maxLength: 1 }), fc.array(fc.oneof(cut, pause), { maxLength: 3 }))
      .map((lists) => lists.flat());
    const plan = plans(extra, { expiresIn: fc.constantFrom(2, 3, 5) });
    await search(refreshing, 150, plan, async (input) => {
      const seen = await runFleet(input);
      expect(seen.violations).toEqual([]);
      expect(seen.hanging).toBe(0);
      expect(seen.outcomes.filter((outcome) => outcome !== 200)).toEqual([]);
    });
  });

  const chaos =
    "store faults, crashes, pauses and failed mints: every caller gets an outcome, and afterwards one mint serves all";
  test(chaos, async () => {
    const extra = fc
      .tuple(
        fc.array(revoke, { maxLength: 2 }),
        fc.array(crash, { maxLength: 1 }),
        fc.array(disturbance, { maxLength: 5 }),
      )
      .map((lists) => lists.flat());
    const plan = plans(extra, { expiresIn: fc.constantFrom(4, 36_000) });
    await search(chaos, 150, plan, async (input) => {
      const seen = await runFleet(input);
      expect(seen.hanging).toBe(0);
      // A caller never gets an error of the store, only the error of a failed mint.
      const codes = seen.outcomes.filter((outcome) => typeof outcome === "string" && outcome !== "ERR_GRANT");
      expect(codes).toEqual([]);
      if (input.expiresIn > 1000) expect(seen.mintsAfterwards).toBe(1);
    });
  });
});
