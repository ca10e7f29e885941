/** `refreshEndpoint` against a real server: what each of its answers means, and what is asked how often. */
import { Readable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { createTokenCache, findRemintError, isRemintError } from "remint";
import { refreshEndpoint } from "remint/browser";
import { createAuthFetch } from "remint/fetch";
import { manualClock, startApi } from "remint/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { becomePage, pageAt } from "../core/page-globals.ts";
import type { RemintError, RemintEvent, TokenCacheOptions } from "remint";
import type { RefreshEndpointOptions } from "remint/browser";
import type { Api } from "remint/testing";

let server: Api;
beforeEach(async () => void (server = await startApi({ accepts: (token) => token.startsWith("access-") })));
afterEach(() => {
  becomePage(undefined);
  return server.close();
});

const soon = { timeout: 20_000 };
let count = 0;
const token = (more: object = {}): object => ({ body: { accessToken: `access-${++count}`, expiresIn: 600, ...more } });
const readToken = async (response: Response): Promise<string> =>
  ((await response.json()) as { accessToken: string }).accessToken;

function cacheOf(options: Partial<RefreshEndpointOptions> = {}, more: Partial<TokenCacheOptions> = {}) {
  const events: RemintEvent[] = [];
  const grant = refreshEndpoint(`${server.origin}/auth/refresh`, { read: readToken, ...options });
  const onEvent = (event: RemintEvent): void => void events.push(event);
  const cache = createTokenCache({ grant, origins: [server.origin], warnings: false, onEvent, ...more });
  return { cache, events, authFetch: createAuthFetch(cache) };
}

const failureOf = async (promise: Promise<unknown>): Promise<RemintError> => {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isRemintError(error)) throw new Error("it did not reject with an error of this package", { cause: error });
  return error;
};
const refreshes = () => server.requests.filter(({ url }) => url === "/auth/refresh");

