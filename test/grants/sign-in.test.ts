/** C15, C16: `signIn` with what a token endpoint has answered, and what becomes of the session before. */
import { createHash, randomBytes } from "node:crypto";
import * as oauth from "oauth4webapi";
import { describe, expect, test, vi } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  createTokenPool,
  customGrant,
  jwtBearerGrant,
  type RemintEvent,
  tokenExchangeGrant,
} from "remint";
import { createAuthFetch } from "remint/fetch";
import { type AuthServer, manualClock, startApi } from "remint/testing";
import { rejectionOf, settle, watch } from "../core/cache-under-test.ts";
import { CLIENT, expire, HOUR, startSession } from "./session-under-test.ts";
import { outcomesInto } from "../core/outcomes-into.ts";

const REDIRECT_URI = "https://portal.example/callback";

/** Runs the code flow with PKCE as openid-client does it, which is built on `oauth4webapi`. */
async function codeFlow(auth: AuthServer): Promise<oauth.TokenEndpointResponse> {
  const insecure = { [oauth.allowInsecureRequests]: true };
  const issuer = new URL(auth.issuer);
  const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));
  const client = { client_id: CLIENT.clientId };
  const verifier = oauth.generateRandomCodeVerifier();
  const authorize = new URL(server.authorization_endpoint!);
  const query = {
    response_type: "code",
    client_id: CLIENT.clientId,
    redirect_uri: REDIRECT_URI,
    scope: "read",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    state: randomBytes(8).toString("hex"),
  };
  for (const [name, value] of Object.entries(query)) authorize.searchParams.set(name, value);
  const redirected = await fetch(authorize, { redirect: "manual" });
  const back = oauth.validateAuthResponse(server, client, new URL(redirected.headers.get("location")!), query.state);
  const authentication = oauth.ClientSecretPost(CLIENT.clientSecret);
  const answer = await oauth.authorizationCodeGrantRequest(
    server,
    client,
    authentication,
    back,
    REDIRECT_URI,
    verifier,
    insecure,
  );
  return oauth.processAuthorizationCodeResponse(server, client, answer);
}

/** Adds the methods that openid-client adds to its responses. */
function withMethods(response: oauth.TokenEndpointResponse, enumerable: boolean): typeof response {
  const method = (value: () => unknown): PropertyDescriptor => ({ enumerable, value });
  const methods = { claims: method(() => undefined), expiresIn: method(() => 3599) };
  return Object.defineProperties(response, methods);
}

describe("C16: the response of a code flow", () => {
  const shapes: [name: string, shape: (response: oauth.TokenEndpointResponse) => oauth.TokenEndpointResponse][] = [
    ["as oauth4webapi returns it", (response) => response],
    ["with the methods of openid-client", (response) => withMethods(response, false)],
    ["with methods that are enumerable", (response) => withMethods(response, true)],
    ["frozen", (response) => Object.freeze(response)],
  ];

  test.each(shapes)(
    "%s: its token is served at once, its refresh token is saved and presented next",
    async (_name, shape) => {
      const { auth, start, saved, presented, issued } = await startSession();
      const { cache, clock, names } = start();
      const response = shape(await codeFlow(auth));
      const before = auth.requests.length;
      await cache.signIn(response);
      const token = await cache.get();
      expect([token.value, token.header, token.scope]).toEqual([
        response.access_token,
        `Bearer ${response.access_token}`,
        "read",
      ]);
      expect(token.expiresAt - clock.now()).toBe(HOUR);
      expect(Object.keys(token.response).filter((name) => /refresh|id_token|access/.test(name))).toEqual([]);
      expect(Object.values(token.response).filter((value) => typeof value === "function")).toEqual([]);
      expect([saved(), auth.requests.length, names()]).toEqual([response.refresh_token, before, ["signed-in"]]);
      await expire({ cache, clock });
      await cache.get();
      expect(presented()).toEqual([response.refresh_token]);
      expect(saved()).toBe(issued().at(-1));
    },
  );

  test("with an id_token: no member of it is handed out", async () => {
    const { auth, start } = await startSession();
    const { cache } = start();
    await cache.signIn({ ...auth.signIn("alice"), id_token: "eyJ.id.token" } as never);
    expect(JSON.stringify((await cache.get()).response)).not.toContain("eyJ");
  });
});

