/** docs/clients.md, docs/grants.md and docs/users.md: their code runs as it stands, and their table of errors holds. */
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createTokenCache, isRemintError, refreshTokenGrant, type TokenCache, type TokenPool } from "remint";
import { createAuthFetch } from "remint/fetch";
import { type Api, type AuthServer, fakeGrant, fakeSessions, startApi, startAuthServer } from "remint/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Blocks, type Exports } from "./blocks.ts";

const SECRET = "the-secret-of-the-client";

let auth: AuthServer;
let api: Api;
/** A second API. */
let billing: Api;
let blocks: Blocks;
beforeEach(async () => {
  auth = await startAuthServer();
  const accepts = (token: string): boolean => token.startsWith("fake-") || auth.isLive(token);
  api = await startApi({ accepts });
  billing = await startApi({ accepts });
});
afterEach(async () => {
  vi.unstubAllGlobals();
  blocks.remove();
  await Promise.all([auth.close(), api.close(), billing.close()]);
});

/** Hosts of the guides, and paths of their secrets. */
function blocksOf(document: string): Blocks {
  const hosts: Record<string, string> = {
    "https://auth.example": auth.origin,
    "https://api.example": api.origin,
    "https://orders.example": api.origin,
    "https://billing.example": billing.origin,
  };
  blocks = new Blocks(document, hosts);
  return blocks;
}

/** Gives a value to what a block declares. */
const declare = (names: Readonly<Record<string, unknown>>): void => {
  for (const [name, value] of Object.entries(names)) vi.stubGlobal(name, value);
};

/** What the token endpoint got. The look-up of the issuer's endpoints is left out. */
const forms = (): Record<string, string>[] =>
  auth.requests.filter(({ method }) => method === "POST").map(({ form }) => Object.fromEntries(form));

const tokensSent = (server: Api): (string | undefined)[] => server.requests.map(({ token }) => token);

type Call = (init: object) => Promise<unknown>;

/** The clients that the page makes. */
async function clientsOf(cache: TokenCache): Promise<Record<"axios" | "fetch" | "ofetch", Call>> {
  declare({ tokens: cache });
  api.respondAlways({ body: [] });
  const made = {
    axios: (await blocks.run("export const api = axios.create"))["api"] as (
      url: string,
      init: object,
    ) => Promise<object>,
    fetch: (await blocks.run("response.status === 200"))["authFetch"] as typeof fetch,
    ofetch: (await blocks.run("timeout: 5000"))["api"] as (url: string, init: object) => Promise<object>,
  };
  api.respondAlways(undefined);
  return {
    axios: (init) => made.axios("/orders", init),
    fetch: (init) => made.fetch(`${api.origin}/orders`, init),
    ofetch: (init) => made.ofetch("/orders", init),
  };
}

/** What a caller gets: the status of a response, or what an error is. */
const outcome = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    (answer) => (answer as Response).status,
    (error: Error & { readonly response?: { readonly status: number }; readonly status?: number }) => ({
      name: error.name,
      ...(error.response && { answered: error.response.status }),
      ...(isRemintError(error) && { remint: error.code, status: error.status, rejected: error.rejected?.status }),
      ...(error.name === "FetchError" && error.cause instanceof Error && { cause: error.cause.name }),
    }),
  );

const signedInCache = (): TokenCache => {
  const grant = refreshTokenGrant({
    tokenEndpoint: auth.tokenEndpoint,
    clientId: "portal",
    clientAuthentication: "none",
    refreshToken: auth.signIn("alice").refresh_token,
    onRotate: () => {},
  });
  return createTokenCache({ grant, origins: [api.origin], mintRetries: 0 });
};

