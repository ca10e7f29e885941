import type { Stage } from "./stage.ts";
import type { Progress, Tally } from "./tally.ts";

/** The number of callers at the same time. */
export const CALLERS: number = 1000;

/** One thing that goes wrong in production, repeated on real servers. */
export interface Scenario {
  readonly title: string;
  /** Says what happens, and what usually goes wrong then. */
  readonly story: string;
  run(stage: Stage, progress: Progress): Promise<Result>;
}

/** The outcome of a scenario: rows for the table, and checks. */
export interface Result {
  readonly rows: readonly Row[];
  readonly checks: readonly Check[];
}

/** A row of the table. */
export interface Row {
  readonly label: string;
  readonly tally: Tally;
  /** The row is the usual interceptor, for comparison. It has no checks. */
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

export function exactly(expected: number, what: string, actual: number): Check {
  return { what, expected: expected.toLocaleString("en"), exact: true, actual, passed: actual === expected };
}

export function atMost(limit: number, what: string, actual: number): Check {
  return { what, expected: `at most ${limit.toLocaleString("en")}`, exact: false, actual, passed: actual <= limit };
}
