/** The jwt callback before and after, called as next-auth calls it: with the cookie's content, at every request. */
import { startApi, startAuthServer } from "remint/testing";
import { expect, test } from "vitest";
import { createSessions } from "./after.ts";
import { callbacksOf, callerOf } from "./before.ts";

test("before: ten requests of one page after the token has expired: WRONG, the refresh token is used ten times and the session ends", async () => {
  await using auth = await startAuthServer({ expiresIn: 0 });
  const { jwt } = callbacksOf(auth.tokenEndpoint);
  const cookie = await jwt({ token: {}, account: auth.signIn("alice") as never });
  const answers = await Promise.all(Array.from({ length: 10 }, () => jwt({ token: cookie })));
  expect(answers.filter(({ error }) => error !== undefined).length).toBe(9);
  const last = answers.find(({ error }) => error === undefined)!;
  expect(await jwt({ token: last })).toMatchObject({ error: "RefreshAccessTokenError" });
});

test("after: ten requests of one page whose token was rejected: one refresh, and the session lives", async () => {
  await using auth = await startAuthServer();
  await using api = await startApi({ accepts: auth });
  const { jwt, call } = createSessions(auth.tokenEndpoint, api.origin);
  const cookie = await jwt({ token: {}, account: auth.signIn("alice") as never });
  for (let round = 1; round <= 2; round++) {
    auth.revokeAll();
    const answers = await Promise.all(Array.from({ length: 10 }, () => call(`${api.origin}/items`, cookie)));
    expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200));
    expect(auth.requests.length).toBe(round);
  }
});

test("before: the API rejects a token that has not expired: WRONG, the caller gets 401 until it has", async () => {
  await using auth = await startAuthServer();
  await using api = await startApi({ accepts: auth });
  const { jwt } = callbacksOf(auth.tokenEndpoint);
  const cookie = await jwt({ token: {}, account: auth.signIn("alice") as never });
  auth.revokeAll();
  for (let times = 0; times < 2; times++) {
    expect((await callerOf()(`${api.origin}/items`, await jwt({ token: cookie }))).status).toBe(401);
  }
  expect(auth.requests.length).toBe(0);
});

test.each([
  ["before", "WRONG, the cookie says that the user has to sign in again"],
  ["after", "the call fails with 503, and the session lives"],
])("%s: the token endpoint answers 503: %s", async (side) => {
  await using auth = await startAuthServer({ expiresIn: side === "before" ? 0 : 3600 });
  await using api = await startApi({ accepts: auth });
  if (side === "before") {
    const { jwt } = callbacksOf(auth.tokenEndpoint);
    const cookie = await jwt({ token: {}, account: auth.signIn("alice") as never });
    auth.respond({ status: 503 });
    expect(await jwt({ token: cookie })).toMatchObject({ error: "RefreshAccessTokenError" });
    return;
  }
  const { jwt, call } = createSessions(auth.tokenEndpoint, api.origin);
  const cookie = await jwt({ token: {}, account: auth.signIn("alice") as never });
  auth.revokeAll();
  auth.respond({ status: 503 });
  await expect(call(`${api.origin}/items`, cookie)).rejects.toMatchObject({ status: 503, terminal: false });
});

test("after: the session is over: the API's 401, then an error with 401; the API always answers 401: refreshes are limited", async () => {
  await using auth = await startAuthServer();
  await using api = await startApi({ accepts: auth });
  const { jwt, call } = createSessions(auth.tokenEndpoint, api.origin);
  const alice = await jwt({ token: {}, account: auth.signIn("alice") as never });
  auth.endSignIns("alice");
  expect((await call(`${api.origin}/items`, alice)).status).toBe(401);
  // There is no token any more, so nothing is sent: the error says that the user has to sign in again.
  await expect(call(`${api.origin}/items`, alice)).rejects.toMatchObject({ status: 401, terminal: true });
  expect(auth.requests.length).toBe(1);
  const bob = await jwt({ token: {}, account: auth.signIn("bob") as never });
  api.respondAlways(() => ({ status: 401 }));
  for (let times = 0; times < 15; times++) expect((await call(`${api.origin}/items`, bob)).status).toBe(401);
  expect(auth.requests.length).toBeLessThan(6);
});