describe("the request", () => {
  test("C19: it is a POST with the given init, and neither a token nor a body of ours", async () => {
    const { cache } = cacheOf({ headers: { "x-csrf": "1" }, credentials: "include", cache: "no-store" });
    server.respond(token());
    await cache.get();
    expect(refreshes()).toMatchObject([{ method: "POST", text: "", token: undefined, headers: { "x-csrf": "1" } }]);
  });

  test("C19, C14: headers and body that are functions get what the last answer brought, and before that what signIn brought", async () => {
    const { cache } = cacheOf({
      method: "PUT",
      headers: (state) => ({ "x-state": state }),
      body: (state) => JSON.stringify({ refreshToken: state }),
      read: async (response) => {
        const { accessToken, refreshToken } = (await response.json()) as { accessToken: string; refreshToken: string };
        return { accessToken, state: refreshToken };
      },
    });
    expect((await failureOf(cache.get())).code).toBe("ERR_NO_SESSION");
    await cache.signIn({ access_token: "access-0", refresh_token: "r-1" });
    server.respond(token({ refreshToken: "r-2" }), token({ refreshToken: "r-3" }));
    for (let times = 0; times < 2; times++) {
      await cache.invalidate((await cache.get()).value);
      await cache.get();
    }
    expect(refreshes().map(({ method, text, headers }) => [method, text, headers["x-state"]])).toEqual([
      ["PUT", '{"refreshToken":"r-1"}', "r-1"],
      ["PUT", '{"refreshToken":"r-2"}', "r-2"],
    ]);
  });

  test("C19, C14: the state comes from a function and is saved by another", async () => {
    let saved = "r-1";
    const { cache } = cacheOf({
      state: () => saved,
      onState: (next) => void (saved = next),
      body: (state) => state,
      read: async (response) => ({ accessToken: await readToken(response.clone()), state: "r-2" }),
    });
    server.respond(token());
    await cache.get();
    expect([refreshes()[0]!.text, saved]).toEqual(["r-1", "r-2"]);
  });

  test("C19: members that are undefined are not there, as in an init of fetch", async () => {
    const { cache } = cacheOf({ method: undefined, redirect: undefined, headers: undefined } as never);
    server.respond({ status: 302, headers: { location: "/sign-in" } });
    expect((await failureOf(cache.get())).code).toBe("ERR_NO_SESSION");
    expect(server.requests.map(({ method, url }) => [method, url])).toEqual([["POST", "/auth/refresh"]]);
  });

  test("C19: headers and body come from async functions", async () => {
    const { cache } = cacheOf({
      state: "r-1",
      headers: (state) => Promise.resolve({ "x-state": state }),
      body: (state) => Promise.resolve(`of ${state}`),
    });
    server.respond(token());
    await cache.get();
    expect(refreshes()).toMatchObject([{ text: "of r-1", headers: { "x-state": "r-1" } }]);
  });

  test("C19: headers from a function without a parameter, as for a token against CSRF: the cookie is the state, and each request asks", async () => {
    let csrf = 0;
    const { cache } = cacheOf({ headers: () => ({ "x-csrf": `${++csrf}` }) });
    server.respond(token(), token());
    await cache.invalidate((await cache.get()).value);
    await cache.get();
    expect(refreshes().map(({ headers }) => headers["x-csrf"])).toEqual(["1", "2"]);
  });

  test.each([
    ["headers", { headers: () => Promise.reject(new Error("no CSRF token")) }],
    ["body", { body: () => Promise.reject(new Error("no CSRF token")) }],
  ])("C19, C9: the function for %s fails: an error that names it, and no request", async (name, options) => {
    const { cache } = cacheOf(options);
    const error = await failureOf(cache.get());
    expect([error.code, (error.cause as Error).message, refreshes().length]).toEqual(["ERR_GRANT", "no CSRF token", 0]);
    expect(error.hint).toContain(`"${name}"`);
  });

  test("C19: a URL object, a list of headers and Headers are changed later: the request is as it was given", async () => {
    const url = new URL(`${server.origin}/auth/refresh`);
    for (const headers of [new Headers({ "x-a": "1" }), [["x-a", "1"]] as [string, string][], { "x-a": "1" }]) {
      url.pathname = "/auth/refresh";
      const grant = refreshEndpoint(url, { read: readToken, headers });
      const cache = createTokenCache({ grant, origins: [server.origin], warnings: false });
      url.pathname = "/elsewhere";
      if (headers instanceof Headers) headers.set("x-a", "2");
      else if (Array.isArray(headers)) headers[0] = ["x-a", "2"];
      else headers["x-a"] = "2";
      server.respond(token());
      await cache.get();
    }
    expect(server.requests.map((request) => [request.url, request.headers["x-a"]])).toEqual(
      Array.from({ length: 3 }, () => ["/auth/refresh", "1"]),
    );
  });

  test("C19: the session is in a cookie that the answer sets, and there is no token: requests go without Authorization", async () => {
    const grant = refreshEndpoint(`${server.origin}/auth/refresh`, {
      read: () => "cookie",
      tokenHeaders: () => ({ authorization: null }),
    });
    const authFetch = createAuthFetch(createTokenCache({ grant, origins: [server.origin], warnings: false }));
    server.respond({ status: 204, headers: { "set-cookie": "session=1" } }, { path: "/api", body: "items" });
    await authFetch(`${server.origin}/api`);
    expect(server.requests.map(({ url, token: sent }) => [url, sent])).toEqual([
      ["/auth/refresh", undefined],
      ["/api", undefined],
    ]);
  });

  test("Q2: the endpoint is called through the same client, inside and outside of a refresh: it never gets the token, and nobody waits for himself", async () => {
    const own = { fetch: undefined as unknown as typeof fetch };
    const { authFetch, cache } = cacheOf({ fetch: (url, init) => own.fetch(url, init) });
    own.fetch = authFetch;
    server.respond(token());
    await cache.get();
    server.respond({ status: 200, body: "by hand" });
    await authFetch(`${server.origin}/auth/refresh?again`, { method: "POST" });
    expect(server.requests.map((request) => request.token)).toEqual([undefined, undefined]);
  });

  test("C19, C2: 50 callers, one request", async () => {
    const { cache } = cacheOf();
    const release = server.holdAnswers();
    server.respond(token());
    const all = Promise.all(Array.from({ length: 50 }, () => cache.get()));
    await server.waitFor(1);
    release();
    expect([new Set((await all).map(({ value }) => value)).size, refreshes().length]).toEqual([1, 1]);
  });
});

