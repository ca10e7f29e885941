// Claim: with a cached token and a stub adapter, the axios interceptor costs at most 300 ns, and at most 2.2 x the
// cheapest possible check for a 401.
import axios, { AxiosHeaders } from "axios";
import { createAuthInterceptor } from "remint/axios";
import { interleave } from "./measure.mjs";
import { ORIGIN, warmCache } from "./warm-cache.mjs";

export const title = "axios, warm, stub adapter (per call, without axios itself)";

export async function run(progress) {
  const { cache, header } = await warmCache();
  const response = { status: 200, data: "", headers: {} };
  const adapter = () => Promise.resolve(response);
  const interceptor = createAuthInterceptor(cache, { axios });
  const urls = Array.from({ length: 64 }, (_, i) => `/orders/${i}`);
  const config = {
    headers: new AxiosHeaders({ Accept: "application/json", "User-Agent": "bench", "X-Request-Id": "1" }),
    baseURL: ORIGIN,
    method: "get",
    url: "",
    adapter,
  };
  const subjects = {
    "manual header": (i) => {
      config.url = urls[i & 63];
      config.headers.Authorization = header;
      const sent = adapter(config);
      config.headers.Authorization = undefined;
      return sent;
    },
    "cheapest 401 check": (i) => {
      config.url = urls[i & 63];
      config.headers.Authorization = header;
      return adapter(config).then((answer) => {
        config.headers.Authorization = undefined;
        if (answer.status === 401) throw new Error("not in this bench");
        return answer;
      });
    },
    remint: (i) => {
      config.url = urls[i & 63];
      config.adapter = adapter;
      return interceptor(config).adapter(config);
    },
  };
  const result = await interleave(subjects, { reference: "cheapest 401 check", progress });
  return {
    result,
    budgets: [
      { what: "remint / cheapest 401 check", measured: result.remint.ratio, limit: 2.2, unit: "x", digits: 2 },
      { what: "remint, best round", value: result.remint.ns.least, limit: 300, unit: "ns" },
    ],
  };
}
