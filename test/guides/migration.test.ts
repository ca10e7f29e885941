/**
 * docs/migration.md: the code before with the packages that it names, and the code after, both as they stand there, against
 * real servers. Where the code before is wrong, the name says so. Each row of the tables has a test.
 */
import { inspect } from "node:util";
import { type Api, type AuthServer, startApi, startAuthServer } from "remint/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Blocks } from "./blocks.ts";

const SECRET = "the-secret-of-the-client";

type Side = "before" | "after";
const SIDES = ["before", "after"] as const;

let blocks: Blocks;
let auth: AuthServer;
let api: Api;
/** A server that no token is meant for. */
let elsewhere: Api;
beforeEach(async () => {
  auth = await startAuthServer();
  api = await startApi({ accepts: auth });
  elsewhere = await startApi({ accepts: () => true });
  const hosts = { "https://auth.example": auth.origin, "https://api.example": api.origin };
  blocks = new Blocks("docs/migration.md", hosts);
  vi.stubEnv("CLIENT_SECRET", SECRET);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  blocks.remove();
  await Promise.all([auth.close(), api.close(), elsewhere.close()]);
});

/** The test's name, with what the code before does in place of it. */
const title = (side: Side, what: string, before: string): string =>
  side === "before" ? `${what}: WRONG, ${before}` : what;

/** What a call got: its status, 0 for an error without one. */
const statusOf = (call: Promise<{ readonly status: number }>): Promise<number> =>
  call.then(
    ({ status }) => status,
    (error: { readonly response?: { readonly status: number }; readonly status?: number }) =>
      error.response?.status ?? error.status ?? 0,
  );

function deferred(): { readonly promise: Promise<void>; resolve(): void } {
  let resolve!: () => void;
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}

const times = <T>(count: number, call: () => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, call));

describe.each(SIDES)("axios-token-interceptor and axios-oauth-client, %s", (side) => {
  interface Axios {
    get(url: string): Promise<{ readonly status: number }>;
  }
  const text = side === "before" ? 'from "axios-token-interceptor"' : 'from "remint/axios"';
  let client: Axios;
  beforeEach(async () => {
    client = (await blocks.run(text))["api"] as Axios;
  });
  const get = (url = "/orders"): Promise<number> => statusOf(client.get(url));

  test("twenty callers without a token: one token request, with the secret in the body", async () => {
    expect(await times(20, get)).toEqual(Array(20).fill(200));
    expect(auth.requests).toHaveLength(1);
    expect(auth.requests[0]!.form.get("client_secret")).toBe(SECRET);
  });

  test(title(side, "the token is revoked: one new token", "every call is answered 401"), async () => {
    await get();
    auth.revokeAll();
    const statuses = await times(3, get);
    expect([statuses, auth.mints]).toEqual(side === "before" ? [[401, 401, 401], 1] : [[200, 200, 200], 2]);
  });

  test(title(side, "no expires_in: the token is kept", "a token request for every call"), async () => {
    auth.expiresIn = null;
    for (let call = 0; call < 3; call++) expect(await get()).toBe(200);
    expect(auth.requests).toHaveLength(side === "before" ? 3 : 1);
  });

  test(
    title(side, "503, twenty callers: three attempts for all", "a token request for each, one after the other"),
    async () => {
      auth.respondAlways({ status: 503 });
      expect(await times(20, get)).toEqual(Array(20).fill(503));
      expect(auth.requests).toHaveLength(side === "before" ? 20 : 3);
      expect(api.requests).toEqual([]);
    },
  );

  test(title(side, "the token endpoint fails once: nobody notices", "the caller gets its error"), async () => {
    auth.respond({ status: 503 });
    expect(await get()).toBe(side === "before" ? 503 : 200);
  });

  test(title(side, "the token endpoint does not answer: an error in time", "the caller waits for ever"), async () => {
    if (side === "after")
      client = (await blocks.run(text, { "origins:": "mintTimeout: 200, origins:" }))["api"] as Axios;
    auth.respondAlways({ hang: true });
    let code: unknown = "none";
    const ended = client.get("/orders").catch((error: { readonly code?: unknown }) => (code = error.code));
    await auth.waitFor(1);
    if (side === "after") await ended;
    else await new Promise((resolve) => setImmediate(resolve));
    expect(code).toBe(side === "before" ? "none" : "ERR_TOKEN_TIMEOUT");
    if (side === "before") auth.respondAlways(undefined);
  });

  test(title(side, "a URL names another host: no token is sent there", "the token is sent there"), async () => {
    await get(`${elsewhere.origin}/path`);
    expect(elsewhere.requests.map(({ token }) => token !== undefined)).toEqual([side === "before"]);
  });

  test(title(side, "an error of the API is logged without the token", "with the token"), async () => {
    api.respond({ status: 500 });
    const error: unknown = await client.get("/orders").catch((reason: unknown) => reason);
    const logged = inspect(error, { depth: 10 }) + JSON.stringify(error);
    expect(logged.includes(auth.issued[0]!)).toBe(side === "before");
  });

  test(title(side, "an error of the token endpoint is logged without the secret", "with the secret"), async () => {
    auth.respondAlways({ status: 400, body: { error: "invalid_scope" } });
    const error: unknown = await client.get("/orders").catch((reason: unknown) => reason);
    const logged = inspect(error, { depth: 10 }) + JSON.stringify(error);
    expect(logged.includes(SECRET)).toBe(side === "before");
  });
});

