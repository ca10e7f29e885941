import type { Send } from "./clients.ts";
import type { Stage } from "./stage.ts";

/** What one caller got: an answer or an error, and after how long. */
export interface Outcome {
  readonly status: number | undefined;
  readonly error: unknown;
  readonly ms: number;
}

/** Is called with the number of callers that have their outcome, and the number of all callers. */
export type Progress = (done: number, total: number) => void;

/** Sends requests of so many callers at once, spread evenly over the clients. */
export function herd(
  callers: number,
  clients: readonly Send[],
  path: string,
  progress?: Progress,
): Promise<readonly Outcome[]> {
  let done = 0;
  progress?.(done, callers);
  return Promise.all(
    Array.from({ length: callers }, async (_, index) => {
      const outcome = await outcomeOf(clients[index % clients.length] as Send, path);
      progress?.(++done, callers);
      return outcome;
    }),
  );
}

async function outcomeOf(send: Send, path: string): Promise<Outcome> {
  const start = performance.now();
  const took = (): number => performance.now() - start;
  return send(path).then(
    (status) => ({ status, error: undefined, ms: took() }),
    (error: unknown) => ({ status: undefined, error, ms: took() }),
  );
}

/** The outcomes of some requests and what they cost: one row of the table. */
export class Tally {
  readonly outcomes: Outcome[] = [];
  refusals = 0;
  tokenRequests = 0;
  mints = 0;

  /** Runs some work and tallies it. */
  static async of(stage: Stage, work: () => Promise<readonly Outcome[]>): Promise<Tally> {
    const tally = new Tally();
    await tally.count(stage, work);
    return tally;
  }

  /** Runs some work; adds its outcomes and what the servers counted meanwhile. */
  async count({ api, auth }: Stage, work: () => Promise<readonly Outcome[]>): Promise<void> {
    const { refusals } = api;
    const { tokenRequests, mints } = auth;
    this.outcomes.push(...(await work()));
    this.refusals += api.refusals - refusals;
    this.tokenRequests += auth.tokenRequests - tokenRequests;
    this.mints += auth.mints - mints;
  }

  /** Returns the number of callers that got this status. */
  answered(status: number): number {
    return this.outcomes.filter((outcome) => outcome.status === status).length;
  }

  /** Returns the milliseconds within which this share of the callers had their outcome. */
  percentile(share: number): number {
    const sorted = this.outcomes.map(({ ms }) => ms);
    sorted.sort((a, b) => a - b);
    return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
  }
}
