import { ORDERS } from "../api.ts";
import type { Send } from "../clients.ts";
import { usualClient } from "../contrast.ts";
import { CALLERS, exactly, type Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";
import { herd, type Outcome, type Progress, Tally } from "../tally.ts";

export const revocation: Scenario = {
  title: "A token revoked in flight",
  story:
    "1,000 requests carry a token that is revoked before the API looks at it: 1,000 answers of 401. " +
    "Usually each of them requests a new token, or the caller gets the 401.",

  async run(stage, progress) {
    const remint = await Tally.of(stage, () => revokedInFlight(stage, CALLERS, stage.clients, progress));

    const usual = new Tally();
    const client = usualClient(stage);
    await client(ORDERS);
    await usual.count(stage, () => revokedInFlight(stage, CALLERS, [client]));

    return {
      rows: [
        { label: "revoked in flight", tally: remint },
        { label: "the usual way", tally: usual, contrast: true },
      ],
      checks: [
        exactly(CALLERS, "401s the API sent", remint.refusals),
        exactly(1, "mints", remint.mints),
        exactly(CALLERS, "answered 200", remint.answered(200)),
        exactly(0, "401s that reached a caller", remint.answered(401)),
      ],
    };
  },
};

/** Holds the answers until all requests have arrived, revokes the tokens they carry, then lets the API answer. */
async function revokedInFlight(
  { api }: Stage,
  callers: number,
  clients: readonly Send[],
  progress?: Progress,
): Promise<readonly Outcome[]> {
  const answers = api.hold();
  const outcomes = herd(callers, clients, ORDERS, progress);
  await answers.arrived(callers);
  answers.revokeTheirTokens();
  answers.release();
  return outcomes;
}
