/** S10: the proxy answers only requests that the application's own pages made. What browsers send was measured in Chromium. */
import { createAuthProxy } from "remint/proxy";
import { describe, expect, test } from "vitest";
import { APP, problemOf, stage } from "./stage.ts";

/** What a request says of itself, and whether it passes; for an ordinary route and for one with events. */
type Row = [what: string, headers: Record<string, string>, passes: boolean, passesAsEvents?: boolean];

const events = { accept: "text/event-stream" };
const same = { "sec-fetch-site": "same-origin" };
const rows: readonly Row[] = [
  ["nothing at all", {}, false],
  ["the header alone, as a script of a test sends it", { "x-bff": "1" }, true],
  ["the header and the page's own origin", { "x-bff": "1", origin: APP, ...same }, true],
  ["the header with another value", { "x-bff": "0" }, false],
  ["the header, empty", { "x-bff": "" }, false],
  [
    "another port of the same host (same-site), without the header: a form",
    { "sec-fetch-site": "same-site", origin: "https://app.example:8443" },
    false,
  ],
  [
    "another port of the same host, with the header",
    { "x-bff": "1", "sec-fetch-site": "same-site", origin: "https://app.example:8443" },
    false,
  ],
  ["another site", { "x-bff": "1", "sec-fetch-site": "cross-site", origin: "https://evil.example" }, false],
  ["an address that the user typed", { "x-bff": "1", "sec-fetch-site": "none" }, false],
  ["an Origin of another scheme", { "x-bff": "1", origin: "http://app.example" }, false],
  ["an opaque Origin", { "x-bff": "1", origin: "null" }, false],
  ["an Origin that only begins like ours", { "x-bff": "1", origin: `${APP}.evil.example` }, false],
  ["its own origin, but no header", { ...same, origin: APP }, false],
  ["an EventSource of the page", { ...same, ...events }, false, true],
  ["an EventSource of a browser that tells the origin only", { origin: APP, ...events }, false, true],
  [
    "an EventSource of another port",
    { "sec-fetch-site": "same-site", origin: "https://app.example:8443", ...events },
    false,
    false,
  ],
  ["what accepts events and tells nothing of itself", events, false, false],
  ["a link of the page, which is no EventSource", { ...same, accept: "text/html,application/xhtml+xml" }, false, false],
];

describe("S10: what a request says of itself", () => {
  test.each(rows)("S10: %s", async (_what, headers, passes, passesAsEvents) => {
    for (const [hasEvents, expected] of [
      [false, passes],
      [true, passesAsEvents ?? passes],
    ] as const) {
      const { proxy, api } = await stage({ route: { events: hasEvents } });
      const answer = await proxy(new Request(`${APP}/api/x`, { headers: onServer(headers) }));
      expect([hasEvents, answer.status, api.requests.length]).toEqual([
        hasEvents,
        expected ? 200 : 403,
        expected ? 1 : 0,
      ]);
      if (!expected) expect((await problemOf(answer))["code"]).toBe("csrf");
    }
  });

  test("S10: a route with events takes no other method without the header", async () => {
    const { proxy } = await stage({ route: { events: true } });
    const request = new Request(`${APP}/api/x`, {
      method: "POST",
      headers: onServer({ ...same, ...events, origin: APP }),
    });
    expect((await proxy(request)).status).toBe(403);
  });

  test.each(["OPTIONS", "GET", "POST", "PUT", "PATCH", "DELETE"])(
    "S10: %s without the header: 403 on every route, before the session is looked at",
    async (method) => {
      const asked: string[] = [];
      const proxy = createAuthProxy((_, prefix) => void asked.push(prefix), {
        routes: {
          "/api/a": "https://a.example",
          "/api/b": { target: "https://b.example", events: true, methods: ["GET"] },
        },
      });
      for (const path of ["/api/a/1", "/api/b/1"]) {
        const answer = await proxy(new Request(APP + path, { method }));
        expect([answer.status, [...answer.headers.keys()].filter((name) => name.startsWith("access-control"))]).toEqual(
          [403, []],
        );
      }
      expect(asked).toEqual([]);
    },
  );
});

describe("S10: the option", () => {
  test("S10: behind a reverse proxy, which changes scheme and host, the origin is the one of the option", async () => {
    const { proxy } = await stage({ options: { csrf: { origin: APP } } });
    const ask = (origin: string): Promise<Response> =>
      proxy(new Request("http://10.0.0.7:8080/api/x", { headers: onServer({ "x-bff": "1", origin }) }));
    expect([(await ask(APP)).status, (await ask("http://10.0.0.7:8080")).status]).toEqual([200, 403]);
  });

  test("S10: without the option a forged Host decides nothing that a browser could be made to send", async () => {
    const { proxy } = await stage();
    const headers = onServer({
      "x-bff": "1",
      origin: "https://evil.example",
      host: "evil.example",
      "x-forwarded-host": "evil.example",
    });
    expect((await proxy(new Request(`${APP}/api/x`, { headers }))).status).toBe(403);
  });

  test("S10: another name of the header takes the place of the first", async () => {
    const { proxy } = await stage({ options: { csrf: { header: "X-CSRF" } } });
    const ask = async (name: string): Promise<number> =>
      (await proxy(new Request(`${APP}/api/x`, { headers: { [name]: "1" } }))).status;
    expect([await ask("x-csrf"), await ask("x-bff")]).toEqual([200, 403]);
  });

  test("S10: false lets everything pass, and has to be written out", async () => {
    const { proxy } = await stage({ options: { csrf: false } });
    const evil = onServer({ origin: "https://evil.example", "sec-fetch-site": "cross-site" });
    expect((await proxy(new Request(`${APP}/api/x`, { headers: evil }))).status).toBe(200);
    expect((await (await stage({ options: { csrf: undefined } })).proxy(new Request(`${APP}/api/x`))).status).toBe(403);
  });
});

/** Headers as a server gets them: a page may not set all of them, and `new Request` drops none here. */
function onServer(headers: Record<string, string>): Headers {
  return new Headers(headers);
}