describe("docs/clients.md", () => {
  let tokens: TokenCache;
  beforeEach(() => {
    blocksOf("docs/clients.md");
    tokens = createTokenCache({ grant: fakeGrant(), origins: [api.origin], warnings: false });
    declare({ tokens, authFetch: createAuthFetch(tokens) });
  });

  test.each([
    ["axios", "export const api = axios.create"],
    ["fetch", "response.status === 200"],
    ["ofetch", "timeout: 5000"],
    ["any other client", "ClientSeam"],
  ])("%s: the call of the page has the token, and is sent again after a 401", async (_, text) => {
    api.respond({ status: 401 });
    await blocks.run(text);
    expect(tokensSent(api)).toEqual(["fake-1", "fake-2"]);
  });

  test("a stream that a function makes: the second send has it too", async () => {
    const file = join(blocks.folder, "orders.csv");
    writeFileSync(file, "apple;2");
    api.respond({ status: 401 });
    await blocks.run("openAsBlob", { '"orders.csv"': JSON.stringify(file) });
    expect(api.requests.map(({ text }) => text)).toEqual(["apple;2", "apple;2"]);
  });

  test("one request differs: no token, another cache's token, and no second send", async () => {
    declare({ othersTokens: createTokenCache({ grant: () => "fake-of-another", origins: [api.origin] }) });
    api.respond({ status: 200 }, { status: 200 }, { status: 401 });
    await blocks.run("othersTokens");
    expect(tokensSent(api)).toEqual([undefined, "fake-of-another", "fake-1"]);
  });

  test("several caches: the first whose origins match, or the one of the user", async () => {
    const billingTokens = createTokenCache({ grant: () => "fake-of-billing", origins: [billing.origin] });
    let user: TokenCache | undefined = tokens;
    declare({ ordersTokens: tokens, billingTokens, currentUsersTokens: () => user });
    const { forBoth, forUsers } = (await blocks.run("forBoth")) as Record<string, typeof fetch>;
    await forBoth!(api.origin);
    await forBoth!(billing.origin);
    await forUsers!(api.origin);
    user = undefined;
    await forUsers!(api.origin);
    expect([tokensSent(api), tokensSent(billing)]).toEqual([["fake-1", "fake-1", undefined], ["fake-of-billing"]]);
  });

  test("isRejected: a 403 that says so renews the token, and another one does not", async () => {
    const { authFetch } = (await blocks.run("isRejected: async")) as { authFetch: typeof fetch };
    api.respond({ status: 403, body: "token_expired" }, { status: 204 }, { status: 403, body: "not yours" });
    expect((await authFetch(api.origin)).status).toBe(204);
    expect((await authFetch(api.origin)).status).toBe(403);
    expect(tokensSent(api)).toEqual(["fake-1", "fake-2", "fake-2"]);
  });

  const unavailable = { remint: "ERR_TOKEN_ENDPOINT", status: 503 };
  test.each([
    [
      "the API answers 401, also to a new token",
      { axios: { name: "AxiosError", answered: 401 }, fetch: 401, ofetch: { name: "FetchError", answered: 401 } },
      async (call: Call) => {
        api.respondAlways({ status: 401 });
        return outcome(call({}));
      },
    ],
    [
      "the session is over after a 401",
      { axios: { name: "AxiosError", answered: 401 }, fetch: 401, ofetch: { name: "FetchError", answered: 401 } },
      async (call: Call) => {
        auth.endSignIns();
        return outcome(call({}));
      },
    ],
    [
      "no token can be had",
      {
        axios: { name: "AxiosError", ...unavailable, rejected: undefined },
        fetch: { name: "TokenEndpointError", ...unavailable, rejected: undefined },
        ofetch: { name: "TokenEndpointError", ...unavailable, rejected: undefined },
      },
      async (call: Call, cache: TokenCache) => {
        auth.respondAlways({ status: 503 });
        await cache.invalidate(cache.peek()!.value);
        return outcome(call({}));
      },
    ],
    [
      "no token can be had after a 401",
      {
        axios: { name: "AxiosError", ...unavailable, rejected: 401 },
        fetch: { name: "TokenEndpointError", ...unavailable, rejected: 401 },
        ofetch: { name: "TokenEndpointError", ...unavailable, rejected: 401 },
      },
      async (call: Call) => {
        auth.respondAlways({ status: 503 });
        auth.revokeAll();
        return outcome(call({}));
      },
    ],
    [
      "the caller aborts",
      {
        axios: { name: "CanceledError" },
        fetch: { name: "AbortError" },
        ofetch: { name: "FetchError", cause: "AbortError" },
      },
      (call: Call) => outcome(call({ signal: AbortSignal.abort() })),
    ],
  ])("what an error looks like: %s", async (_, expected, cause) => {
    for (const name of ["axios", "fetch", "ofetch"] as const) {
      auth.respondAlways(undefined);
      const cache = signedInCache();
      const clients = await clientsOf(cache);
      expect([name, await cause(clients[name], cache)]).toEqual([name, expected[name]]);
    }
  });
});

