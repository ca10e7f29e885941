/**
 * A service calls another service for the user who called it. It exchanges the user's token for one that the other
 * service accepts. The new token is not kept longer than the user's token is good.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createTokenCache, createTokenPool, tokenExchangeGrant } from "remint";
import { createAuthFetch } from "remint/fetch";
import { startApi, startAuthServer } from "remint/testing";

const TYPE = "urn:ietf:params:oauth:token-type:";
const auth = await startAuthServer();
auth.respondAlways(({ form }) => ({
  body: {
    access_token: `for-${form.get("audience")}-from-${form.get("subject_token")}`,
    token_type: "Bearer",
    issued_token_type: `${TYPE}access_token`,
    expires_in: 3600,
  },
}));
const billing = await startApi({ accepts: auth });

/** The users' tokens from the incoming requests, and when they expire. */
const incoming = new Map([
  ["alice", { token: "alices-token", endsAt: Date.now() + 300_000 }],
  ["bob", { token: "bobs-token", endsAt: Date.now() + 7_200_000 }],
]);

const pool = createTokenPool({
  create: (user) =>
    createTokenCache({
      grant: tokenExchangeGrant({
        tokenEndpoint: auth.tokenEndpoint,
        clientId: "orders-service",
        clientSecret: "s3cret",
        // A function, so that the next exchange uses the newest token of the user.
        subjectToken: () => incoming.get(user)!.token,
        subjectExpiresAt: () => incoming.get(user)!.endsAt,
        audience: "billing",
        key: user,
      }),
      origins: [billing.origin],
    }),
});

for (const user of ["alice", "bob", "alice", "bob"]) {
  const response = await createAuthFetch(pool.get(user))(`${billing.origin}/invoices`);
  assert.equal(response.status, 200);
}
assert.deepEqual(
  billing.requests.map(({ token }) => token),
  [
    "for-billing-from-alices-token",
    "for-billing-from-bobs-token",
    "for-billing-from-alices-token",
    "for-billing-from-bobs-token",
  ],
);

const minutes = (user: string): number => Math.round((pool.get(user).peek()!.expiresAt - Date.now()) / 60_000);
assert.deepEqual([minutes("alice"), minutes("bob")], [5, 60]);
console.log(`calls: 4, exchanges: ${auth.mints}, kept for minutes: alice ${minutes("alice")}, bob ${minutes("bob")}`);

await pool.close();
await Promise.all([billing.close(), auth.close()]);
