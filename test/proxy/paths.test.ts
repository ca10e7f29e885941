/** S11: no input leads to another origin, out of the API's base path, or to a method that the route does not have. */
import { createTokenCache } from "remint";
import { createAuthProxy } from "remint/proxy";
import { fakeGrant } from "remint/testing";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";

const APP = "https://app.example";
const RUNS = Number(process.env["REMINT_RUNS"] ?? 2000);

/** What the API was sent. */
let sent: { url: string; method: string }[];
beforeEach(() => void (sent = []));

const cache = createTokenCache({ grant: fakeGrant(), origins: ["https://api.example"] });
const proxy = createAuthProxy(() => cache, {
  routes: {
    "/api": { target: "https://api.example/v1/base", methods: ["GET", "POST"] },
    "/root": "https://api.example",
  },
  csrf: false,
  fetch: async (url, { method }) => {
    sent.push({ url, method: method! });
    return new Response("ok");
  },
});

/** A request as a server makes it of a request line: whatever comes after the host. */
async function ask(path: string, method = "GET"): Promise<number> {
  return (await proxy(new Request(new URL(APP + path), { method }))).status;
}

/** Paths that servers read in different ways. */
const dangerous = [
  "/api/..%2fadmin",
  "/api/..%2Fadmin",
  "/api/%2e%2e%2fadmin",
  "/api/a%2fb",
  "/api/a%5cb",
  "/api/..%5cadmin",
  "/api/%2e%2e%5cadmin",
  "/api//evil.example",
  "/api//",
  "//evil.example/api",
  "/api/a//b",
  "/api/..;/admin",
  "/api/..;x=1/admin",
  "/api/.;/admin",
  "/api/;/admin",
  "/api/%3b/admin",
  "/api/%2e%2e;/admin",
  "/api/a%00",
  "/api/a%0d%0ahost:%20evil",
  "/api/a%09",
  "/api/a%7f",
  "/api/%",
  "/api/%zz",
  "/api/%c0%ae%c0%ae/admin",
  "/api/%252e%252e%252fadmin",
  "/api/%252fadmin",
  "/api/%255cadmin",
  "/api/%25252fadmin",
  "/api/%2525252525",
];

describe("S11: the path of a request", () => {
  test.each(dangerous)("S11: %s: 400, and nothing is sent", async (path) => {
    expect([await ask(path), sent]).toEqual([400, []]);
  });

  test.each([
    ["/api/orders/../../other/x", 404, undefined],
    ["/api/../root/x", 200, "https://api.example/x"],
    ["/api/%2e%2e/root/x", 200, "https://api.example/x"],
    ["/api/\\evil.example/x", 400, undefined],
    ["/\\evil.example/api", 400, undefined],
    ["/.//evil.example/api", 400, undefined],
    ["/\t/evil.example/api", 400, undefined],
  ] as const)("S11: %s, which the URL parser reads first: %i", async (path, status, url) => {
    expect([await ask(path), sent.map((each) => each.url)]).toEqual([status, url === undefined ? [] : [url]]);
  });

  test.each([
    ["/api", "https://api.example/v1/base"],
    ["/api/", "https://api.example/v1/base/"],
    ["/api/a.b..c/...", "https://api.example/v1/base/a.b..c/..."],
    ["/api/100%25", "https://api.example/v1/base/100%25"],
    ["/api/a%20b/%C3%BC;v=1/(x)@y:z", "https://api.example/v1/base/a%20b/%C3%BC;v=1/(x)@y:z"],
    ["/api/x?next=//evil.example/..%2f&a=1&a=2", "https://api.example/v1/base/x?next=//evil.example/..%2f&a=1&a=2"],
  ])("S11: %s passes as it is", async (path, url) => {
    expect([await ask(path), sent]).toEqual([200, [{ url, method: "GET" }]]);
  });

  test("S11: whatever comes in the path: the API sees its own origin, its base path and the methods of the route, and nothing else", async () => {
    const piece = fc.oneof(
      fc.constantFrom(
        "/",
        "//",
        "\\",
        ".",
        "..",
        "%2e",
        "%2E",
        "%2f",
        "%5c",
        "%25",
        "%252f",
        ";",
        "?",
        "#",
        "@",
        ":",
        "%00",
        "%0a",
        "\t",
        "\n",
        "%c0%af",
        "api",
        "root",
        "evil.example",
        "http:",
        "%u002f",
      ),
      fc.string({ maxLength: 3 }),
    );
    const path = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(""));
    const method = fc.constantFrom("GET", "POST", "PUT", "DELETE", "PROPFIND");
    await fc.assert(
      fc.asyncProperty(fc.constantFrom("/api", "/api/", "/root/", "/", ""), path, method, async (start, rest, verb) => {
        sent = [];
        let url: URL;
        try {
          url = new URL(`${APP}${start}${rest}`);
        } catch {
          return;
        }
        if (url.origin !== APP) return;
        await proxy(new Request(url, { method: verb }));
        for (const each of sent) {
          const at = new URL(each.url);
          expect(at.origin).toBe("https://api.example");
          // As the most trusting server reads it: decoded twice, backslashes as slashes, parameters of segments cut off.
          const read = decodedTwice(at.pathname)
            .replaceAll("\\", "/")
            .replace(/;[^/]*/g, "");
          expect(new URL(`https://x${read}`).pathname === read || !/(?:^|\/)\.{1,2}(?:\/|$)/.test(read)).toBe(true);
          expect(read).not.toContain("//");
          if (url.pathname.startsWith("/api")) {
            expect(at.pathname.startsWith("/v1/base")).toBe(true);
            expect(["GET", "POST"]).toContain(each.method);
          }
        }
      }),
      { numRuns: RUNS },
    );
  });

  test("S11: the test above finds a proxy that only puts texts together", () => {
    const read = decodedTwice("/v1/base/..%2f..%2fadmin");
    expect(/(?:^|\/)\.{1,2}(?:\/|$)/.test(read)).toBe(true);
  });
});