describe("C16: signIn of anything but a token response", () => {
  test.each<[name: string, response: unknown, message: RegExp]>([
    ["undefined", undefined, /"response" must be .*undefined/],
    ["null", null, /"response" must be .*null/],
    ["a string", "token", /"response" must be/],
    ["a number", 7, /"response" must be/],
    ["a list", [], /"response/],
    ["a Response of fetch", new Response("{}"), /"response.access_token"/],
    ["a promise", Promise.resolve({ access_token: "a" }), /"response/],
    ["an empty object", {}, /"response.access_token" must be .*undefined/],
    ["an error answer", { error: "invalid_grant" }, /"response.access_token"/],
    ["an empty access_token", { access_token: "" }, /"response.access_token"/],
    ["an access_token that is a number", { access_token: 7 }, /"response.access_token"/],
    ["an access_token with a space", { access_token: "a b" }, /access_token/],
    ["an access_token with a line break", { access_token: "a\nb" }, /access_token/],
    ["token_type mac", { access_token: "a", token_type: "mac" }, /token_type/],
    ["a refresh_token that is a number", { access_token: "a", refresh_token: 7 }, /refresh_token/],
    ["an empty refresh_token", { access_token: "a", refresh_token: "" }, /refresh_token/],
    ["an expires_at that is no date", { access_token: "a", expires_at: "soon" }, /"response.expires_at"/],
  ])("%s: a TypeError that names the member, and the session goes on", async (_name, response, message) => {
    const { auth, first, start, saved } = await startSession();
    const { cache, names } = start();
    const { value } = await cache.get();
    const before = [saved(), auth.requests.length];
    const error = await rejectionOf(cache.signIn(response as never));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as TypeError).message).toMatch(message);
    expect((await cache.get()).value).toBe(value);
    expect([saved(), auth.requests.length]).toEqual(before);
    expect(names()).toEqual(["minted"]);
    expect(saved()).not.toBe(first);
  });

  test("grants without a user: a TypeError that says which grants have one, and nothing is sent", async () => {
    const { auth } = await startSession();
    const { tokenEndpoint } = auth;
    for (const grant of [
      clientCredentialsGrant({ tokenEndpoint, ...CLIENT }),
      jwtBearerGrant({ tokenEndpoint, ...CLIENT, assertion: "a.b.c" }),
      tokenExchangeGrant({ tokenEndpoint, ...CLIENT, subjectToken: "s" }),
    ]) {
      const cache = createTokenCache({ grant, origins: "any" });
      const error = await rejectionOf(cache.signIn({ access_token: "a" }));
      expect(error).toBeInstanceOf(TypeError);
      expect((error as TypeError).message).toMatch(/signIn\(\).*refreshTokenGrant, customGrant or a function/);
    }
    expect(auth.requests).toEqual([]);
  });
});