describe("C19, Q8: nobody is signed in", () => {
  test.each([
    ["401", { status: 401 }],
    ["403", { status: 403, body: "<html>" }],
    ["a redirect to a sign-in page", { status: 302, headers: { location: "/login" } }],
  ])(
    "C19, Q8: the endpoint answers %s: requests go without a token, one refresh in all, until signIn",
    async (_, answer) => {
      const { authFetch, cache, events } = cacheOf();
      server.respond({ ...answer, path: "/auth/refresh" });
      const statuses: number[] = [];
      for (let times = 0; times < 3; times++) statuses.push((await authFetch(`${server.origin}/api`)).status);
      expect([statuses, refreshes().length]).toEqual([[401, 401, 401], 1]);
      expect(events.filter(({ name }) => name === "mint-failed")).toMatchObject([
        { error: { code: "ERR_NO_SESSION", terminal: true } },
      ]);
      await cache.signIn({ access_token: "access-0", expires_in: 600 });
      expect((await authFetch(`${server.origin}/api`)).status).toBe(200);
    },
  );

  test("C19, Q8: 200 without the member that read looks for, so that read returns nothing: nobody is signed in", async () => {
    const { cache } = cacheOf();
    server.respond({ body: { access: "access-1" } });
    expect((await failureOf(cache.get())).code).toBe("ERR_NO_SESSION");
  });

  test("C19, Q8: read returns nothing: the same, but the endpoint is asked again later", async () => {
    const clock = manualClock();
    const { authFetch } = cacheOf({ read: () => null }, { clock });
    server.respond({ status: 204, path: "/auth/refresh" });
    expect((await authFetch(`${server.origin}/api`)).status).toBe(401);
    await clock.advance(2000);
    server.respond({ status: 204, path: "/auth/refresh" });
    await authFetch(`${server.origin}/api`);
    expect(refreshes().length).toBe(2);
  });

  test("C19, Q8: the session ends while a request is at the API: the caller gets the API's own 401", async () => {
    const { authFetch } = cacheOf();
    server.respond(token());
    await authFetch(`${server.origin}/api`);
    server.respond({ status: 401, body: "theirs", path: "/api" }, { status: 401, path: "/auth/refresh" });
    const answer = await authFetch(`${server.origin}/api`);
    expect([answer.status, await answer.text()]).toEqual([401, "theirs"]);
  });
});

describe("C19, C15: a refresh is under way when another user signs in", () => {
  test("C19, C15: its answer sets the first user's cookie: the other's token is used as long as it lives, and then nobody is signed in", async () => {
    const isRead = vi.fn();
    const { cache, events, authFetch } = cacheOf({ read: (response) => readToken(response).finally(isRead) });
    server.respond({ ...token(), path: "/auth/refresh" });
    const first = await cache.get();
    const release = server.holdAnswers();
    server.respond({ ...token(), path: "/auth/refresh" });
    await cache.invalidate(first.value);
    const waiting = failureOf(cache.get());
    await server.waitFor(2);
    await cache.signIn({ access_token: "access-bob", expires_in: 600 });
    expect((await waiting).code).toBe("ERR_SESSION");
    release();
    await vi.waitUntil(() => isRead.mock.calls.length === 2, soon);
    await setImmediate();
    expect((await authFetch(`${server.origin}/api`)).status).toBe(200);
    expect(server.requests.at(-1)!.token).toBe("access-bob");
    await cache.invalidate("access-bob");
    expect((await authFetch(`${server.origin}/api`)).status).toBe(401);
    expect(refreshes().length).toBe(2);
    const failures = events.flatMap((event) => (event.name === "mint-failed" ? event.error.code : []));
    expect(failures, "told once").toEqual(["ERR_NO_SESSION"]);
    await cache.signIn({ access_token: "access-carol", expires_in: 600 });
    expect((await authFetch(`${server.origin}/api`)).status).toBe(200);
  });

  test("C19, C15: signOut waits for its answer, so that a sign-in after it has the last word", async () => {
    const { cache } = cacheOf();
    server.respond({ ...token(), path: "/auth/refresh" });
    await cache.invalidate((await cache.get()).value);
    const release = server.holdAnswers();
    server.respond({ ...token(), path: "/auth/refresh" });
    const waiting = failureOf(cache.get());
    await server.waitFor(2);
    const isOut = vi.fn();
    const signingOut = cache.signOut().then(isOut);
    expect([(await waiting).code, isOut.mock.calls.length]).toEqual(["ERR_SESSION", 0]);
    release();
    await signingOut;
    await cache.signIn({ access_token: "access-bob", expires_in: 600 });
    server.respond({ ...token(), path: "/auth/refresh" });
    await cache.invalidate("access-bob");
    expect((await cache.get()).value).toBe(`access-${count}`);
  });
});