describe("S11: a path that an API could read as one of another route", () => {
  const overlapping = createAuthProxy(() => cache, {
    routes: {
      "/api": "https://api.example/v1",
      "/api/orders": { target: "https://api.example/v1/orders", methods: ["GET"] },
    },
    csrf: false,
    fetch: async (url, { method }) => {
      sent.push({ url, method: method! });
      return new Response("ok");
    },
  });
  const post = async (path: string): Promise<number> =>
    (await overlapping(new Request(APP + path, { method: "POST" }))).status;

  test.each([
    "/api/order%73/1",
    "/api/%6frders",
    "/api/order%2573/1",
    "/api/orders;v=1/1",
    "/api/orders;/1",
    "/api/orders%3b/1",
    "/api/Orders/1",
    "/api/%4frders/1",
    "/api/ORDERS;a/1",
  ])("S11: POST %s, where the route of orders has GET only: 400, and nothing is sent", async (path) => {
    expect([await post(path), sent]).toEqual([400, []]);
  });

  test.each([
    ["/api/orders/1", 405],
    ["/api/orders", 405],
    ["/api/ordersx;orders/1", 200],
    ["/api/x/orders", 200],
    ["/api/Items/%6frders;a", 200],
  ])("S11: POST %s belongs to one route, however it is read: %i", async (path, status) => {
    expect(await post(path)).toBe(status);
  });
});

function decodedTwice(path: string): string {
  const once = path.replace(/%([\da-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return once.replace(/%([\da-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}

function redirecting(location: string): Promise<Response> {
  return createAuthProxy(() => cache, {
    routes: { "/api": "https://api.example/v1/base", "/root": "https://api.example" },
    csrf: false,
    fetch: async () => new Response(null, { status: 302, headers: { location } }),
  })(new Request(`${APP}/api/things/1`));
}

describe("S11: where a redirect of the API may lead the browser", () => {
  test.each([
    ["a path in the base", "/v1/base/other?x=1#y", "/api/other?x=1#y"],
    ["a relative one", "2", "/api/things/2"],
    ["the whole URL", "https://api.example/v1/base/x", "/api/x"],
    ["the base itself", "/v1/base", "/api"],
    ["out of the base", "/v1/other", null],
    ["out of the base by dots", "../../../admin", null],
    ["a path that only begins like the base", "/v1/base2", null],
    ["another host", "https://evil.example/v1/base/x", null],
    ["another host without a scheme", "//evil.example/v1/base", null],
    ["another scheme", "http://api.example/v1/base/x", null],
    ["a script", "javascript:alert(1)", null],
    ["an encoded slash", "/v1/base/..%2f..%2fadmin", null],
    ["two slashes", "/v1/base//evil.example", null],
    ["what is no URL", "http://[", null],
  ])("S11: %s", async (_, location, expected) => {
    const answer = await redirecting(location);
    expect([answer.status, answer.headers.get("location")]).toEqual([302, expected]);
  });
});
