/**
 * A user's token, renewed with a rotating refresh token. Each refresh token is good for one use. The next one is saved
 * before the access token that came with it is used, and the saved one is asked for before every refresh.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createTokenCache, findRemintError, refreshTokenGrant, TokenEndpointError } from "remint";
import { createAuthFetch } from "remint/fetch";
import { startApi, startAuthServer } from "remint/testing";

// An authorization server that rotates refresh tokens. It ends the session when a used one is presented again.
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

/** Stands for the sessions in the database of a real service. */
const sessions = new Map([["alice", "refresh-1"]]);

const tokens = createTokenCache({
  grant: refreshTokenGrant({
    tokenEndpoint: auth.tokenEndpoint,
    clientId: "portal",
    clientSecret: "s3cret",
    refreshToken: () => sessions.get("alice"),
    // Compare-and-swap: a refresh token that another process has saved meanwhile is not overwritten.
    async onRotate(next, { replaced }) {
      if (sessions.get("alice") === replaced) sessions.set("alice", next);
    },
  }),
  origins: [api.origin],
});
// By default the caller of a session that is over gets the API's own 401. This example shows the error.
const authFetch = createAuthFetch(tokens, { failedRenewal: "throw" });

// Fifty requests at once, and fifty more after the access token was revoked, use each refresh token once.
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

// The server ends the session. The refusal is terminal: further callers get it without a token request.
live = undefined;
auth.revokeAll();
const failures = await Promise.allSettled([authFetch(api.origin), authFetch(api.origin)]);
await authFetch(api.origin).catch(() => undefined);
for (const failure of failures) {
  const error = failure.status === "rejected" ? findRemintError(failure.reason) : undefined;
  assert.ok(error instanceof TokenEndpointError && error.terminal);
}
assert.equal(auth.requests.length, 3);

// The user signs in again. What the server answers to the sign-in is taken over, and requests are served at once.
live = "refresh-9";
await tokens.signIn({ access_token: "access-9", token_type: "Bearer", expires_in: 3600, refresh_token: live });
assert.equal(sessions.get("alice"), "refresh-9");
assert.equal(tokens.peek()?.value, "access-9");
console.log("session ended: sign in again, token requests: 1");

await Promise.all([api.close(), auth.close()]);
