import { BROKEN, ORDERS } from "../api.ts";
import type { Send } from "../clients.ts";
import { atMost, exactly, type Scenario } from "../scenario.ts";
import { herd, Tally } from "../tally.ts";

const CALLS = 20;

export const always401: Scenario = {
  title: "A path that says 401 to every token",
  story:
    "A new token never helps there. Usually every call requests one all the same, " +
    "and throws away the good token that all other calls use.",

  async run(stage, progress) {
    const { clients } = stage;
    const broken = new Tally();
    const healthy = new Tally();
    for (let call = 0; call < CALLS; call++) {
      const client = [clients[call % clients.length] as Send];
      await broken.count(stage, () => herd(1, client, BROKEN));
      await healthy.count(stage, () => herd(clients.length, clients, ORDERS));
      progress(call + 1, CALLS);
    }
    return {
      rows: [
        { label: "always says 401", tally: broken },
        { label: "healthy beside it", tally: healthy },
      ],
      checks: [
        atMost(4, `mints for ${CALLS} calls`, broken.mints),
        exactly(CALLS, "of its 401s handed to the caller", broken.answered(401)),
        exactly(healthy.outcomes.length, "answered 200 on the healthy path", healthy.answered(200)),
        exactly(0, "401s and token requests there", healthy.refusals + healthy.tokenRequests),
      ],
    };
  },
};
