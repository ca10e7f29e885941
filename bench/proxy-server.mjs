// A server with one proxy, for proxy.mjs, in a process of its own: `node proxy-server.mjs hand|remint API`. Sends its port.
// Told anything, it answers with the microseconds of the processor that it has used.
import { once } from "node:events";
import http from "node:http";
import { Readable } from "node:stream";
import { createTokenCache } from "remint";
import { createAuthProxy } from "remint/proxy";
import { copiedHeaders, headerNames } from "../dist/proxy/headers.js";

const KEPT_BYTES = 64 * 1024;
const [kind, api] = process.argv.slice(2);
const token = "x".repeat(800);
const proxies = { hand: handWritten, remint };
const proxy = await proxies[kind]();

const server = http.createServer((incoming, outgoing) => void serve(incoming, outgoing));
await once(server.listen(0, "127.0.0.1"), "listening");
process.on("message", () => {
  const { user, system } = process.cpuUsage();
  process.send(user + system);
});
process.once("disconnect", () => process.exit());
process.send(server.address().port);

async function remint() {
  const tokens = createTokenCache({ grant: async () => ({ access_token: token, expires_in: 3600 }), origins: [api] });
  await tokens.get();
  return createAuthProxy(() => tokens, { routes: { "/api": api } });
}

function handWritten() {
  const requestHeaders = headerNames("", undefined, "request");
  const responseHeaders = headerNames("", undefined, "response");
  return async (request) => {
    const { pathname, search } = new URL(request.url);
    if (!pathname.startsWith("/api/")) return new Response(null, { status: 404 });
    if (request.headers.get("x-bff") !== "1") return new Response(null, { status: 403 });
    const headers = copiedHeaders(request.headers, requestHeaders);
    headers.authorization = `Bearer ${token}`;
    const isShort = Number(request.headers.get("content-length")) <= KEPT_BYTES;
    const body = request.body && isShort ? new Uint8Array(await request.arrayBuffer()) : request.body;
    const limit = new AbortController();
    const end = () => limit.abort(request.signal.reason);
    request.signal.addEventListener("abort", end, { once: true });
    const timer = setTimeout(end, 60_000);
    const start = performance.now();
    const answer = await fetch(api + pathname.slice("/api".length) + search, {
      method: request.method,
      headers,
      signal: limit.signal,
      redirect: "manual",
      ...(body && { body, duplex: "half" }),
    });
    const duration = performance.now() - start;
    clearTimeout(timer);
    const sent = copiedHeaders(answer.headers, responseHeaders);
    sent["cache-control"] = "no-store";
    sent["server-timing"] = `api;dur=${duration.toFixed(1)}`;
    sent["x-content-type-options"] = "nosniff";
    return new Response(answer.body, { status: answer.status, headers: sent });
  };
}

/** Makes a request for the proxy of one of `node:http`, and sends the proxy's answer. */
async function serve(incoming, outgoing) {
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
