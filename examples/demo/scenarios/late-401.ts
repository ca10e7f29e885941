import { ORDERS, SLOW } from "../api.ts";
import type { Send } from "../clients.ts";
import { usualClient } from "../contrast.ts";
import { exactly, type Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";
import { herd, type Progress, Tally } from "../tally.ts";

const CALLERS = 20;

export const late401: Scenario = {
  title: "A late 401 for an old token",
  story:
    "20 slow requests are answered 401 when the cache already has a new token. " +
    "Usually the new token is thrown away, 20 times.",

  async run(stage, progress) {
    const { clients, tokens } = stage;
    const { others, answerLate } = await replacedMeanwhile(stage, clients, progress);
    const current = tokens.peek()?.value;
    const late = await answerLate();
    const isKept = tokens.peek()?.value === current;

    const client = usualClient(stage);
    await client(ORDERS);
    const usual = await (await replacedMeanwhile(stage, [client])).answerLate();

    return {
      rows: [
        { label: "others renew", tally: others },
        { label: "late 401", tally: late },
        { label: "the usual way", tally: usual, contrast: true },
      ],
      checks: [
        exactly(1, "mints for the others", others.mints),
        exactly(CALLERS, "late 401s the API sent", late.refusals),
        exactly(0, "mints for the late ones", late.mints),
        exactly(CALLERS, "answered 200", late.answered(200)),
        exactly(0, "good tokens thrown away", Number(!isKept)),
      ],
    };
  },
};

interface Replaced {
  /** The requests that were rejected at once, and brought the new token. */
  readonly others: Tally;
  /** Lets the API answer the slow requests, which have the old token. */
  readonly answerLate: () => Promise<Tally>;
}

/** Sends slow requests, and has their token revoked and replaced before the API answers them. */
async function replacedMeanwhile(stage: Stage, clients: readonly Send[], progress?: Progress): Promise<Replaced> {
  const slow = stage.api.holdSlow();
  const outcomes = herd(CALLERS, clients, SLOW, progress);
  await slow.arrived(CALLERS);
  slow.revokeTheirTokens();
  const others = await Tally.of(stage, () => herd(clients.length, clients, ORDERS));
  const answerLate = (): Promise<Tally> =>
    Tally.of(stage, () => {
      slow.release();
      return outcomes;
    });
  return { others, answerLate };
}