describe("C16: what signIn takes over", () => {
  test("a string grant without onRotate: the new refresh token is presented next, and no warning speaks of a rotation", async () => {
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const { auth, first, start, presented } = await startSession({ rotation: false });
    const { cache, clock } = start({ refreshToken: first, onRotate: undefined });
    const { refresh_token: next, access_token: value } = auth.signIn("alice");
    await cache.signIn({ access_token: value, refresh_token: next });
    expect(warn.mock.calls.filter(([text]) => String(text).includes("has rotated"))).toEqual([]);
    warn.mockRestore();
    await expire({ cache, clock });
    await cache.get();
    expect(presented()).toEqual([next]);
  });

  test("without a refresh token: the function is asked next; a string grant has nobody then", async () => {
    const { auth, first, start, presented } = await startSession();
    const asking = start();
    await asking.cache.signIn({ access_token: auth.signIn("alice").access_token, expires_in: 60 });
    await asking.clock.advance(60_000);
    await asking.cache.get();
    expect(presented()).toEqual([first]);
    const fixed = start({ refreshToken: first, cache: { warnings: false } });
    await fixed.cache.signIn({ access_token: "a", expires_in: 60 });
    expect((await fixed.cache.get()).value).toBe("a");
    await fixed.clock.advance(60_000);
    expect(await rejectionOf(fixed.cache.get())).toMatchObject({ code: "ERR_NO_SESSION", status: 401 });
    expect(presented()).toEqual([first]);
  });

  test("an access token that has expired: it is not served, and the refresh token of the sign-in is presented", async () => {
    const { auth, start, presented } = await startSession();
    const { cache, clock } = start();
    const { refresh_token: next } = auth.signIn("alice");
    await cache.signIn({ access_token: "old", expires_at: clock.now() / 1000 - 1, refresh_token: next });
    expect(cache.peek()).toBeUndefined();
    expect((await cache.get()).value).not.toBe("old");
    expect(presented()).toEqual([next]);
  });

  test("onRotate fails: signIn resolves, the token is served, the event tells, and the save is repeated", async () => {
    const { auth, start, sessions, saved, presented } = await startSession();
    const { cache, clock, names } = start();
    sessions.failSaves(1);
    const response = auth.signIn("alice");
    await cache.signIn(response);
    expect(names()).toEqual(["signed-in", "state-unsaved"]);
    expect((await cache.get()).value).toBe(response.access_token);
    await clock.advance(1000);
    await vi.waitFor(() => expect(saved()).toBe(response.refresh_token), { timeout: 20_000 });
    await expire({ cache, clock });
    await cache.get();
    expect(presented()).toEqual([response.refresh_token]);
  });

  test("two sign-ins at once: the later one wins, in the cache and in the table", async () => {
    const { auth, start, sessions, saved } = await startSession();
    const { cache } = start();
    const hold = sessions.holdSaves();
    const [alice, bob] = [auth.signIn("alice"), auth.signIn("bob")];
    const both = [cache.signIn(alice), cache.signIn(bob)];
    await settle();
    hold.release();
    await Promise.all(both);
    expect((await cache.get()).value).toBe(bob.access_token);
    await vi.waitFor(() => expect(saved()).toBe(bob.refresh_token), { timeout: 20_000 });
    const writes = sessions.log.filter(({ step }) => step === "saving").map(({ refreshToken }) => refreshToken);
    expect(writes.at(-1)).toBe(bob.refresh_token);
  });

  test("`initial` is a hint: the sign-in is served", async () => {
    const { auth, start } = await startSession();
    const { cache } = start({ cache: { initial: { access_token: "initial", expires_in: 3600 } } });
    expect((await cache.get()).value).toBe("initial");
    const response = auth.signIn("alice");
    await cache.signIn(response);
    expect((await cache.get()).value).toBe(response.access_token);
  });

  test("after signOut: another session begins; after close: ERR_CLOSED, and nothing is saved", async () => {
    const { auth, start, saved } = await startSession();
    const { cache } = start();
    await cache.get();
    await cache.signOut({ revoke: false });
    expect(await rejectionOf(cache.get())).toMatchObject({ code: "ERR_SESSION", status: 401 });
    const response = auth.signIn("alice");
    await cache.signIn(response);
    expect((await cache.get()).value).toBe(response.access_token);
    await cache.close();
    expect(await rejectionOf(cache.signIn(auth.signIn("alice")))).toMatchObject({ code: "ERR_CLOSED" });
    expect(saved()).toBe(response.refresh_token);
  });

  test("by the key of a pool: the cache of the key is created, and the other keys keep their tokens", async () => {
    const [alice, bob] = [await startSession(), await startSession()];
    const clock = manualClock();
    const pool = createTokenPool({ clock, create: (key) => (key === "a" ? alice : bob).start({ clock }).cache });
    const { value } = await pool.get("b").get();
    const response = alice.auth.signIn("alice");
    await pool.signIn("a", response);
    expect((await pool.get("a").get()).value).toBe(response.access_token);
    expect((await pool.get("b").get()).value).toBe(value);
    await expect(pool.signIn("a", {} as never)).rejects.toThrow(TypeError);
    await pool.close();
  });

  test("a bare function, and a custom grant with a state: the token is served, and the state is presented next", async () => {
    const clock = manualClock();
    const bare = vi.fn(() => "minted");
    const cache = createTokenCache({ grant: bare, origins: "any", clock });
    await cache.signIn({ access_token: "signed-in", expires_in: 60 });
    expect((await cache.get()).value).toBe("signed-in");
    await clock.advance(60_000);
    expect((await cache.get()).value).toBe("minted");
    expect(bare).toHaveBeenCalledOnce();

    const presented: unknown[] = [];
    const saved: unknown[] = [];
    const grant = customGrant<string>({
      state: "s-0",
      onState: (next: string) => void saved.push(next),
      mint: (context: { readonly state?: string | undefined }) => {
        presented.push(context.state);
        return { access_token: "minted", state: `${context.state}+` };
      },
    });
    const stateful = createTokenCache({ grant, origins: "any", clock });
    await stateful.signIn({ access_token: "a", expires_in: 60, refresh_token: "s-9" });
    await clock.advance(60_000);
    await stateful.get();
    expect([presented, saved]).toEqual([["s-9"], ["s-9", "s-9+"]]);
  });
});

