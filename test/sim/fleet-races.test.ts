/**
 * Random races of a simulated fleet: calls, revocations, deaths, pauses, store faults, sick processes and old records in any
 * order. The rules that are checked throughout are in fleet-judge.ts.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { runFleet, type FleetEvent, type FleetOutcome, type FleetPlan, type Sickness } from "./fleet-world.ts";
import { search } from "./replay.ts";

const who = fc.nat(4);
const call = fc.record({ what: fc.constant("call" as const), who });
const revoke = fc.constant<FleetEvent>({ what: "revoke" });
const crash = fc.record({ what: fc.constant("crash" as const), who: fc.constant(0) });
const pause = fc.record({ what: fc.constant("pause" as const), who, for: fc.constantFrom(100, 2000, 3500, 8000) });
const callEither = fc.record({
  what: fc.constant("call" as const),
  who,
  key: fc.constantFrom("orders" as const, "orders" as const, "invoices" as const),
});
const die = fc.record({ what: fc.constant("die" as const), who, steps: fc.nat(9) });
const sickness = fc.constantFrom<Sickness>("refused", "secret", "down", "silent");
const sick = fc.record({ what: fc.constant("sick" as const), who, how: sickness });
const well = fc.record({ what: fc.constant("well" as const), who });
const wait = fc.record({ what: fc.constant("wait" as const), for: fc.constantFrom(500, 1000, 2500, 6000) });
const replay = fc.record({ what: fc.constant("replay" as const), ago: fc.nat(8) });
const cut = fc.record({ what: fc.constant("cut" as const), who, for: fc.constantFrom(200, 1500, 6000) });
const disturbance = fc.oneof(
  fc.constantFrom<FleetEvent>({ what: "flush" }, { what: "garble" }, { what: "fail" }),
  cut,
  pause,
);

interface PlanOptions {
  readonly expiresIn?: fc.Arbitrary<number>;
  readonly retries?: fc.Arbitrary<number>;
  readonly calls?: fc.Arbitrary<FleetEvent>;
}

/** Generates plans of calls with these events among them. */
function plans(
  extra: fc.Arbitrary<FleetEvent[]>,
  { expiresIn = fc.constant(36_000), retries = fc.constant(0), calls = call }: PlanOptions = {},
): fc.Arbitrary<FleetPlan> {
  const events = fc
    .tuple(fc.array(calls, { minLength: 2, maxLength: 14 }), extra)
    .chain(([all, others]) =>
      fc.shuffledSubarray<FleetEvent>([...all, ...others], { minLength: all.length + others.length }),
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
    retries,
  });
}

function count(plan: FleetPlan, ...what: FleetEvent["what"][]): number {
  return plan.events.filter(({ event }) => what.includes(event.what)).length;
}

