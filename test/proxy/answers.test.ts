/** Q18: what a page gets from the proxy: the API's answer, or one of the proxy's own with a code that the page can act on. */
import { once } from "node:events";
import { createServer } from "node:net";
import { runInNewContext } from "node:vm";
import { createTokenPool, createTokenCache, RemintError, TokenEndpointError } from "remint";
import { createAuthProxy } from "remint/proxy";
import { fakeGrant, startApi } from "remint/testing";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { APP, problemOf, stage } from "./stage.ts";
import type { TokenCache } from "remint";

describe("Q18: the answer of the API", () => {
  test("Q18: status, body and query pass, a repeated name of the query too", async () => {
    const { api, page } = await stage();
    api.respond({ status: 201, body: { made: true } });
    const answer = await page("/api/items?tag=1&tag=2&q=%20+");
    expect([answer.status, await answer.json()]).toEqual([201, { made: true }]);
    expect(api.requests.map(({ method, url }) => [method, url])).toEqual([["GET", "/v1/items?tag=1&tag=2&q=%20+"]]);
  });

  test.each([204, 205, 304])("Q18: %i, which has no body, passes without one", async (status) => {
    const { api, page } = await stage();
    api.respond({ status, headers: { etag: '"a"' } });
    const answer = await page("/api/items", { headers: { "if-none-match": '"a"' } });
    expect([answer.status, answer.headers.get("etag"), await answer.text()]).toEqual([status, '"a"', ""]);
  });

  test.each([400, 403, 404, 409, 422, 429, 500, 503])("Q18: the API's own %i passes as it is", async (status) => {
    const { api, page, errors } = await stage();
    api.respond({ status, headers: { "retry-after": "7", "content-type": "text/plain" }, body: "theirs" });
    const answer = await page("/api/items");
    expect([answer.status, answer.headers.get("retry-after"), await answer.text()]).toEqual([status, "7", "theirs"]);
    expect(errors).toEqual([]);
  });

  test("Q18: HEAD passes, and its answer has no body", async () => {
    const { api, page } = await stage();
    const answer = await page("/api/items", { method: "HEAD" });
    expect([answer.status, await answer.text(), api.requests[0]!.method]).toEqual([200, "", "HEAD"]);
  });

  test("Q18: the path of the prefix alone leads to the base path", async () => {
    const { api, page } = await stage();
    await page("/api?x=1");
    await page("/api/");
    expect(api.requests.map(({ url }) => url)).toEqual(["/v1?x=1", "/v1/"]);
  });

  test("Q18: it says how the request got its token: minted, then from the cache, renewed after a 401", async () => {
    const { page, revoked } = await stage();
    const how = async (): Promise<string | undefined> =>
      /^token;desc=(\w+), api;dur=\d+\.\d$/.exec((await page("/api/a")).headers.get("server-timing")!)?.[1];
    expect([await how(), await how()]).toEqual(["minted", "cached"]);
    revoked.add("fake-1");
    expect([await how(), await how()]).toEqual(["renewed", "cached"]);
  });

  test("Q18: of two requests that need the same mint, one began it and the other waited", async () => {
    const { page, grant } = await stage();
    const hold = grant.hold();
    const both = [page("/api/a"), page("/api/b")];
    await vi.waitUntil(() => hold.waiting === 1, { timeout: 20_000 });
    hold.release();
    const timings = (await Promise.all(both)).map(({ headers }) => headers.get("server-timing")!.split(",")[0]);
    expect(timings).toEqual(["token;desc=minted", "token;desc=waited"]);
  });
});

