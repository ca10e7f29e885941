import assert from "node:assert/strict";
import axios from "axios";
import { clientCredentialsGrant, createTokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { startApi, startAuthServer } from "remint/testing";

const auth = await startAuthServer();
const api = await startApi({ accepts: auth });
const grant = clientCredentialsGrant({ tokenEndpoint: auth.tokenEndpoint, clientId: "me", clientSecret: "s3cret" });
axios.interceptors.request.use(createAuthInterceptor(createTokenCache({ grant, origins: [api.origin] })));

await axios.get(`${api.origin}/orders`);
auth.revokeAll();
await axios.get(`${api.origin}/orders`);

const [first, rejected, again] = api.requests.map((request) => request.status);
console.log(`${first}, ${rejected} -> re-mint -> ${again}, mints: ${auth.mints}`);
await Promise.all([api.close(), auth.close()]);

// The code above is the README's first example. Each example checks its own outcome and fails when it is wrong.
assert.deepEqual([first, rejected, again, auth.mints], [200, 401, 200, 2]);
