/**
 * Salesforce: client credentials, and sessions that end in Salesforce's own ways: a 500 for SOAP, a 400 for the first Bulk
 * API, a 401 for REST, of which some are no reason for a new token.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createTokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";
import { salesforceClientCredentialsGrant, salesforceToken } from "remint/salesforce";
import { startApi, startAuthServer } from "remint/testing";

// The org's login server and its API, as their documented answers have them.
const login = await startAuthServer();
const org = await startApi({ accepts: login });
login.respondAlways(() => ({
  body: {
    access_token: `00Dx0000000BV7z!session-${login.mints + 1}`,
    instance_url: org.origin,
    token_type: "Bearer",
    issued_at: "1278448384422",
  },
}));

const tokens = createTokenCache({
  grant: salesforceClientCredentialsGrant({
    loginUrl: login.origin, // https://acme.my.salesforce.com
    instanceUrl: org.origin,
    clientId: "consumer-key",
    clientSecret: "consumer-secret",
  }),
});
const authFetch = createAuthFetch(tokens);
const call = async (path: string): Promise<number> => (await authFetch(`${org.origin}/services/${path}`)).status;

assert.equal(salesforceToken(await tokens.get()).issuedAt, 1_278_448_384_422);
const statuses = [await call("data/v60.0/query")];
login.revokeAll();
statuses.push(await call("data/v60.0/query"));
org.respond({ status: 500, body: "<faultcode>sf:INVALID_SESSION_ID</faultcode>" });
statuses.push(await call("Soap/u/60.0"));
org.respond({ status: 400, body: { exceptionCode: "InvalidSessionId" } });
statuses.push(await call("async/60.0/job"));
assert.deepEqual(statuses, [200, 200, 200, 200]);
assert.equal(login.mints, 4);

// Not about the session: the answer is the caller's, and the token stays.
org.respond({ status: 401, body: [{ message: "BlackTab users cannot perform API operations" }] });
assert.equal(await call("data/v60.0/query"), 401);
assert.equal(login.mints, 4);
console.log(`salesforce: calls: ${statuses.length + 1}, sessions that ended: 3, mints: ${login.mints}`);

await Promise.all([org.close(), login.close()]);
