import { findRemintError, TokenEndpointError } from "remint";
import { setTimeout as sleep } from "node:timers/promises";
import { ORDERS } from "../api.ts";
import { ALL_CLIENTS, atMost, CALLERS, type Check, exactly, type Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";
import { herd, Tally } from "../tally.ts";

/** The default limit of a mint: nobody waits longer for bad news either. */
const MINT_TIMEOUT = 10_000;
/** Before and after the worst of it. */
const SOME_CALLERS = 300;

export const outage: Scenario = {
  title: "The token endpoint is down",
  story:
    "It answers 503 to everything. Usually a valid token is thrown away for nothing, " +
    "and when it is revoked 1,000 callers keep a struggling server down with their retries.",

  async run(stage, progress) {
    const { api, auth, clients, tokens } = stage;
    // Like a server in trouble, it takes its time: all 1,000 are told 401 before it fails.
    const told = api.refused(CALLERS).then(() => performance.now());
    auth.breakDown(told);
    const unharmed = await Tally.of(stage, () => herd(SOME_CALLERS, clients, ORDERS, progress));

    api.revoke((await tokens.get()).value);
    const failing = await Tally.of(stage, () => herd(CALLERS, clients, ORDERS, progress));
    const wait = performance.now() - (await told);

    auth.repair();
    const after = await Tally.of(stage, async () => {
      await recovered(stage);
      return herd(SOME_CALLERS, clients, ORDERS, progress);
    });

    return {
      rows: [
        { label: "down, token valid", clients: ALL_CLIENTS, tally: unharmed },
        { label: "down, token revoked", clients: ALL_CLIENTS, tally: failing },
        { label: "up again", clients: ALL_CLIENTS, tally: after },
      ],
      checks: [
        exactly(SOME_CALLERS, "answered 200 while their token is valid", unharmed.answered(200)),
        exactly(0, "token requests for them", unharmed.tokenRequests),
        atMost(3, "token requests for 1,000 callers when it is revoked", failing.tokenRequests),
        ...failedWell(failing, wait),
        exactly(1, "mints when the endpoint is back", after.mints),
        exactly(SOME_CALLERS, "answered 200 then", after.answered(200)),
      ],
    };
  },
};

/** Everybody is told what is wrong, soon, and with an error that can be told from others. */
function failedWell(failing: Tally, wait: number): Check[] {
  const typed = failing.outcomes.filter(({ error }) => {
    const found = findRemintError(error);
    return found instanceof TokenEndpointError && found.status === 503 && found.retryable;
  });
  return [
    exactly(CALLERS, "callers told so: TokenEndpointError, status 503, retryable", typed.length),
    atMost(MINT_TIMEOUT, "ms from the last 401 until everybody knew", Math.round(wait)),
  ];
}

/** A failure is remembered for a moment; asking meanwhile costs nobody anything. */
async function recovered({ tokens }: Stage): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const token = await tokens.get().catch(() => undefined);
    if (token !== undefined) return;
    await sleep(100);
  }
}
