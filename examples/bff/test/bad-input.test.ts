/** Requests and answers that are wrong: the answer of the table, nothing leaked, and no session lost. */
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { connect } from "node:net";
import { Readable } from "node:stream";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { Browser, pressButton } from "../browser.ts";
import { call, openStage, outcome, OWN, signedIn, type Stage, userIn } from "./stage.ts";

const SESSION = "__Host-Http-bff";
const LONG = { timeout: 20_000, interval: 100 };

let stage: Stage;
let browser: Browser;
let orders: string;
let id: string;
beforeAll(async () => {
  stage = await openStage();
  orders = `${stage.origin}/api/orders/list`;
});
beforeEach(async () => {
  browser = await signedIn(stage);
  id = browser.cookie("localhost", SESSION) ?? "";
});
afterEach(async () => {
  stage.apis.fault = undefined;
  stage.auth.tokenFault = undefined;
  expect(await userIn(browser, stage.origin), "nobody was signed out").toBe("alice");
});
afterAll(() => stage.close());

const withCookie = (cookie: string): Promise<Response> => fetch(orders, { headers: { ...OWN, cookie } });

describe("cookies", () => {
  test.each([
    ["cut", () => id.slice(0, -1)],
    ["longer", () => `${id}A`],
    ["with another letter", () => (id.startsWith("A") ? `B${id.slice(1)}` : `A${id.slice(1)}`)],
    ["empty", () => ""],
    ["the key under which the store has the session", () => stage.app.sessions.keyOf(requestWith(id)) ?? ""],
    ["of 4 KB", () => "x".repeat(4000)],
    ["with bytes that no id has", () => "%00%ff;=..//"],
    ["the name of a property of every object", () => "__proto__"],
  ])("a session cookie that is %s is nobody's", async (_, value) => {
    expect((await withCookie(`${SESSION}=${value()}`)).status).toBe(401);
  });

  test("of two session cookies the first counts, and the second is not tried", async () => {
    expect((await withCookie(`${SESSION}=nobody; ${SESSION}=${id}`)).status).toBe(401);
    expect((await withCookie(`${SESSION}=${id}; ${SESSION}=nobody`)).status).toBe(200);
  });

  test("a cookie without the prefix, which any subdomain could set, is not read", async () => {
    expect((await withCookie(`bff=${id}`)).status).toBe(401);
  });

  test("the sign-in cookies of two tabs swapped, cut, or used for the session: 400, and the code is not used", async () => {
    const tab = new Browser();
    const first = await tab.visit(`${stage.origin}/bff/login`, { from: stage.origin });
    await tab.visit(`${stage.origin}/bff/login`, { from: stage.origin });
    const { url } = await pressButton(tab, first, "alice", "/bff/callback");
    const jar = [...(tab.cookies.get("localhost") ?? [])];
    const own = jar.find(([name]) => name.endsWith((url.searchParams.get("state") ?? "").slice(0, 8)))!;
    const other = jar.find((entry) => entry !== own)!;
    stage.tokenRequests.length = 0;
    const values = [other[1].value, own[1].value.slice(0, -2), `${own[1].value}AA`, id, ""];
    for (const value of values) {
      const answer = await fetch(url, { headers: { cookie: `${own[0]}=${value}` }, redirect: "manual" });
      expect(answer.status).toBe(400);
    }
    const asSession = await withCookie(`${SESSION}=${own[1].value}`);
    expect([asSession.status, stage.tokenRequests]).toEqual([401, []]);
  });
});

function requestWith(value: string): Request {
  return new Request(stage.origin, { headers: { cookie: `${SESSION}=${value}` } });
}

