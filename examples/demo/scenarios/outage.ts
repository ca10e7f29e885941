import { findRemintError, TokenEndpointError } from "remint";
import { setTimeout as sleep } from "node:timers/promises";
import { ORDERS } from "../api.ts";
import { atMost, CALLERS, type Check, exactly, type Scenario } from "../scenario.ts";
import type { Stage } from "../stage.ts";
import { herd, Tally } from "../tally.ts";

/** The default of `mintTimeout`, in milliseconds. No caller waits longer for a failure. */
const MINT_TIMEOUT = 10_000;
/** The number of callers before the revocation and after the outage. */
const SOME_CALLERS = 300;

export const outage: Scenario = {
  title: "The token endpoint is down",
  story:
    "It answers 503 to every request. Usually a valid token is thrown away, " +
    "and after a revocation the retries of 1,000 callers keep the server down.",

  async run(stage, progress) {
    const { api, auth, clients, tokens } = stage;
    // The endpoint is slow, like a server in trouble: all 1,000 requests are answered 401 before it answers 503.
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
        { label: "down, still valid", tally: unharmed },
        { label: "down, revoked", tally: failing },
        { label: "up again", tally: after },
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

/** Checks that every caller gets the right error, and soon. */
function failedWell(failing: Tally, wait: number): Check[] {
  const typed = failing.outcomes.filter(({ error }) => {
    const found = findRemintError(error);
    return found instanceof TokenEndpointError && found.endpointStatus === 503 && found.retryable;
  });
  return [
    exactly(CALLERS, "callers with a TokenEndpointError: status 503, retryable", typed.length),
    atMost(MINT_TIMEOUT, "ms from the last 401 until every caller had it", Math.round(wait)),
  ];
}

/** Waits until a token can be minted again: a failure is remembered for a moment. */
async function recovered({ tokens }: Stage): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const token = await tokens.get().catch(() => undefined);
    if (token !== undefined) return;
    await sleep(100);
  }
}
