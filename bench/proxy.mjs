// Claim: the proxy costs at most 1.05 x the time of the processor of a proxy that is written by hand and does the same in the
// cheapest way: it looks at the path and the header of the pages, sets the token, copies headers from the same lists, keeps
// short bodies and streams the others, and ends its request when the browser goes away or the API does not answer in time.
// The token is warm. Both are mounted in the same server. The API and the browsers are in another process, over loopback.
import { fork } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import { Readable } from "node:stream";
import { createTokenCache } from "remint";
import { createAuthProxy } from "remint/proxy";
import { copiedHeaders, headerNames } from "../dist/proxy/headers.js";
import { quartiles } from "./measure.mjs";

export const title = "The proxy beside one that is written by hand, over loopback (time of the processor per request)";

const ROUNDS = 41;
/** Rounds before those: until then a part of the time is the compiler's, more for the one that has more code. */
const WARM_UP = 5;
const KINDS = {
  GET: { method: "GET", calls: 100 },
  "POST of 200 bytes": { method: "POST", body: JSON.stringify({ text: "x".repeat(189) }), calls: 100 },
  "POST of 1 MB": { method: "POST", body: "x".repeat(1_000_000), calls: 40 },
};
const KEPT_BYTES = 64 * 1024;

export async function run(progress) {
  const peer = fork(new URL("proxy-peer.mjs", import.meta.url));
  const [apiPort] = await once(peer, "message");
  const api = `http://127.0.0.1:${apiPort}`;
  const token = "x".repeat(800);
  const tokens = createTokenCache({ grant: async () => ({ access_token: token, expires_in: 3600 }), origins: [api] });
  await tokens.get();
  const proxies = {
    "/hand": handWritten(api, `Bearer ${token}`),
    "/ours": createAuthProxy(() => tokens, { routes: { "/ours": api } }),
  };
  const server = http.createServer((incoming, outgoing) => {
    void serve(proxies[incoming.url.slice(0, 5)], incoming, outgoing);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const origin = `http://127.0.0.1:${server.address().port}`;
  try {
    const measured = await measure(peer, origin, progress);
    return {
      lines: Object.entries(measured).map(
        ([kind, { hand, ours }]) => `${kind}: by hand ${us(hand)}, remint ${us(ours)} of the processor`,
      ),
      budgets: Object.entries(measured).map(([what, { hand, ours }]) => ({
        what,
        value: ours.median / hand.median,
        limit: 1.05,
        unit: "x",
        digits: 3,
      })),
    };
  } finally {
    peer.disconnect();
    server.closeAllConnections();
    server.close();
  }
}

/** Measures both proxies in turns: microseconds of the processor for each request. */
async function measure(peer, origin, progress) {
  const times = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, { "/hand": [], "/ours": [] }]));
  for (let round = -WARM_UP; round < ROUNDS; round++) {
    for (const [kind, request] of Object.entries(KINDS)) {
      // Another order every round, so that none always runs after the one that leaves the most garbage.
      for (const prefix of round % 2 === 0 ? ["/hand", "/ours"] : ["/ours", "/hand"]) {
        const start = process.cpuUsage();
        peer.send({ origin, path: `${prefix}/orders/7?page=2&tag=a`, ...request });
        await once(peer, "message");
        const { user, system } = process.cpuUsage(start);
        if (round >= 0) times[kind][prefix].push((user + system) / request.calls);
      }
    }
    progress(round + WARM_UP + 1, ROUNDS + WARM_UP);
  }
  return Object.fromEntries(
    Object.entries(times).map(([kind, { "/hand": hand, "/ours": ours }]) => [
      kind,
      { hand: quartiles(hand), ours: quartiles(ours) },
    ]),
  );
}

function handWritten(api, authorization) {
  const requestHeaders = headerNames("", undefined, "request");
  const responseHeaders = headerNames("", undefined, "response");
  return async (request) => {
    const { pathname, search } = new URL(request.url);
    if (!pathname.startsWith("/hand/")) return new Response(null, { status: 404 });
    if (request.headers.get("x-bff") !== "1") return new Response(null, { status: 403 });
    const headers = copiedHeaders(request.headers, requestHeaders);
    headers.authorization = authorization;
    const isShort = Number(request.headers.get("content-length")) <= KEPT_BYTES;
    const body = request.body && isShort ? new Uint8Array(await request.arrayBuffer()) : request.body;
    const limit = new AbortController();
    const end = () => limit.abort(request.signal.reason);
    request.signal.addEventListener("abort", end, { once: true });
    const timer = setTimeout(end, 60_000);
    const answer = await fetch(api + pathname.slice(5) + search, {
      method: request.method,
      headers,
      signal: limit.signal,
      redirect: "manual",
      ...(body && { body, duplex: "half" }),
    });
    clearTimeout(timer);
    const sent = copiedHeaders(answer.headers, responseHeaders);
    sent["cache-control"] = "no-store";
    return new Response(answer.body, { status: answer.status, headers: sent });
  };
}

/** Makes a request for a proxy of one of `node:http`, and sends the proxy's answer. */
async function serve(proxy, incoming, outgoing) {
  const gone = new AbortController();
  outgoing.once("close", () => outgoing.writableFinished || gone.abort());
  const { method, url, headers } = incoming;
  const body = method === "GET" ? undefined : Readable.toWeb(incoming);
  const request = new Request(`http://127.0.0.1${url}`, { method, headers, body, signal: gone.signal, duplex: "half" });
  const response = await proxy(request);
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  for await (const chunk of response.body) outgoing.write(chunk);
  outgoing.end();
}

function us({ median }) {
  return `${median.toFixed(0)} µs`;
}
