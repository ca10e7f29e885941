import { describe, expect, test } from "vitest";
import { StormGuard, type SharedGuard, type TokenIdentity } from "../../src/core/storm-guard.ts";
import { manualClock, type ManualClock } from "../../src/testing/index.ts";
import { ORIGIN, TARGET } from "./cache-under-test.ts";

let flights = 0;
const token = (value = `t${++flights}`): TokenIdentity => ({ value, flight: ++flights });
const targetAt = (origin: string, path = "/"): { origin: string; path: string } => ({ origin, path });

/** Makes this many charges at this moment, each for another token; returns how many were allowed. */
function allowedCharges(guard: StormGuard, many: number, at = TARGET as { origin: string; path: string }): number {
  return Array.from({ length: many }, () => guard.charge(token(), at)).filter(Boolean).length;
}

/** Makes a charge every 100 ms, and nothing is accepted; returns the seconds at which charges were allowed. */
async function chargeTimes(guard: StormGuard, clock: ManualClock, seconds: number): Promise<number[]> {
  const passed: number[] = [];
  for (let tenth = 0; tenth < seconds * 10; tenth++) {
    if (guard.charge(token(), TARGET)) passed.push(tenth / 10);
    await clock.advance(100);
  }
  return passed;
}

describe("C8: charges of one target", () => {
  test("C8: three charges are free, then one is allowed after 1, 2, 4 .. 30 s", async () => {
    const clock = manualClock();
    const passed = await chargeTimes(new StormGuard(clock), clock, 125);
    expect(passed).toEqual([0, 0.1, 0.2, 1.2, 3.2, 7.2, 15.2, 31.2, 61.2, 91.2, 121.2]);
  });

  test("C8: a token is charged once, and not refused afterwards", () => {
    const guard = new StormGuard(manualClock());
    const same = token();
    for (let time = 0; time < 50; time++) expect(guard.charge(same, TARGET)).toBe(true);
    expect(allowedCharges(guard, 5)).toBe(2);
  });

  test("C8: refused charges change nothing, however many there are", async () => {
    const clock = manualClock();
    const guard = new StormGuard(clock);
    expect(allowedCharges(guard, 100)).toBe(3);
    await clock.advance(999);
    expect(allowedCharges(guard, 100)).toBe(0);
    await clock.advance(1);
    expect(allowedCharges(guard, 100)).toBe(1);
  });

  test("C8: steps of the wall clock neither open nor close the guard", async () => {
    const clock = manualClock();
    const guard = new StormGuard(clock);
    allowedCharges(guard, 3);
    clock.stepWall(3_600_000);
    expect(allowedCharges(guard, 1)).toBe(0);
    clock.stepWall(-7_200_000);
    await clock.advance(1000);
    expect(allowedCharges(guard, 1)).toBe(1);
  });
});

