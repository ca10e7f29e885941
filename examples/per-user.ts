/**
 * A token per user, and one client for all users. A pool has a cache for each user, and a function returns the cache of
 * the current user. The current user comes from AsyncLocalStorage, so it need not be passed to the code that uses the
 * client.
 *
 * @module
 */
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { clientCredentialsGrant, createTokenCache, createTokenPool } from "remint";
import { createAuthFetch } from "remint/fetch";
import { startApi, startAuthServer } from "remint/testing";

const auth = await startAuthServer();
const api = await startApi({ accepts: auth });

const pool = createTokenPool({
  create: (user) =>
    createTokenCache({
      grant: clientCredentialsGrant({
        tokenEndpoint: auth.tokenEndpoint,
        clientId: "portal",
        clientSecret: "s3cret",
        parameters: { requested_subject: user },
      }),
      origins: [api.origin],
    }),
  maxSize: 10_000,
});

const currentUser = new AsyncLocalStorage<string>();
const authFetch = createAuthFetch(() => {
  const user = currentUser.getStore();
  // No user is signed in: the request goes out without a token, and not with another user's.
  return user === undefined ? undefined : pool.get(user);
});

/** Code of the application that knows nothing of users and tokens. */
async function loadOrders(): Promise<number> {
  const response = await authFetch(`${api.origin}/orders`);
  return response.status;
}

const visits = ["alice", "bob", "alice", "bob", "alice", "bob"];
const statuses = await Promise.all(visits.map((user) => currentUser.run(user, loadOrders)));
assert.deepEqual(new Set(statuses), new Set([200]));
assert.equal(auth.mints, 2);

// Bob's token is revoked and replaced. Alice's stays.
const [alices, bobs] = await Promise.all(["alice", "bob"].map(async (user) => (await pool.get(user).get()).value));
auth.revoke(String(bobs));
assert.equal(await currentUser.run("bob", loadOrders), 200);
assert.equal(await currentUser.run("alice", loadOrders), 200);
assert.equal(pool.get("alice").peek()?.value, alices);
assert.equal(await loadOrders(), 401);
assert.deepEqual(
  auth.requests.map(({ form }) => form.get("requested_subject")),
  ["alice", "bob", "bob"],
);
console.log(`users: ${pool.size}, mints: ${auth.mints} (one of them for a revoked token), nobody signed in: 401`);

await pool.close();
await Promise.all([api.close(), auth.close()]);
