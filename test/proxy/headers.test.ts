/** S12: only listed headers pass. The API gets no cookie, and the browser nothing that gives the API power over it. */
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { APP, stage } from "./stage.ts";

const HOSTILE = {
  cookie: "__Host-Http-bff=secret",
  authorization: "Bearer theirs",
  dpop: "proof",
  host: "evil.example",
  forwarded: "for=1.2.3.4",
  "x-forwarded-for": "1.2.3.4",
  "x-forwarded-host": "evil.example",
  "x-real-ip": "1.2.3.4",
  origin: APP,
  referer: `${APP}/secret?code=1`,
  "proxy-authorization": "Basic x",
  connection: "close, x-bff",
  te: "trailers",
  "x-http-method-override": "DELETE",
  "x-original-url": "/admin",
  "accept-encoding": "br",
  "user-agent": "page",
};

const WELCOME = {
  accept: "application/json",
  "accept-language": "de",
  "content-language": "de",
  "content-type": "application/json",
  "idempotency-key": "k",
  "if-match": '"a"',
  "last-event-id": "7",
  prefer: "return=minimal",
  range: "bytes=0-1",
  traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
  tracestate: "a=b",
  "x-request-id": "r",
};

describe("S12: request headers", () => {
  test("S12: the listed ones pass, the token is ours, and of the others the API gets none", async () => {
    const { page, api } = await stage();
    await page("/api/x", { method: "POST", body: "{}", headers: { ...HOSTILE, ...WELCOME } });
    const { headers } = api.requests[0]!;
    expect(headers).toMatchObject({ ...WELCOME, authorization: "Bearer fake-1", host: new URL(api.origin).host });
    // What Node's fetch adds by itself; the last two because of the condition.
    const own = [
      "host",
      "connection",
      "authorization",
      "content-length",
      "accept-encoding",
      "sec-fetch-mode",
      "user-agent",
      "pragma",
      "cache-control",
    ];
    expect(Object.keys(headers).filter((name) => !own.includes(name) && !(name in WELCOME))).toEqual([]);
    expect(JSON.stringify(headers)).not.toMatch(/secret|evil|1\.2\.3\.4|theirs|proof|"page"/);
  });

  test("S12: a compressed body passes as it is, and says so", async () => {
    const { page, api } = await stage();
    const body = gzipSync("the text");
    await page("/api/x", { method: "POST", body, headers: { "content-encoding": "gzip" } });
    const [{ headers, body: got }] = api.requests as [(typeof api.requests)[0]];
    expect([headers["content-encoding"], gunzipSync(got).toString()]).toEqual(["gzip", "the text"]);
  });

  test.each(["range, X-Tenant", "close,Range ,x-tenant,", "RANGE,x-tenant"])(
    "S12: what Connection names (%s) belongs to one connection, and does not pass, though it is listed",
    async (connection) => {
      const { page, api } = await stage({ route: { requestHeaders: ["x-tenant"] } });
      await page("/api/x", { headers: { connection, range: "bytes=0-1", "x-tenant": "acme", prefer: "a" } });
      const { headers } = api.requests[0]!;
      expect([headers["range"], headers["x-tenant"], headers["prefer"]]).toEqual([undefined, undefined, "a"]);
    },
  );

  test("S12: a route can add names, in any case", async () => {
    const { page, api } = await stage({ route: { requestHeaders: ["X-Tenant"] } });
    await page("/api/x", { headers: { "x-tenant": "acme", "x-other": "no" } });
    expect(api.requests[0]!.headers).toMatchObject({ "x-tenant": "acme" });
    expect(Object.keys(api.requests[0]!.headers)).not.toContain("x-other");
  });
});

const FROM_API = {
  "set-cookie": ["a=1", "__Host-Http-bff=planted"],
  "clear-site-data": '"*"',
  "access-control-allow-origin": "*",
  "access-control-allow-credentials": "true",
  "content-security-policy": "default-src *",
  "strict-transport-security": "max-age=1",
  "www-authenticate": 'Bearer realm="internal"',
  "cache-control": "public, max-age=600",
  server: "internal/1.0",
  "x-powered-by": "x",
  "x-internal-host": "10.0.0.7",
  "server-timing": "db;desc=secret",
  "content-type": "text/plain",
  "content-disposition": 'attachment; filename="a.txt"',
  etag: '"a"',
  "last-modified": "Wed, 21 Oct 2015 07:28:00 GMT",
  link: '</v1/x>; rel="next"',
  "retry-after": "3",
  deprecation: "@1",
  sunset: "Wed, 21 Oct 2026 07:28:00 GMT",
  ratelimit: '"a";r=1',
  "ratelimit-remaining": "1",
};

