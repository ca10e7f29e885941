// The two sides of a proxy, for proxy.mjs: an API, and what stands for the browsers. In a process of their own, so that the
// time of the proxy's processor is the proxy's alone. Told { origin, path, method, body, calls }, it sends the calls.
import http from "node:http";

/** As many connections as Chromium opens to one origin. */
const AT_ONCE = 6;
const ANSWER = JSON.stringify(Array.from({ length: 20 }, (_, id) => ({ id, state: "open", total: 12.5 * id })));

const api = http.createServer((request, response) => {
  request.resume();
  request.once("end", () => {
    response.writeHead(200, {
      "content-type": "application/json",
      "content-length": ANSWER.length,
      etag: '"1"',
      "cache-control": "private",
      "set-cookie": "api=1",
      "x-powered-by": "api",
    });
    response.end(ANSWER);
  });
});
const agent = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE });
const headers = {
  accept: "application/json",
  "accept-language": "en",
  "accept-encoding": "gzip, br",
  "user-agent": "bench",
  cookie: "session=1",
  "sec-fetch-site": "same-origin",
  "x-bff": "1",
};

function call({ origin, path, method, body }) {
  return new Promise((resolve, reject) => {
    const more = body === undefined ? {} : { "content-type": "application/json", "content-length": body.length };
    const request = http.request(origin + path, { method, agent, headers: { ...headers, ...more } }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`${path}: ${response.statusCode}`));
      response.resume().once("end", resolve).once("error", reject);
    });
    request.once("error", reject).end(body);
  });
}

process.on("message", async (work) => {
  let left = work.calls;
  const one = async () => {
    while (left-- > 0) await call(work);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  process.send("done");
});
process.once("disconnect", () => process.exit());
api.listen(0, "127.0.0.1", () => process.send(api.address().port));
