/**
 * RFC 10017 (OAuth 2.0 for Browser-Based Applications), section 6.1: the lines for a backend for frontends. Every line is run
 * with each way to authenticate, and with tokens that are bound to a key.
 */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { Browser, pressButton, signIn } from "../browser.ts";
import { call, CLIENT_KINDS, openStage, OWN, outcome, sessionOf, signedIn, type Stage, userIn } from "./stage.ts";

const LONG = { timeout: 20_000 };

describe.each(CLIENT_KINDS)("RFC 10017, %s", (client) => {
  let stage: Stage;
  let orders: string;
  beforeAll(async () => {
    stage = await openStage({ client });
    orders = `${stage.origin}/api/orders/list`;
  });
  afterAll(() => stage.close());

  test("6.1.2.1: the page asks who is signed in, and gets a user or null, never a redirect", async () => {
    const browser = new Browser();
    const nobody = await call(browser, `${stage.origin}/bff/user`);
    expect([nobody.status, await nobody.json()]).toEqual([200, { user: null }]);
    await signIn(browser, stage.origin);
    const alice = await call(browser, `${stage.origin}/bff/user`);
    expect([alice.status, await alice.json()]).toMatchObject([200, { user: { name: "Alice", sub: "alice" } }]);
  });

  test("6.1.2.1: sign-in, callback and sign-out are navigations, each answered with a redirect", async () => {
    const browser = new Browser();
    const page = await browser.visit(`${stage.origin}/bff/login`, { from: stage.origin });
    expect(page.chain[0]).toBe(`${stage.origin}/bff/login`);
    const back = await pressButton(browser, page, "alice");
    expect(back.chain.at(-2)).toMatch(new RegExp(`^${stage.origin}/bff/callback\\?`));
    const out = await browser.visit(`${stage.origin}/bff/logout`, {
      method: "POST",
      from: stage.origin,
      stopAt: "/session/end",
    });
    expect([out.response.status, out.url.origin]).toEqual([303, stage.auth.issuer]);
  });

  test("6.1.2.2: a rejected access token is refreshed inline, and the request is answered 200", async () => {
    const browser = await signedIn(stage);
    stage.auth.kill(stage.auth.alive());
    stage.tokenRequests.length = 0;
    expect(await outcome(browser, orders)).toBe("200");
    expect(stage.tokenRequests).toEqual([200]);
  });

  test("6.1.2.2: a refresh token that the server refuses ends the session", async () => {
    const browser = await signedIn(stage);
    stage.auth.kill(stage.auth.alive());
    stage.auth.tokenFault = (_, response) => {
      response.writeHead(400, { "content-type": "application/json" }).end('{"error":"invalid_grant"}');
      return true;
    };
    expect(await outcome(browser, orders)).toBe("401 sign-in");
    stage.auth.tokenFault = undefined;
    expect(await userIn(browser, stage.origin)).toBeNull();
    expect(await outcome(browser, orders)).toBe("401 sign-in");
  });

  test("6.1.2.3: any session can be ended from the server at will", async () => {
    const browser = await signedIn(stage);
    const sub = "alice";
    const keys = await stage.app.sessions.of({ sub });
    expect(keys.length).toBeGreaterThan(0);
    await Promise.all(keys.map((key) => stage.app.sessions.end(key)));
    expect(await userIn(browser, stage.origin)).toBeNull();
    expect(await stage.app.sessions.of({ sub })).toEqual([]);
  });

  test("6.1.2.4: the claims of the ID token belong to the session, and the page can have them", async () => {
    const browser = await signedIn(stage, "bob");
    const answer = (await (await call(browser, `${stage.origin}/bff/user`)).json()) as Record<string, never>;
    expect(answer).toMatchObject({ session: { acr: "pwd", claims: { sub: "bob", name: "Bob" } } });
    expect(JSON.stringify(answer)).not.toMatch(/eyJ|nonce|at_hash/);
  });

  test("6.1.3.1: the client authenticates, or the server issues nothing", async () => {
    const form = new URLSearchParams({ grant_type: "authorization_code", code: "x", client_id: "bff" });
    const response = await fetch(`${stage.auth.issuer}/token`, { method: "POST", body: form });
    expect([response.status, await response.json()]).toMatchObject([401, { error: "invalid_client" }]);
  });

  test("6.1.3.2: every cookie has the prefix, Secure, HttpOnly and Path=/, and no Domain", async () => {
    const browser = new Browser();
    const page = await browser.visit(`${stage.origin}/bff/login`, { from: stage.origin });
    const [[name, before] = ["", undefined], ...others] = [...(browser.cookies.get("localhost") ?? [])];
    expect([name, others]).toEqual([expect.stringMatching(/^__Host-Http-bff-tx-[\w-]{8}$/), []]);
    // Lax: a strict cookie would not come back with the redirect from the authorization server.
    expect(before?.attributes).toEqual(["path=/", "httponly", "secure", "samesite=lax", "max-age=600"]);
    await pressButton(browser, page, "alice");
    const [[session, after] = ["", undefined], ...rest] = [...(browser.cookies.get("localhost") ?? [])];
    expect([session, rest]).toEqual(["__Host-Http-bff", []]);
    expect(after?.attributes).toEqual(["path=/", "httponly", "secure", "samesite=strict"]);
  });

  test("6.1.3.3.2: the header is required on every request of a script", async () => {
    const browser = await signedIn(stage);
    for (const path of ["/bff/user", "/api/orders/list", "/api/billing/list"]) {
      expect((await browser.request(stage.origin + path)).status).toBe(403);
      expect((await browser.request(stage.origin + path, { headers: OWN })).status).toBe(200);
    }
  });

  test("6.1.3.6: no path leads to another host, leaves the base of its API, or reaches an API that is not in the map", async () => {
    const browser = await signedIn(stage);
    const reached: string[] = [];
    const note = ({ path }: { readonly path: string }): void => void reached.push(path);
    stage.apis.events.on("received", note);
    const paths = [
      "/api/orders/../billing/pay",
      "/api/orders/%2e%2e/admin",
      "/api/orders/..%2fadmin",
      "/api/orders/%5cevil.example",
      "/api/orders//evil.example/",
      "/api/orders/@evil.example/",
      "/api/ordersX/list",
      "/api/orders:8080/list",
      "/api/http://evil.example/",
      "/api/admin",
      "/api/",
    ];
    for (const path of paths) await outcome(browser, stage.origin + path);
    for (const path of reached) expect(path).toMatch(/^\/v1\//);
    expect(reached).not.toContain("/v1/admin");
    stage.apis.events.off("received", note);
  });

  test("6.1.1 step K: the API gets the token and no cookie; the browser gets the answer and no token", async () => {
    const browser = await signedIn(stage);
    const received = new Promise<{ headers: NodeJS.Dict<string | string[]>; path: string }>((resolve) => {
      stage.apis.events.once("received", resolve);
    });
    const response = await call(browser, `${stage.origin}/api/orders/list?tag=1&tag=2`, {
      headers: { "x-forwarded-for": "6.6.6.6" },
    });
    expect(await response.json()).toMatchObject({ api: "orders", user: "alice" });
    const { headers, path } = await received;
    expect(path).toBe("/v1/list?tag=1&tag=2");
    expect(Object.keys(headers)).not.toEqual(expect.arrayContaining(["cookie"]));
    expect(Object.keys(headers)).not.toEqual(expect.arrayContaining(["x-forwarded-for"]));
    expect(headers["authorization"]).toMatch(client.endsWith("DPoP") ? /^DPoP ey/ : /^Bearer ey/);
    expect(JSON.stringify([...response.headers])).not.toMatch(/eyJ|set-cookie/i);
  });

  test("6.1.4: the page may run its own script files and nothing inline", async () => {
    const { headers } = await fetch(`${stage.origin}/`);
    const policy = headers.get("content-security-policy");
    expect(policy).toContain("default-src 'none'; script-src 'self';");
    expect(policy).not.toContain("unsafe");
    expect(policy).toContain(`form-action 'self' ${stage.auth.issuer}`);
  });

  test("RFC 9207: a callback with the issuer of another server is answered 400, and the code is not used", async () => {
    const browser = new Browser();
    const page = await browser.visit(`${stage.origin}/bff/login`, { from: stage.origin });
    const { url } = await pressButton(browser, page, "alice", "/bff/callback");
    expect(url.searchParams.get("iss")).toBe(stage.auth.issuer);
    const wrong = new URL(url);
    wrong.searchParams.set("iss", "https://evil.example");
    stage.tokenRequests.length = 0;
    const refused = await browser.visit(wrong, { from: stage.auth.issuer });
    expect([refused.response.status, refused.url.pathname]).toEqual([400, "/bff/callback"]);
    expect(stage.tokenRequests).toEqual([]);
    expect(await userIn(browser, stage.origin)).toBeNull();
  });

  test("RFC 9470: an API that wants a stronger sign-in gets one, and the request then succeeds", async () => {
    const browser = await signedIn(stage);
    const pay = `${stage.origin}/api/billing/pay`;
    const answer = await call(browser, pay, { method: "POST", body: "{}" });
    expect([answer.status, await answer.json()]).toMatchObject([
      401,
      { code: "step-up", acr_values: "mfa", max_age: 300 },
    ]);
    await signIn(browser, stage.origin, "alice+mfa", "&acr_values=mfa&max_age=300");
    expect(await outcome(browser, pay, { method: "POST", body: "{}" })).toBe("200");
  });

  test("a sign-out revokes the refresh token, and with it the access tokens", async () => {
    const browser = await signedIn(stage);
    const session = await sessionOf(browser, stage);
    expect(stage.auth.alive(session)).not.toEqual([]);
    await browser.visit(`${stage.origin}/bff/logout`, { method: "POST", from: stage.origin, stopAt: "/session/end" });
    await vi.waitFor(() => expect(stage.auth.alive(session)).toEqual([]), LONG);
    expect(await outcome(browser, orders)).toBe("401 sign-in");
  });
});

describe("RFC 10017, a server without pushed authorization requests", () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await openStage({ auth: { par: false } });
  });
  afterAll(() => stage.close());

  test("6.1.3.1: every authorization request has the code flow, PKCE with S256, a state and a nonce, all of them new", async () => {
    const browser = new Browser();
    const asked = [0, 1].map(async () => {
      const { url } = await browser.visit(`${stage.origin}/bff/login`, { from: stage.origin, stopAt: "/auth" });
      return Object.fromEntries(url.searchParams);
    });
    const [first = {}, second = {}] = await Promise.all(asked);
    expect(first).toMatchObject({
      response_type: "code",
      code_challenge_method: "S256",
      client_id: "bff",
      redirect_uri: `${stage.origin}/bff/callback`,
    });
    for (const name of ["state", "nonce", "code_challenge"]) {
      expect(first[name]).toMatch(/^[\w-]{43}$/);
      expect(first[name]).not.toBe(second[name]);
    }
  });
});

test("where the server takes pushed authorization requests, the browser sees no parameter of the request", async () => {
  const stage = await openStage();
  const { url } = await new Browser().visit(`${stage.origin}/bff/login`, { from: stage.origin, stopAt: "/auth" });
  expect([...url.searchParams.keys()].toSorted()).toEqual(["client_id", "request_uri"]);
  await stage.close();
});

test("6.1.2.2: a session ends no later than its refresh token, where the server says how long that lives", async () => {
  const stage = await openStage();
  const tokens = { access_token: "a", refresh_token: "b", expires_in: 60, refresh_expires_in: 120 };
  const { id } = await stage.app.sessions.begin(tokens, { sub: "carol" });
  const request = new Request(stage.origin, { headers: { cookie: `__Host-Http-bff=${id}` } });
  const session = await stage.app.sessions.find(request, { slides: false });
  expect((session?.absoluteUntil ?? Infinity) - Date.now()).toBeLessThanOrEqual(120_000);
  await stage.close();
});
