/**
 * DPoP (RFC 9449): the token is bound to a key of this process. Every request carries a proof that its sender has the
 * key. Both servers here verify the proofs, and each asks for a nonce.
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

// A server verifies a proof with the key that is inside it. Then it compares method and URL with those of the request.
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

/** The thumbprint of the key to which each token is bound. */
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
    dpop: dpop(), // A key that is generated here and cannot be exported. Or your own: { keyPair }, { privateKey: jwk }.
  }),
  origins: [api.origin],
});
const authFetch = createAuthFetch(tokens);

// Each server asks for its nonce once, which costs one more request. The next request already has the API's nonce.
assert.equal((await authFetch(`${api.origin}/orders?page=1`)).status, 200);
assert.deepEqual([auth.requests.length, api.requests.length], [2, 2]);
assert.equal((await authFetch(`${api.origin}/orders`, { method: "POST", body: "order" })).status, 200);
assert.equal(api.requests.length, 3);

// A revoked token is replaced, as without DPoP.
auth.revokeAll();
assert.equal((await authFetch(`${api.origin}/orders`)).status, 200);
assert.equal(auth.mints, 2);

// A thief who has seen a request can do nothing with its token: they do not have the key.
const stolen = api.requests.at(-1)?.headers.authorization ?? "";
const other = await dpop().prove({ method: "GET", url: `${api.origin}/orders`, token: await tokens.get() });
const thief = await fetch(`${api.origin}/orders`, { headers: { authorization: stolen, ...other?.headers } });
assert.equal(thief.status, 401);

console.log(`dpop: calls: 3, mints: ${auth.mints}, a stolen token with another key: ${thief.status}`);
await Promise.all([api.close(), auth.close()]);
