/**
 * Chalk: `chalkGrant` does the token exchange, finds the engine of an environment, and sets the environment header.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createTokenCache } from "remint";
import { chalkGrant, chalkToken } from "remint/chalk";
import { createAuthFetch } from "remint/fetch";
import { startApi, startAuthServer } from "remint/testing";

// Stand-ins for Chalk's API server and for the query engine of one environment. The answers are those of its
// documentation.
const chalkServer = await startAuthServer();
const engine = await startApi({ accepts: chalkServer });
chalkServer.respondAlways(() => ({
  body: {
    access_token: `chalk-${chalkServer.mints + 1}`,
    expires_in: 3600,
    primary_environment: "env-abc",
    engines: { "env-abc": engine.origin },
    environment_id_to_name: { "env-abc": "production" },
  },
}));

// In production CHALK_CLIENT_ID and CHALK_CLIENT_SECRET are set. Then `chalkGrant()` needs no options.
const grant = chalkGrant({ clientId: "client", clientSecret: "s3cret", apiServer: chalkServer.origin });
// The example asks another host without a token on purpose.
const tokens = createTokenCache({ grant, warnings: false });
const authFetch = createAuthFetch(tokens);

const queryUrl = `${chalkToken(await tokens.get()).engineFor("production")}/v1/query/online`;
const query = { method: "POST", body: JSON.stringify({ inputs: { "user.id": 1 }, outputs: ["user.score"] }) };
const first = await authFetch(queryUrl, query);
chalkServer.revokeAll();
const second = await authFetch(queryUrl, query);

assert.deepEqual([first.status, second.status], [200, 200]);
assert.ok(engine.requests.every(({ headers, text }) => headers["x-chalk-env-id"] === "env-abc" && text === query.body));
// Chalk's token is not sent to any other origin.
const elsewhere = await startApi({ accepts: () => true });
await authFetch(elsewhere.origin);
assert.equal(elsewhere.requests[0]?.token, undefined);
console.log(`chalk: queries: 2, exchanges: ${chalkServer.mints}, environment: env-abc`);

await Promise.all([chalkServer, engine, elsewhere].map((server) => server.close()));