describe("Q18: redirects of the API", () => {
  test.each([301, 302, 303, 307, 308])(
    "Q18: %i is not followed: neither the other server nor the API gets another request",
    async (status) => {
      const { api, page } = await stage();
      const other = await startApi({ accepts: () => true });
      onTestFinished(() => other.close());
      api.respond(
        { status, headers: { location: `${other.origin}/v1/x` } },
        { status, headers: { location: "/v1/moved" } },
      );
      const [away, moved] = [await page("/api/x"), await page("/api/x")];
      expect([away.status, away.headers.get("location"), moved.headers.get("location")]).toEqual([
        status,
        null,
        "/api/moved",
      ]);
      expect([other.requests.length, api.requests.length]).toEqual([0, 2]);
    },
  );
});

describe("Q18: nobody is signed in, or not with enough", () => {
  test.each([undefined, null])("Q18: the source returns %s: 401 sign-in, and the API gets no request", async (none) => {
    const { api, page } = await stage({ source: () => none });
    const answer = await page("/api/items");
    expect([answer.status, await problemOf(answer)]).toEqual([
      401,
      {
        type: "application/problem+json",
        title: "Unauthorized",
        status: 401,
        detail: "Sign in to continue.",
        code: "sign-in",
      },
    ]);
    expect([answer.headers.get("www-authenticate"), api.requests.length]).toEqual([null, 0]);
  });

  test("Q18: the cache has nobody (its grant returns null): 401 sign-in, and the API gets no request", async () => {
    const cache = createTokenCache({ grant: () => null, origins: ["http://127.0.0.1:1"], warnings: false });
    const proxy = createAuthProxy(() => cache, { routes: { "/api": "http://127.0.0.1:1" }, csrf: false });
    const answer = await proxy(new Request(`${APP}/api/x`));
    expect([answer.status, (await problemOf(answer))["code"]]).toEqual([401, "sign-in"]);
  });

  test("Q18: the refresh token is refused: 401 sign-in; it may be said to the browser, and what the server said may not", async () => {
    const grant = fakeGrant({ state: "r" });
    const refused = new TokenEndpointError(400, "refused", {
      error: "invalid_grant",
      terminal: true,
      hint: "at auth.internal",
    });
    grant.fail(refused, Infinity);
    const { page, errors } = await stage({ grant });
    const answer = await page("/api/items");
    const text = await answer.text();
    expect([answer.status, JSON.parse(text)]).toMatchObject([401, { code: "sign-in" }]);
    expect(text + JSON.stringify([...answer.headers])).not.toMatch(/invalid_grant|auth\.internal/);
    expect(errors).toEqual([]);
  });

  test("Q18: the user signs out while the request is at the API, which answers 401: 401 sign-in", async () => {
    const grant = fakeGrant({ state: "r" });
    const { api, page, cache, revoked } = await stage({ grant });
    await cache.get();
    const release = api.holdAnswers();
    const pending = page("/api/items");
    await api.waitFor(1);
    revoked.add("fake-1");
    await cache.signOut({ revoke: false });
    release();
    expect([(await pending).status, api.requests.length]).toEqual([401, 1]);
  });

  test("Q18: another user signs in while the request is at the API, which answers 401: 503, and nothing is sent with the other's token", async () => {
    const grant = fakeGrant({ state: "r" });
    const { api, page, cache, revoked } = await stage({ grant });
    await cache.get();
    const release = api.holdAnswers();
    const pending = page("/api/items");
    await api.waitFor(1);
    revoked.add("fake-1");
    await cache.signIn({ access_token: "fake-bob", refresh_token: "bob" });
    release();
    const answer = await pending;
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(api.requests.map(({ token }) => token)).toEqual(["fake-1"]);
  });

  test.each([
    [
      "both",
      'Bearer error="insufficient_user_authentication", acr_values="mfa phr", max_age="300"',
      { acr_values: "mfa phr", max_age: 300 },
    ],
    ["none", 'DPoP error="insufficient_user_authentication"', {}],
    ["a max_age that is no number", 'Bearer error="insufficient_user_authentication", max_age="<b>"', {}],
  ])(
    "Q18: the API wants a stronger sign-in and names %s of acr_values and max_age: 401 step-up, one send",
    async (_, challenge, more) => {
      const { api, page, grant } = await stage();
      api.respond({ status: 401, headers: { "www-authenticate": challenge } });
      const answer = await page("/api/pay", { method: "POST", body: "{}" });
      const { code, acr_values: acrValues, max_age: maxAge } = await problemOf(answer);
      expect([
        answer.status,
        code,
        { ...(acrValues !== undefined && { acr_values: acrValues }), ...(maxAge !== undefined && { max_age: maxAge }) },
      ]).toEqual([401, "step-up", more]);
      expect([api.requests.length, grant.mints]).toEqual([1, 1]);
    },
  );
});

