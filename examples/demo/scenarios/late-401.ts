import { ORDERS, SLOW } from "../api.ts";
import { exactly, type Scenario } from "../scenario.ts";
import { herd, Tally } from "../tally.ts";

const CALLERS = 20;

export const late401: Scenario = {
  title: "A late 401 for an old token",
  story:
    "20 slow requests are answered 401 when the cache already has a new token. " +
    "Usually the new token is thrown away, 20 times.",

  async run(stage, progress) {
    const { api, clients, tokens } = stage;
    const slow = api.holdSlow();
    const outcomes = herd(CALLERS, clients, SLOW, progress);
    await slow.arrived(CALLERS);
    slow.revokeTheirTokens();
    const first = await Tally.of(stage, () => herd(clients.length, clients, ORDERS));

    const current = tokens.peek()?.value;
    const late = await Tally.of(stage, () => {
      slow.release();
      return outcomes;
    });

    return {
      rows: [
        { label: "others renew", tally: first },
        { label: "late 401", tally: late },
      ],
      checks: [
        exactly(1, "mints for the others", first.mints),
        exactly(CALLERS, "late 401s the API sent", late.refusals),
        exactly(0, "mints for the late ones", late.mints),
        exactly(CALLERS, "answered 200", late.answered(200)),
        exactly(0, "good tokens thrown away", Number(tokens.peek()?.value !== current)),
      ],
    };
  },
};
