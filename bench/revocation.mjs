// Claim: 100,000 requests in flight at a revocation cost 1 mint, and no caller gets a 401. Late 401s cost no mint.
import { createTokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";
import { fakeGrant } from "remint/testing";
import { ORIGIN } from "./warm-cache.mjs";

export const title = "100,000 requests in flight at a revocation, then 20 late 401s";
const REQUESTS = 100_000;
const LATE = 20;

export async function run() {
  const grant = fakeGrant();
  const tokens = createTokenCache({ grant, origins: [ORIGIN] });
  const first = (await tokens.get()).header;
  const gates = [];
  // The API decides about a request when it arrives, and answers when its gate opens.
  const api = async (_, { headers }) => {
    if (headers.authorization === first) await new Promise((resolve) => gates.push(resolve));
    return new Response(null, { status: headers.authorization === first ? 401 : 200 });
  };
  const authFetch = createAuthFetch(tokens, { fetch: api });
  const flying = Array.from({ length: REQUESTS + LATE }, (_, i) => authFetch(`${ORIGIN}/orders/${i & 1023}`));
  while (gates.length < REQUESTS + LATE) await new Promise(setImmediate);
  const start = performance.now();
  for (const open of gates.slice(LATE)) open();
  const answers = await Promise.all(flying.slice(LATE));
  const seconds = (performance.now() - start) / 1000;
  const surfaced = answers.filter((answer) => answer.status === 401).length;
  const minted = grant.mints - 1;
  const kept = tokens.peek()?.value;
  for (const open of gates.slice(0, LATE)) open();
  const late = await Promise.all(flying.slice(0, LATE));
  const lateMints = grant.mints - 1 - minted;
  return {
    lines: [`${REQUESTS} renewed and sent again in ${seconds.toFixed(2)} s`],
    budgets: [
      { what: "mints at the revocation", value: minted, limit: 1, unit: "" },
      { what: "401s that reached a caller", value: surfaced, limit: 0, unit: "" },
      { what: "mints for late 401s", value: lateMints, limit: 0, unit: "" },
      {
        what: "late 401s that reached a caller",
        value: late.filter(({ status }) => status === 401).length,
        limit: 0,
        unit: "",
      },
      { what: "good token thrown away", value: tokens.peek()?.value === kept ? 0 : 1, limit: 0, unit: "" },
    ],
  };
}