describe("Q18: the token is rejected", () => {
  test("Q18: a revoked token is replaced, and the body is sent again: the page sees 200 alone", async () => {
    const { api, page, cache, revoked } = await stage();
    await cache.get();
    revoked.add("fake-1");
    const answer = await page("/api/items", { method: "POST", body: "the whole body" });
    expect(answer.status).toBe(200);
    expect(api.requests.map(({ token, text }) => [token, text])).toEqual([
      ["fake-1", "the whole body"],
      ["fake-2", "the whole body"],
    ]);
  });

  test("Q18: the API answers 401 to the new token too: 502 api-rejects, and never a 401 that would mean to sign in", async () => {
    const { api, page, errors } = await stage();
    api.respondAlways({
      status: 401,
      headers: { "www-authenticate": 'Bearer error="invalid_token"' },
      body: "secret reason",
    });
    const answer = await page("/api/items");
    expect([answer.status, await problemOf(answer)]).toMatchObject([502, { code: "api-rejects" }]);
    expect([api.requests.length, errors.length]).toEqual([2, 1]);
  });

  test("Q18: a 401 for another reason, which a new token would not cure: 502 api-rejects, one send", async () => {
    const { api, page } = await stage();
    api.respond({ status: 401, headers: { "www-authenticate": 'Bearer error="insufficient_scope"' } });
    expect([(await page("/api/items")).status, api.requests.length]).toEqual([502, 1]);
  });

  const long = "x".repeat(64 * 1024 + 1);

  test("Q18: the body is too long to be sent again: 503 retry with Retry-After 0, and the next request has a new token", async () => {
    const { api, page, cache, revoked, errors } = await stage();
    await cache.get();
    revoked.add("fake-1");
    const answer = await page("/api/upload", { method: "POST", body: long });
    expect(errors).toMatchObject([{ message: expect.stringContaining("too long to be sent again") as string }]);
    expect([answer.status, answer.headers.get("retry-after"), (await problemOf(answer))["code"]]).toEqual([
      503,
      "0",
      "retry",
    ]);
    expect((await page("/api/upload", { method: "POST", body: long })).status).toBe(200);
    expect(api.requests.map(({ token, text }) => [token, text.length])).toEqual([
      ["fake-1", long.length],
      ["fake-2", long.length],
    ]);
  });

  test("Q18: such a body, and the session turns out to be over: 401 sign-in", async () => {
    const grant = fakeGrant({ state: "r" });
    const { page, cache, revoked } = await stage({ grant });
    await cache.get();
    revoked.add("fake-1");
    grant.fail(new TokenEndpointError(400, "refused", { error: "invalid_grant", terminal: true }), Infinity);
    const answer = await page("/api/upload", { method: "POST", body: long });
    expect([answer.status, (await problemOf(answer))["code"]]).toEqual([401, "sign-in"]);
  });

  test("Q18: such a body, and no token can be had: 503 token", async () => {
    const { page, cache, revoked, grant } = await stage({ cache: { mintRetries: 0 } });
    await cache.get();
    revoked.add("fake-1");
    grant.fail(new TokenEndpointError(503, "away", { retryAfter: 4000 }), Infinity);
    const answer = await page("/api/upload", { method: "POST", body: long });
    expect([answer.status, answer.headers.get("retry-after"), (await problemOf(answer))["code"]]).toEqual([
      503,
      "4",
      "token",
    ]);
  });

  test("Q18: such a body, to an API that accepts no token: 502 in the end, so that a page which repeats does not do so for ever", async () => {
    const { api, page } = await stage();
    api.respondAlways({ status: 401 });
    const statuses: number[] = [];
    for (let times = 0; times < 40 && statuses.at(-1) !== 502; times++) {
      statuses.push((await page("/api/upload", { method: "POST", body: long })).status);
    }
    expect(new Set(statuses)).toEqual(new Set([503, 502]));
  });
});