describe("C15: the session before", () => {
  test("callers that wait get ERR_SESSION (503); what their mint brings is neither cached nor saved, and it is revoked", async () => {
    const { auth, first, start, saved, issued } = await startSession();
    const { cache, names } = start();
    const release = auth.holdAnswers({ processFirst: true });
    const alice = rejectionOf(cache.get());
    await auth.waitForLog("committed", 2);
    const bob = auth.signIn("bob");
    await cache.signIn(bob);
    expect(await alice).toMatchObject({ code: "ERR_SESSION", status: 503, retryable: true, terminal: false });
    expect((await cache.get()).value).toBe(bob.access_token);
    release();
    const revoked = (): (string | null)[] =>
      auth.requests.filter(({ path }) => path === "/revoke").map(({ form }) => form.get("token"));
    await vi.waitFor(() => expect(revoked()).toHaveLength(2), { timeout: 20_000 });
    expect(revoked()).toEqual([issued()[0], auth.issued[1]]);
    expect(saved()).toBe(bob.refresh_token);
    expect((await cache.get()).value).toBe(bob.access_token);
    expect(names()).toEqual(["signed-in"]);
    expect(auth.tokenInfo(first)?.isLive).toBe(false);
    expect(auth.isLive(bob.access_token)).toBe(true);
  });

  test("a request that was sent under it is not sent again with a token of the new one", async () => {
    const { auth, start } = await startSession();
    const api = await startApi({ accepts: auth });
    const { cache } = start({ cache: { origins: [api.origin] } });
    const authFetch = createAuthFetch(cache);
    await cache.get();
    const release = api.holdAnswers();
    const sent = rejectionOf(authFetch(`${api.origin}/orders`, { method: "POST", body: "Alice's" }));
    await api.waitFor(1);
    auth.endSignIns("alice");
    await cache.signIn(auth.signIn("bob"));
    release();
    expect(await sent).toMatchObject({ code: "ERR_SESSION", status: 503 });
    expect(api.requests).toHaveLength(1);
    expect((await authFetch(`${api.origin}/orders`)).status).toBe(200);
    await api.close();
  });

  test("tokens of other targets are forgotten, and minted anew for the new session", async () => {
    const { auth, start, presented } = await startSession();
    const { cache } = start();
    const orders = cache.for({ resource: "https://orders.example/" });
    const { value } = await orders.get();
    const bob = auth.signIn("bob");
    await cache.signIn(bob);
    expect(orders.peek()).toBeUndefined();
    const token = await orders.get();
    expect(token.value).not.toBe(value);
    expect(auth.tokenInfo(token.value)).toMatchObject({ subject: "bob", resource: ["https://orders.example/"] });
    expect(presented().at(-1)).toBe(bob.refresh_token);
  });

  test("signIn through the cache of a target is a sign-in of the session", async () => {
    const { auth, start, saved } = await startSession();
    const events: RemintEvent[] = [];
    const { cache } = start({ cache: { onEvent: outcomesInto(events) } });
    const orders = cache.for({ resource: "https://orders.example/" });
    await orders.get();
    const bob = auth.signIn("bob");
    await orders.signIn(bob);
    expect([cache.peek()?.value, orders.peek(), saved()]).toEqual([bob.access_token, undefined, bob.refresh_token]);
    expect(events.map(({ name }) => name)).toEqual(["minted", "signed-in"]);
  });

  test("the callers of a renewal get ERR_SESSION as soon as signIn is called, and not when it is saved", async () => {
    const { auth, start, sessions } = await startSession();
    const { cache } = start();
    auth.holdAnswers({ processFirst: true });
    const waiting = watch(cache.get());
    await auth.waitForLog("committed", 2);
    const hold = sessions.holdSaves();
    const signedIn = watch(cache.signIn(auth.signIn("bob")));
    await settle();
    expect([waiting.state, signedIn.state]).toEqual(["rejected", "pending"]);
    hold.release();
    await vi.waitFor(() => expect(signedIn.state).toBe("fulfilled"), { timeout: 20_000 });
  });
});