describe("races of a fleet", () => {
  const healthy = "a cold start and at most one revocation: one mint each, and no caller gets a 401";
  test(healthy, async () => {
    const plan = plans(fc.array(revoke, { maxLength: 1 }));
    await search(healthy, 40, plan, async (input) => {
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
    await search(stopped, 40, plans(extra), async (input) => {
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
    await search(refreshing, 40, plan, async (input) => {
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
    await search(chaos, 40, plan, async (input) => {
      const seen = await runFleet(input);
      expect(seen.hanging).toBe(0);
      // A caller never gets an error of the store, only the error of a failed mint.
      const codes = seen.outcomes.filter((outcome) => typeof outcome === "string" && outcome !== "ERR_TOKEN_ENDPOINT");
      expect(codes).toEqual([]);
      if (input.expiresIn > 1000) expect(seen.mintsAfterwards).toBe(1);
    });
  });

  const dying =
    "C9: processes that die at any step, before or after any call: one more mint each, and the others are served";
  test(dying, async () => {
    const extra = fc
      .tuple(fc.array(revoke, { maxLength: 1 }), fc.array(die, { minLength: 1, maxLength: 2 }))
      .map((lists) => lists.flat());
    await search(dying, 30, plans(extra), async (input) => {
      const seen = await runFleet(input);
      expect(seen.violations).toEqual([]);
      expect(seen.hanging).toBe(0);
      expect(seen.outcomes.filter((outcome) => outcome !== 200)).toEqual([]);
      expect(seen.mints).toBeLessThanOrEqual(1 + count(input, "revoke", "die"));
    });
  });

  const old =
    "S6: old records are put back at any moment: every caller gets an outcome, and afterwards one mint serves all";
  test(old, async () => {
    const extra = fc
      .tuple(
        fc.array(revoke, { maxLength: 2 }),
        fc.array(replay, { minLength: 1, maxLength: 6 }),
        fc.array(fc.oneof(sick, well), { maxLength: 2 }),
      )
      .map((lists) => lists.flat());
    await search(old, 30, plans(extra, { expiresIn: fc.constantFrom(5, 36_000) }), async (input) => {
      const seen = await runFleet(input);
      expect(seen.hanging).toBe(0);
      if (input.expiresIn > 1000) expect(seen.mintsAfterwards).toBe(1);
    });
  });
});

/** Puts the first events before all others. */
function begins(plan: fc.Arbitrary<FleetPlan>, first: fc.Arbitrary<FleetEvent[]>): fc.Arbitrary<FleetPlan> {
  return fc.tuple(plan, first).map(([{ events, ...rest }, sicknesses]) => ({
    ...rest,
    events: [...sicknesses.map((event) => ({ after: 0, event })), ...events],
  }));
}

describe("races of a fleet with sick processes", () => {
  const tally = new Map<string, number>();
  async function holds(input: FleetPlan): Promise<FleetOutcome> {
    const outcome = await runFleet(input);
    expect(outcome.violations).toEqual([]);
    expect(outcome.hanging).toBe(0);
    for (const [what, times] of outcome.seen) tally.set(what, (tally.get(what) ?? 0) + times);
    return outcome;
  }

  const one =
    "C9: one process whose token requests fail or are not answered, at any moment: the others are always served";
  test(one, async () => {
    const events = fc.array(fc.oneof(fc.constant<FleetEvent>({ what: "well", who: 0 }), wait, revoke), {
      maxLength: 3,
    });
    const plan = begins(
      plans(events, {
        retries: fc.constantFrom(0, 0, 2),
        calls: callEither,
        expiresIn: fc.constantFrom(5, 36_000, 36_000),
      }),
      fc.tuple(sickness.map((how): FleetEvent => ({ what: "sick", who: 0, how }))),
    );
    await search(one, 60, plan, async (input) => {
      const { outcomesOfHealthy } = await holds(input);
      // A request is sent with a token three times at most, so a second revocation while it is under way can make a 401 its answer.
      const allowed = count(input, "revoke") > 1 ? [200, 401] : [200];
      expect(outcomesOfHealthy.filter((outcome) => !allowed.includes(outcome as number))).toEqual([]);
    });
  });

  const several =
    "C9: several processes with wrong secrets or without a way out: their failures bind the others for a second";
  test(several, async () => {
    const fast = fc.constantFrom<Sickness>("secret", "refused", "down");
    const plan = begins(
      plans(fc.array(fc.oneof(wait, wait, well), { maxLength: 4 }), {
        retries: fc.constantFrom(0, 0, 2),
        calls: callEither,
      }),
      fc.array(fc.record({ what: fc.constant("sick" as const), who, how: fast }), { minLength: 2, maxLength: 3 }),
    );
    await search(several, 40, plan, async (input) => void (await holds(input)));
  });

  const slow = "C9: a server that is slow for everybody: at most two mints at once, and its token is published";
  test(slow, async () => {
    const plan = begins(
      plans(fc.array(wait, { maxLength: 2 }), { expiresIn: fc.constantFrom(36_000) }),
      fc.constant<FleetEvent[]>([{ what: "slow", for: 4000 }]),
    );
    await search(slow, 20, plan, async (input) => {
      const { mostMintsAtOnce, outcomes } = await holds(input);
      expect(mostMintsAtOnce).toBeLessThanOrEqual(2);
      expect(outcomes.filter((outcome) => outcome !== 200)).toEqual([]);
    });
  });

  const asked = "C9: a server that limits one process with Retry-After: nobody asks before";
  test(asked, async () => {
    const plan = begins(
      plans(fc.array(wait, { maxLength: 4 })),
      fc.constant<FleetEvent[]>([{ what: "sick", who: 0, how: "limited" }]),
    );
    await search(asked, 20, plan, async (input) => void (await holds(input)));
  });

  test("what the rules are about has happened in these races", () => {
    expect([...tally.keys()].toSorted()).toEqual([
      "a caller is served at once",
      "a failed process claims",
      "a failed process tries again",
      "a failure binds who has not failed",
      "a lease is given away",
      "a lease is kept",
      "a request could not be sent",
      "a token is published",
    ]);
  });
});