describe("C19, C9: the endpoint fails", () => {
  test.each([
    ["500", { status: 500 }, { code: "ERR_TOKEN_ENDPOINT", endpointStatus: 500, retryable: true }],
    ["503 with Retry-After", { status: 503, headers: { "retry-after": "7" } }, { retryAfter: 7000, retryable: true }],
    ["429 with Retry-After", { status: 429, headers: { "retry-after": "2" } }, { retryAfter: 2000, retryable: true }],
    ["400", { status: 400 }, { code: "ERR_TOKEN_ENDPOINT", retryable: false, terminal: false }],
    ["HTML with 200", { headers: { "content-type": "text/html" }, body: "<!doctype html>" }, { code: "ERR_GRANT" }],
    ["204, of which read makes nothing good", { status: 204 }, { code: "ERR_GRANT" }],
    ["200 without a token", { body: { ok: true } }, { code: "ERR_TOKEN_RESPONSE", retryable: false }],
    ["a closed connection", { reset: true as const }, { retryable: true }],
    ["an empty body", { body: "" }, { code: "ERR_GRANT", retryable: false }],
    ["304, which leads nowhere", { status: 304 }, { code: "ERR_TOKEN_ENDPOINT", endpointStatus: 304, terminal: false }],
    ["404", { status: 404 }, { code: "ERR_TOKEN_ENDPOINT", endpointStatus: 404, retryable: false, terminal: false }],
    ["JSON of another type", { headers: { "content-type": "image/png" }, body: "[7]" }, { code: "ERR_TOKEN_RESPONSE" }],
    ["an error in JSON, with 200", { body: { error: "nope" } }, { code: "ERR_TOKEN_RESPONSE", terminal: false }],
  ])(
    "C19, C9: with %s: an error that says so, one request, and the session is not over",
    async (_, answer, expected) => {
      const clock = manualClock();
      const { cache } = cacheOf({ read: async (response) => ({ accessToken: await readToken(response) }) }, { clock });
      server.respond(answer);
      const error = await failureOf(cache.get());
      expect(error).toMatchObject(expected);
      expect([error.status, refreshes().length]).toEqual([503, 1]);
      expect(error.message).not.toContain("127.0.0.1");
      await clock.advance(61_000);
      server.respond(token());
      expect((await cache.get()).value).toMatch(/^access-/);
    },
  );

  test("C19, C14: the answer rotates the state and has no token: the next request presents the new state", async () => {
    const clock = manualClock();
    const { cache } = cacheOf(
      {
        state: "r-1",
        body: (state) => state,
        read: async (response) => (await response.json()) as never,
      },
      { clock },
    );
    server.respond({ body: { accessToken: "", state: "r-2" } }, { body: { accessToken: "access-9", state: "r-3" } });
    await failureOf(cache.get());
    await clock.advance(61_000);
    await cache.get();
    expect(refreshes().map(({ text }) => text)).toEqual(["r-1", "r-2"]);
  });

  test("C19, C14: it takes longer than callers wait: they leave, and the answer lands and serves the next ones without another request", async () => {
    const { cache, events } = cacheOf({}, { mintTimeout: 50 });
    const release = server.holdAnswers();
    server.respond(token());
    expect((await failureOf(cache.get())).code).toBe("ERR_TOKEN_TIMEOUT");
    release();
    await vi.waitUntil(() => events.some(({ name }) => name === "minted"), soon);
    expect([(await cache.get()).value, refreshes().length]).toEqual([`access-${count}`, 1]);
  });

  test.each([
    ["a number", 7],
    ["true", true],
    ["an empty string", ""],
    ["a list", ["access-1"]],
    ["an object without a token", { ok: true }],
    ["an empty token", { accessToken: "" }],
    ["a token that is null", { accessToken: null }],
    ["a token with a line break", "a\nb"],
    ["a page", "<!doctype html> <title>Sign in</title>"],
    ["the answer itself", new Response("{}")],
    ["a function", () => "access-1"],
  ])("C19, C9: read returns %s: an error, no token and no sign-out", async (_, value) => {
    const { cache } = cacheOf({ read: () => value as never });
    server.respond(token());
    expect(await failureOf(cache.get())).toMatchObject({ code: "ERR_TOKEN_RESPONSE", status: 503, terminal: false });
    expect(cache.peek()).toBeUndefined();
  });

  test("C19, C9: read throws an error of the user's: it is the cause", async () => {
    const mine = new Error("mine");
    const { cache } = cacheOf({ read: () => Promise.reject(mine) });
    server.respond(token());
    const error = await failureOf(cache.get());
    expect([error.code, (error.cause as Error).message, error.hint]).toEqual([
      "ERR_GRANT",
      "mine",
      expect.stringContaining('"read"'),
    ]);
    expect(findRemintError(error)).toBe(error);
  });
});

