// What the storm guard costs a warm call: nothing on trial, and a path of the same API on trial that always answers 401.
import { createTokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";
import { interleave } from "./measure.mjs";
import { ORIGIN } from "./warm-cache.mjs";

export const title = "storm guard, warm fetch (per call)";

const ok = { status: 200 };
const stub = (url) => Promise.resolve(url.endsWith("/bad") ? new Response(null, { status: 401 }) : ok);

async function warm() {
  let mints = 0;
  const cache = createTokenCache({
    grant: () => ({ access_token: `${++mints}-${"x".repeat(800)}`, expires_in: 3600 }),
    origins: [ORIGIN],
  });
  const call = createAuthFetch(cache, { fetch: stub });
  await call(`${ORIGIN}/orders/0`);
  return call;
}

export async function run(progress) {
  const calm = await warm();
  const onTrial = await warm();
  await onTrial(`${ORIGIN}/bad`);
  const urls = Array.from({ length: 64 }, (_, i) => `${ORIGIN}/orders/${i}`);
  const subjects = {
    "nothing on trial": (i) => calm(urls[i & 63]),
    "another path on trial": (i) => onTrial(urls[i & 63]),
  };
  const result = await interleave(subjects, { reference: "nothing on trial", progress });
  // No budget: a trial ends, and what is on trial is an API that rejects tokens.
  return { result, budgets: [] };
}