describe("Q18: no token can be had", () => {
  test.each([
    ["the server says when", new TokenEndpointError(503, "away", { retryAfter: 2500 }), "3"],
    ["it does not", new RemintError("ERR_TOKEN_NETWORK", "unreachable", { retryable: true }), "1"],
    ["the client's secret is wrong", new TokenEndpointError(401, "refused", { error: "invalid_client" }), "1"],
  ])(
    "Q18: 503 token with Retry-After, where %s; the log gets the error, and the API no request",
    async (_, failure, seconds) => {
      const { api, page, grant, errors } = await stage({ cache: { mintRetries: 0 } });
      grant.fail(failure, Infinity);
      const answer = await page("/api/items");
      expect([answer.status, answer.headers.get("retry-after"), (await problemOf(answer))["code"]]).toEqual([
        503,
        seconds,
        "token",
      ]);
      expect([errors, api.requests.length]).toMatchObject([[{ code: failure.code }], 0]);
    },
  );

  test("Q18: a pool that was closed: 503 token", async () => {
    let cache: TokenCache;
    const { api, page } = await stage({ source: () => cache });
    const pool = createTokenPool({ create: () => createTokenCache({ grant: fakeGrant(), origins: [api.origin] }) });
    cache = pool.get("alice");
    await pool.close();
    expect((await page("/api/items")).status).toBe(503);
  });
});

