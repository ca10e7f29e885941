import { describe, expect, test } from "vitest";
import { StormGuard, type SharedGuard, type TokenIdentity } from "../../src/core/storm-guard.ts";
import { manualClock, type ManualClock } from "../../src/testing/index.ts";
import { ORIGIN, SITE } from "./cache-under-test.ts";

let flights = 0;
const token = (value = `t${++flights}`): TokenIdentity => ({ value, flight: ++flights });
const site = (origin: string, path = "/"): { origin: string; path: string } => ({ origin, path });

/** How many of so many charges, each for a token of its own, are let pass at this moment. */
function passing(guard: StormGuard, many: number, at = SITE as { origin: string; path: string }): number {
  return Array.from({ length: many }, () => guard.charge(token(), at)).filter(Boolean).length;
}

/** When a site that never accepts anything is charged, in seconds, if it asks every 100 ms. */
async function chargedAt(guard: StormGuard, clock: ManualClock, seconds: number): Promise<number[]> {
  const passed: number[] = [];
  for (let tenth = 0; tenth < seconds * 10; tenth++) {
    if (guard.charge(token(), SITE)) passed.push(tenth / 10);
    await clock.advance(100);
  }
  return passed;
}

describe("C8: charges of one site", () => {
  test("C8: three are free, then one per 1, 2, 4 .. 30 s", async () => {
    const clock = manualClock();
    const passed = await chargedAt(new StormGuard(clock), clock, 125);
    expect(passed).toEqual([0, 0.1, 0.2, 1.2, 3.2, 7.2, 15.2, 31.2, 61.2, 91.2, 121.2]);
  });

  test("C8: a token is charged once per key, and not refused afterwards", () => {
    const guard = new StormGuard(manualClock());
    const same = token();
    for (let time = 0; time < 50; time++) expect(guard.charge(same, SITE)).toBe(true);
    expect(passing(guard, 5)).toBe(2);
  });

  test("C8: a refused charge changes nothing, however often it is asked for", async () => {
    const clock = manualClock();
    const guard = new StormGuard(clock);
    expect(passing(guard, 100)).toBe(3);
    await clock.advance(999);
    expect(passing(guard, 100)).toBe(0);
    await clock.advance(1);
    expect(passing(guard, 100)).toBe(1);
  });

  test("C8: wall clock steps open and close nothing", async () => {
    const clock = manualClock();
    const guard = new StormGuard(clock);
    passing(guard, 3);
    clock.stepWall(3_600_000);
    expect(passing(guard, 1)).toBe(0);
    clock.stepWall(-7_200_000);
    await clock.advance(1000);
    expect(passing(guard, 1)).toBe(1);
  });
});