describe("C8: charges per origin and per path", () => {
  test("C8: the charges of all paths count for their origin", () => {
    const guard = new StormGuard(manualClock());
    const passed = ["/a", "/b", "/c", "/d", "/e"].map((path) => guard.charge(token(), targetAt(ORIGIN, path)));
    expect(passed).toEqual([true, true, true, false, false]);
  });

  test("C8: charges of one origin do not count for another", () => {
    const guard = new StormGuard(manualClock());
    expect(allowedCharges(guard, 5, targetAt("https://a.example"))).toBe(3);
    expect(allowedCharges(guard, 5, targetAt("https://b.example"))).toBe(3);
  });

  test("C8: an acceptance of another token clears the origin and that path, not the other paths", () => {
    const guard = new StormGuard(manualClock());
    for (let time = 0; time < 3; time++) guard.charge(token(), targetAt(ORIGIN, "/broken"));
    guard.accepted(token(), targetAt(ORIGIN, "/ok"));
    expect(guard.charge(token(), targetAt(ORIGIN, "/ok"))).toBe(true);
    expect(guard.charge(token(), targetAt(ORIGIN, "/broken"))).toBe(false);
    guard.accepted(token(), targetAt(ORIGIN, "/broken"));
    expect(guard.charge(token(), targetAt(ORIGIN, "/broken"))).toBe(true);
  });

  test("C8: an acceptance at one origin does not clear another", () => {
    const guard = new StormGuard(manualClock());
    allowedCharges(guard, 3, targetAt("https://a.example"));
    guard.accepted(token(), targetAt("https://b.example"));
    expect(guard.charge(token(), targetAt("https://a.example"))).toBe(false);
  });

  test("C8: a late acceptance of the charged token itself clears nothing", () => {
    const guard = new StormGuard(manualClock());
    allowedCharges(guard, 2);
    const charged = token();
    guard.charge(charged, TARGET);
    guard.accepted(charged, TARGET);
    expect([guard.onTrial, guard.charge(token(), TARGET)]).toEqual([true, false]);
  });

  test("C8: an origin with a charge that was not cleared is on trial", () => {
    const guard = new StormGuard(manualClock());
    expect(guard.onTrial).toBe(false);
    guard.charge(token(), TARGET);
    expect([guard.onTrial, guard.doubts(TARGET), guard.doubts(targetAt(ORIGIN, "/other"))]).toEqual([true, true, true]);
    expect(guard.doubts(targetAt("https://b.example", TARGET.path))).toBe(false);
    guard.accepted(token(), TARGET);
    expect([guard.onTrial, guard.doubts(TARGET)]).toEqual([false, false]);
  });

  test("C8: the guard keeps 256 origins and paths, and drops the least recently charged", async () => {
    const clock = manualClock();
    const guard = new StormGuard(clock);
    const first = targetAt("https://first.example");
    allowedCharges(guard, 3, first);
    const others = async (many: number): Promise<void> => {
      for (let index = 0; index < many; index++) {
        await clock.advance(1000);
        guard.charge(token(), targetAt(`https://${index}.example`));
      }
    };
    // Each takes two entries, for its origin and its path: with those of the first, 256.
    await others(127);
    expect(guard.doubts(first)).toBe(true);
    expect(guard.doubts(targetAt("https://0.example"))).toBe(true);
    // Charged again, the first becomes the most recently charged.
    expect(guard.charge(token(), first)).toBe(true);
    guard.charge(token(), targetAt("https://one-more.example"));
    expect([guard.doubts(first), guard.doubts(targetAt("https://0.example"))]).toEqual([true, false]);
  });

  test("C8: 300 paths of one origin do not make the guard grow beyond that", async () => {
    const clock = manualClock();
    const guard = new StormGuard(clock);
    for (let path = 0; path < 300; path++) {
      await clock.advance(30_000);
      expect(guard.charge(token(), targetAt(ORIGIN, `/${path}`))).toBe(true);
    }
    expect(guard.doubts(targetAt("https://none.example", ""))).toBe(false);
    expect(guard.doubts({ origin: "", path: `${ORIGIN}/0` })).toBe(false);
    expect(guard.doubts({ origin: "", path: `${ORIGIN}/299` })).toBe(true);
  });
});

/** Makes charges that are cleared at once, so that only the budget limits them; returns how many were allowed. */
function spendBudget(guard: StormGuard, many: number): number {
  let passed = 0;
  for (let time = 0; time < many; time++) {
    if (!guard.charge(token(), TARGET)) continue;
    passed++;
    guard.accepted(token(), TARGET);
  }
  return passed;
}

describe("C8: the budget, which does not depend on outcomes", () => {
  test("C8: ten renewal mints in a burst, then one per second, however many are accepted between", async () => {
    const clock = manualClock();
    const guard = new StormGuard(clock);
    expect(spendBudget(guard, 50)).toBe(10);
    for (let second = 0; second < 5; second++) {
      await clock.advance(999);
      expect(spendBudget(guard, 50)).toBe(0);
      await clock.advance(1);
      expect(spendBudget(guard, 50)).toBe(1);
    }
  });

  test("C8: an idle guard saves up at most ten renewal mints", async () => {
    const clock = manualClock();
    const guard = new StormGuard(clock);
    spendBudget(guard, 50);
    await clock.advance(3_600_000);
    expect(spendBudget(guard, 50)).toBe(10);
  });

  test("C8: many origins share the budget", () => {
    const guard = new StormGuard(manualClock());
    const passed = Array.from({ length: 30 }, (_, index) =>
      guard.charge(token(), targetAt(`https://${index}.example`)),
    );
    expect(passed.filter(Boolean)).toHaveLength(10);
  });
});

describe("C13: the guard of a pool", () => {
  test("C13: the pool's guard is asked last, so that a charge that the cache refuses costs the pool nothing", () => {
    const asked: string[] = [];
    const shared: SharedGuard = {
      onTrial: false,
      charge: (origin) => asked.push(origin) < 3,
      accepted: (origin) => void asked.push(`accepted ${origin}`),
    };
    const guard = new StormGuard(manualClock(), shared);
    expect(allowedCharges(guard, 2)).toBe(2);
    expect(guard.charge(token(), TARGET)).toBe(false);
    expect(asked).toHaveLength(3);
    guard.accepted(token(), TARGET);
    expect(asked.at(-1)).toBe(`accepted ${ORIGIN}`);
  });
});