describe("callbacks", () => {
  test.each([
    ["nothing", ""],
    ["a code and no state", "?code=x"],
    ["a state that nobody began", "?code=x&state=y"],
    ["an error that nobody asked for", "?error=server_error&state=y"],
    ["a script as an error", "?error=<script>alert(1)</script>&error_description=<script>&state=y"],
    ["the same parameter twice", "?code=x&code=y&state=z&state=z"],
  ])("with %s: a page of our own, without anything of the request in it", async (_, query) => {
    const answer = await new Browser().visit(`${stage.origin}/bff/callback${query}`, { from: stage.auth.issuer });
    expect(answer.response.status).toBe(400);
    expect(answer.body).not.toMatch(/script>|server_error/);
  });

  test("at once twice: one of them signs in, and the session of that one works", async () => {
    const tab = new Browser();
    const page = await tab.visit(`${stage.origin}/bff/login`, { from: stage.origin });
    const { url } = await pressButton(tab, page, "alice", "/bff/callback");
    const visits = [0, 1].map(() => tab.visit(url, { from: stage.auth.issuer }));
    const statuses = (await Promise.all(visits)).map(({ response }) => response.status);
    expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 400]);
  });

  test("a code that was changed: 400, and no session", async () => {
    const tab = new Browser();
    const page = await tab.visit(`${stage.origin}/bff/login`, { from: stage.origin });
    const { url } = await pressButton(tab, page, "alice", "/bff/callback");
    url.searchParams.set("code", "x");
    expect((await tab.visit(url, { from: stage.auth.issuer })).response.status).toBe(400);
    expect(await userIn(tab, stage.origin)).toBeNull();
  });
});

describe("sign-in requests", () => {
  test.each([
    ["an unknown prompt", "prompt=register"],
    ["acr_values with a line break", `acr_values=${encodeURIComponent("a\r\nx: y")}`],
    ["acr_values of 1 KB", `acr_values=${"x".repeat(1000)}`],
    ["a negative max_age", "max_age=-1"],
    ["a max_age that is no number", "max_age=1e9"],
    ["returnTo of 8 KB", `returnTo=/${"x".repeat(8000)}`],
    ["parameters of the protocol", "redirect_uri=https://evil.example&client_id=evil&scope=admin&state=x&nonce=y"],
  ])("%s: left out, and the sign-in begins as usual", async (_, query) => {
    const plain = await openStage({ auth: { par: false } });
    const { url } = await new Browser().visit(`${plain.origin}/bff/login?${query}`, {
      from: plain.origin,
      stopAt: "/auth",
    });
    expect(Object.fromEntries(url.searchParams)).toMatchObject({
      redirect_uri: `${plain.origin}/bff/callback`,
      client_id: "bff",
      scope: "openid profile orders billing",
    });
    expect([...url.searchParams.keys()]).not.toEqual(expect.arrayContaining(["prompt"]));
    expect([...url.searchParams.keys()]).not.toEqual(expect.arrayContaining(["acr_values"]));
    expect([...url.searchParams.keys()]).not.toEqual(expect.arrayContaining(["max_age"]));
    await plain.close();
  });
});

describe("requests to the APIs", () => {
  test("a body that is too long to be kept meets a rejected token: 503 with Retry-After 0, and the next request succeeds", async () => {
    stage.auth.kill(stage.auth.alive());
    const upload = (): Promise<Response> =>
      call(browser, `${stage.origin}/api/orders/upload`, { method: "POST", body: Readable.from(pieces(1_000_000)) });
    const first = await upload();
    expect([first.status, first.headers.get("retry-after"), await first.json()]).toMatchObject([
      503,
      "0",
      { code: "retry" },
    ]);
    const second = await upload();
    expect([second.status, await second.json()]).toMatchObject([200, { bytes: 1_000_000 }]);
  });

  test("a short body meets a rejected token: it is sent again, whole", async () => {
    stage.auth.kill(stage.auth.alive());
    const answer = await call(browser, `${stage.origin}/api/orders/upload`, {
      method: "POST",
      body: "x".repeat(60_000),
    });
    expect([answer.status, await answer.json()]).toMatchObject([200, { bytes: 60_000 }]);
  });

  test("an upgrade to another protocol is not offered", async () => {
    const { port } = new URL(stage.origin);
    const socket = connect(Number(port), "localhost");
    const request = [
      "GET /api/orders/socket HTTP/1.1",
      "Host: localhost",
      "Connection: Upgrade",
      "Upgrade: websocket",
      `Origin: ${stage.origin}`,
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
      `Cookie: ${SESSION}=${id}`,
      "x-bff: 1",
      "",
      "",
    ];
    socket.write(request.join("\r\n"));
    const [answer] = (await once(socket, "data")) as [Buffer];
    socket.destroy();
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 501 /);
  });

  test.each(["/front-channel-logout", "/bff/frontchannel", "/bff/session", "/bff", "/admin"])(
    "%s is not there",
    async (path) => {
      expect(await outcome(browser, stage.origin + path)).toBe("404");
    },
  );
});