describe("Q17: wrong options are a TypeError that names them", () => {
  const endpoint = "https://app.example/auth/refresh";
  test.each([
    ["no URL", "", { read: readToken }, '"url" must be'],
    ["a URL of another scheme", "ftp://app.example", { read: readToken }, '"url" must be'],
    ["a URL with credentials", "https://u:p@app.example", { read: readToken }, '"url" must be'],
    ["no options", endpoint, undefined, "refreshEndpoint options"],
    ["no read", endpoint, {}, '"read" must be a function'],
    ["a read that is no function", endpoint, { read: "accessToken" }, '"read" must be a function'],
    ["a fetch that is no function", endpoint, { read: readToken, fetch: {} }, '"fetch" must be a function'],
    ["an onState that is no function", endpoint, { read: readToken, onState: 1 }, '"onState" must be a function'],
    ["a signal", endpoint, { read: readToken, signal: new AbortController().signal }, 'takes no "signal"'],
    ["a stream as body", endpoint, { read: readToken, body: new Blob(["x"]).stream() }, '"body" must not be a stream'],
    [
      "a stream of Node as body",
      endpoint,
      { read: readToken, body: Readable.from("x") },
      '"body" must not be a stream',
    ],
    ["an empty key", endpoint, { read: readToken, key: "" }, '"key" must be'],
  ])("Q17: %s", (_, url, options, message) => {
    expect(() => refreshEndpoint(url, options as never)).toThrow(TypeError);
    expect(() => refreshEndpoint(url, options as never)).toThrow(message);
  });

  test("C19: a relative URL on a page whose address changes afterwards: the endpoint is where it was", async () => {
    const asked: string[] = [];
    becomePage(pageAt("https://app.example/shop/"));
    const grant = refreshEndpoint("auth/refresh", {
      read: readToken,
      fetch: (url) => {
        asked.push(url);
        return Promise.resolve(Response.json({ accessToken: "access-1" }));
      },
    });
    becomePage(pageAt("https://app.example/shop/items/7"));
    await createTokenCache({ grant, origins: ["self"], warnings: false }).get();
    expect(asked).toEqual(["https://app.example/shop/auth/refresh"]);
  });

  test("Q17: a relative URL is taken, also where there is no page yet", () => {
    expect(() => refreshEndpoint("/auth/refresh", { read: readToken })).not.toThrow();
  });
});
