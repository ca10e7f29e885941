// Claim: with a cached token and a stub adapter, the axios interceptor costs at most 1.5 x the least that any interceptor
// has to do: read both clocks, set the header, look at the status.
import axios, { AxiosHeaders } from "axios";
import { createAuthInterceptor } from "remint/axios";
import { interleave } from "./measure.mjs";
import { expiryCheck, ORIGIN, warmCache } from "./warm-cache.mjs";

export const title = "axios, warm, stub adapter (per call, without axios itself)";

export async function run(progress) {
  const { cache, header } = await warmCache();
  const checkExpiry = expiryCheck();
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
    "least possible": (i) => {
      checkExpiry();
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
  const result = await interleave(subjects, { reference: "least possible", progress });
  return {
    result,
    budgets: [{ what: "remint / least possible", measured: result.remint.ratio, limit: 1.5, unit: "x", digits: 2 }],
  };
}
