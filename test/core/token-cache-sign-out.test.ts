/** The end of a session at the server: what `signOut` revokes, and when. How a session ends in the process: sessions-sign-in.test.ts. */
import { describe, expect, test } from "vitest";
import { createTokenCache, createTokenPool, customGrant, refreshTokenGrant } from "remint";
import { fakeGrant, manualClock, startAuthServer } from "remint/testing";
import { rejectionOf, settle, watch } from "./cache-under-test.ts";
import type { AccessToken, Grant, TokenCache } from "remint";

const origins = ["https://api.example"];

/** Creates a grant that records what it revokes. */
function revocable(members: object = {}): { grant: Grant; revoked: string[] } {
  const revoked: string[] = [];
  const revoke = async (token: AccessToken | undefined): Promise<void> => {
    revoked.push(token?.value ?? "no token");
  };
  return { grant: fakeGrant({ revoke, ...members }), revoked };
}

const refuse = (): Promise<void> => Promise.reject(new Error("no"));
const hang = (): Promise<void> => new Promise(() => {});
const ENDED = { code: "ERR_SESSION", status: 401, terminal: true, retryable: false };

describe("RFC 7009: signOut({ revoke })", () => {
  test.each([
    ["without options", undefined, ["fake-1"]],
    ["with revoke: true", { revoke: true }, ["fake-1"]],
    ["with revoke: undefined", { revoke: undefined }, ["fake-1"]],
    ["with revoke: false", { revoke: false }, []],
  ])("C16: signOut() %s, of a grant that can revoke, twice: %j %j", async (_, options, expected) => {
    const { grant, revoked } = revocable();
    const tokens = createTokenCache({ grant, origins });
    await tokens.get();
    await tokens.signOut(options);
    expect(revoked).toEqual(expected);
    await tokens.signOut(options);
    expect(revoked).toEqual(expected);
    expect(await rejectionOf(tokens.get())).toMatchObject(ENDED);
  });

  test("C16: signOut() of a grant that cannot revoke ends the session and revokes nothing", async () => {
    const tokens = createTokenCache({ grant: fakeGrant(), origins });
    await tokens.get();
    await tokens.signOut();
    expect(tokens.peek()).toBeUndefined();
    expect(await rejectionOf(tokens.get())).toMatchObject(ENDED);
  });

  test("C16: revoke: true with a grant that cannot revoke is a TypeError that names the endpoint, and nothing is done", async () => {
    const tokens = createTokenCache({ grant: fakeGrant(), origins });
    await tokens.get();
    const error = await rejectionOf(tokens.signOut({ revoke: true }));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toMatch(/revocationEndpoint/);
    expect(tokens.peek()?.value).toBe("fake-1");
    await expect(tokens.get()).resolves.toMatchObject({ value: "fake-1" });
  });

  test("C16: signOut({ revoke: false }) and later signOut({ revoke: true }): what the session had is revoked", async () => {
    const { grant, revoked } = revocable();
    const tokens = createTokenCache({ grant, origins });
    await tokens.get();
    await tokens.signOut({ revoke: false });
    expect(revoked).toEqual([]);
    await tokens.signOut({ revoke: true });
    await tokens.signOut({ revoke: true });
    expect(revoked).toEqual(["fake-1"]);
  });

  test("C16: the state that the last mint left is revoked, or the first one if nothing was minted, once", async () => {
    const states: unknown[] = [];
    const revoke = async (token: AccessToken | undefined, { state }: { state?: unknown }): Promise<void> =>
      void states.push([token?.value, state]);
    const unused = createTokenCache({ grant: fakeGrant({ revoke, state: "rt-1" }), origins });
    await unused.signOut();
    await unused.signOut();
    const grant = fakeGrant({ revoke, state: "rt-1" });
    grant.respond({ access_token: "at", state: "rt-2" });
    const used = createTokenCache({ grant, origins, warnings: false });
    await used.get();
    await used.signOut();
    await used.signOut();
    expect(states).toEqual([
      [undefined, "rt-1"],
      ["at", "rt-2"],
    ]);
  });

  test("C17: the access tokens of every target are revoked, by whichever cache signs out", async () => {
    for (const signsOut of ["the cache", "a target"]) {
      const { grant, revoked } = revocable({ state: "rt-1", onState: () => {} });
      const tokens = createTokenCache({ grant, origins });
      const orders = tokens.for({ resource: "https://orders.example" });
      const billing = tokens.for({ resource: "https://billing.example" });
      for (const cache of [tokens, orders, billing]) await cache.get();
      await (signsOut === "a target" ? orders : tokens).signOut();
      expect(revoked.toSorted()).toEqual(["fake-1", "fake-2", "fake-3"]);
      for (const cache of [tokens, orders, billing]) expect(await rejectionOf(cache.get())).toMatchObject(ENDED);
    }
  });

  test("C16: a failed revocation is tried again by the next signOut(), until one succeeds", async () => {
    const revoked: unknown[] = [];
    let isDown = true;
    const grant = fakeGrant({
      state: "rt-1",
      revoke: async (token, { state }) => (isDown ? refuse() : void revoked.push([token?.value, state])),
    });
    const tokens = createTokenCache({ grant, origins });
    await tokens.get();
    for (let attempt = 0; attempt < 3; attempt++) {
      await expect(tokens.signOut()).rejects.toMatchObject({ code: "ERR_GRANT" });
      // The session is over in this process nevertheless.
      expect(await rejectionOf(tokens.get())).toMatchObject(ENDED);
    }
    isDown = false;
    await tokens.signOut();
    await tokens.signOut();
    expect(revoked).toEqual([["fake-1", "rt-1"]]);
  });

  test("C16: what is left of one session cannot be revoked: the next session's tokens are revoked all the same, and the error says so", async () => {
    const revoked: unknown[] = [];
    const grant = fakeGrant({
      state: "alice",
      onState: () => {},
      revoke: (_, { state }) => (state === "alice" ? refuse() : void revoked.push(state)),
    });
    const tokens = createTokenCache({ grant, origins });
    await tokens.get();
    await expect(tokens.signOut()).rejects.toMatchObject({ code: "ERR_GRANT" });
    await tokens.signIn({ access_token: "b", refresh_token: "bob" });
    await expect(tokens.signOut()).rejects.toMatchObject({ code: "ERR_GRANT" });
    expect(revoked).toEqual(["bob"]);
    await expect(tokens.signOut()).rejects.toMatchObject({ code: "ERR_GRANT" });
    expect(revoked).toEqual(["bob"]);
  });

  test.each<[string, (revoke: (token: AccessToken | undefined) => unknown) => Grant]>([
    ["a custom grant", (revoke) => customGrant({ mint: ({ target }) => `at-${String(target?.scope)}`, revoke })],
    ["a fake grant", (revoke) => fakeGrant({ revoke })],
  ])("C16: of %s, the first of three tokens cannot be revoked: the others are", async (_, grantOf) => {
    const revoked: unknown[] = [];
    const grant = grantOf((token) => {
      revoked.push(token?.value);
      if (revoked.length === 1) throw new Error("first");
    });
    const tokens = createTokenCache({ grant, origins });
    const values = [];
    for (const cache of [tokens, tokens.for({ scope: "a" }), tokens.for({ scope: "b" })])
      values.push((await cache.get()).value);
    await expect(tokens.signOut()).rejects.toMatchObject({ code: "ERR_GRANT" });
    expect(revoked).toEqual(values);
  });

  test("C16: two calls of signOut() at once revoke once, and both end when that is done", async () => {
    let revocations = 0;
    let end!: () => void;
    const done = new Promise<void>((resolve) => (end = resolve));
    const { grant } = revocable({ revoke: () => (revocations++, done) });
    const tokens = createTokenCache({ grant, origins });
    await tokens.get();
    const calls = [watch(tokens.signOut()), watch(tokens.signOut())];
    await settle();
    expect([revocations, ...calls.map(({ state }) => state)]).toEqual([1, "pending", "pending"]);
    end();
    await settle();
    expect([revocations, ...calls.map(({ state }) => state)]).toEqual([1, "fulfilled", "fulfilled"]);
  });

  test("C16: after close() there is nothing that could sign out: ERR_CLOSED, and nothing is revoked", async () => {
    const { grant, revoked } = revocable();
    const tokens = createTokenCache({ grant, origins });
    await tokens.get();
    await tokens.close();
    await expect(tokens.signOut()).rejects.toMatchObject({ code: "ERR_CLOSED" });
    await expect(tokens.signIn({ access_token: "a" })).rejects.toMatchObject({ code: "ERR_CLOSED" });
    expect(revoked).toEqual([]);
  });

  test("C10: waits at most mintTimeout for a revocation that does not settle: the error is retryable, and no timer is left", async () => {
    const clock = manualClock();
    const tokens = createTokenCache({ grant: revocable({ revoke: hang }).grant, origins, clock, mintTimeout: 1000 });
    await tokens.get();
    const ended = watch(tokens.signOut());
    await clock.advance(999);
    // The timer of a revocation keeps the process alive: somebody waits for it.
    expect([ended.state, clock.timers, clock.awaited]).toEqual(["pending", 1, 1]);
    await clock.advance(1);
    expect(ended.reason).toMatchObject({
      code: "ERR_TOKEN_TIMEOUT",
      message: "the revocation took longer than 1000 ms",
      hint: "if the server needs longer, raise mintTimeout",
      retryable: true,
    });
    expect(clock.timers).toBe(0);
  });

  test.each([
    ["succeeds", async () => {}, undefined],
    ["fails for a reason that will not pass", refuse, false],
    ["fails with a status that passes", () => Promise.reject(Object.assign(new Error("x"), { status: 503 })), true],
  ])(
    "C10: a revocation that %s leaves no timer, and its error says whether to repeat it",
    async (_, revoke, retryable) => {
      const clock = manualClock();
      const tokens = createTokenCache({ grant: revocable({ revoke }).grant, origins, clock });
      await tokens.get();
      const ended = watch(tokens.signOut());
      await settle();
      expect((ended.reason as { retryable?: boolean } | undefined)?.retryable).toBe(retryable);
      expect(clock.timers).toBe(0);
    },
  );

  test("C16: customGrant revokes each token, the first of them with the state", async () => {
    const revoked: unknown[] = [];
    const grant = customGrant<string>({
      state: "s-1",
      onState: () => {},
      mint: ({ target }) => ({ access_token: `for-${String(target?.resource ?? "itself")}` }),
      revoke: (token, { state, signal }) => void revoked.push([token?.value, state, signal.aborted]),
    });
    const tokens = createTokenCache({ grant, origins });
    const orders = tokens.for({ resource: "urn:orders" });
    await tokens.get();
    await orders.get();
    await tokens.signOut();
    expect(revoked).toEqual([
      ["for-itself", "s-1", false],
      ["for-urn:orders", undefined, false],
    ]);
  });
});