describe("C8: keys", () => {
  test("C8: a path is charged to its origin: other paths do not start anew", () => {
    const guard = new StormGuard(manualClock());
    const passed = ["/a", "/b", "/c", "/d", "/e"].map((path) => guard.charge(token(), site(ORIGIN, path)));
    expect(passed).toEqual([true, true, true, false, false]);
  });

  test("C8: origins do not pay for each other", () => {
    const guard = new StormGuard(manualClock());
    expect(passing(guard, 5, site("https://a.example"))).toBe(3);
    expect(passing(guard, 5, site("https://b.example"))).toBe(3);
  });

  test("C8: what another token gets accepted clears the origin and that path, not the others", () => {
    const guard = new StormGuard(manualClock());
    for (let time = 0; time < 3; time++) guard.charge(token(), site(ORIGIN, "/broken"));
    guard.accepted(token(), site(ORIGIN, "/ok"));
    expect(guard.charge(token(), site(ORIGIN, "/ok"))).toBe(true);
    expect(guard.charge(token(), site(ORIGIN, "/broken"))).toBe(false);
    guard.accepted(token(), site(ORIGIN, "/broken"));
    expect(guard.charge(token(), site(ORIGIN, "/broken"))).toBe(true);
  });

  test("C8: an acceptance clears what it belongs to only", () => {
    const guard = new StormGuard(manualClock());
    passing(guard, 3, site("https://a.example"));
    guard.accepted(token(), site("https://b.example"));
    expect(guard.charge(token(), site("https://a.example"))).toBe(false);
  });

  test("C8: the charged token's own late acceptance clears nothing", () => {
    const guard = new StormGuard(manualClock());
    passing(guard, 2);
    const charged = token();
    guard.charge(charged, SITE);
    guard.accepted(charged, SITE);
    expect([guard.onTrial, guard.charge(token(), SITE)]).toEqual([true, false]);
  });

  test("C8: on trial is who has an uncleared charge", () => {
    const guard = new StormGuard(manualClock());
    expect(guard.onTrial).toBe(false);
    guard.charge(token(), SITE);
    expect([guard.onTrial, guard.doubts(SITE), guard.doubts(site(ORIGIN, "/other"))]).toEqual([true, true, true]);
    expect(guard.doubts(site("https://b.example", SITE.path))).toBe(false);
    guard.accepted(token(), SITE);
    expect([guard.onTrial, guard.doubts(SITE)]).toEqual([false, false]);
  });

  test("C8: 256 keys are kept, the least recently charged go", async () => {
    const clock = manualClock();
    const guard = new StormGuard(clock);
    const first = site("https://first.example");
    passing(guard, 3, first);
    const others = async (many: number): Promise<void> => {
      for (let index = 0; index < many; index++) {
        await clock.advance(1000);
        guard.charge(token(), site(`https://${index}.example`));
      }
    };
    // Two keys each: with the first site's own, 256.
    await others(127);
    expect(guard.doubts(first)).toBe(true);
    expect(guard.doubts(site("https://0.example"))).toBe(true);
    // Charged again, the first is the most recently used.
    expect(guard.charge(token(), first)).toBe(true);
    guard.charge(token(), site("https://one-more.example"));
    expect([guard.doubts(first), guard.doubts(site("https://0.example"))]).toEqual([true, false]);
  });

  test("C8: more paths than that do not grow it", async () => {
    const clock = manualClock();
    const guard = new StormGuard(clock);
    for (let path = 0; path < 300; path++) {
      await clock.advance(30_000);
      expect(guard.charge(token(), site(ORIGIN, `/${path}`))).toBe(true);
    }
    expect(guard.doubts(site("https://none.example", ""))).toBe(false);
    expect(guard.doubts({ origin: "", path: `${ORIGIN}/0` })).toBe(false);
    expect(guard.doubts({ origin: "", path: `${ORIGIN}/299` })).toBe(true);
  });
});

/** A site whose every charge is cleared at once: nothing but the budget bounds it. */
function spend(guard: StormGuard, many: number): number {
  let passed = 0;
  for (let time = 0; time < many; time++) {
    if (!guard.charge(token(), SITE)) continue;
    passed++;
    guard.accepted(token(), SITE);
  }
  return passed;
}

describe("C8: independent of all outcomes", () => {
  test("C8: ten renewal mints in a burst, then one per second, however many are accepted between", async () => {
    const clock = manualClock();
    const guard = new StormGuard(clock);
    expect(spend(guard, 50)).toBe(10);
    for (let second = 0; second < 5; second++) {
      await clock.advance(999);
      expect(spend(guard, 50)).toBe(0);
      await clock.advance(1);
      expect(spend(guard, 50)).toBe(1);
    }
  });

  test("C8: an idle guard saves up ten and not more", async () => {
    const clock = manualClock();
    const guard = new StormGuard(clock);
    spend(guard, 50);
    await clock.advance(3_600_000);
    expect(spend(guard, 50)).toBe(10);
  });

  test("C8: many origins share the budget", () => {
    const guard = new StormGuard(manualClock());
    const passed = Array.from({ length: 30 }, (_, index) => guard.charge(token(), site(`https://${index}.example`)));
    expect(passed.filter(Boolean)).toHaveLength(10);
  });
});

describe("C13: the guard of a pool", () => {
  test("C13: it is asked last, so that what is refused anyway does not cost the pool", () => {
    const asked: string[] = [];
    const shared: SharedGuard = {
      onTrial: false,
      charge: (origin) => asked.push(origin) < 3,
      accepted: (origin) => void asked.push(`accepted ${origin}`),
    };
    const guard = new StormGuard(manualClock(), shared);
    expect(passing(guard, 2)).toBe(2);
    expect(guard.charge(token(), SITE)).toBe(false);
    expect(asked).toHaveLength(3);
    guard.accepted(token(), SITE);
    expect(asked.at(-1)).toBe(`accepted ${ORIGIN}`);
  });
});
