/** Back-channel logout: which sessions end, and every logout token with one thing wrong. */
import { randomUUID } from "node:crypto";
import { generateKeyPair, SignJWT } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { Browser } from "../browser.ts";
import { call, openStage, outcome, sessionOf, signedIn, type Stage, userIn } from "./stage.ts";

const EVENT = "http://schemas.openid.net/event/backchannel-logout";
const LONG = { timeout: 20_000 };

let stage: Stage;
let alice: Browser;
let sid: string;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());
beforeEach(async () => {
  alice = await signedIn(stage);
  sid = await sidOf(alice);
});

async function sidOf(browser: Browser): Promise<string> {
  const answer = (await (await call(browser, `${stage.origin}/bff/user`)).json()) as {
    session: { claims: { sid: string } };
  };
  return answer.session.claims.sid;
}

const now = (): number => Math.floor(Date.now() / 1000);

/** The claims of a logout token that is right, with some of them replaced. `undefined` leaves one out. */
function claims(replaced: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  const right = {
    iss: stage.auth.issuer,
    aud: "bff",
    iat: now(),
    exp: now() + 120,
    jti: randomUUID(),
    events: { [EVENT]: {} },
    sub: "alice",
    sid,
  };
  return Object.fromEntries(Object.entries({ ...right, ...replaced }).filter(([, value]) => value !== undefined));
}

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

const post = (body: string): Promise<Response> =>
  fetch(`${stage.origin}/bff/backchannel`, {
    method: "POST",
    body,
    headers: { "content-type": "application/x-www-form-urlencoded" },
  });

async function send(replaced?: Readonly<Record<string, unknown>>, header = {}): Promise<Response> {
  const token = await stage.auth.sign(claims(replaced), { typ: "logout+jwt", ...header });
  return post(`logout_token=${token}`);
}

describe("back-channel logout ends exactly the sessions that are named", () => {
  test("sid alone: that session, and no other of the same user", async () => {
    const other = await signedIn(stage);
    const answer = await send({ sub: undefined });
    expect([answer.status, answer.headers.get("cache-control"), await answer.text()]).toEqual([200, "no-store", ""]);
    expect(await userIn(alice, stage.origin)).toBeNull();
    expect(await userIn(other, stage.origin)).toBe("alice");
  });

  test("sub alone: all sessions of that user, and none of another", async () => {
    const [other, bob] = [await signedIn(stage), await signedIn(stage, "bob")];
    expect((await send({ sid: undefined })).status).toBe(200);
    expect([await userIn(alice, stage.origin), await userIn(other, stage.origin)]).toEqual([null, null]);
    expect(await userIn(bob, stage.origin)).toBe("bob");
  });

  test("sid and sub: the session that has both, and no other", async () => {
    const other = await signedIn(stage);
    expect((await send({ sub: "bob" })).status).toBe(200);
    expect(await userIn(alice, stage.origin)).toBe("alice");
    expect((await send()).status).toBe(200);
    expect([await userIn(alice, stage.origin), await userIn(other, stage.origin)]).toEqual([null, "alice"]);
  });

  test("a sid that nobody has: 200, and nobody is signed out", async () => {
    expect((await send({ sid: "unknown" })).status).toBe(200);
    expect(await userIn(alice, stage.origin)).toBe("alice");
  });

  test("the server ends the session of the browser: its tokens and streams end too", async () => {
    const stream = await alice.request(`${stage.origin}/api/orders/events`, {
      headers: { accept: "text/event-stream" },
    });
    const reader = stream.body!.getReader();
    await reader.read();
    const session = await sessionOf(alice, stage);
    await stage.auth.endSession(session);
    let isOver = false;
    while (!isOver) isOver = (await reader.read()).done;
    expect(await outcome(alice, `${stage.origin}/api/orders/list`)).toBe("401 sign-in");
    await vi.waitFor(() => expect(stage.auth.alive(session)).toEqual([]), LONG);
  });
});

