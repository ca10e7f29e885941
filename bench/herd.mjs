// Claim: any number of callers before there is a token cost 1 mint and at most 560 bytes of memory each; when that mint
// fails, 100,000 callers have an error of their own within a second.
import { createTokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";
import { fakeGrant } from "remint/testing";
import { quartiles } from "./measure.mjs";
import { ORIGIN } from "./warm-cache.mjs";

export const title = "cold and failing callers of one cache";
const stub = async () => ({ status: 200 });
const byCache = (tokens) => async () => await tokens.get();
const byFetch = (tokens) => {
  const authFetch = createAuthFetch(tokens, { fetch: stub });
  return (i) => authFetch(`${ORIGIN}/${i & 7}`);
};

export async function run(progress) {
  const steps = 5;
  const hundred = await coldCallers(100_000, byCache);
  progress(1, steps);
  const million = await coldCallers(1_000_000, byCache);
  progress(2, steps);
  const fetched = await coldCallers(100_000, byFetch);
  progress(3, steps);
  const failing = [];
  for (let round = 0; round < 5; round++) failing.push(await failingCallers(100_000));
  progress(5, steps);
  const { median } = quartiles(failing);
  return {
    lines: [
      `cache.get: ${show(hundred)} per caller of 100,000, ${show(million)} of 1,000,000; authFetch: ${show(fetched)}`,
      `100,000 failing callers: ${median.toFixed(0)} ms, an error object each`,
    ],
    budgets: [
      { what: "mints for 100,000 callers", value: hundred.mints, limit: 1, unit: "" },
      { what: "mints for 1,000,000 callers", value: million.mints, limit: 1, unit: "" },
      { what: "mints for 100,000 fetches", value: fetched.mints, limit: 1, unit: "" },
      { what: "bytes per caller of 100,000", value: Math.round(hundred.bytes), limit: 560, unit: "B" },
      { what: "bytes per caller of 1,000,000", value: Math.round(million.bytes), limit: 560, unit: "B" },
      { what: "100,000 failing callers", value: median, limit: 1000, unit: "ms" },
    ],
  };
}

function show({ bytes }) {
  return `${bytes.toFixed(0)} bytes`;
}

/** Callers that wait for the first token. */
async function coldCallers(count, clientOf) {
  const grant = fakeGrant();
  const hold = grant.hold();
  const tokens = createTokenCache({ grant, origins: [ORIGIN], mintTimeout: 60_000 });
  const call = clientOf(tokens);
  const waiting = Array.from({ length: count }).fill(undefined);
  gc();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < count; i++) waiting[i] = call(i);
  await new Promise((resolve) => setTimeout(resolve, 10));
  gc();
  const bytes = (process.memoryUsage().heapUsed - before) / count;
  hold.release();
  await Promise.all(waiting);
  await tokens.close();
  return { bytes, mints: grant.mints };
}

/** Milliseconds from the failure of a mint until all of its callers have their errors. */
async function failingCallers(count) {
  const grant = fakeGrant();
  const hold = grant.hold();
  const tokens = createTokenCache({ grant, origins: [ORIGIN], mintRetries: 0, mintTimeout: 60_000 });
  const callers = Array.from({ length: count }, () => tokens.get().catch((error) => error));
  while (hold.waiting === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  const start = performance.now();
  hold.fail(Object.assign(new Error("down"), { status: 503 }));
  const errors = await Promise.all(callers);
  const took = performance.now() - start;
  if (new Set(errors).size !== count) throw new Error("two callers got the same error");
  await tokens.close();
  return took;
}
