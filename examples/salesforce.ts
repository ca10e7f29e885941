/**
 * Salesforce with client credentials. Each of its APIs says in its own way that a session is over: SOAP with a 500, the
 * first Bulk API with a 400, REST with a 401. Not every 401 means that.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createTokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";
import { salesforceClientCredentialsGrant, salesforceToken } from "remint/salesforce";
import { startApi, startAuthServer } from "remint/testing";

// Stand-ins for the org's login server and for its API. The answers are those of the documentation.
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
    loginUrl: login.origin, // In production: https://acme.my.salesforce.com
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

// This 401 is not about the session. The caller gets it, and the token stays.
org.respond({ status: 401, body: [{ message: "BlackTab users cannot perform API operations" }] });
assert.equal(await call("data/v60.0/query"), 401);
assert.equal(login.mints, 4);
console.log(`salesforce: calls: ${statuses.length + 1}, sessions that ended: 3, mints: ${login.mints}`);

await Promise.all([org.close(), login.close()]);
