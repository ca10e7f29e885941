/** DPoP keys and a fleet: a token bound to a key can be shared only if every process has that key. */
import { expect, test } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  createTokenPool,
  refreshTokenGrant,
  type TokenCache,
} from "../../src/index.ts";
import { dpop } from "../../src/dpop/index.ts";
import { fleetStore, memoryStore } from "../../src/fleet/index.ts";

const endpoint = { tokenEndpoint: "https://auth.example/token", clientId: "portal", clientSecret: "s3cret" };
const store = fleetStore(memoryStore(), { encryptionKey: "none" });
const origins = ["https://api.example"];

async function jwk(): Promise<JsonWebKey> {
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  return crypto.subtle.exportKey("jwk", pair.privateKey);
}

/** Creates a cache whose token is bound to a DPoP key that only this process has. */
function cache(): TokenCache {
  const grant = clientCredentialsGrant({ ...endpoint, dpop: dpop(), key: "portal" });
  return createTokenCache({ grant, origins, store });
}

/** Creates a cache for a session that is bound to a DPoP key that only this process has. */
function session(): TokenCache {
  const grant = refreshTokenGrant({ ...endpoint, dpop: dpop(), refreshToken: "rt-1" });
  return createTokenCache({ grant, origins, store });
}

test("S7: a token bound to a key of this process alone: a store is refused, with a grant's key and in a pool", () => {
  expect(cache).toThrow(TypeError);
  expect(() => createTokenPool({ create: cache }).get("alice")).toThrow(/bound to a key of this process alone/);
  expect(() => createTokenPool({ create: session }).get("alice")).toThrow(/bound to a key of this process alone/);
});

test("a token bound to a private key that every process has: a store is accepted", async () => {
  const privateKey = await jwk();
  const grant = clientCredentialsGrant({ ...endpoint, dpop: dpop({ privateKey }) });
  expect(() => createTokenCache({ grant, origins, store })).not.toThrow();
  const create = (): TokenCache => {
    const shared = refreshTokenGrant({ ...endpoint, dpop: dpop({ privateKey }), refreshToken: "rt-1" });
    return createTokenCache({ grant: shared, origins, store });
  };
  expect(() => createTokenPool({ create }).get("alice")).not.toThrow();
});
