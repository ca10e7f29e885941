// Claim: axios.get over loopback with keep-alive takes at most 1.03 x the time with a header that is set by hand.
import http from "node:http";
import axios from "axios";
import { createTokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { interleave } from "./measure.mjs";

export const title = "axios.get over loopback, keep-alive, one after the other";

export async function run(progress) {
  const value = "x".repeat(800);
  const api = await startPlainApi();
  const httpAgent = new http.Agent({ keepAlive: true });
  const tokens = createTokenCache({
    grant: async () => ({ access_token: value, expires_in: 3600 }),
    origins: [api.origin],
  });
  await tokens.get();
  const bare = axios.create({ httpAgent });
  const noop = axios.create({ httpAgent });
  noop.interceptors.request.use((config) => config);
  const authed = axios.create({ httpAgent });
  authed.interceptors.request.use(createAuthInterceptor(tokens, { axios }));
  const manual = { headers: { Authorization: `Bearer ${value}` } };
  const subjects = {
    "manual header": () => bare.get(api.origin, manual),
    "no-op interceptor": () => noop.get(api.origin, manual),
    remint: () => authed.get(api.origin),
  };
  try {
    const result = await interleave(subjects, { reference: "manual header", rounds: 41, calls: 250, progress });
    const budget = { what: "remint / manual header", measured: result.remint.ratio, limit: 1.03, unit: "x", digits: 3 };
    return { result, budgets: [budget] };
  } finally {
    httpAgent.destroy();
    await api.close();
  }
}

/**
 * Starts a server with the cheapest answer. The API of remint/testing records requests, and that would be measured too.
 */
async function startPlainApi() {
  const server = http.createServer((_, response) => response.end("ok"));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve)));
  return { origin: `http://127.0.0.1:${server.address().port}`, close };
}
