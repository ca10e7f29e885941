/** The scripts of `startAuthServer` by which a request is processed and its answer is lost, late or damaged. */
import { describe, expect, test } from "vitest";
import { damagedAnswer, manualClock, startApi, type Damage } from "../../src/testing/index.ts";
import { ask, refresh, start, story } from "./server-under-test.ts";

describe("an answer that is lost", () => {
  test("the refresh token is rotated, no byte arrives, and the log shows why the next request ends the sign-in", async () => {
    const clock = manualClock({ now: 1000 });
    const auth = await start({ clock });
    const { refresh_token, access_token } = auth.signIn("alice");
    auth.respond({ lost: true });
    await expect(refresh(auth, refresh_token)).rejects.toThrow("fetch failed");
    await clock.advance(5);
    expect(auth.tokenInfo(refresh_token)?.isLive).toBe(false);
    expect((await refresh(auth, refresh_token)).body.error).toBe("invalid_grant");
    const [, second = ""] = auth.issued;
    const issued = { accessToken: second, refreshToken: expect.stringMatching(/^rt-2-/) as unknown };
    const asked = { path: "/token", grantType: "refresh_token", refreshToken: refresh_token, signIn: 1 };
    expect(auth.log).toStrictEqual([
      { at: 1000, step: "committed", signIn: 1, issued: { accessToken: access_token, refreshToken: refresh_token } },
      { at: 1000, step: "received", request: 0, ...asked },
      { at: 1000, step: "committed", request: 0, ...asked, issued },
      { at: 1000, step: "lost", request: 0, ...asked, issued },
      { at: 1005, step: "received", request: 1, ...asked },
      { at: 1005, step: "committed", request: 1, ...asked, ended: "refresh token reused" },
      { at: 1005, step: "refused", request: 1, ...asked, error: "invalid_grant" },
      { at: 1005, step: "answered", request: 1, ...asked, status: 400 },
    ]);
    expect(auth.requests[0]?.form.get("refresh_token")).toBe(refresh_token);
  });

  test("with a grace period the sign-in survives it", async () => {
    const auth = await start({ gracePeriod: 60_000, clock: manualClock() });
    const { refresh_token } = auth.signIn();
    auth.respond({ lost: true });
    await expect(refresh(auth, refresh_token)).rejects.toThrow("fetch failed");
    expect((await refresh(auth, refresh_token)).status).toBe(200);
  });

  test("reset instead: nothing is processed, and the refresh token stays good", async () => {
    const auth = await start();
    const { refresh_token } = auth.signIn();
    auth.respond({ reset: true });
    await expect(refresh(auth, refresh_token)).rejects.toThrow("fetch failed");
    expect(story(auth)).toEqual(["committed by the test", "received #0"]);
    expect((await refresh(auth, refresh_token)).status).toBe(200);
  });

  test("a scripted answer that is lost issues its token", async () => {
    const auth = await start();
    auth.respond({ body: { access_token: "custom" }, lost: true });
    await expect(ask(auth, {})).rejects.toThrow("fetch failed");
    expect([auth.issued, story(auth)]).toEqual([["custom"], ["received #0", "committed #0", "lost #0"]]);
  });

  test("an API whose answer is lost records no status", async () => {
    await using api = await startApi({ accepts: () => true });
    api.respond({ lost: true });
    await expect(fetch(api.origin)).rejects.toThrow("fetch failed");
    expect(api.requests.map(({ status }) => status)).toEqual([undefined]);
  });
});

