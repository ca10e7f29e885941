/** The pauses between two reads of a record whose token another process is minting. */
import { describe, expect, test } from "vitest";
import { pollDelay } from "../../src/fleet/waits.ts";

/** Returns the pause without jitter: the middle between the shortest and the longest. */
function meanDelay(polls: number): number {
  return pollDelay(polls, 0, 0.5);
}

/** Returns how often a process reads while another process mints for so many milliseconds. */
function pollsDuring(mintTime: number): number {
  let polls = 0;
  for (let time = 0; time < mintTime; polls++) time += meanDelay(polls);
  return polls;
}

describe("pollDelay", () => {
  test("pauses 0 to 4 are 50 ms long, and pause 5 is longer", () => {
    expect([0, 1, 2, 3, 4].map(meanDelay)).toEqual([50, 50, 50, 50, 50]);
    expect(meanDelay(5)).toBeGreaterThan(50);
  });

  test("later pauses grow to 300 ms and stay there", () => {
    const delays = Array.from({ length: 60 }, (_, polls) => meanDelay(polls + 4));
    expect(delays).toEqual(delays.toSorted((a, b) => a - b));
    expect(delays.at(-1)).toBe(300);
    expect(meanDelay(100_000)).toBe(300);
    // Small steps keep the delay short for a token that arrives at the beginning of a pause.
    for (const [i, delay] of delays.slice(1).entries()) expect(delay / delays[i]!).toBeLessThanOrEqual(1.151);
  });

  test("a waiting process reads 5 times during a mint of 250 ms, and at most 20 times during one of 2 s", () => {
    expect(pollsDuring(250)).toBe(5);
    expect(pollsDuring(2000)).toBeLessThanOrEqual(20);
    expect(pollsDuring(10_000)).toBeLessThanOrEqual(50);
  });

  test.each([0, 3, 8, 200])("pause %i is random, from 0.5 to 1.5 times its mean", (polls) => {
    expect(pollDelay(polls, 0, 0)).toBeCloseTo(meanDelay(polls) / 2);
    expect(pollDelay(polls, 0, 1)).toBeCloseTo(meanDelay(polls) * 1.5);
    expect(pollDelay(polls, 0, 0.25)).toBeCloseTo((pollDelay(polls, 0, 0) + meanDelay(polls)) / 2);
  });

  test("a store that answers slowly: the pause is at least as long as its answer takes", () => {
    expect(pollDelay(0, 20, 0.5)).toBe(50);
    expect(pollDelay(0, 200, 0.5)).toBe(200);
    expect(pollDelay(3, 450, 0.5)).toBe(450);
  });

  test("without a given random number the pauses differ, between 25 and 75 ms at first", () => {
    const delays = Array.from({ length: 200 }, () => pollDelay(0));
    expect(new Set(delays).size).toBeGreaterThan(190);
    for (const delay of delays) {
      expect(delay).toBeGreaterThanOrEqual(25);
      expect(delay).toBeLessThanOrEqual(75);
    }
  });
});
