/**
 * A user's token, renewed with a refresh token that rotates: each is good for one use, and the next one is saved before the
 * access token that came with it is used.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createTokenCache, findRemintError, refreshTokenGrant, TokenEndpointError } from "remint";
import { createAuthFetch } from "remint/fetch";
import { startApi, startAuthServer } from "remint/testing";

// An authorization server that rotates refresh tokens, and ends the session when one comes twice.
const auth = await startAuthServer();
let live: string | undefined = "refresh-1";
auth.respondAlways(({ form }) => {
  if (form.get("refresh_token") !== live) live = undefined;
  if (live === undefined) return { status: 400, body: { error: "invalid_grant" } };
  const mint = auth.mints + 1;
  live = `refresh-${mint + 1}`;
  return { body: { access_token: `access-${mint}`, token_type: "Bearer", expires_in: 3600, refresh_token: live } };
});
const api = await startApi({ accepts: auth });

/** What a real service keeps in its database. */
const sessions = new Map([["alice", "refresh-1"]]);

const tokens = createTokenCache({
  grant: refreshTokenGrant({
    tokenEndpoint: auth.tokenEndpoint,
    clientId: "portal",
    clientSecret: "s3cret",
    refreshToken: sessions.get("alice")!,
    // Compare-and-swap: a row that somebody else has replaced is left alone.
    async onRotate(next, { replaced }) {
      if (sessions.get("alice") === replaced) sessions.set("alice", next);
    },
    current: () => sessions.get("alice"),
  }),
  origins: [api.origin],
});
const authFetch = createAuthFetch(tokens);

// Fifty requests at once, and again after the access token was revoked: one use of each refresh token.
const burst = (): Promise<Response[]> =>
  Promise.all(Array.from({ length: 50 }, (_, i) => authFetch(`${api.origin}/${i}`)));
for (const response of await burst()) assert.equal(response.status, 200);
auth.revokeAll();
for (const response of await burst()) assert.equal(response.status, 200);
assert.deepEqual(
  auth.requests.map(({ form }) => form.get("refresh_token")),
  ["refresh-1", "refresh-2"],
);
assert.equal(sessions.get("alice"), "refresh-3");
console.log(`requests: 100, refresh tokens used: ${auth.mints}, saved: ${sessions.get("alice")}`);

// The session is ended at the server: the refusal is terminal, whoever asks again is told so without a request.
live = undefined;
auth.revokeAll();
const failures = await Promise.allSettled([authFetch(api.origin), authFetch(api.origin)]);
await authFetch(api.origin).catch(() => undefined);
for (const failure of failures) {
  const error = failure.status === "rejected" ? findRemintError(failure.reason) : undefined;
  assert.ok(error instanceof TokenEndpointError && error.terminal);
}
assert.equal(auth.requests.length, 3);
console.log("session ended: sign in again, token requests: 1");

await Promise.all([api.close(), auth.close()]);