describe("a damaged answer", () => {
  test.each<[Damage, number, Record<string, unknown>]>([
    ["access_token empty", 200, { access_token: "" }],
    ["access_token missing", 200, { access_token: undefined }],
    ["status 201", 201, {}],
    ["token_type BearerToken", 200, { token_type: "BearerToken" }],
    ["token_type missing", 200, { token_type: undefined }],
    ["token_type null", 200, { token_type: null }],
  ])("%s: the refresh token is rotated, and the new one is in the answer", async (damage, status, members) => {
    const auth = await start();
    const { refresh_token } = auth.signIn();
    auth.respond(damagedAnswer(damage));
    const answer = await refresh(auth, refresh_token);
    const access_token = auth.issued.at(-1);
    const whole = { access_token, token_type: "Bearer", expires_in: 3600, scope: "read write" };
    const next = answer.body.refresh_token;
    // As JSON, because a member that is undefined must be absent.
    const expected: unknown = JSON.parse(JSON.stringify({ ...whole, refresh_token: next, ...members }));
    expect([answer.status, answer.body]).toEqual([status, expected]);
    expect(story(auth).slice(1)).toEqual(["received #0", "committed #0", `answered #0 ${status} changed`]);
    expect([auth.mints, auth.isLive(String(access_token))]).toEqual([2, true]);
    expect((await refresh(auth, next)).status).toBe(200);
  });

  test("an error answer is not damaged", async () => {
    const auth = await start();
    auth.respond(damagedAnswer("status 201"), damagedAnswer("token_type null"));
    expect((await refresh(auth, "made-up")).status).toBe(400);
    expect((await fetch(auth.revocationEndpoint, { method: "POST" })).status).toBe(400);
  });

  test("a function may change any answer", async () => {
    const auth = await start();
    auth.respond({ change: (answer) => ({ ...answer, status: 418, body: { was: answer.status ?? 200 } }) });
    expect(await ask(auth, { grant_type: "client_credentials" })).toEqual({ status: 418, body: { was: 200 } });
    expect(auth.mints).toBe(1);
  });

  test("an unknown damage is a TypeError that lists the known ones", () => {
    // @ts-expect-error there is no such damage
    expect(() => damagedAnswer("status 202")).toThrow(/"damage" must be one of .*"status 201"/);
  });
});

describe("a late answer", () => {
  test("held with processFirst: the request is processed at once, and the answer leaves with the release", async () => {
    const auth = await start();
    const { refresh_token } = auth.signIn();
    const release = auth.holdAnswers({ processFirst: true });
    const pending = refresh(auth, refresh_token);
    await auth.waitForLog("committed", 2);
    expect([auth.waiting, auth.tokenInfo(refresh_token)?.isLive]).toEqual([1, false]);
    expect(story(auth)).toEqual(["committed by the test", "received #0", "committed #0"]);
    release();
    const { body } = await pending;
    expect([body.access_token, story(auth).at(-1)]).toEqual([auth.issued[1], "answered #0 200"]);
    expect((await refresh(auth, body.refresh_token)).status).toBe(200);
  });

  test("held without it: the client leaves, nothing is processed and the refresh token stays good", async () => {
    const auth = await start();
    const { refresh_token } = auth.signIn();
    const release = auth.holdAnswers();
    const controller = new AbortController();
    const pending = refresh(auth, refresh_token, {}, { signal: controller.signal });
    await auth.waitFor(1);
    controller.abort();
    await expect(pending).rejects.toThrow("abort");
    await expect.poll(() => auth.waiting).toBe(0);
    release();
    expect((await refresh(auth, refresh_token)).status).toBe(200);
    expect(story(auth).filter((line) => line.includes("#0"))).toEqual(["received #0"]);
  });

  test.each([
    ["held with processFirst", { processFirst: true }, undefined],
    ["delayed with processFirst", undefined, { delay: 3_600_000, processFirst: true }],
  ])("%s: the client leaves, and the log says that the answer is lost", async (_what, hold, script) => {
    const auth = await start();
    const { refresh_token } = auth.signIn();
    if (hold !== undefined) auth.holdAnswers(hold);
    if (script !== undefined) auth.respond(script);
    const controller = new AbortController();
    const pending = refresh(auth, refresh_token, {}, { signal: controller.signal });
    await auth.waitForLog("committed", 2);
    controller.abort();
    await expect(pending).rejects.toThrow("abort");
    await auth.waitForLog("lost", 1);
    expect(story(auth).slice(1)).toEqual(["received #0", "committed #0", "lost #0"]);
  });

  test("delayed with processFirst: the answer comes after the delay", async () => {
    const auth = await start();
    auth.respond({ delay: 1, processFirst: true });
    expect((await refresh(auth, auth.signIn().refresh_token)).status).toBe(200);
  });

  test("delayed without processFirst: the request is not processed before", async () => {
    const auth = await start();
    auth.respond({ delay: 3_600_000 });
    const { refresh_token } = auth.signIn();
    const pending = refresh(auth, refresh_token);
    await auth.waitFor(1);
    expect(auth.tokenInfo(refresh_token)?.isLive).toBe(true);
    await auth.close();
    await expect(pending).rejects.toThrow("fetch failed");
    expect(story(auth)).toEqual(["committed by the test", "received #0"]);
  });

  test("the server is closed before: the log says that the answer is lost", async () => {
    const auth = await start();
    auth.holdAnswers({ processFirst: true });
    const pending = refresh(auth, auth.signIn().refresh_token);
    await auth.waitForLog("committed", 2);
    const lost = auth.waitForLog("lost", 1);
    await auth.close();
    await expect(pending).rejects.toThrow("fetch failed");
    await lost;
    expect(story(auth).at(-1)).toBe("lost #0");
  });

  test("a hold that is released twice does not end another one", async () => {
    const auth = await start();
    const release = auth.holdAnswers({ processFirst: true });
    release();
    const second = auth.holdAnswers({ processFirst: true });
    release();
    const pending = ask(auth, { grant_type: "client_credentials" });
    await auth.waitForLog("committed", 1);
    expect(auth.waiting).toBe(1);
    second();
    expect((await pending).status).toBe(200);
    // @ts-expect-error a string is neither true nor false
    expect(() => auth.holdAnswers({ processFirst: "yes" })).toThrow(/"processFirst"/);
  });
});