describe("Q18: the API is away", () => {
  test("Q18: nobody listens: 502 api; the log gets the cause, and the page no address", async () => {
    const { page, api, errors } = await stage();
    await api.close();
    const answer = await page("/api/items");
    const text = await answer.text();
    expect([answer.status, JSON.parse(text)]).toMatchObject([502, { code: "api" }]);
    expect(text).not.toContain("127.0.0.1");
    expect(errors).toEqual([expect.objectContaining({ message: "fetch failed" })]);
  });

  test.each([{ reset: true } as const, { lost: true } as const])(
    "Q18: it closes the connection without an answer (%o): 502 api, one send",
    async (answer) => {
      const { page, api } = await stage();
      api.respond(answer);
      expect([(await page("/api/items", { method: "POST", body: "x" })).status, api.requests.length]).toEqual([502, 1]);
    },
  );

  test.each([
    "HTTP/1.1 999 No\r\n\r\n",
    "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    "garbage\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
  ])("Q18: it answers what no HTTP answer is (%j): 502 api", async (bytes) => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.end(bytes));
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    onTestFinished(() => void server.close());
    const origin = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
    const cache = createTokenCache({ grant: fakeGrant(), origins: [origin] });
    const proxy = createAuthProxy(() => cache, { routes: { "/api": origin }, csrf: false });
    const answer = await proxy(new Request(`${APP}/api/x`));
    expect([answer.status, (await problemOf(answer))["code"]]).toEqual([502, "api"]);
  });

  test("Q18: an interim answer (103) before the answer is no answer", async () => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => {
        socket.end("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nconnection: close\r\n\r\nbody");
      });
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    onTestFinished(() => void server.close());
    const origin = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
    const cache = createTokenCache({ grant: fakeGrant(), origins: [origin] });
    const proxy = createAuthProxy(() => cache, { routes: { "/api": origin }, csrf: false });
    const answer = await proxy(new Request(`${APP}/api/x`));
    expect([answer.status, await answer.text(), answer.headers.get("link")]).toEqual([200, "body", null]);
  });

  test("Q18: it does not begin to answer in time: 504 timeout, and its request is ended", async () => {
    const { page, api, errors } = await stage({ route: { timeout: 50 } });
    api.respond({ hang: true });
    const answer = await page("/api/items");
    expect([answer.status, (await problemOf(answer))["code"]]).toEqual([504, "timeout"]);
    expect(errors).toMatchObject([{ message: "the API did not begin to answer within 50 ms" }]);
  });

  test("Q18: the fetch fails with an error that is its own cause: 502", async () => {
    const circular = new Error("circular");
    circular.cause = circular;
    const { page, errors } = await stage({ options: { fetch: () => Promise.reject(circular) } });
    expect((await page("/api/x")).status).toBe(502);
    expect(errors).toEqual([circular]);
  });

  test("Q18: a body that is too long fails the fetch of another realm, as in Jest: 413", async () => {
    const wrap = runInNewContext('(cause) => new TypeError("fetch failed", { cause })') as (cause: unknown) => Error;
    const fetch = async (_: string, { body }: RequestInit): Promise<Response> => {
      await new Response(body).arrayBuffer().catch((cause: unknown) => {
        throw wrap(cause);
      });
      return new Response();
    };
    const { page } = await stage({ route: { maxBody: 150_000 }, options: { fetch } });
    // The first two pieces are read before the request is sent, and the third is too much.
    const pieces = [60_000, 60_000, 60_000].map((bytes) => new Uint8Array(bytes));
    const body = new ReadableStream({
      pull(controller) {
        const piece = pieces.shift();
        if (piece === undefined) controller.close();
        else controller.enqueue(piece);
      },
    });
    const answer = await page("/api/x", { method: "POST", body, duplex: "half" } as RequestInit);
    expect(await problemOf(answer)).toMatchObject({ status: 413, code: "body" });
  });

  test("Q18: an answer that began in time may take as long as it wants", async () => {
    const { page, api } = await stage({ route: { timeout: 500 } });
    api.respond({
      body: (async function* () {
        yield "first ";
        await new Promise((resolve) => setTimeout(resolve, 700));
        yield "last";
      })(),
    });
    expect(await (await page("/api/items")).text()).toBe("first last");
  });

  test("Q18: a slow upload does not count as time of the API", async () => {
    const { page } = await stage({ route: { timeout: 500 } });
    const chunks = Array.from({ length: 6 }, () => new Uint8Array(20_000));
    const body = new ReadableStream({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 120));
        const chunk = chunks.shift();
        if (chunk === undefined) controller.close();
        else controller.enqueue(chunk);
      },
    });
    expect((await page("/api/items", { method: "POST", body, duplex: "half" } as RequestInit)).status).toBe(200);
  });
});

