// remint without a network: the servers are those of remint/testing, on this machine. An API accepts a token, then its tokens
// are revoked, and the next request gets a new one. Plain JavaScript, so that it runs from node_modules:
// node node_modules/remint/examples/quick-start.mjs
import assert from "node:assert/strict";
import { clientCredentialsGrant, createTokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";
import { startApi, startAuthServer } from "remint/testing";

const auth = await startAuthServer();
const api = await startApi({ accepts: auth });
const { tokenEndpoint } = auth;
const grant = clientCredentialsGrant({ tokenEndpoint, clientId: "me", clientSecret: "s3cret" });
const authFetch = createAuthFetch(createTokenCache({ grant, origins: [api.origin] }));

await authFetch(`${api.origin}/orders`);
auth.revokeAll();
await authFetch(`${api.origin}/orders`);

const [first, rejected, again] = api.requests.map((request) => request.status);
console.log(`${first}, ${rejected} -> new token -> ${again}, token requests: ${auth.requests.length}`);
await Promise.all([api.close(), auth.close()]);

// Each example checks its own outcome and fails when it is wrong.
assert.deepEqual([first, rejected, again, auth.requests.length], [200, 401, 200, 2]);
