/**
 * What users of other backends for frontends complain about, and what this one does. What needs several processes is in
 * fleet.test.ts, what needs a real browser in the page's tests, and clocks that differ in clock.test.ts.
 */
import { request as httpRequest } from "node:http";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { type KeyValues, memoryKeyValues } from "../bff/key-values.ts";
import { localPath } from "../bff/sign-in.ts";
import { Browser, pressButton, signIn, signOut } from "../browser.ts";
import { call, holdTokens, openStage, outcome, OWN, sessionOf, signedIn, type Stage, userIn } from "./stage.ts";

const LONG = { timeout: 20_000, interval: 100 };
const SESSION = "__Host-Http-bff";

let stage: Stage;
let orders: string;
let billing: string;
beforeAll(async () => {
  stage = await openStage();
  orders = `${stage.origin}/api/orders/list`;
  billing = `${stage.origin}/api/billing/list`;
});
afterEach(() => {
  stage.auth.tokenFault = undefined;
  stage.auth.downUntil = 0;
  stage.apis.fault = undefined;
  stage.apis.rejectsAll = false;
});
afterAll(() => stage.close());

const times = (count: number, send: () => Promise<string>): Promise<string[]> =>
  Promise.all(Array.from({ length: count }, send));

describe("tokens", () => {
  test("50 requests at once after a revocation: 1 token request, 50 answers of 200", async () => {
    const browser = await signedIn(stage);
    stage.auth.kill(stage.auth.alive());
    stage.tokenRequests.length = 0;
    expect(new Set(await times(50, () => outcome(browser, orders)))).toEqual(new Set(["200"]));
    expect(stage.tokenRequests).toEqual([200]);
  });

  test("the token endpoint takes long, and more requests come meanwhile: still 1 token request, nobody signed out", async () => {
    const browser = await signedIn(stage);
    stage.auth.kill(stage.auth.alive());
    stage.tokenRequests.length = 0;
    const hold = holdTokens();
    stage.auth.tokenFault = hold.fault;
    const first = times(25, () => outcome(browser, orders));
    await hold.arrived;
    const later = times(25, () => outcome(browser, orders));
    expect(await userIn(browser, stage.origin)).toBe("alice");
    hold.release();
    expect(new Set([...(await first), ...(await later)])).toEqual(new Set(["200"]));
    expect(stage.tokenRequests).toEqual([200]);
  });

  test("orders and billing are renewed at the same time: each API gets tokens for its own audience", async () => {
    const browser = await signedIn(stage);
    expect(await Promise.all([outcome(browser, orders), outcome(browser, billing)])).toEqual(["200", "200"]);
    stage.auth.kill(stage.auth.alive());
    const audiences = new Set<string>();
    const note = ({ api, audience }: { readonly api: string; readonly audience?: string | undefined }): void => {
      audiences.add(`${api}: ${audience}`);
    };
    stage.apis.events.on("received", note);
    const both = await Promise.all([
      times(5, () => outcome(browser, orders)),
      times(5, () => outcome(browser, billing)),
    ]);
    stage.apis.events.off("received", note);
    expect(new Set(both.flat())).toEqual(new Set(["200"]));
    expect(audiences).toEqual(new Set(["orders: urn:demo:orders", "billing: urn:demo:billing"]));
  });

  test.each([
    ["503", 503],
    ["429", 429],
    ["breaks the connection", 0],
  ])("the authorization server answers %s: 503 with Retry-After, then 200 without a new sign-in", async (_, status) => {
    const browser = await signedIn(stage);
    stage.auth.kill(stage.auth.alive());
    stage.auth.tokenFault = (request, response) => {
      if (status === 0) request.socket.destroy();
      else response.writeHead(status, { "retry-after": "1" }).end();
      return true;
    };
    const refused = await call(browser, orders);
    expect([refused.status, await refused.json()]).toMatchObject([503, { code: "token" }]);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(await userIn(browser, stage.origin)).toBe("alice");
    stage.auth.tokenFault = undefined;
    await vi.waitFor(async () => expect(await outcome(browser, orders)).toBe("200"), LONG);
  });

  test("the authorization server does not answer in time: 503, and when it does after all, 200", async () => {
    const browser = await signedIn(stage);
    stage.auth.kill(stage.auth.alive());
    const hold = holdTokens();
    stage.auth.tokenFault = hold.fault;
    expect(await outcome(browser, orders)).toBe("503 token");
    expect(await userIn(browser, stage.origin)).toBe("alice");
    hold.release();
    await vi.waitFor(async () => expect(await outcome(browser, orders)).toBe("200"), LONG);
  });

  test("an API that answers 401 to everything: 502, nobody signed out, and 200 afterwards", async () => {
    const browser = await signedIn(stage);
    stage.apis.rejectsAll = true;
    expect(await outcome(browser, orders)).toBe("502 api-rejects");
    expect(await userIn(browser, stage.origin)).toBe("alice");
    stage.apis.rejectsAll = false;
    await vi.waitFor(async () => expect(await outcome(browser, orders)).toBe("200"), LONG);
  });
});

