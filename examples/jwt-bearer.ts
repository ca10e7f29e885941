/**
 * A token for a user who is not present. The service signs an assertion that names the user, a new one for every token
 * request.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createTokenCache, jwtBearerGrant } from "remint";
import { createAuthFetch } from "remint/fetch";
import { startApi, startAuthServer } from "remint/testing";

// The key of the service. The authorization server knows its public half.
const { privateKey, publicKey } = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, [
  "sign",
  "verify",
]);

const auth = await startAuthServer();
const seen = new Set<unknown>();
auth.respondAlways(async ({ form }) => {
  const [header = "", payload = "", signature = ""] = (form.get("assertion") ?? "").split(".");
  const isGood = await crypto.subtle.verify(
    { name: "ECDSA", hash: "SHA-256" },
    publicKey,
    Buffer.from(signature, "base64url"),
    Buffer.from(`${header}.${payload}`),
  );
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as Record<string, unknown>;
  if (!isGood || claims["aud"] !== auth.origin || seen.has(claims["jti"])) {
    return { status: 400, body: { error: "invalid_grant" } };
  }
  seen.add(claims["jti"]);
  const access_token = `token-${seen.size}-for-${String(claims["sub"])}`;
  return { body: { access_token, token_type: "Bearer", expires_in: 600 } };
});
const api = await startApi({ accepts: auth });

const tokens = createTokenCache({
  grant: jwtBearerGrant({
    tokenEndpoint: auth.tokenEndpoint,
    clientId: "reports",
    clientAuthentication: "none", // The assertion itself proves which service asks.
    assertion: { key: privateKey, issuer: "reports", subject: "alice", audience: auth.origin },
  }),
  origins: [api.origin],
});
const authFetch = createAuthFetch(tokens);

assert.equal((await authFetch(`${api.origin}/reports`)).status, 200);
auth.revokeAll();
assert.equal((await authFetch(`${api.origin}/reports`)).status, 200);
assert.equal(tokens.peek()?.value, "token-2-for-alice");
assert.equal(seen.size, 2);
console.log(`mints: ${auth.mints}, assertions: ${seen.size}, for: alice`);

await Promise.all([api.close(), auth.close()]);
