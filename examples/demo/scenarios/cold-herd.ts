import { ORDERS } from "../api.ts";
import { usualClient } from "../contrast.ts";
import { CALLERS, exactly, type Scenario } from "../scenario.ts";
import { herd, Tally } from "../tally.ts";

export const coldHerd: Scenario = {
  title: "A cold start",
  story: "1,000 callers start at once, without a token. Usually each of them requests a token of its own.",

  async run(stage, progress) {
    const remint = await Tally.of(stage, () => herd(CALLERS, stage.clients, ORDERS, progress));

    const usual = await Tally.of(stage, () => herd(CALLERS, [usualClient(stage)], ORDERS));

    return {
      rows: [
        { label: "cold start", tally: remint },
        { label: "the usual way", tally: usual, contrast: true },
      ],
      checks: [
        exactly(1, "mints", remint.mints),
        exactly(CALLERS, "answered 200", remint.answered(200)),
        exactly(0, "401s", remint.refusals),
      ],
    };
  },
};
