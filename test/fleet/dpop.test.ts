import { expect, test } from "vitest";
import {
  clientCredentials,
  createTokenCache,
  createTokenPool,
  refreshToken,
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

test("T26, S7: a token bound to a key of this process alone is not shared, with a key or a pool's key either", () => {
  const cache = (): TokenCache => {
    const grant = clientCredentials({ ...endpoint, dpop: dpop(), key: "portal" });
    return createTokenCache({ grant, origins, store });
  };
  const session = (): TokenCache => {
    const grant = refreshToken({ ...endpoint, dpop: dpop(), refreshToken: "rt-1" });
    return createTokenCache({ grant, origins, store });
  };
  expect(cache).toThrow(TypeError);
  expect(() => createTokenPool({ create: cache }).get("alice")).toThrow(/bound to a key of this process alone/);
  expect(() => createTokenPool({ create: session }).get("alice")).toThrow(/bound to a key of this process alone/);
});

test("T26: with a key that every process has it is", async () => {
  const privateKey = await jwk();
  const grant = clientCredentials({ ...endpoint, dpop: dpop({ privateKey }) });
  expect(() => createTokenCache({ grant, origins, store })).not.toThrow();
  const create = (): TokenCache => {
    const session = refreshToken({ ...endpoint, dpop: dpop({ privateKey }), refreshToken: "rt-1" });
    return createTokenCache({ grant: session, origins, store });
  };
  expect(() => createTokenPool({ create }).get("alice")).not.toThrow();
});
