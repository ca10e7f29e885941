import type { Stage } from "./stage.ts";
import type { Progress, Tally } from "./tally.ts";

/** How many callers come at once. */
export const CALLERS: number = 1000;
/** How many it takes to see what the usual interceptor does. */
export const CONTRAST_CALLERS: number = 100;

/** One thing that goes wrong in production, played on real servers. */
export interface Scenario {
  readonly title: string;
  /** What happens, and what usually goes wrong there. */
  readonly story: string;
  run(stage: Stage, progress: Progress): Promise<Result>;
}

/** What came of a scenario: rows for the table and what had to be true. */
export interface Result {
  readonly rows: readonly Row[];
  readonly checks: readonly Check[];
}

/** A line of the table. */
export interface Row {
  readonly label: string;
  readonly clients: string;
  readonly tally: Tally;
  /** Shown beside, but nothing depends on it. */
  readonly contrast?: boolean;
}

/** A number that has to be right. */
export interface Check {
  /** What is counted, in the plural. */
  readonly what: string;
  readonly expected: string;
  readonly exact: boolean;
  readonly actual: number;
  readonly passed: boolean;
}

/** What the table calls the three clients together. */
export const ALL_CLIENTS: string = "all 3";

export function exactly(expected: number, what: string, actual: number): Check {
  return { what, expected: expected.toLocaleString("en"), exact: true, actual, passed: actual === expected };
}

export function atMost(limit: number, what: string, actual: number): Check {
  return { what, expected: `at most ${limit.toLocaleString("en")}`, exact: false, actual, passed: actual <= limit };
}