describe("a server that is frozen", () => {
  test("requests are received and not processed; after the thaw they are processed in order", async () => {
    const auth = await start();
    const { refresh_token } = auth.signIn();
    const thaw = auth.freeze();
    const first = refresh(auth, refresh_token);
    await auth.waitFor(1);
    const second = refresh(auth, refresh_token);
    await auth.waitFor(2);
    expect([auth.tokenInfo(refresh_token)?.isLive, auth.mints]).toEqual([true, 1]);
    thaw();
    expect([(await first).status, (await second).body.error]).toEqual([200, "invalid_grant"]);
    expect((await refresh(auth, auth.signIn().refresh_token)).status).toBe(200);
  });

  test("a request whose client has left is processed after the thaw: its second try ends the sign-in", async () => {
    const auth = await start();
    const { refresh_token } = auth.signIn();
    const thaw = auth.freeze();
    const controller = new AbortController();
    const left = refresh(auth, refresh_token, {}, { signal: controller.signal });
    await auth.waitFor(1);
    controller.abort();
    await expect(left).rejects.toThrow("abort");
    const again = refresh(auth, refresh_token);
    await auth.waitFor(2);
    thaw();
    expect((await again).body.error).toBe("invalid_grant");
    const told = story(auth);
    expect(told.filter((line) => line.includes("#0"))).toEqual(["received #0", "committed #0", "lost #0"]);
    expect(told.filter((line) => line.includes("#1"))).toEqual([
      "received #1",
      "committed #1 refresh token reused",
      "refused #1 invalid_grant",
      "answered #1 400",
    ]);
  });

  test("requests that are frozen when the server is closed are never processed", async () => {
    const auth = await start();
    const { refresh_token } = auth.signIn();
    const thaw = auth.freeze();
    const pending = refresh(auth, refresh_token);
    await auth.waitFor(1);
    await auth.close();
    await expect(pending).rejects.toThrow("fetch failed");
    thaw();
    await new Promise((resolve) => void setImmediate(resolve));
    expect([auth.tokenInfo(refresh_token)?.isLive, story(auth).length]).toEqual([true, 2]);
  });

  test("frozen and held: a request whose client has left is not processed", async () => {
    const auth = await start();
    const { refresh_token } = auth.signIn();
    const thaw = auth.freeze();
    const release = auth.holdAnswers();
    const controller = new AbortController();
    const left = refresh(auth, refresh_token, {}, { signal: controller.signal });
    await auth.waitFor(1);
    controller.abort();
    await expect(left).rejects.toThrow("abort");
    await expect.poll(() => auth.waiting).toBe(0);
    thaw();
    release();
    expect((await refresh(auth, refresh_token)).status).toBe(200);
  });

  test("after the thaw and after a hold, requests are processed after their delay again", async () => {
    const auth = await start();
    auth.freeze()();
    auth.holdAnswers({ processFirst: true })();
    auth.respond({ delay: 3_600_000 });
    const pending = ask(auth, { grant_type: "client_credentials" });
    await auth.waitFor(1);
    await new Promise((resolve) => void setImmediate(resolve));
    expect(auth.mints).toBe(0);
    await auth.close();
    await expect(pending).rejects.toThrow("fetch failed");
  });

  test("scripts are for the requests in the order of their arrival", async () => {
    const auth = await start();
    const thaw = auth.freeze();
    auth.respond({ lost: true }, { status: 503 });
    const first = ask(auth, { grant_type: "client_credentials" });
    await auth.waitFor(1);
    const second = fetch(auth.tokenEndpoint, { method: "POST" });
    await auth.waitFor(2);
    thaw();
    await expect(first).rejects.toThrow("fetch failed");
    expect((await second).status).toBe(503);
    expect(story(auth)).toContain("lost #0");
  });
});

