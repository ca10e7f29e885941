/** The sign-ins of `startAuthServer`: refresh tokens, their rotation and reuse, revocation. */
import { describe, expect, test } from "vitest";
import { manualClock } from "../../src/testing/index.ts";
import { ask, post, refresh, start } from "./server-under-test.ts";

describe("signIn", () => {
  test("without arguments it returns the token response of the usual user", async () => {
    const auth = await start();
    const response = auth.signIn();
    expect(response).toEqual({
      access_token: expect.stringMatching(/^at-1-[\w-]{32}$/) as unknown,
      token_type: "Bearer",
      expires_in: 3600,
      refresh_token: expect.stringMatching(/^rt-1-[\w-]{32}$/) as unknown,
      scope: "read write",
    });
    expect(auth.isLive(response.access_token)).toBe(true);
    expect(auth.isLive(response.refresh_token)).toBe(false);
    expect([auth.issued, auth.mints, auth.requests.length]).toEqual([[response.access_token], 1, 0]);
    expect(auth.tokenInfo(response.access_token)).toEqual({
      kind: "access_token",
      isLive: true,
      subject: "user",
      clientId: undefined,
      signIn: 1,
      ended: undefined,
      scope: "read write",
      resource: [],
      audience: [],
    });
    expect(auth.tokenInfo(response.refresh_token)).toMatchObject({ kind: "refresh_token", isLive: true, signIn: 1 });
    expect(auth.tokenInfo("rt-1-made-up")).toBeUndefined();
  });

  test("the subject is the given one, or else the user who signs in at the authorize page", async () => {
    const auth = await start({ user: "carol", clientId: "me", expiresIn: null });
    const subjectOf = (value: string): unknown => auth.tokenInfo(value)?.subject;
    expect(auth.signIn()).not.toHaveProperty("expires_in");
    expect(subjectOf(auth.signIn().access_token)).toBe("carol");
    expect(subjectOf(auth.signIn("alice").refresh_token)).toBe("alice");
    expect(auth.tokenInfo(auth.signIn().refresh_token)?.clientId).toBe("me");
    auth.user = null;
    expect(subjectOf(auth.signIn().access_token)).toBe("user");
  });

  test("a wrong subject or option is a TypeError that names it", async () => {
    const auth = await start();
    expect(() => auth.signIn("")).toThrow(/"subject"/);
    expect(() => auth.signIn("alice", { scope: "" })).toThrow(/"scope"/);
    expect(() => auth.signIn("alice", { resource: [""] })).toThrow(/"resource"/);
    // @ts-expect-error a number is no audience
    expect(() => auth.signIn("alice", { audience: 1 })).toThrow(/"audience"/);
    expect(() => auth.signIn("alice", { clientId: "" })).toThrow(/"clientId"/);
    expect(auth.log).toEqual([]);
  });
});