const grantAt = (auth: { tokenEndpoint: string; origin: string }, refreshToken: string): Grant =>
  refreshTokenGrant({
    tokenEndpoint: auth.tokenEndpoint,
    revocationEndpoint: `${auth.origin}/revoke`,
    clientId: "me",
    clientSecret: "secret",
    refreshToken,
  });

describe("RFC 7009: signOut() of a refresh token", () => {
  test("C16: sends the tokens to the revocation endpoint, with the client's credentials", async () => {
    await using auth = await startAuthServer();
    auth.respond({ body: { access_token: "at", token_type: "Bearer", expires_in: 60, refresh_token: "rt-2" } });
    const tokens = createTokenCache({ grant: grantAt(auth, "rt-1"), origins, warnings: false });
    await tokens.get();
    auth.respondAlways({ status: 200, body: "" });
    await tokens.signOut();
    const requests = auth.requests.filter(({ path }) => path === "/revoke");
    expect(requests.map(({ form }) => Object.fromEntries(form))).toMatchObject([
      { token: "rt-2", token_type_hint: "refresh_token" },
      { token: "at", token_type_hint: "access_token" },
    ]);
    for (const { headers } of requests) expect(headers["authorization"]).toMatch(/^Basic /);
  });

  test.each([
    ["after requests", true, ["rt-2", "at"]],
    ["before any request", false, ["rt-1-of-ann"]],
  ])("C16: pool.signOut() of a key, %s, and what release() then lets go of", async (_when, used, expected) => {
    await using auth = await startAuthServer();
    auth.respond({ body: { access_token: "at", token_type: "Bearer", expires_in: 60, refresh_token: "rt-2" } });
    const create = (user: string): TokenCache =>
      createTokenCache({ grant: grantAt(auth, `rt-1-of-${user}`), origins, warnings: false });
    const pool = createTokenPool({ create });
    const signedIn = pool.get("ann");
    if (used) await signedIn.get();
    auth.respondAlways({ status: 200, body: "" });
    await pool.signOut("ann");
    const revokedTokens = auth.requests.filter(({ path }) => path === "/revoke").map(({ form }) => form.get("token"));
    expect(revokedTokens).toEqual(expected);
    expect(await rejectionOf(pool.get("ann").get())).toMatchObject(ENDED);
    expect([pool.size, await pool.release("ann"), pool.size]).toEqual([1, { inFlight: false, unsaved: false }, 0]);
  });

  test("C16: pool.signOut() of a key that this process has never had creates its cache, to revoke what it stands for", async () => {
    await using auth = await startAuthServer();
    auth.respondAlways({ status: 200, body: "" });
    const pool = createTokenPool({
      create: (user) => createTokenCache({ grant: grantAt(auth, `rt-1-of-${user}`), origins }),
    });
    await pool.signOut("bob");
    expect(auth.requests.map(({ form }) => form.get("token"))).toEqual(["rt-1-of-bob"]);
  });
});

test("await using closes a cache", async () => {
  let held: TokenCache;
  {
    await using tokens = createTokenCache({ grant: fakeGrant(), origins });
    held = tokens;
    await held.get();
  }
  await expect(held.get()).rejects.toMatchObject({ code: "ERR_CLOSED" });
});
