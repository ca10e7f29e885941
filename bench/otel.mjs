// Claim: a warm request emits no event, so a cache with the listener of remint/otel costs what one without a listener does.
import { metrics, trace } from "@opentelemetry/api";
import { createAuthFetch } from "remint/fetch";
import { openTelemetry } from "remint/otel";
import { interleave } from "./measure.mjs";
import { ORIGIN, warmCache } from "./warm-cache.mjs";

export const title = "fetch wrapper, warm, stub fetch, with and without telemetry (per call)";

export async function run(progress) {
  const onEvent = openTelemetry({ meter: metrics.getMeter("remint"), tracer: trace.getTracer("remint") });
  const response = { status: 200 };
  const stub = () => Promise.resolve(response);
  const urls = Array.from({ length: 64 }, (_, i) => `${ORIGIN}/orders/${i}`);
  const silent = createAuthFetch((await warmCache()).cache, { fetch: stub });
  const told = createAuthFetch((await warmCache({ onEvent })).cache, { fetch: stub });
  const subjects = {
    "without a listener": (i) => silent(urls[i & 63]),
    "with remint/otel": (i) => told(urls[i & 63]),
  };
  const result = await interleave(subjects, { reference: "without a listener", progress });
  return {
    result,
    budgets: [
      { what: "with remint/otel", measured: result["with remint/otel"].ratio, limit: 1.05, unit: "x", digits: 2 },
    ],
  };
}