test("a client that leaves while a script runs: the request is not processed", async () => {
  const auth = await start();
  const controller = new AbortController();
  const ended = new Promise<void>((resolve) => {
    auth.respond(async () => {
      controller.abort();
      // The connection is closed before this request is sent, so the server notices that first.
      await fetch(`${auth.origin}/elsewhere`);
      setImmediate(resolve);
      return undefined;
    });
  });
  const left = ask(auth, { grant_type: "client_credentials" }, { signal: controller.signal });
  await expect(left).rejects.toThrow("abort");
  await ended;
  expect([auth.mints, auth.requests.length]).toEqual([0, 2]);
});

describe("the path of a scripted answer", () => {
  test("requests for other paths leave it in the queue", async () => {
    const auth = await start();
    auth.respond({ status: 503, path: "/token" }, { status: 418 });
    const metadata = `${auth.issuer}/.well-known/openid-configuration?a=b`;
    expect((await fetch(metadata)).status).toBe(418);
    expect((await fetch(metadata)).status).toBe(200);
    expect((await fetch(`${auth.tokenEndpoint}?a=b`, { method: "POST" })).status).toBe(503);
    expect((await ask(auth, { grant_type: "client_credentials" })).status).toBe(200);
  });

  test("respondAlways: requests for other paths get the normal answer", async () => {
    const auth = await start();
    auth.respondAlways({ status: 503, path: "/token" });
    expect((await fetch(auth.tokenEndpoint)).status).toBe(503);
    expect((await fetch(`${auth.issuer}/.well-known/openid-configuration`)).status).toBe(200);
  });
});

describe("the log", () => {
  test("has what was revoked, what ended a sign-in, and scripted answers", async () => {
    const auth = await start();
    const { access_token, refresh_token } = auth.signIn("alice");
    await fetch(auth.revocationEndpoint, { method: "POST", body: new URLSearchParams({ token: access_token }) });
    await fetch(auth.revocationEndpoint, { method: "POST", body: new URLSearchParams({ token: refresh_token }) });
    auth.respond({ status: 400, body: { error: "invalid_scope" } }, { status: 503 });
    await ask(auth, { grant_type: "client_credentials" });
    await fetch(auth.tokenEndpoint);
    auth.signIn("bob");
    auth.endSignIns();
    auth.endSignIns();
    expect(story(auth)).toEqual([
      "committed by the test",
      "received #0",
      "committed #0",
      "answered #0 200",
      "received #1",
      "committed #1 revoked",
      "answered #1 200",
      "received #2",
      "refused #2 invalid_scope",
      "answered #2 400",
      "received #3",
      "answered #3 503",
      "committed by the test",
      "committed by the test ended by the server",
    ]);
    expect(auth.log[2]).toMatchObject({ revoked: access_token });
    expect(auth.log[4]).toMatchObject({ path: "/revoke", refreshToken: refresh_token, signIn: 1 });
  });

  test("has the code that the authorize page issued, and the refusals", async () => {
    const auth = await start({ clientId: "me", user: null });
    const query = new URLSearchParams({ response_type: "code", client_id: "me", redirect_uri: "https://app.example/" });
    query.set("code_challenge", "c".repeat(43));
    query.set("code_challenge_method", "S256");
    const url = `${auth.authorizationEndpoint}?${query.toString()}`;
    await fetch(url, { redirect: "manual" });
    auth.user = "alice";
    const location = (await fetch(url, { redirect: "manual" })).headers.get("location") ?? "";
    await ask(auth, { grant_type: "client_credentials" });
    expect(story(auth)).toEqual([
      "received #0",
      "refused #0 access_denied",
      "answered #0 302",
      "received #1",
      "committed #1",
      "answered #1 302",
      "received #2",
      "refused #2 invalid_client",
      "answered #2 401",
    ]);
    expect(auth.log[4]?.issued).toEqual({ code: new URL(location).searchParams.get("code") });
  });

  test("waitForLog rejects when the server is closed before, and for a step that there is not", async () => {
    const auth = await start();
    const waiting = expect(auth.waitForLog("lost", 1)).rejects.toThrow(
      'waitForLog("lost", 1): the server was closed after 0 such entries',
    );
    // @ts-expect-error there is no such step
    await expect(auth.waitForLog("sent", 1)).rejects.toThrow(/"step" must be one of "received", /);
    await expect(auth.waitForLog("lost", -1)).rejects.toThrow(/"total"/);
    await auth.waitForLog("lost", 0);
    await auth.close();
    await waiting;
  });
});