describe("RFC 6749 section 6: the refresh token grant", () => {
  test("every use replaces the refresh token, and the access tokens before it stay live", async () => {
    const auth = await start();
    const first = auth.signIn("alice");
    const second = await refresh(auth, first.refresh_token);
    expect(second).toEqual({
      status: 200,
      body: {
        access_token: expect.stringMatching(/^at-2-/) as unknown,
        token_type: "Bearer",
        expires_in: 3600,
        refresh_token: expect.stringMatching(/^rt-2-/) as unknown,
        scope: "read write",
      },
    });
    const third = await refresh(auth, second.body.refresh_token);
    const values = [first.access_token, second.body.access_token, third.body.access_token];
    expect(values.map((value) => auth.isLive(value))).toEqual([true, true, true]);
    const tokens = [first.refresh_token, second.body.refresh_token, third.body.refresh_token];
    expect(tokens.map((value) => auth.tokenInfo(value)?.isLive)).toEqual([false, false, true]);
    expect(tokens.map((value) => auth.tokenInfo(value)?.subject)).toEqual(["alice", "alice", "alice"]);
  });

  test("a refresh token that is presented again ends its sign-in with all tokens, and no other sign-in", async () => {
    const auth = await start();
    const [alice, bob] = [auth.signIn("alice"), auth.signIn("bob")];
    const second = (await refresh(auth, alice.refresh_token)).body;
    const third = (await refresh(auth, second.refresh_token)).body;
    const reused = await refresh(auth, second.refresh_token);
    expect([reused.status, reused.body.error]).toEqual([400, "invalid_grant"]);
    const ended = "the sign-in has ended: refresh token reused";
    expect((await refresh(auth, third.refresh_token)).body).toEqual({
      error: "invalid_grant",
      error_description: ended,
    });
    const values = [alice.access_token, second.access_token, third.access_token, bob.access_token];
    expect(values.map((value) => auth.isLive(value))).toEqual([false, false, false, true]);
    expect(auth.tokenInfo(third.refresh_token)).toMatchObject({ isLive: false, ended: "refresh token reused" });
    expect((await refresh(auth, bob.refresh_token)).status).toBe(200);
  });

  test("two requests with one refresh token at the same time: the later one ends the sign-in", async () => {
    const auth = await start();
    const { refresh_token } = auth.signIn();
    const release = auth.holdAnswers();
    const both = [refresh(auth, refresh_token), refresh(auth, refresh_token)];
    await auth.waitFor(2);
    release();
    const answers = await Promise.all(both);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 400]));
    expect(auth.issued.filter((value) => auth.isLive(value))).toEqual([]);
  });

  test("without rotation the answer has no refresh token, and the old one stays good", async () => {
    const auth = await start({ rotation: false });
    const { refresh_token } = auth.signIn();
    for (const _ of [1, 2]) {
      const { status, body } = await refresh(auth, refresh_token);
      expect([status, "refresh_token" in body]).toEqual([200, false]);
    }
    auth.rotation = true;
    expect((await refresh(auth, refresh_token)).body).toHaveProperty("refresh_token");
    auth.rotation = false;
    expect((await refresh(auth, refresh_token)).body.error).toBe("invalid_grant");
  });

  test("a refresh token that is missing, unknown or another client's is refused, and ends nothing", async () => {
    const auth = await start();
    const { refresh_token } = auth.signIn("alice", { clientId: "portal" });
    const missing = await ask(auth, { grant_type: "refresh_token" });
    expect([missing.status, missing.body.error]).toEqual([400, "invalid_request"]);
    expect((await refresh(auth, "rt-1-made-up")).body.error).toBe("invalid_grant");
    expect((await refresh(auth, refresh_token)).body.error).toBe("invalid_grant");
    expect((await refresh(auth, refresh_token, { client_id: "other" })).body.error).toBe("invalid_grant");
    const good = await refresh(auth, refresh_token, { client_id: "portal" });
    expect(good.status).toBe(200);
    expect(auth.tokenInfo(good.body.access_token)?.clientId).toBe("portal");
    expect((await refresh(auth, refresh_token, { client_id: "other" })).body.error).toBe("invalid_grant");
    expect(auth.isLive(good.body.access_token)).toBe(true);
  });

  test("the client is authenticated as for client credentials", async () => {
    const auth = await start({ clientId: "me", clientSecret: "s3cret" });
    const { refresh_token } = auth.signIn();
    const wrong = await refresh(auth, refresh_token, { client_id: "me", client_secret: "no" });
    expect([wrong.status, wrong.body]).toEqual([401, { error: "invalid_client" }]);
    const authorization = `Basic ${Buffer.from("me:s3cret").toString("base64")}`;
    expect((await refresh(auth, refresh_token, {}, { headers: { authorization } })).status).toBe(200);
  });

  test("a body that is not a form is refused", async () => {
    const auth = await start();
    const { refresh_token } = auth.signIn();
    const headers = { "content-type": "application/json" };
    const answer = await refresh(auth, refresh_token, {}, { headers });
    expect(answer.body.error).toBe("unsupported_grant_type");
  });
});

