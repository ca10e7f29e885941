import { describe, expect, test } from "vitest";
import { pollDelay } from "../../src/fleet/waits.ts";

/** Halfway between the shortest and the longest. */
function usual(polls: number): number {
  return pollDelay(polls, 0, 0.5);
}

/** How often a process looks while somebody mints for so many milliseconds. */
function looks(mintTime: number): number {
  let polls = 0;
  for (let time = 0; time < mintTime; polls++) time += usual(polls);
  return polls;
}

describe("pollDelay", () => {
  test("the first quarter of a second is looked at evenly", () => {
    expect([0, 1, 2, 3, 4].map(usual)).toEqual([50, 50, 50, 50, 50]);
    expect(usual(5)).toBeGreaterThan(50);
  });

  test("it grows from there to 300 ms, and stays there", () => {
    const delays = Array.from({ length: 60 }, (_, polls) => usual(polls + 4));
    expect(delays).toEqual(delays.toSorted((a, b) => a - b));
    expect(delays.at(-1)).toBe(300);
    expect(usual(100_000)).toBe(300);
    // No step is so great that a token lies there for long because it came just before one.
    for (const [i, delay] of delays.slice(1).entries()) expect(delay / delays[i]!).toBeLessThanOrEqual(1.151);
  });

  test("a mint of 250 ms costs 5 looks of each process that waits, one of 2 s no more than 20", () => {
    expect(looks(250)).toBe(5);
    expect(looks(2000)).toBeLessThanOrEqual(20);
    expect(looks(10_000)).toBeLessThanOrEqual(50);
  });

  test.each([0, 3, 8, 200])("pause %i is drawn evenly from half of it to half as much again", (polls) => {
    expect(pollDelay(polls, 0, 0)).toBeCloseTo(usual(polls) / 2);
    expect(pollDelay(polls, 0, 1)).toBeCloseTo(usual(polls) * 1.5);
    expect(pollDelay(polls, 0, 0.25)).toBeCloseTo((pollDelay(polls, 0, 0) + usual(polls)) / 2);
  });

  test("a store that is slow to answer is asked as seldom as it answers", () => {
    expect(pollDelay(0, 20, 0.5)).toBe(50);
    expect(pollDelay(0, 200, 0.5)).toBe(200);
    expect(pollDelay(3, 450, 0.5)).toBe(450);
  });

  test("the jitter is Math.random's unless told otherwise", () => {
    const delays = Array.from({ length: 200 }, () => pollDelay(0));
    expect(new Set(delays).size).toBeGreaterThan(190);
    for (const delay of delays) {
      expect(delay).toBeGreaterThanOrEqual(25);
      expect(delay).toBeLessThanOrEqual(75);
    }
  });
});
