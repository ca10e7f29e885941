/** The benchmark's simulation of a fleet (bench/fleet-sim), at 10 and 200 processes: mints and store commands. */
import { describe, expect, test } from "vitest";
import { brokenBy, scenarios, simulate } from "../../bench/fleet-sim/scenarios.mjs";

/** The largest number of store commands per process. A process that waits for a slow mint reads about 3 times a second. */
const MOST_COMMANDS: Readonly<Record<string, number>> = {
  "cold start of all at once, mint 250 ms": 8,
  "cold start of all at once, mint 1.5 s": 23,
  "cold start of all at once, mint 5 s": 40,
  "expiry under steady traffic, mint 250 ms": 1.5,
  // A process that finds the token being refreshed reads again after 1 to 1.5 s.
  "expiry under steady traffic, mint 5 s": 6,
  "expiry without traffic, then all at once": 9,
  "revocation noticed by all within 50 ms, mint 250 ms": 8,
  "revocation noticed by all within 50 ms, mint 1.5 s": 23,
  "cold start, and the minter dies": 27,
};
const COLD = "cold start of all at once, mint 250 ms";
const names = Object.keys(scenarios);

describe.each([10, 200])("a fleet of %i processes on virtual time", (size) => {
  test.each(names)("%s: the expected number of mints, and few store commands per process", async (name) => {
    const outcome = await simulate(name, { size });
    expect(brokenBy(name, outcome)).toEqual([]);
    expect(outcome.mints).toBe(scenarios[name]!.mints);
    expect(outcome.perProcess).toBeLessThanOrEqual(MOST_COMMANDS[name]!);
    expect(outcome.slots.reduce((sum, commands) => sum + commands, 0)).toBe(outcome.commands);
  });
});

describe("the simulation", () => {
  test("equal arguments give equal outcomes; another seed gives another outcome", async () => {
    const [one, same, other] = [
      await simulate(COLD, { size: 20, seed: 5 }),
      await simulate(COLD, { size: 20, seed: 5 }),
      await simulate(COLD, { size: 20, seed: 6 }),
    ];
    expect(same).toEqual(one);
    expect(other.lastServed).not.toBe(one.lastServed);
  });

  test("restores Math.random", async () => {
    const { random } = Math;
    await simulate(COLD, { size: 2 });
    expect(Math.random).toBe(random);
  });

  test("an overloaded store: calls take longer than their time limit, and processes mint for themselves", async () => {
    const outcome = await simulate(COLD, { size: 200, throughput: 250 });
    expect(outcome.longestWait).toBeGreaterThan(500);
    expect(outcome.storeFailures).toBeGreaterThan(0);
    expect(outcome.mints).toBeGreaterThan(1);
    expect(brokenBy(COLD, outcome)).not.toEqual([]);
  });

  test("a store that is a little too slow: some processes mint for themselves, fewer than a third", async () => {
    const size = 200;
    const { mints, storeFailures } = await simulate(COLD, { size, throughput: 360 });
    expect(storeFailures).toBeGreaterThan(0);
    expect(mints).toBeLessThan(size / 3);
  });

  test("a command waits for at most one command of each other process", async () => {
    const size = 200;
    const throughput = 2000;
    const { longestWait, storeFailures } = await simulate(COLD, { size, throughput });
    expect(storeFailures).toBe(0);
    expect(longestWait).toBeLessThanOrEqual((size * 1000) / throughput);
  });
});
