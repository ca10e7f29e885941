// Claim: 100,000 callers before there is a token cost 1 mint, and at most 1 KiB of memory each.
import { createTokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";
import { fakeGrant } from "remint/testing";
import { ORIGIN } from "./warm-cache.mjs";

export const title = "100,000 cold callers of one cache";
const CALLERS = 100_000;
const stub = async () => ({ status: 200 });

export async function run() {
  const direct = await herd((tokens) => tokens.get());
  const byFetch = await herd((tokens) => {
    const authFetch = createAuthFetch(tokens, { fetch: stub });
    return (i) => authFetch(`${ORIGIN}/${i & 7}`);
  });
  return {
    lines: [`cache.get: ${direct.bytes.toFixed(0)} bytes per caller; authFetch: ${byFetch.bytes.toFixed(0)}`],
    budgets: [
      { what: "mints (cache.get)", value: direct.mints, limit: 1, unit: "" },
      { what: "mints (authFetch)", value: byFetch.mints, limit: 1, unit: "" },
      { what: "bytes per caller (authFetch)", value: Math.round(byFetch.bytes), limit: 1024, unit: "B" },
    ],
  };
}

async function herd(clientOf) {
  const grant = fakeGrant();
  const hold = grant.hold();
  const tokens = createTokenCache({ grant, origins: [ORIGIN], mintTimeout: 60_000 });
  const client = clientOf(tokens);
  const call = typeof client === "function" ? client : () => tokens.get();
  const waiting = Array.from({ length: CALLERS }).fill(undefined);
  gc();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < CALLERS; i++) waiting[i] = call(i);
  await new Promise((resolve) => setTimeout(resolve, 10));
  gc();
  const bytes = (process.memoryUsage().heapUsed - before) / CALLERS;
  hold.release();
  await Promise.all(waiting);
  await tokens.close();
  return { bytes, mints: grant.mints };
}