describe("what a token is for", () => {
  test("scope, resource and audience of a refresh are those of its access token, and not of the next", async () => {
    const auth = await start();
    const first = auth.signIn("alice");
    const form = new URLSearchParams({
      grant_type: "refresh_token",
      refresh_token: first.refresh_token,
      scope: "orders:read",
      audience: "orders",
    });
    form.append("resource", "https://orders.example");
    form.append("resource", "https://stock.example");
    const second = await ask(auth, form);
    expect(second.body.scope).toBe("orders:read");
    expect(auth.tokenInfo(second.body.access_token)).toMatchObject({
      scope: "orders:read",
      resource: ["https://orders.example", "https://stock.example"],
      audience: ["orders"],
    });
    const third = await refresh(auth, second.body.refresh_token);
    const usual = { scope: "read write", resource: [], audience: [] };
    expect(auth.tokenInfo(third.body.access_token)).toMatchObject(usual);
  });

  test("a refresh may ask for a part of what was granted; for more it is refused and the refresh token stays good", async () => {
    const auth = await start();
    const granted = { scope: "a b", resource: ["https://x.example", "https://y.example"], audience: "z" };
    const { refresh_token, access_token, scope } = auth.signIn("alice", granted);
    expect(scope).toBe("a b");
    expect(auth.tokenInfo(access_token)).toMatchObject({ ...granted, audience: ["z"] });
    expect(auth.tokenInfo(refresh_token)).toMatchObject({ ...granted, audience: ["z"] });
    expect((await refresh(auth, refresh_token, { scope: "a c" })).body).toEqual({ error: "invalid_scope" });
    const elsewhere = { resource: "https://other.example" };
    expect((await refresh(auth, refresh_token, elsewhere)).body).toEqual({ error: "invalid_target" });
    const part = await refresh(auth, refresh_token, { scope: "b", resource: "https://y.example" });
    expect(auth.tokenInfo(part.body.access_token)).toMatchObject({
      scope: "b",
      resource: ["https://y.example"],
      audience: ["z"],
    });
    const whole = await refresh(auth, part.body.refresh_token);
    expect(auth.tokenInfo(whole.body.access_token)).toMatchObject({ scope: "a b", resource: granted.resource });
  });

  test("a token of client credentials belongs to no user, and a scripted one is known too", async () => {
    const auth = await start();
    const form = { grant_type: "client_credentials", client_id: "me", resource: "https://x.example" };
    const own = await ask(auth, form);
    const nobody = { subject: undefined, signIn: undefined, ended: undefined, clientId: "me" };
    const target = { scope: undefined, resource: ["https://x.example"], audience: [] };
    const info = { kind: "access_token", isLive: true, ...nobody, ...target };
    expect(auth.tokenInfo(own.body.access_token)).toEqual(info);
    auth.respond({ body: { access_token: "custom" } });
    await ask(auth, form);
    expect(auth.tokenInfo("custom")).toEqual(info);
    auth.revokeAll();
    expect(auth.tokenInfo("custom")).toEqual({ ...info, isLive: false });
  });
});

describe("the grace period", () => {
  test("within it the previous refresh token is accepted once more, and then both of its successors are good", async () => {
    const clock = manualClock();
    const auth = await start({ gracePeriod: 1000, clock });
    const { refresh_token } = auth.signIn();
    const first = (await refresh(auth, refresh_token)).body;
    await clock.advance(999);
    expect(auth.tokenInfo(refresh_token)?.isLive).toBe(true);
    const again = (await refresh(auth, refresh_token)).body;
    expect(again.refresh_token).not.toBe(first.refresh_token);
    expect(auth.tokenInfo(refresh_token)?.isLive).toBe(false);
    expect((await refresh(auth, first.refresh_token)).status).toBe(200);
    expect((await refresh(auth, again.refresh_token)).status).toBe(200);
  });

  test("a third use within it ends the sign-in", async () => {
    const auth = await start({ gracePeriod: 1000, clock: manualClock() });
    const { refresh_token } = auth.signIn();
    await refresh(auth, refresh_token);
    expect((await refresh(auth, refresh_token)).status).toBe(200);
    expect((await refresh(auth, refresh_token)).body.error).toBe("invalid_grant");
    expect(auth.issued.some((value) => auth.isLive(value))).toBe(false);
  });

  test("when it is over, a second use ends the sign-in", async () => {
    const clock = manualClock();
    const auth = await start({ gracePeriod: 1000, clock });
    const { refresh_token, access_token } = auth.signIn();
    await refresh(auth, refresh_token);
    await clock.advance(1000);
    expect((await refresh(auth, refresh_token)).body.error).toBe("invalid_grant");
    expect(auth.isLive(access_token)).toBe(false);
  });

  test("once the next refresh token was used, the previous one is no longer accepted", async () => {
    const auth = await start({ gracePeriod: 1000, clock: manualClock() });
    const { refresh_token } = auth.signIn();
    const second = (await refresh(auth, refresh_token)).body;
    await refresh(auth, second.refresh_token);
    expect((await refresh(auth, refresh_token)).body.error).toBe("invalid_grant");
    expect((await refresh(auth, second.refresh_token)).body.error).toBe("invalid_grant");
  });

  test("there is none by default, even when the server's clock is stepped back", async () => {
    const clock = manualClock();
    const auth = await start({ clock });
    const { refresh_token } = auth.signIn();
    await refresh(auth, refresh_token);
    clock.stepWall(-5000);
    expect((await refresh(auth, refresh_token)).body.error).toBe("invalid_grant");
  });

  test("it can be changed while the server runs", async () => {
    const auth = await start({ clock: manualClock() });
    const { refresh_token } = auth.signIn();
    await refresh(auth, refresh_token);
    auth.gracePeriod = 1;
    expect((await refresh(auth, refresh_token)).status).toBe(200);
  });
});