describe("Q18: requests that do not pass", () => {
  test("Q18: a path without a route: 404; a prefix ends where a segment ends", async () => {
    const { page, api } = await stage();
    for (const path of ["/", "/other", "/apix", "/api-2/x", "/API/x", "/x/api"]) {
      const answer = await page(path);
      expect([path, answer.status, (await problemOf(answer))["code"]]).toEqual([path, 404, "route"]);
    }
    expect(api.requests).toEqual([]);
  });

  test("Q18: a method that the route does not have: 405 with Allow", async () => {
    const { page, api } = await stage({ route: { methods: ["GET", "HEAD"] } });
    const answer = await page("/api/x", { method: "DELETE" });
    expect([answer.status, answer.headers.get("allow"), (await problemOf(answer))["code"]]).toEqual([
      405,
      "GET, HEAD",
      "method",
    ]);
    expect(api.requests).toEqual([]);
  });

  test("Q18: a request that asks for another protocol: 501", async () => {
    const { proxy, api } = await stage();
    const headers = { "x-bff": "1", upgrade: "websocket" };
    const answer = await proxy(new Request(`${APP}/api/x`, { headers }));
    expect([answer.status, (await problemOf(answer))["code"], api.requests.length]).toEqual([501, "upgrade", 0]);
  });

  test("Q18: the longest prefix counts, whatever the order of the table", async () => {
    const { api, cache } = await stage();
    const proxy = createAuthProxy(() => cache, {
      routes: { "/api": `${api.origin}/short`, "/api/orders": `${api.origin}/long/`, "/api/orders/old": api.origin },
      csrf: false,
    });
    for (const path of ["/api/x", "/api/orders/1", "/api/orders/old/2", "/api/ordersx"])
      await proxy(new Request(APP + path));
    expect(api.requests.map(({ url }) => url)).toEqual(["/short/x", "/long/1", "/2", "/short/ordersx"]);
  });

  test("Q18: the source gets the request and the prefix of its route", async () => {
    const { cache, api } = await stage();
    const seen: unknown[] = [];
    const proxy = createAuthProxy(
      async (request, prefix) => {
        seen.push([new URL(request.url).pathname, prefix]);
        return cache;
      },
      { routes: { "/api/a": api.origin, "/api": api.origin }, csrf: false },
    );
    await proxy(new Request(`${APP}/api/a/1`));
    expect(seen).toEqual([["/api/a/1", "/api/a"]]);
  });

  test("Q18: two routes of one session get the access token that each names", async () => {
    const grant = fakeGrant();
    const { cache, api } = await stage({ grant });
    const proxy = createAuthProxy(() => cache, {
      routes: {
        "/orders": { target: api.origin, for: { resource: "https://orders.example" } },
        "/billing": { target: api.origin, for: { audience: "billing" } },
      },
      csrf: false,
    });
    for (const path of ["/orders/1", "/billing/1", "/orders/2"]) await proxy(new Request(APP + path));
    expect(api.requests.map(({ token }) => token)).toEqual(["fake-1", "fake-2", "fake-1"]);
  });
});

describe("Q18: what is wrong with the set-up rejects, so that the server's own handler reports it", () => {
  test("Q18: the cache does not allow the route's target: a TypeError names both", async () => {
    const { page } = await stage({ cache: { origins: ["https://other.example"] } });
    await expect(page("/api/x")).rejects.toThrow(
      /^routes\["\/api"\] leads to http:\/\/127\.0\.0\.1:\d+, where the token may not go: add it to the "origins" of the token cache$/,
    );
  });

  test("Q18: the source returns something else, throws, or rejects: that is what the caller gets", async () => {
    const mine = new Error("session store is away");
    const sources = [
      () => ({}) as never,
      () => Promise.reject(mine),
      () => {
        throw mine;
      },
    ];
    const failures: unknown[] = [];
    for (const source of sources)
      failures.push(await (await stage({ source })).page("/api/x").catch((error: unknown) => error));
    expect(failures).toEqual([
      expect.objectContaining({
        name: "TypeError",
        message: expect.stringContaining("must be a token cache, undefined or null") as string,
      }),
      mine,
      mine,
    ]);
  });

  test("Q18: a body parser has read the body before: a TypeError says where to mount the proxy", async () => {
    const { proxy } = await stage();
    const request = new Request(`${APP}/api/x`, { method: "POST", body: "x", headers: { "x-bff": "1" } });
    await request.text();
    await expect(proxy(request)).rejects.toThrow("the body of the request was read before the proxy got it");
  });

  test("Q18: an onError that throws changes nothing", async () => {
    const { page, api } = await stage({
      options: {
        onError: () => {
          throw new Error("log");
        },
      },
    });
    await api.close();
    expect((await page("/api/x")).status).toBe(502);
  });
});