/** Writes a file of secrets, and returns its path. */
const file = (name: string, text: string): string => {
  const path = join(blocks.folder, name);
  writeFileSync(path, text);
  return path;
};
const pem = (): string =>
  generateKeyPairSync("ec", {
    namedCurve: "P-256",
    privateKeyEncoding: { type: "sec1", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  }).privateKey;

const tokensOf = async (text: string, more?: Record<string, string>): Promise<TokenCache> =>
  (await blocks.run(text, more))["tokens"] as TokenCache;

describe("docs/grants.md", () => {
  beforeEach(() => {
    blocksOf("docs/grants.md");
    declare({ clientSecret: SECRET });
  });

  test("client credentials", async () => {
    const secret = file("secret", SECRET);
    const tokens = await tokensOf("orders:read orders:write", { "/run/secrets/orders-service": secret });
    expect((await createAuthFetch(tokens)(api.origin)).status).toBe(200);
    expect(forms()).toEqual([{ grant_type: "client_credentials", scope: "orders:read orders:write" }]);
  });

  test("refresh token: asked for, and saved", async () => {
    const sessions = fakeSessions({ "sid-1": auth.signIn("alice").refresh_token });
    const used = sessions.saved.get("sid-1");
    declare({ sessions });
    const { tokensOf: cacheOf } = (await blocks.run("asked before every refresh")) as {
      tokensOf: (sid: string) => TokenCache;
    };
    expect((await createAuthFetch(cacheOf("sid-1"))(api.origin)).status).toBe(200);
    expect(forms()).toMatchObject([{ refresh_token: used }]);
    expect(sessions.saved.get("sid-1")).not.toBe(used);
  });

  test("JWT bearer: an assertion that is signed", async () => {
    auth.respondAlways({ body: { access_token: "fake-token", token_type: "Bearer", expires_in: 60 } });
    const tokens = await tokensOf('privateKeyFromFile("/run/secrets/reports.key")', {
      "/run/secrets/reports.key": file("key", pem()),
    });
    expect((await tokens.get()).value).toBe("fake-token");
    const claims = JSON.parse(atob(forms()[0]!["assertion"]!.split(".")[1]!)) as object;
    expect(claims).toMatchObject({ iss: "reports", sub: "alice@example.com" });
  });

  test("token exchange: the user's token for another one", async () => {
    auth.respondAlways({
      body: {
        access_token: "fake-token",
        token_type: "Bearer",
        issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
      },
    });
    declare({ incomingTokenOf: (user: string) => `token-of-${user}` });
    const { pool } = (await blocks.run("tokenExchangeGrant({")) as { pool: TokenPool };
    expect((await pool.get("alice").get()).value).toBe("fake-token");
    expect(forms()).toMatchObject([{ subject_token: "token-of-alice", audience: "billing" }]);
  });

  test("another grant type: its parameters", async () => {
    auth.respondAlways({ body: { access_token: "fake-token", token_type: "Bearer" } });
    declare({ readPassword: async () => "the-password" });
    await (await tokensOf("genericGrant({")).get();
    expect(forms()).toMatchObject([{ grant_type: "password", username: "robot", password: "the-password" }]);
  });

  test("a function, and a token in a header of its own", async () => {
    const legacy = await startApi({ accepts: () => true });
    legacy.respond({ body: { jwt: "fake-session", minutes: 5 } });
    const tokens = await tokensOf("legacy.example", { "https://legacy.example": legacy.origin });
    expect((await createAuthFetch(tokens)(api.origin)).status).toBe(200);
    await legacy.close();
    declare({ login: async () => "the-token" });
    await createAuthFetch(await tokensOf("x-access-token"))(api.origin);
    const { authorization, "x-access-token": own } = api.requests.at(-1)!.headers;
    expect([authorization, own]).toEqual([undefined, "the-token"]);
  });

  test("client authentication: a key, and the file of a workload identity", async () => {
    const more = {
      "/run/secrets/client.key": file("client.key", pem()),
      "/var/run/secrets/tokens/identity": file("identity", "a.b.c\n"),
    };
    const { byKey, byWorkload } = (await blocks.run("byWorkload", more)) as Record<string, never>;
    for (const grant of [byKey!, byWorkload!]) await createTokenCache({ grant, origins: [api.origin] }).get();
    const [key, workload] = forms().map((form) => form["client_assertion"]!);
    expect(JSON.parse(atob(key!.split(".")[0]!))).toMatchObject({ alg: "ES256", kid: "2026-01" });
    expect(workload).toBe("a.b.c");
  });
});

describe("docs/users.md", () => {
  let sessions: ReturnType<typeof fakeSessions>;
  let exported: Exports;
  beforeEach(async () => {
    blocksOf("docs/users.md");
    sessions = fakeSessions();
    const database = {
      refreshToken: (sid: string) => sessions.refreshToken(sid),
      save: (sid: string, next: string) => sessions.save(sid, next),
      forget: (sid: string) => sessions.delete(sid),
    };
    declare({ clientSecret: SECRET, database });
    exported = await blocks.run("AsyncLocalStorage");
    declare({ pool: exported["pool"] });
  });

  test("two users and one client: each request has the token of its user, and none without a user", async () => {
    const { currentSession, api: call } = exported as unknown as {
      currentSession: { run<T>(sid: string, work: () => T): T };
      api: typeof fetch;
    };
    const { signedIn, signedOut } = (await blocks.run("export async function signedIn")) as {
      signedIn: (sid: string, response: object) => Promise<void>;
      signedOut: (sid: string) => Promise<void>;
    };
    await signedIn("sid-1", auth.signIn("alice"));
    await signedIn("sid-2", auth.signIn("bob"));
    const get = (sid: string): Promise<number> =>
      currentSession.run(sid, () => call(`${api.origin}/me`)).then(({ status }) => status);
    expect(await Promise.all(["sid-1", "sid-2"].map(get))).toEqual([200, 200]);
    expect((await call(`${api.origin}/me`)).status).toBe(401);
    expect(tokensSent(api).map((token) => token && auth.tokenInfo(token)?.subject)).toEqual([
      "alice",
      "bob",
      undefined,
    ]);
    await signedOut("sid-1");
    await expect(get("sid-1")).rejects.toMatchObject({ code: "ERR_SESSION", status: 401 });
    expect([...sessions.saved.keys()]).toEqual(["sid-2"]);
    expect(await get("sid-2")).toBe(200);
  });

  test("targets: another access token of the same session for the other API", async () => {
    const pool = exported["pool"] as TokenPool;
    await pool.signIn("sid-1", auth.signIn("alice"));
    declare({ currentSession: () => "sid-1" });
    const { api: call } = (await blocks.run("currentSession(): string")) as unknown as { api: typeof fetch };
    await call(`${api.origin}/orders`);
    await call(`${billing.origin}/invoices`);
    expect(forms()).toMatchObject([{ resource: billing.origin }]);
    expect(tokensSent(billing)).not.toEqual(tokensSent(api));
    expect(auth.tokenInfo(tokensSent(billing)[0]!)?.subject).toBe("alice");
  });
});
