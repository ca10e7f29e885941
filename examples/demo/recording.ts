import type { Row } from "./scenario.ts";

/** The numbers of a run of the demo. */
export interface Recording {
  readonly node: string;
  readonly rows: readonly RecordedRow[];
}

/** A row of the table, without its times: they say more about the machine than about the clients. */
export interface RecordedRow {
  readonly label: string;
  /** The row is the usual interceptor, with the requests of the row before it. */
  readonly isContrast: boolean;
  readonly sent: number;
  readonly refusals: number;
  readonly tokenRequests: number;
  readonly mints: number;
  /** How many callers were answered 200. */
  readonly succeeded: number;
}

/** Returns what is kept of a run. */
export function recordingOf(rows: readonly Row[]): Recording {
  return {
    node: process.versions.node,
    rows: rows.map(({ label, tally, contrast = false }) => ({
      label,
      isContrast: contrast,
      sent: tally.outcomes.length,
      refusals: tally.refusals,
      tokenRequests: tally.tokenRequests,
      mints: tally.mints,
      succeeded: tally.answered(200),
    })),
  };
}
