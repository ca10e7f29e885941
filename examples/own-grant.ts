/**
 * A server that does not speak OAuth. Any async function that returns `{ access_token, expires_in }` can be the grant.
 * remint adds the time limit, sharing, and the renewal after a 401. It does not call the function again by itself when a
 * call fails, because the function may use something up: `customGrant({ mintRetries })` permits it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createTokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";
import { startApi, startAuthServer } from "remint/testing";

// A login endpoint that takes JSON and answers with JSON, with its own names for the members.
const legacy = await startAuthServer();
let session: string | undefined;
legacy.respondAlways(({ path }) => {
  if (path !== "/login") return { status: 404 };
  session = `session-${legacy.requests.length}`;
  return { body: { jwt: session, validForMinutes: 15 } };
});
const api = await startApi({ accepts: (token) => token === session });

const tokens = createTokenCache({
  async grant({ signal }) {
    const credentials = { user: "robot", password: "s3cret" };
    const response = await fetch(`${legacy.origin}/login`, {
      method: "POST",
      body: JSON.stringify(credentials),
      signal,
    });
    // The status says whether the failure may pass: 503 makes the error retryable, 400 does not.
    if (!response.ok) throw Object.assign(new Error("the login failed"), { status: response.status });
    const { jwt, validForMinutes } = (await response.json()) as { jwt: string; validForMinutes: number };
    return { access_token: jwt, expires_in: validForMinutes * 60 };
  },
  origins: [api.origin],
});
const authFetch = createAuthFetch(tokens);

const statuses = await Promise.all(["/a", "/b"].map(async (path) => (await authFetch(api.origin + path)).status));
// The server ends the session before the token expires.
session = undefined;
statuses.push((await authFetch(`${api.origin}/c`)).status);

assert.deepEqual(statuses, [200, 200, 200]);
assert.equal((await tokens.get()).value, "session-2");
assert.equal(legacy.requests.length, 2);
console.log(`calls: ${statuses.join(", ")}, logins: ${legacy.requests.length}, one session ended by the server`);

await Promise.all([api.close(), legacy.close()]);
