/**
 * DPoP (RFC 9449): the token is bound to a key of this process, and every request proves that its sender has it. Both servers
 * here verify the proofs, and want nonces of their own.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify } from "jose";
import { clientCredentialsGrant, createTokenCache } from "remint";
import { dpop } from "remint/dpop";
import { createAuthFetch } from "remint/fetch";
import { startApi, startAuthServer, type ApiRequest, type TokenRequest } from "remint/testing";

const auth = await startAuthServer();
const api = await startApi({ accepts: auth });

// What servers do with a proof: verify it with the key inside it, then compare what it says with the request.
async function proofIn({ headers, method }: ApiRequest | TokenRequest, url: string): Promise<Proof> {
  const { payload, protectedHeader } = await jwtVerify(String(headers["dpop"]), EmbeddedJWK, { typ: "dpop+jwt" });
  assert.deepEqual([payload["htm"], payload["htu"]], [method, url]);
  return { ...payload, key: await calculateJwkThumbprint(protectedHeader.jwk ?? {}) };
}
interface Proof {
  readonly key: string;
  readonly ath?: string;
  readonly nonce?: string;
}

/** Which key each token is bound to. */
const bindings = new Map<string, string>();

auth.respondAlways(async (request) => {
  const { key, nonce } = await proofIn(request, auth.tokenEndpoint);
  if (nonce !== "auth-1") {
    return { status: 400, headers: { "dpop-nonce": "auth-1" }, body: { error: "use_dpop_nonce" } };
  }
  const access_token = `bound-${auth.mints + 1}`;
  bindings.set(access_token, key);
  return { body: { access_token, token_type: "DPoP", expires_in: 3600 } };
});

api.respondAlways(async (request) => {
  const [, token = ""] = /^DPoP (\S+)$/.exec(request.headers.authorization ?? "") ?? [];
  const { key, ath, nonce } = await proofIn(request, api.origin + request.url.replace(/\?.*/s, ""));
  const isBound = bindings.get(token) === key && ath === createHash("sha256").update(token).digest("base64url");
  const error = nonce !== "api-1" ? "use_dpop_nonce" : auth.isLive(token) && isBound ? undefined : "invalid_token";
  if (error === undefined) return { body: { ok: true } };
  return { status: 401, headers: { "www-authenticate": `DPoP error="${error}"`, "dpop-nonce": "api-1" } };
});

const tokens = createTokenCache({
  grant: clientCredentialsGrant({
    tokenEndpoint: auth.tokenEndpoint,
    clientId: "orders-service",
    clientSecret: "s3cret",
    dpop: dpop(), // generated here, cannot be exported; or { keyPair }, { privateKey: jwk }
  }),
  origins: [api.origin],
});
const authFetch = createAuthFetch(tokens);

// The nonces cost one request more each, once. The next request has the API's already.
assert.equal((await authFetch(`${api.origin}/orders?page=1`)).status, 200);
assert.deepEqual([auth.requests.length, api.requests.length], [2, 2]);
assert.equal((await authFetch(`${api.origin}/orders`, { method: "POST", body: "order" })).status, 200);
assert.equal(api.requests.length, 3);

// A token that is revoked is replaced, as always.
auth.revokeAll();
assert.equal((await authFetch(`${api.origin}/orders`)).status, 200);
assert.equal(auth.mints, 2);

// What was on the wire is worth nothing to who has seen it: the proof was for that request, and the key is not there.
const stolen = api.requests.at(-1)?.headers.authorization ?? "";
const other = await dpop().prove({ method: "GET", url: `${api.origin}/orders`, token: await tokens.get() });
const thief = await fetch(`${api.origin}/orders`, { headers: { authorization: stolen, ...other?.headers } });
assert.equal(thief.status, 401);

console.log(`dpop: calls: 3, mints: ${auth.mints}, a stolen token with another key: ${thief.status}`);
await Promise.all([api.close(), auth.close()]);