describe("endings", () => {
  test("endSignIns ends the sign-ins of one user, or of all", async () => {
    const auth = await start();
    const [alice, twice, bob] = [auth.signIn("alice"), auth.signIn("alice"), auth.signIn("bob")];
    const live = (): (boolean | undefined)[] =>
      [alice, twice, bob].map(({ refresh_token }) => auth.tokenInfo(refresh_token)?.isLive);
    auth.endSignIns("alice");
    expect(live()).toEqual([false, false, true]);
    expect(auth.isLive(alice.access_token)).toBe(false);
    const refused = await refresh(auth, alice.refresh_token);
    expect(refused.body.error_description).toBe("the sign-in has ended: ended by the server");
    auth.endSignIns();
    expect(live()).toEqual([false, false, false]);
  });

  test("revokeAll ends the access tokens, and the refresh tokens stay good", async () => {
    const auth = await start();
    const { refresh_token, access_token } = auth.signIn();
    auth.revokeAll();
    expect(auth.isLive(access_token)).toBe(false);
    expect((await refresh(auth, refresh_token)).status).toBe(200);
  });

  test("revoke with a refresh token ends its sign-in", async () => {
    const auth = await start();
    const { refresh_token, access_token } = auth.signIn();
    auth.revoke(refresh_token);
    expect([auth.isLive(access_token), auth.tokenInfo(refresh_token)?.ended]).toEqual([false, "revoked"]);
  });
});

describe("RFC 7009: the revocation endpoint", () => {
  test("a refresh token: its sign-in ends with all tokens, even if it was used before", async () => {
    const auth = await start();
    const first = auth.signIn();
    const second = (await refresh(auth, first.refresh_token)).body;
    const answer = await post(auth.revocationEndpoint, { token: first.refresh_token });
    expect([answer.status, await answer.text(), answer.headers.get("content-type")]).toEqual([200, "", null]);
    expect([auth.isLive(first.access_token), auth.isLive(second.access_token)]).toEqual([false, false]);
    expect(auth.tokenInfo(second.refresh_token)).toMatchObject({ isLive: false, ended: "revoked" });
    expect((await refresh(auth, second.refresh_token)).body.error).toBe("invalid_grant");
  });

  test("an access token: it alone ends, whatever the hint says", async () => {
    const auth = await start();
    const first = auth.signIn();
    const second = (await refresh(auth, first.refresh_token)).body;
    const form = { token: first.access_token, token_type_hint: "refresh_token" };
    expect((await post(auth.revocationEndpoint, form)).status).toBe(200);
    expect([auth.isLive(first.access_token), auth.isLive(second.access_token)]).toEqual([false, true]);
    expect((await refresh(auth, second.refresh_token)).status).toBe(200);
  });

  test("an unknown token, or one that is revoked already: 200", async () => {
    const auth = await start();
    const { access_token } = auth.signIn();
    for (const token of ["made-up", access_token, access_token]) {
      expect((await post(auth.revocationEndpoint, { token })).status).toBe(200);
    }
  });

  test("an access token of another client: refused, and the token stays live", async () => {
    const auth = await start();
    const own = await ask(auth, { grant_type: "client_credentials", client_id: "me" });
    const token = own.body.access_token;
    expect((await post(auth.revocationEndpoint, { token, client_id: "other" })).status).toBe(400);
    expect(auth.isLive(token)).toBe(true);
    expect((await post(auth.revocationEndpoint, { token, client_id: "me" })).status).toBe(200);
    expect(auth.isLive(token)).toBe(false);
  });

  test("no token, another client, wrong credentials or another method: refused, and the token stays live", async () => {
    const auth = await start({ clientId: "me", clientSecret: "s" });
    const me = { client_id: "me", client_secret: "s" };
    const { access_token: token } = auth.signIn("alice", { clientId: "other" });
    expect((await post(auth.revocationEndpoint, me)).status).toBe(400);
    expect((await post(auth.revocationEndpoint, { ...me, token })).status).toBe(400);
    expect((await post(auth.revocationEndpoint, { token })).status).toBe(401);
    expect((await fetch(`${auth.revocationEndpoint}?token=${token}`)).status).toBe(405);
    expect(auth.isLive(token)).toBe(true);
  });
});
