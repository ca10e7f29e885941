/** Every route of the BFF, by loop: none can be added without a guard, and each guard refuses what it has to. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Route } from "../bff/routes.ts";
import { call, openStage, OWN, outcome, signedIn, type Stage } from "./stage.ts";
import type { Browser } from "../browser.ts";

let stage: Stage;
let browser: Browser;
let cookie: string;

beforeAll(async () => {
  stage = await openStage();
  browser = await signedIn(stage);
  cookie = `__Host-Http-bff=${browser.cookie("localhost", "__Host-Http-bff")}`;
});
afterAll(() => stage.close());

/** Sends a request with the cookie of the session, as a browser may be made to by another site. */
function forged(method: string, path: string, headers: Readonly<Record<string, string>>): Promise<Response> {
  const init = { method, headers: { cookie, ...headers } };
  return Promise.resolve(stage.app.hono.request(`${stage.origin}${path}`, init));
}

/** What other sites can make a browser send: by section 6.1.3.3 of RFC 10017, and from another port of the same host. */
const FORGED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "another site, by fetch": {
    "sec-fetch-site": "cross-site",
    "sec-fetch-mode": "no-cors",
    origin: "https://evil.example",
  },
  "another port of this host, by fetch": {
    "sec-fetch-site": "same-site",
    "sec-fetch-mode": "no-cors",
    origin: "http://localhost:1",
  },
  "another port of this host, by a form": {
    "sec-fetch-site": "same-site",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
    origin: "http://localhost:1",
  },
  "another site, by a link": {
    "sec-fetch-site": "cross-site",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
  },
  "another port of this host, by a link": {
    "sec-fetch-site": "same-site",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
  },
  "a sandboxed frame, whose origin is null": { "sec-fetch-site": "cross-site", origin: "null" },
  "an old browser that says only the origin": { origin: "https://evil.example" },
  "another site that has found a way to set the header": { ...OWN, "sec-fetch-site": "cross-site" },
  "another origin that has found a way to set the header": { ...OWN, origin: "http://localhost:1" },
};

/** The routes that another site may call: the same for everybody, or bound to something that it does not have. */
const OPEN = new Set(["anonymous", "callback", "back-channel"]);

const routes = (): readonly Route[] => stage.app.routes;

describe("RFC 10017 6.1.3.3: every route of the table", () => {
  test("the table has the routes of the BFF, and each has a guard", () => {
    const table = routes().map(({ method, path, guard }) => `${method} ${path} ${guard}`);
    expect(table).toEqual([
      "GET /bff/login navigation",
      "GET /bff/callback callback",
      "GET /bff/user header",
      "POST /bff/logout form",
      "POST /bff/backchannel back-channel",
      "GET / anonymous",
    ]);
  });

  test.each(Object.entries(FORGED))("refuses %s, and sets no cookie", async (_, headers) => {
    const guarded = routes().filter(({ guard }) => !OPEN.has(guard));
    expect(guarded.length).toBeGreaterThan(2);
    for (const { method, path } of guarded) {
      const response = await forged(method, path, headers);
      expect({ path, status: response.status }).toEqual({ path, status: 403 });
      expect(response.headers.getSetCookie()).toEqual([]);
    }
    for (const path of ["/api/orders/list", "/api/billing/pay", "/api/orders/events"]) {
      for (const method of ["GET", "POST"]) {
        const response = await forged(method, path, { accept: "text/event-stream", ...headers });
        expect({ path, status: response.status }).toEqual({ path, status: 403 });
      }
    }
  });

  test("a request of the page without the header is refused where only scripts call: fails closed", async () => {
    for (const path of ["/bff/user", "/api/orders/list"]) {
      expect((await forged("GET", path, {})).status).toBe(403);
      expect((await forged("GET", path, { "sec-fetch-site": "same-origin" })).status).toBe(403);
      expect((await forged("GET", path, { ...OWN, "x-bff": "0" })).status).toBe(403);
    }
  });

  test("a sign-out form without anything that says where it comes from is refused: fails closed", async () => {
    expect((await forged("POST", "/bff/logout", {})).status).toBe(403);
  });

  test("OPTIONS is answered 403 everywhere, and no answer allows another origin anything", async () => {
    const preflight = {
      origin: "https://evil.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": "x-bff",
    };
    for (const path of [...routes().map((route) => route.path), "/api/orders/list", "/api/billing/pay"]) {
      const response = await forged("OPTIONS", path, preflight);
      expect({ path, status: response.status }).toEqual({ path, status: 403 });
      expect([...response.headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
    }
  });

  test("no route answers a method that it does not have: 405 that names the right one", async () => {
    for (const { method, path } of routes()) {
      const other = method === "GET" ? "POST" : "GET";
      const response = await forged(other, path, OWN);
      expect({ path, status: response.status }).toEqual({ path, status: 405 });
      expect(response.headers.get("allow")).toContain(method);
    }
  });

  test("after all that, the session is still there", async () => {
    expect(await outcome(browser, `${stage.origin}/api/orders/list`)).toBe("200");
  });
});

describe("every route without a cookie", () => {
  test("says nothing of anybody, and never redirects a script to the sign-in", async () => {
    for (const { method, path, guard } of routes()) {
      const headers = { ...OWN, "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty" };
      const response = await stage.app.hono.request(`${stage.origin}${path}`, { method, headers });
      const body = await response.text();
      expect(body).not.toContain("alice");
      if (guard !== "form")
        expect({ path, is3xx: response.status >= 300 && response.status < 400 }).toEqual({ path, is3xx: false });
    }
    for (const path of ["/api/orders/list", "/api/billing/list", "/api/orders/events"]) {
      const response = await stage.app.hono.request(`${stage.origin}${path}`, { headers: OWN });
      expect([response.status, response.headers.get("location")]).toEqual([401, null]);
      expect(await response.json()).toMatchObject({ code: "sign-in" });
    }
  });

  test("an event stream of the page needs no header, and is refused without a session", async () => {
    const headers = { accept: "text/event-stream", "sec-fetch-site": "same-origin" };
    const response = await stage.app.hono.request(`${stage.origin}/api/orders/events`, { headers });
    expect(response.status).toBe(401);
  });
});

test("no answer of the BFF may be kept by a cache, or be framed, or name where it came from", async () => {
  for (const path of ["/", "/bff/user", "/bff/callback", "/nothing"]) {
    const { headers } = await call(browser, `${stage.origin}${path}`);
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
    expect(headers.get("content-security-policy")).not.toMatch(/unsafe|script-src[^;]*(data:|\*)/);
    expect(headers.get("referrer-policy")).toBe("same-origin");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
  }
});