describe.each(SIDES)("@badgateway/oauth2-client, %s", (side) => {
  interface Session {
    token: { readonly refreshToken: string } | null;
  }
  type Call = (url: string, init?: RequestInit) => Promise<Response>;

  const text = side === "before" ? 'from "@badgateway/oauth2-client"' : "interface Session";
  let session: Session;
  let call: Call;
  let signIns: number;
  beforeEach(async () => {
    // The package warns, and prints, when a refresh fails.
    vi.spyOn(console, "warn").mockReturnValue(undefined);
    const { apiOf } = await blocks.run(text);
    const { access_token: accessToken, refresh_token: refreshToken } = auth.signIn("alice");
    session = { token: { accessToken, refreshToken, expiresAt: Date.now() + 3_600_000 } as Session["token"] };
    signIns = 0;
    call = (apiOf as (session: Session, goToSignIn: () => void) => Call)(session, () => void signIns++);
  });
  const get = (path = "/orders"): Promise<number> => statusOf(call(api.origin + path));

  test("ten calls in flight when the token is revoked: one refresh, and the rotated refresh token is stored", async () => {
    await get();
    const before = auth.requests.length;
    const used = session.token?.refreshToken;
    auth.revokeAll();
    expect(await times(10, get)).toEqual(Array(10).fill(200));
    // Of the code before, a 401 that comes after the refresh causes another one: see the next test.
    if (side === "before") expect(auth.requests.length - before).toBeGreaterThanOrEqual(1);
    else expect(auth.requests.length - before).toBe(1);
    expect(session.token?.refreshToken).not.toBe(used);
  });

  test(title(side, "a 401 comes late: no other refresh", "there is another refresh"), async () => {
    await get();
    const before = auth.requests.length;
    auth.revokeAll();
    const [arrival, hold] = [deferred(), deferred()];
    api.respond(async () => {
      arrival.resolve();
      await hold.promise;
      return { status: 401 };
    });
    const late = get("/slow");
    await arrival.promise;
    expect(await get()).toBe(200);
    hold.resolve();
    expect([await late, auth.requests.length - before]).toEqual([200, side === "before" ? 2 : 1]);
  });

  test(
    title(side, "503 to the refresh: the call fails, and the user stays signed in", "the user has to sign in"),
    async () => {
      await get();
      auth.revokeAll();
      auth.respondAlways({ status: 503 });
      const status = await get();
      auth.respondAlways(undefined);
      if (side === "before") expect(signIns).toBeGreaterThanOrEqual(1);
      else expect([status, signIns, session.token?.refreshToken]).toEqual([503, 0, expect.any(String)]);
    },
  );

  test("the session is over: the application is told", async () => {
    await get();
    auth.endSignIns("alice");
    await get();
    if (side === "before") expect(signIns).toBeGreaterThanOrEqual(1);
    else expect(signIns).toBe(1);
  });

  test(title(side, "the API answers 401 to everything: a few refreshes", "a refresh for each call"), async () => {
    await get();
    const before = auth.requests.length;
    api.respondAlways({ status: 401 });
    for (let count = 0; count < 15; count++) expect(await get()).toBe(401);
    if (side === "before") expect(auth.requests.length - before).toBe(15);
    else expect(auth.requests.length - before).toBeLessThanOrEqual(5);
  });

  test(title(side, "a URL names another host: no token is sent there", "the token is sent there"), async () => {
    await call(`${elsewhere.origin}/path`);
    expect(elsewhere.requests.map(({ token }) => token !== undefined)).toEqual([side === "before"]);
  });

  test(title(side, "nobody is signed in: the call goes without a token", "every call fails"), async () => {
    const { apiOf } = await blocks.run(text);
    const anonymous = (apiOf as (session: Session, goToSignIn: () => void) => Call)({ token: null }, () => {});
    const status = await statusOf(anonymous(`${api.origin}/orders`));
    expect([status, api.requests.length]).toEqual(side === "before" ? [0, 0] : [401, 1]);
  });

  test(
    title(side, "the caller aborts while a token is awaited: it leaves at once", "it waits for the token"),
    async () => {
      await get();
      auth.revokeAll();
      const release = auth.holdAnswers();
      const controller = new AbortController();
      let isOver = false;
      const ended = call(`${api.origin}/orders`, { signal: controller.signal }).catch(() => (isOver = true));
      await vi.waitUntil(() => auth.waiting === 1, { timeout: 20_000 });
      controller.abort();
      if (side === "after") await ended;
      // Every promise that is over by now has had its turn.
      else await new Promise((resolve) => setImmediate(resolve));
      expect(isOver).toBe(side === "after");
      release();
      await ended;
    },
  );
});

describe("chalk-ts", () => {
  test("after: a query of the engine, with one token for it", async () => {
    vi.stubEnv("CHALK_CLIENT_ID", "id");
    vi.stubEnv("CHALK_CLIENT_SECRET", SECRET);
    vi.stubEnv("CHALK_API_SERVER", auth.origin);
    vi.stubEnv("CHALK_QUERY_SERVER", api.origin);
    auth.respondAlways({ body: { access_token: "t", expires_in: 3600, primary_environment: "env-abc" } });
    api.respond({ body: { data: [{ field: "user.score", value: 7 }] } });
    const { data } = await blocks.run("chalkGrant()");
    expect(data).toEqual([{ field: "user.score", value: 7 }]);
    expect(api.requests).toMatchObject([{ method: "POST", url: "/v1/query/online", token: "t" }]);
  });
});
