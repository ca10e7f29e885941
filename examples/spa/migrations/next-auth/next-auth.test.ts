/** The jwt callback before and after, called as next-auth calls it: with the cookie's content, at every request. */
import { once } from "node:events";
import { createServer } from "node:http";
import { startApi, startAuthServer } from "remint/testing";
import { expect, test, vi } from "vitest";
import { createSessions } from "./after.ts";
import { callbacksOf, callerOf } from "./before.ts";
import type { AddressInfo } from "node:net";

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

function deferred(): { readonly promise: Promise<undefined>; resolve(): void } {
  let resolve!: () => void;
  const promise = new Promise<undefined>((settle) => (resolve = () => settle(undefined)));
  return { promise, resolve };
}

const TEN = Array.from({ length: 10 });

test("before: ten requests of one page after the token has expired, and the token endpoint answers 503: WRONG, ten token requests, and each answer says that the user has to sign in again", async () => {
  await using auth = await startAuthServer({ expiresIn: 0 });
  const { jwt } = callbacksOf(auth.tokenEndpoint);
  const cookie = await jwt({ token: {}, account: auth.signIn("alice") as never });
  auth.respond(...TEN.map(() => ({ status: 503 })));
  const answers = await Promise.all(TEN.map(() => jwt({ token: cookie })));
  expect([answers.filter(({ error }) => error !== undefined).length, auth.requests.length]).toEqual([10, 10]);
});

test("after: ten requests of one page whose token was rejected, and the token endpoint answers 503: one token request, each call fails with 503, and the session lives", async () => {
  await using auth = await startAuthServer();
  await using api = await startApi({ accepts: auth });
  const { jwt, call } = createSessions(auth.tokenEndpoint, api.origin);
  const cookie = await jwt({ token: {}, account: auth.signIn("alice") as never });
  auth.revokeAll();
  auth.respond({ status: 503 });
  const failures = await Promise.all(
    TEN.map(() => call(`${api.origin}/items`, cookie).catch((error: unknown) => error)),
  );
  expect(failures).toMatchObject(TEN.map(() => ({ status: 503, terminal: false })));
  expect(auth.requests.length).toBe(1);
});

test("before: the session is over, and ten requests of one page find out: WRONG, ten token requests", async () => {
  await using auth = await startAuthServer({ expiresIn: 0 });
  const { jwt } = callbacksOf(auth.tokenEndpoint);
  const cookie = await jwt({ token: {}, account: auth.signIn("alice") as never });
  auth.endSignIns("alice");
  const answers = await Promise.all(TEN.map(() => jwt({ token: cookie })));
  expect([answers.filter(({ error }) => error !== undefined).length, auth.requests.length]).toEqual([10, 10]);
});

test("after: the session is over, and ten requests of one page find out: one token request, each gets the API's 401, and the next an error with 401", async () => {
  await using auth = await startAuthServer();
  await using api = await startApi({ accepts: auth });
  const { jwt, call } = createSessions(auth.tokenEndpoint, api.origin);
  const cookie = await jwt({ token: {}, account: auth.signIn("alice") as never });
  auth.endSignIns("alice");
  const answers = await Promise.all(TEN.map(() => call(`${api.origin}/items`, cookie)));
  expect(answers.map(({ status }) => status)).toEqual(TEN.map(() => 401));
  // There is no token any more, so nothing is sent: the error says that the user has to sign in again.
  await expect(call(`${api.origin}/items`, cookie)).rejects.toMatchObject({ status: 401, terminal: true });
  expect(auth.requests.length).toBe(1);
});

test("after: a 401 comes late, for a token that was replaced meanwhile: no other token request", async () => {
  await using auth = await startAuthServer();
  const [arrived, release] = [deferred(), deferred()];
  const api = createServer((request, response) => {
    // Judged when it comes, answered later.
    const status = auth.isLive(request.headers.authorization?.replace("Bearer ", "") ?? "") ? 200 : 401;
    if (request.url === "/slow") arrived.resolve();
    const isLate = request.url === "/slow" && status === 401;
    void (isLate ? release.promise : Promise.resolve()).then(() => response.writeHead(status).end());
  });
  await once(api.listen(0, "127.0.0.1"), "listening");
  const origin = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
  const { jwt, call } = createSessions(auth.tokenEndpoint, origin);
  const cookie = await jwt({ token: {}, account: auth.signIn("alice") as never });
  auth.revokeAll();
  const late = call(`${origin}/slow`, cookie);
  await arrived.promise;
  expect((await call(`${origin}/items`, cookie)).status).toBe(200);
  release.resolve();
  expect([(await late).status, auth.requests.length]).toEqual([200, 1]);
  api.closeAllConnections();
  api.close();
});

test.each([
  ["before", "the token is never replaced", 0],
  ["after", "one refresh in one moment", 1],
] as const)(
  "%s: the API answers 401 to every token, fifteen calls one after the other: %s",
  async (side, _, refreshes) => {
    // The limit counts by the clock, which stands here.
    vi.useFakeTimers({ toFake: ["Date", "performance"] });
    try {
      await using auth = await startAuthServer();
      await using api = await startApi({ accepts: auth });
      api.respondAlways(() => ({ status: 401 }));
      const account = auth.signIn("bob") as never;
      const [old, sessions] = [callbacksOf(auth.tokenEndpoint), createSessions(auth.tokenEndpoint, api.origin)];
      const own = await old.jwt({ token: {}, account });
      const cookie = await sessions.jwt({ token: {}, account });
      for (let times = 0; times < 15; times++) {
        const url = `${api.origin}/items`;
        const answer =
          side === "before" ? await callerOf()(url, await old.jwt({ token: own })) : await sessions.call(url, cookie);
        expect(answer.status).toBe(401);
      }
      expect(auth.requests.length).toBe(refreshes);
    } finally {
      vi.useRealTimers();
    }
  },
);

test("after: a cookie of before the migration, which names no sign-in: nobody is signed in", async () => {
  await using auth = await startAuthServer();
  await using api = await startApi({ accepts: auth });
  const { jwt, call } = createSessions(auth.tokenEndpoint, api.origin);
  const cookie = await callbacksOf(auth.tokenEndpoint).jwt({ token: {}, account: auth.signIn("alice") as never });
  expect((await call(`${api.origin}/items`, await jwt({ token: cookie as object }))).status).toBe(401);
  expect(auth.requests.length).toBe(0);
});