describe("S12: response headers", () => {
  test("S12: the listed ones pass, and none of the others", async () => {
    const { page, api } = await stage();
    api.respond({ headers: FROM_API, body: "x" });
    const answer = await page("/api/x");
    expect(Object.fromEntries(answer.headers)).toEqual({
      "cache-control": "no-store",
      "content-disposition": 'attachment; filename="a.txt"',
      "content-type": "text/plain",
      deprecation: "@1",
      etag: '"a"',
      "last-modified": "Wed, 21 Oct 2015 07:28:00 GMT",
      link: '</api/x>; rel="next"',
      ratelimit: '"a";r=1',
      "ratelimit-remaining": "1",
      "retry-after": "3",
      "server-timing": expect.stringMatching(/^token;desc=minted, api;dur=[\d.]+$/) as string,
      sunset: "Wed, 21 Oct 2026 07:28:00 GMT",
      "x-content-type-options": "nosniff",
    });
  });

  test("S12: a route can add names, and let the browser keep answers which it has to revalidate", async () => {
    const { page, api } = await stage({ route: { responseHeaders: ["X-Total"], cache: "private" } });
    api.respond({ headers: { "x-total": "7", "cache-control": "public" }, body: "x" });
    const { headers } = await page("/api/x");
    expect([headers.get("x-total"), headers.get("cache-control")]).toEqual(["7", "private, no-cache"]);
  });

  test("S12: a compressed answer arrives readable, and does not claim to be compressed", async () => {
    const { page, api } = await stage();
    api.respond({ headers: { "content-encoding": "gzip", "content-type": "text/plain" }, body: gzipSync("the text") });
    const answer = await page("/api/x");
    expect([await answer.text(), answer.headers.get("content-encoding"), answer.headers.get("content-length")]).toEqual(
      ["the text", null, null],
    );
  });

  test("S12: what the Connection of the API names does not pass", async () => {
    const { page, api } = await stage();
    api.respond({ headers: { connection: "close, ETag", etag: '"hop"', "retry-after": "1" }, body: "x" });
    const { headers } = await page("/api/x");
    expect([headers.get("etag"), headers.get("retry-after")]).toEqual([null, "1"]);
  });
});

describe("S12: links of the API", () => {
  test.each([
    ["an absolute one in the base", '<API/v1/x?page=2#a>; rel="next"', '</api/x?page=2#a>; rel="next"'],
    ["a relative one", '<?page=2>; rel="next"', '</api/list?page=2>; rel="next"'],
    [
      "one out of the base, between others",
      "</v1/a>; rel=a, </admin>; rel=b, <b>; rel=c",
      "</api/a>; rel=a, </api/b>; rel=c",
    ],
    ["one out of the base alone", '<API/internal>; rel="next"', ""],
    ["an encoded slash", "</v1/..%2fadmin>; rel=next", ""],
    [
      "one to another server",
      "<https://docs.example/errors>; rel=describedby",
      "<https://docs.example/errors>; rel=describedby",
    ],
    [
      "commas and brackets in a title",
      '</v1/a>; title="x, <API/y>; \\"z", <b>; rel=c',
      '</api/a>; title="x, <API/y>; \\"z", </api/b>; rel=c',
    ],
    ["what is no link", "next page, please", ""],
    ["two addresses in one link", "</v1/a> <http://10.0.0.1/b>; rel=a", ""],
    ["a title that does not end", '</v1/a>; rel=a, </v1/b>; title="x', "</api/a>; rel=a"],
  ])("S12: %s", async (_, link, expected) => {
    const { page, api } = await stage();
    api.respond({ headers: { link: link.replace("API", api.origin) }, body: "x" });
    const { headers } = await page("/api/list");
    expect(headers.get("link")).toBe(expected === "" ? null : expected.replace("API", api.origin));
  });

  test("S12: a link of 12,000 brackets and quotes takes no time to speak of", async () => {
    const { page, api } = await stage();
    api.respond({ headers: { link: `</v1/a>${'<"'.repeat(6000)}` }, body: "x" });
    expect((await page("/api/list")).headers.get("link")).toBeNull();
  });
});
