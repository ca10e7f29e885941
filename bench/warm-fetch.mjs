// Claim: with a cached token and a stub fetch, the fetch wrapper costs at most 150 ns for a string URL, and 320 ns with
// plain headers.
import { createAuthFetch } from "remint/fetch";
import { interleave } from "./measure.mjs";
import { ORIGIN, warmCache } from "./warm-cache.mjs";

export const title = "fetch wrapper, warm, stub fetch (per call)";

const check = (answer) => {
  if (answer.status === 401) throw new Error("not in this bench");
  return answer;
};

export async function run(progress) {
  const { cache, header } = await warmCache();
  const response = { status: 200 };
  const stub = () => Promise.resolve(response);
  const authFetch = createAuthFetch(cache, { fetch: stub });
  const urls = Array.from({ length: 64 }, (_, i) => `${ORIGIN}/orders/${i}`);
  const init = { headers: { accept: "application/json", "x-request-id": "1" } };
  const subjects = {
    "manual header": (i) => stub(urls[i & 63], { headers: { authorization: header } }),
    "cheapest 401 check": (i) => stub(urls[i & 63], { headers: { authorization: header } }).then(check),
    "remint, string URL": (i) => authFetch(urls[i & 63]),
    "remint, plain headers": (i) => authFetch(urls[i & 63], init),
  };
  const result = await interleave(subjects, { reference: "cheapest 401 check", progress });
  return {
    result,
    budgets: [
      { what: "string URL, best round", value: result["remint, string URL"].ns.least, limit: 150, unit: "ns" },
      { what: "plain headers, best round", value: result["remint, plain headers"].ns.least, limit: 320, unit: "ns" },
    ],
  };
}