describe("sign-out", () => {
  test("a sign-out while a refresh is in flight: what it brings is revoked, no cookie comes back, the next call is 401", async () => {
    const browser = await signedIn(stage);
    const session = await sessionOf(browser, stage);
    stage.auth.kill(stage.auth.alive());
    const hold = holdTokens();
    stage.auth.tokenFault = hold.fault;
    const inFlight = call(browser, orders);
    await hold.arrived;
    const id = browser.cookie("localhost", SESSION);
    await browser.visit(`${stage.origin}/bff/logout`, { method: "POST", from: stage.origin, stopAt: "/session/end" });
    hold.release();
    const answer = await inFlight;
    expect([answer.status, answer.headers.getSetCookie()]).toEqual([401, []]);
    expect(browser.cookie("localhost", SESSION)).toBeUndefined();
    // Whoever kept the cookie has nothing.
    const kept = await fetch(orders, { headers: { ...OWN, cookie: `${SESSION}=${id}` } });
    expect(kept.status).toBe(401);
    await vi.waitFor(() => expect(stage.auth.alive(session)).toEqual([]), LONG);
  });

  test("a sign-out after the session has expired still ends at the app, and at the authorization server too", async () => {
    const browser = await signedIn(stage);
    await Promise.all((await stage.app.sessions.of({ sub: "alice" })).map((key) => stage.app.sessions.end(key)));
    const left = await signOut(browser, stage.origin);
    expect([left.url.href, left.response.status]).toEqual([`${stage.origin}/`, 200]);
    const again = await browser.visit(`${stage.origin}/bff/login`, { from: stage.origin });
    expect(again.url.pathname).toMatch(/^\/interaction\//);
  });

  test("a sign-out twice: the second ends at the app", async () => {
    const browser = await signedIn(stage);
    await signOut(browser, stage.origin);
    const again = await signOut(browser, stage.origin);
    expect([again.url.href, again.chain.length]).toEqual([`${stage.origin}/`, 2]);
  });

  test("a sign-out while the authorization server is away: signed out here, and at the app again", async () => {
    const away = await openStage();
    const browser = await signedIn(away);
    await away.auth.close();
    const left = await browser.visit(`${away.origin}/bff/logout`, {
      method: "POST",
      from: away.origin,
      stopAt: "/session/end",
    });
    expect(left.response.status).toBe(303);
    expect(await userIn(browser, away.origin)).toBeNull();
    await away.app.tokens.close({ within: 0 });
    await away.apis.close();
  });
});

describe("sign-in", () => {
  test("two tabs begin to sign in and finish in either order: both land in the app, signed in", async () => {
    for (const order of [
      [0, 1],
      [1, 0],
    ]) {
      const browser = new Browser();
      const pages = [];
      for (const path of ["/one", "/two"]) {
        pages.push(await browser.visit(`${stage.origin}/bff/login?returnTo=${path}`, { from: stage.origin }));
      }
      for (const at of order) {
        const landed = await pressButton(browser, pages[at]!, "alice");
        expect(landed.url.href).toBe(`${stage.origin}/${at === 0 ? "one" : "two"}`);
        expect(await userIn(browser, stage.origin)).toBe("alice");
        expect(await outcome(browser, orders)).toBe("200");
      }
    }
  });

  test("100 sign-ins that were given up leave at most 4 cookies and less than 4 KB, and the next one works", async () => {
    const browser = new Browser();
    const returnTo = `/${"x".repeat(290)}`;
    for (let count = 0; count < 100; count++) {
      await browser.visit(`${stage.origin}/bff/login?returnTo=${returnTo}`, { from: stage.origin, stopAt: "/auth" });
    }
    const kept = [...(browser.cookies.get("localhost") ?? [])];
    expect(kept.length).toBeLessThanOrEqual(4);
    expect(kept.map(([name, { value }]) => `${name}=${value}`).join("; ").length).toBeLessThan(4096);
    const landed = await signIn(browser, stage.origin);
    expect(landed.url.href).toBe(`${stage.origin}/`);
  });

  test.each([
    ["a prefetch", { "sec-purpose": "prefetch", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" }],
    ["a prerender", { "sec-purpose": "prefetch;prerender", "sec-fetch-mode": "navigate" }],
    ["a fetch", { "sec-fetch-mode": "cors", "sec-fetch-dest": "empty" }],
    ["an image", { "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image" }],
    ["a frame", { "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe" }],
  ])("%s of the sign-in starts none: 204, no cookie", async (_, headers) => {
    const response = await stage.app.hono.request(`${stage.origin}/bff/login`, {
      headers: { "sec-fetch-site": "same-origin", ...headers },
    });
    expect([response.status, response.headers.getSetCookie()]).toEqual([204, []]);
  });

  test("the sign-in while signed in goes to the app at once; with a question it goes to the authorization server", async () => {
    const browser = await signedIn(stage);
    const login = `${stage.origin}/bff/login?returnTo=/orders`;
    expect((await browser.visit(login, { from: stage.origin })).chain).toEqual([login, `${stage.origin}/orders`]);
    const asked = await browser.visit(`${login}&prompt=login`, { from: stage.origin, stopAt: "/auth" });
    expect(asked.url.origin).toBe(stage.auth.issuer);
  });

  test("a used callback again: with a session to the app, without one a page with one button, and no redirect", async () => {
    const browser = new Browser();
    const page = await browser.visit(`${stage.origin}/bff/login`, { from: stage.origin });
    const callback = await pressButton(browser, page, "alice", "/bff/callback");
    await browser.visit(callback.url, { from: stage.auth.issuer });
    const again = await browser.visit(callback.url);
    expect(again.url.href).toBe(`${stage.origin}/`);
    const stranger = await new Browser().visit(callback.url);
    expect([stranger.response.status, stranger.url.pathname]).toEqual([400, "/bff/callback"]);
    expect(stranger.body.match(/<a /g)).toHaveLength(1);
    expect(stranger.body).not.toMatch(/http-equiv|<script/);
  });

  test("with a strict cookie and the authorization server on another site: signed in on the first landing, 4 redirects at most", async () => {
    const browser = new Browser();
    const page = await browser.visit(`${stage.origin}/bff/login`, { from: stage.origin });
    const landed = await pressButton(browser, page, "alice");
    const redirects = landed.chain.length - page.chain.length - 1;
    expect(redirects).toBeLessThanOrEqual(4);
    expect(await userIn(browser, stage.origin)).toBe("alice");
  });

  test("a browser that stores no cookies: one page that says so, and no loop", async () => {
    const browser = new Browser();
    browser.refusesCookiesOf = "localhost";
    const landed = await signIn(browser, stage.origin);
    expect(landed.response.status).toBe(400);
    expect(landed.body).toContain("Your browser sent no cookie back");
    expect(landed.chain.filter((url) => url.includes("/bff/login"))).toHaveLength(1);
  });

  test("a user who presses Cancel lands in the app, which is told", async () => {
    const browser = new Browser();
    const landed = await signIn(browser, stage.origin, "");
    expect(landed.url.href).toBe(`${stage.origin}/?signin=denied`);
    expect(browser.cookies.get("localhost")?.size).toBe(0);
  });

  test("a silent sign-in finds somebody, or lands in the app without a question", async () => {
    const browser = new Browser();
    const silent = `${stage.origin}/bff/login?prompt=none&returnTo=/quiet`;
    expect((await browser.visit(silent, { from: stage.origin })).url.href).toBe(`${stage.origin}/quiet`);
    expect(await userIn(browser, stage.origin)).toBeNull();
    await signIn(browser, stage.origin);
    browser.cookies.get("localhost")?.clear();
    expect((await browser.visit(silent, { from: stage.origin })).url.href).toBe(`${stage.origin}/quiet`);
    expect(await userIn(browser, stage.origin)).toBe("alice");
  });

  test("the authorization server is away: a page with Retry-After, no cookie, and the sign-in works when it is back", async () => {
    const away = await openStage();
    away.auth.downUntil = Date.now() + 60_000;
    const browser = new Browser();
    const page = await browser.visit(`${away.origin}/bff/login`, { from: away.origin });
    expect([page.response.status, page.response.headers.get("retry-after")]).toEqual([503, "10"]);
    expect(browser.cookies.get("localhost")).toBeUndefined();
    away.auth.downUntil = 0;
    expect((await signIn(browser, away.origin)).url.href).toBe(`${away.origin}/`);
    await away.close();
  });

  test("the token endpoint answers 503 to the code: a page with Retry-After, and the next sign-in works", async () => {
    const browser = new Browser();
    stage.auth.tokenFault = (_, response) => {
      response.writeHead(503).end();
      return true;
    };
    const page = await signIn(browser, stage.origin);
    expect([page.response.status, page.response.headers.get("retry-after")]).toEqual([503, "10"]);
    stage.auth.tokenFault = undefined;
    expect((await signIn(browser, stage.origin)).url.href).toBe(`${stage.origin}/`);
  });

  test("the id of a session is new after a sign-in, a planted one is dead, and the way back survives", async () => {
    const browser = new Browser();
    const planted = "planted-by-somebody-else-0000000000000000000";
    const jar = new Map([[SESSION, { value: planted, path: "/", isStrict: true, attributes: [], until: Infinity }]]);
    browser.cookies.set("localhost", jar);
    const page = await browser.visit(`${stage.origin}/bff/login?returnTo=/orders/7%3Ftag%3Da`, { from: stage.origin });
    const landed = await pressButton(browser, page, "alice");
    expect(landed.url.href).toBe(`${stage.origin}/orders/7?tag=a`);
    const first = browser.cookie("localhost", SESSION);
    expect(first).not.toBe(planted);
    expect((await fetch(orders, { headers: { ...OWN, cookie: `${SESSION}=${planted}` } })).status).toBe(401);
    await signIn(browser, stage.origin, "alice", "&prompt=login");
    expect(browser.cookie("localhost", SESSION)).not.toBe(first);
    // The session that the browser had before is over, and the new one has tokens that work.
    expect((await fetch(orders, { headers: { ...OWN, cookie: `${SESSION}=${first}` } })).status).toBe(401);
    expect(await outcome(browser, orders)).toBe("200");
    stage.auth.kill(stage.auth.alive());
    expect(await outcome(browser, orders)).toBe("200");
  });

  test("another user signs in in the same browser: the tokens of the first are revoked", async () => {
    const browser = await signedIn(stage);
    const session = await sessionOf(browser, stage);
    expect(stage.auth.alive(session)).not.toEqual([]);
    await signIn(browser, stage.origin, "bob", "&prompt=login");
    expect(await userIn(browser, stage.origin)).toBe("bob");
    await vi.waitFor(() => expect(stage.auth.alive(session)).toEqual([]), LONG);
  });
});

describe("step-up", () => {
  test("max_age=0 asks once and does not go round in circles", async () => {
    const browser = await signedIn(stage);
    const landed = await signIn(browser, stage.origin, "alice", "&max_age=0");
    expect(landed.url.href).toBe(`${stage.origin}/`);
    expect(landed.chain.filter((url) => url.includes("/bff/login"))).toHaveLength(1);
  });

  test("a server that ignores acr_values or max_age: a page, the session of before stays, and no loop", async () => {
    const careless = await openStage({ auth: { ignoresStepUp: true } });
    const browser = await signedIn(careless);
    const weak = await signIn(browser, careless.origin, "alice", "&acr_values=mfa");
    expect([weak.response.status, weak.url.pathname]).toEqual([400, "/bff/callback"]);
    expect(weak.body).toContain("A stronger sign-in is needed");
    expect(await userIn(browser, careless.origin)).toBe("alice");
    // The sign-in at the server is older than that: it has to be asked for, and was not.
    const now = Date.now;
    vi.spyOn(Date, "now").mockImplementation(() => now() + 200_000);
    const old = await signIn(browser, careless.origin, "alice", "&max_age=60");
    vi.restoreAllMocks();
    expect([old.response.status, old.url.pathname]).toEqual([400, "/bff/callback"]);
    await careless.close();
  });
});

/** Addresses that lead to another host in one reading or another. */
const ELSEWHERE = [
  "https://evil.example/",
  "//evil.example/",
  "/\\evil.example/",
  "\\\\evil.example/",
  "/\t/evil.example/",
  "/\n/evil.example/",
  "/.//evil.example/",
  "/x/..//evil.example/",
  "/%09/evil.example",
  "javascript:alert(1)",
  "data:text/html,x",
  "evil.example",
  "http:/evil.example",
  "http:evil.example",
  "///evil.example",
  "/\u0000/evil.example",
  "@evil.example",
  "",
];

describe("where a sign-in leads", () => {
  test.each(ELSEWHERE)("returnTo=%j stays on the own origin", async (returnTo) => {
    const browser = await signedIn(stage);
    const query = new URLSearchParams({ returnTo });
    const response = await browser.request(`${stage.origin}/bff/login?${query}`, {
      headers: { "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" },
    });
    const location = response.headers.get("location") ?? "";
    expect(response.status).toBe(303);
    expect(location.startsWith(`${stage.origin}/`)).toBe(true);
    expect(new URL(location, "https://other.example").origin).toBe(stage.origin);
    expect(new URL(location).pathname).not.toMatch(/^\/\//);
  });

  test("paths of the app are kept, with query and fragment", () => {
    expect(["/", "/orders?x=1#y", "/a%2Fb", "/ü"].map(localPath)).toEqual(["/", "/orders?x=1#y", "/a%2Fb", "/%C3%BC"]);
  });
});

test("the session's cookie has at most 128 bytes, with 200 groups and 20 KB of tokens, and the sign-out works", async () => {
  const groups = Array.from({ length: 200 }, (_, at) => `group-${at}-${"x".repeat(80)}`);
  const big = await openStage({ auth: { claims: { groups } } });
  const browser = await signedIn(big);
  const cookie = `${SESSION}=${browser.cookie("localhost", SESSION)}`;
  expect(cookie.length).toBeLessThanOrEqual(128);
  expect(await outcome(browser, `${big.origin}/api/orders/list`)).toBe("200");
  const user = (await (await call(browser, `${big.origin}/bff/user`)).json()) as {
    session: { claims: { groups: unknown[] } };
  };
  expect(user.session.claims.groups).toHaveLength(200);
  expect((await signOut(browser, big.origin)).url.href).toBe(`${big.origin}/`);
  await big.close();
});

describe("event streams", () => {
  test("events come one by one through the proxy, the stream ends at the sign-out, and a reconnect gets 401", async () => {
    const browser = await signedIn(stage);
    const events = { accept: "text/event-stream" };
    const stream = await browser.request(`${stage.origin}/api/orders/events`, { headers: events });
    expect([stream.status, stream.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
    const reader = stream.body!.getReader();
    // The API has not ended its answer: nothing waits for that.
    expect(Buffer.from((await reader.read()).value!).toString()).toContain("data: ");
    await browser.visit(`${stage.origin}/bff/logout`, { method: "POST", from: stage.origin, stopAt: "/session/end" });
    let isOver = false;
    while (!isOver) isOver = (await reader.read()).done;
    const again = await browser.request(`${stage.origin}/api/orders/events`, { headers: events });
    expect(again.status).toBe(401);
  });

  test("a sign-out ends the streams of its own process at once: nobody has to look into the store for that", async () => {
    const memory = memoryKeyValues();
    let isAway = false;
    const store: KeyValues = {
      ...memory,
      // From the sign-out on, whoever looks whether the session still exists learns nothing.
      get: (key, ttl) => (isAway ? Promise.reject(new Error("away")) : memory.get(key, ttl)),
      async delete(key) {
        isAway = true;
        await memory.delete(key);
      },
    };
    const own = await openStage({ app: { store } });
    const browser = await signedIn(own);
    const stream = await browser.request(`${own.origin}/api/orders/events`, {
      headers: { accept: "text/event-stream" },
    });
    const reader = stream.body!.getReader();
    await browser.visit(`${own.origin}/bff/logout`, { method: "POST", from: own.origin, stopAt: "/session/end" });
    let isOver = false;
    while (!isOver) isOver = (await reader.read()).done;
    await own.close();
  });

  test("when the browser goes away, the request to the API ends", async () => {
    const browser = await signedIn(stage);
    const gone = new Promise<void>((resolve) => {
      stage.apis.fault = (request, response) => {
        if (!request.url!.startsWith("/v1/events")) return false;
        response.once("close", resolve);
        return false;
      };
    });
    const leaving = new AbortController();
    const stream = await browser.request(`${stage.origin}/api/orders/events`, {
      headers: { accept: "text/event-stream" },
      signal: leaving.signal,
    });
    const reader = stream.body!.getReader();
    await reader.read();
    leaving.abort();
    await gone;
    await reader.cancel().catch(() => undefined);
  });

  test("a stream, and asking who is signed in, do not keep a session alive that nobody uses", async () => {
    const idle = await openStage({ app: { idle: 1500 } });
    const browser = await signedIn(idle);
    const stream = await browser.request(`${idle.origin}/api/orders/events`, {
      headers: { accept: "text/event-stream" },
    });
    await vi.waitFor(async () => expect(await userIn(browser, idle.origin)).toBeNull(), LONG);
    const reader = stream.body!.getReader();
    let isOver = false;
    while (!isOver) isOver = (await reader.read()).done;
    await idle.close();
  });
});

describe("where requests say they come from", () => {
  test("a forged Host or X-Forwarded-* changes neither redirect_uri nor any redirect", async () => {
    const plain = await openStage({ auth: { par: false } });
    const { port } = new URL(plain.origin);
    const forged = {
      host: "evil.example",
      "x-forwarded-host": "evil.example",
      "x-forwarded-proto": "https",
      "x-forwarded-for": "6.6.6.6",
      forwarded: "host=evil.example;proto=https",
    };
    const get = (path: string, headers: Record<string, string> = {}): Promise<{ status: number; location: string }> =>
      new Promise((resolve, reject) => {
        const options = { host: "localhost", port, path, headers: { ...forged, ...headers } };
        httpRequest(options, (response) => {
          response.resume();
          resolve({ status: response.statusCode ?? 0, location: response.headers.location ?? "" });
        })
          .once("error", reject)
          .end();
      });
    const login = await get("/bff/login?returnTo=/orders");
    expect(new URL(login.location).searchParams.get("redirect_uri")).toBe(`${plain.origin}/bff/callback`);
    const browser = await signedIn(plain);
    const cookie = `${SESSION}=${browser.cookie("localhost", SESSION)}`;
    expect(await get("/bff/login?returnTo=/orders", { cookie })).toEqual({
      status: 303,
      location: `${plain.origin}/orders`,
    });
    expect(await get("/bff/callback?code=x&state=y", { cookie })).toEqual({
      status: 303,
      location: `${plain.origin}/`,
    });
    await plain.close();
  });
});

test("with plain cookies the same works without Secure and prefix", async () => {
  const plain = await openStage({ app: { plainCookies: true } });
  const browser = new Browser();
  await signIn(browser, plain.origin);
  expect([...(browser.cookies.get("localhost") ?? [])]).toMatchObject([
    ["bff", { attributes: ["path=/", "httponly", "samesite=strict"] }],
  ]);
  expect(await userIn(browser, plain.origin)).toBe("alice");
  await plain.close();
});
