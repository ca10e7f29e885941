// Claim: with a cached token and a stub fetch, the fetch wrapper costs at most 1.5 x (string URL) and 1.8 x (plain headers)
// the least that any wrapper has to do: read both clocks, set the header, look at the status.
import { createAuthFetch } from "remint/fetch";
import { interleave } from "./measure.mjs";
import { expiryCheck, ORIGIN, warmCache } from "./warm-cache.mjs";

export const title = "fetch wrapper, warm, stub fetch (per call)";

const check = (answer) => {
  if (answer.status === 401) throw new Error("not in this bench");
  return answer;
};

export async function run(progress) {
  const { cache, header } = await warmCache();
  const checkExpiry = expiryCheck();
  const response = { status: 200 };
  const stub = () => Promise.resolve(response);
  const authFetch = createAuthFetch(cache, { fetch: stub });
  const urls = Array.from({ length: 64 }, (_, i) => `${ORIGIN}/orders/${i}`);
  const init = { headers: { accept: "application/json", "x-request-id": "1" } };
  const subjects = {
    "manual header": (i) => stub(urls[i & 63], { headers: { authorization: header } }),
    "least possible": (i) => {
      checkExpiry();
      return stub(urls[i & 63], { headers: { authorization: header } }).then(check);
    },
    "remint, string URL": (i) => authFetch(urls[i & 63]),
    "remint, plain headers": (i) => authFetch(urls[i & 63], init),
  };
  const result = await interleave(subjects, { reference: "least possible", progress });
  return {
    result,
    budgets: [
      { what: "string URL", measured: result["remint, string URL"].ratio, limit: 1.5, unit: "x", digits: 2 },
      { what: "plain headers", measured: result["remint, plain headers"].ratio, limit: 1.8, unit: "x", digits: 2 },
    ],
  };
}