/** Lets the APIs answer in this way from now on. */
function answering(answer: (response: ServerResponse) => void): void {
  stage.apis.fault = (request, response) => {
    request.resume();
    answer(response);
    return true;
  };
}

describe("APIs that misbehave", () => {
  test("a connection that breaks before the answer: 502", async () => {
    answering((response) => response.socket?.destroy());
    expect(await outcome(browser, orders)).toBe("502 api");
  });

  test("a connection that breaks within the answer: the answer ends with an error, and is not taken for a whole one", async () => {
    let breakOff: (() => void) | undefined;
    answering((response) => {
      response.writeHead(200, { "content-type": "text/plain", "content-length": "100" });
      response.write("half");
      breakOff = () => response.socket?.destroy();
    });
    // The browser has the head and knows the length. What comes before that is the server's to answer.
    const answer = await call(browser, orders);
    breakOff!();
    await expect(answer.text()).rejects.toThrow();
  });

  test("an answer that trickles arrives piece by piece", async () => {
    let more: (() => void) | undefined;
    answering((response) => {
      response.writeHead(200, { "content-type": "text/plain" });
      response.write("one");
      more = () => response.end("two");
    });
    const reader = (await call(browser, orders)).body!.getReader();
    expect(Buffer.from((await reader.read()).value!).toString()).toBe("one");
    more?.();
    expect(Buffer.from((await reader.read()).value!).toString()).toBe("two");
  });

  test("an answer with 103 before it: the browser gets the answer", async () => {
    answering((response) => {
      response.writeEarlyHints({ link: "</x>; rel=preload" });
      response.writeHead(200, { "content-type": "text/plain" }).end("late");
    });
    expect(await (await call(browser, orders)).text()).toBe("late");
  });

  test("cookies, policies, challenges and redirects of an API do not reach the browser", async () => {
    answering((response) =>
      response
        .writeHead(302, {
          "set-cookie": [`${SESSION}=evil; Path=/; Secure; HttpOnly`, "x=y"],
          "clear-site-data": '"cookies"',
          "access-control-allow-origin": "*",
          "www-authenticate": 'Bearer realm="internal"',
          "content-security-policy": "script-src *",
          "strict-transport-security": "max-age=1",
          location: "https://evil.example/",
          "x-internal": "host-7",
          "content-type": "text/plain",
        })
        .end("see other"),
    );
    const { headers, status } = await call(browser, orders);
    expect(status).toBe(302);
    expect(headers.getSetCookie()).toEqual([]);
    expect(headers.get("content-security-policy")).not.toContain("script-src *");
    for (const name of [
      "clear-site-data",
      "access-control-allow-origin",
      "www-authenticate",
      "location",
      "x-internal",
    ]) {
      expect(headers.get(name), name).toBeNull();
    }
  });

  test("a compressed answer arrives as what it is", async () => {
    const { gzipSync } = await import("node:zlib");
    answering((response) =>
      response
        .writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" })
        .end(gzipSync('{"compressed":true}')),
    );
    expect(await (await call(browser, orders)).json()).toEqual({ compressed: true });
  });
});

test.each([
  ["a page", 200, "<html>"],
  ["an empty object", 200, "{}"],
  ["an empty token", 200, '{"access_token":""}'],
  ["a redirect to another server", 302, ""],
  ["a refusal of the client", 401, '{"error":"invalid_client"}'],
])("a token answer that is %s: 503, and 200 when it is right again", async (_, status, body) => {
  stage.auth.kill(stage.auth.alive());
  stage.auth.tokenFault = (request, response) => {
    request.resume();
    response.writeHead(status, { "content-type": "application/json", location: "https://evil.example/" }).end(body);
    return true;
  };
  expect(await outcome(browser, orders)).toBe("503 token");
  stage.auth.tokenFault = undefined;
  await vi.waitFor(async () => expect(await outcome(browser, orders)).toBe("200"), LONG);
});

function* pieces(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= 10_000) yield Buffer.alloc(Math.min(left, 10_000));
}