describe("a logout token with one thing wrong is answered 400, and nobody is signed out", () => {
  const WRONG: Readonly<Record<string, () => readonly [Record<string, unknown>, object?]>> = {
    "another issuer": () => [{ iss: "https://evil.example" }],
    "no issuer": () => [{ iss: undefined }],
    "another audience": () => [{ aud: "usual" }],
    "no audience": () => [{ aud: undefined }],
    "no iat": () => [{ iat: undefined }],
    "an iat of an hour ago": () => [{ iat: now() - 3600 }],
    "an iat in an hour": () => [{ iat: now() + 3600, exp: now() + 7200 }],
    "an iat that is a text": () => [{ iat: String(now()) }],
    "no exp": () => [{ exp: undefined }],
    "an exp in the past": () => [{ exp: now() - 120 }],
    "no jti": () => [{ jti: undefined }],
    "a jti that is no text": () => [{ jti: 7 }],
    "no events": () => [{ events: undefined }],
    "events without the logout": () => [{ events: { "http://example/other": {} } }],
    "events that are a text": () => [{ events: EVENT }],
    "a logout event that is null": () => [{ events: { [EVENT]: null } }],
    "a nonce": () => [{ nonce: "n" }],
    "neither sid nor sub": () => [{ sid: undefined, sub: undefined }],
    "a sid that is an object": () => [{ sid: { toString: "x" } }],
    "a sub that is a list": () => [{ sub: ["alice"], sid: undefined }],
    "an empty sub": () => [{ sub: "", sid: undefined }],
    "the type of an access token": () => [{}, { typ: "at+jwt" }],
    "an unknown key": () => [{}, { kid: "other" }],
  };

  test.each(Object.entries(WRONG))("%s", async (_, wrong) => {
    const answer = await send(...wrong());
    expect([answer.status, await answer.json()]).toEqual([400, { error: "invalid_request" }]);
    expect(await userIn(alice, stage.origin)).toBe("alice");
  });

  test("a signature of somebody else, no signature, and a signature with a shared secret", async () => {
    const { privateKey } = await generateKeyPair("RS256");
    const header = { alg: "RS256", typ: "logout+jwt", kid: "demo" };
    const foreign = await new SignJWT(claims()).setProtectedHeader(header).sign(privateKey);
    const none = `${encode({ alg: "none", typ: "logout+jwt" })}.${encode(claims())}.`;
    const secret = new TextEncoder().encode(stage.auth.secrets.bff.padEnd(32, "x"));
    const shared = await new SignJWT(claims()).setProtectedHeader({ alg: "HS256", typ: "logout+jwt" }).sign(secret);
    for (const token of [foreign, none, shared]) expect((await post(`logout_token=${token}`)).status).toBe(400);
    expect(await userIn(alice, stage.origin)).toBe("alice");
  });

  test("the same token twice: the second is refused", async () => {
    const token = await stage.auth.sign(claims({ sid: "unknown" }), { typ: "logout+jwt" });
    const answers = [await post(`logout_token=${token}`), await post(`logout_token=${token}`)];
    expect(answers.map(({ status }) => status)).toEqual([200, 400]);
  });

  test("an ID token of the user is no logout token", async () => {
    const { events: _events, ...rest } = claims();
    const token = await stage.auth.sign({ ...rest, nonce: "n" }, {});
    expect((await post(`logout_token=${token}`)).status).toBe(400);
  });

  test.each([
    ["no body", ""],
    ["another parameter", "token=x"],
    ["no JWT", "logout_token=x"],
    ["more than 64 KiB", `logout_token=${"x".repeat(70_000)}`],
  ])("%s", async (_, body) => {
    expect((await post(body)).status).toBe(400);
    expect(await userIn(alice, stage.origin)).toBe("alice");
  });

  test("the keys of the server cannot be had: 400, and the same token is taken when they can", async () => {
    const away = await openStage();
    const browser = await signedIn(away);
    const user = (await (await call(browser, `${away.origin}/bff/user`)).json()) as {
      session: { claims: { sid: string } };
    };
    const token = await away.auth.sign(
      { ...claims(), iss: away.auth.issuer, sid: user.session.claims.sid },
      { typ: "logout+jwt" },
    );
    const deliver = (): Promise<Response> =>
      fetch(`${away.origin}/bff/backchannel`, { method: "POST", body: new URLSearchParams({ logout_token: token }) });
    away.auth.downUntil = Date.now() + 60_000;
    expect((await deliver()).status).toBe(400);
    away.auth.downUntil = 0;
    expect((await deliver()).status).toBe(200);
    expect(await userIn(browser, away.origin)).toBeNull();
    await away.close();
  });
});
