/** The key of DPoP proofs: generated or given, its thumbprint, refused options, and that printing never shows it. */
import { inspect } from "node:util";
import { calculateJwkThumbprint, EmbeddedJWK, exportJWK, generateKeyPair, type JWK, jwtVerify } from "jose";
import { afterEach, describe, expect, test, vi } from "vitest";
import { clientCredentialsGrant, createTokenCache, isRemintError, refreshTokenGrant } from "remint";
import { dpop, type DpopAlgorithm, type DpopKey, type DpopOptions } from "remint/dpop";
import { definitionOf } from "../../src/core/grant.ts";
import { rejectionOf } from "../core/cache-under-test.ts";

const REQUEST = { method: "POST", url: "https://auth.example/token" } as const;

afterEach(() => vi.restoreAllMocks());

async function headerOf(key: DpopKey): Promise<{ alg: string; jwk: JWK }> {
  const proof = await key.prove(REQUEST);
  const options = { typ: "dpop+jwt", algorithms: ["ES256", "Ed25519", "EdDSA", "RS256", "PS256"] };
  const { protectedHeader } = await jwtVerify(proof?.headers["DPoP"] ?? "", EmbeddedJWK, options);
  return { alg: protectedHeader.alg, jwk: protectedHeader.jwk ?? {} };
}

async function privateJwk(alg: DpopAlgorithm): Promise<JWK> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return exportJWK(privateKey);
}

describe("a generated key", () => {
  test("S7: is generated once, at the first proof, for ES256, and cannot be exported", async () => {
    const generate = vi.spyOn(crypto.subtle, "generateKey");
    const key = dpop();
    expect(generate).not.toHaveBeenCalled();
    const [first, second] = await Promise.all([headerOf(key), headerOf(key)]);
    expect([first?.alg, second?.jwk]).toEqual(["ES256", first?.jwk]);
    expect(generate).toHaveBeenCalledTimes(1);
    const { privateKey } = (await generate.mock.results[0]!.value) as CryptoKeyPair;
    expect([privateKey.extractable, privateKey.usages]).toEqual([false, ["sign"]]);
    for (const format of ["jwk", "pkcs8"] as const) {
      await expect(crypto.subtle.exportKey(format, privateKey)).rejects.toThrow();
    }
  });

  test.each(["ES256", "Ed25519", "RS256", "PS256"] as const)(
    "signs with %s if that algorithm is given",
    async (algorithm) => {
      const { alg, jwk } = await headerOf(dpop({ algorithm }));
      expect(alg).toBe(algorithm);
      expect(Object.keys(jwk).filter((member) => !["kty", "crv", "x", "y", "n", "e"].includes(member))).toEqual([]);
    },
  );

  test("generating fails: the proof rejects, and the next proof generates again", async () => {
    vi.spyOn(crypto.subtle, "generateKey").mockRejectedValueOnce(new Error("no entropy"));
    const key = dpop();
    const error = await rejectionOf(headerOf(key));
    expect(isRemintError(error)).toBe(true);
    expect(error).toMatchObject({
      code: "ERR_GRANT",
      message: "no DPoP proof could be made",
      hint: "no DPoP proof could be made; see the cause",
      cause: { message: "no entropy" },
    });
    expect((await headerOf(key)).alg).toBe("ES256");
  });
});

describe("a given key", () => {
  test("a pair that is changed after the call: the pair that was given signs", async () => {
    const pair = { ...(await generateKeyPair("ES256")) };
    const key = dpop({ keyPair: pair });
    const { x } = await exportJWK(pair.publicKey);
    Object.assign(pair, await generateKeyPair("ES256"));
    expect((await headerOf(key)).jwk.x).toBe(x);
  });

  test("a URL with a default port, dots, a query and a fragment: the proof is for the URL as it is sent, without these", async () => {
    const signer = { alg: "ES256", sign: () => new Uint8Array(64) } as const;
    const publicKey = await exportJWK((await generateKeyPair("ES256")).publicKey);
    for (const key of [dpop(), dpop({ privateKey: signer, publicKey })]) {
      const proof = await key.prove({ method: "POST", url: "HTTPS://AUTH.example:443/a/../tok%20en%2f?key=hush#f" });
      const [, claims = ""] = proof!.headers["DPoP"]!.split(".");
      expect(JSON.parse(atob(claims))).toMatchObject({ htm: "POST", htu: "https://auth.example/tok%20en%2f" });
    }
  });

  test.each(["ES256", "Ed25519", "RS256", "PS256"] as const)(
    "as a pair for %s signs, and has no thumbprint",
    async (alg) => {
      const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: false });
      const key = dpop({ keyPair: { privateKey, publicKey }, algorithm: alg });
      const header = await headerOf(key);
      expect([header.alg, await calculateJwkThumbprint(header.jwk)]).toEqual([
        alg,
        await calculateJwkThumbprint(await exportJWK(publicKey)),
      ]);
      expect(key.thumbprint).toBeUndefined();
    },
  );

  test.each(["ES256", "Ed25519", "RS256", "PS256"] as const)(
    "as a JWK for %s has its thumbprint at once, and the proof has no private member",
    async (alg) => {
      const jwk = await privateJwk(alg);
      const key = dpop({ privateKey: { ...jwk, alg, use: "sig", key_ops: ["sign"], kid: "1" } });
      expect(key.thumbprint).toBe(await calculateJwkThumbprint(jwk));
      const header = await headerOf(key);
      expect([header.alg, await calculateJwkThumbprint(header.jwk)]).toEqual([alg, key.thumbprint]);
      for (const member of ["d", "p", "q", "dp", "dq", "qi"]) expect(header.jwk).not.toHaveProperty(member);
    },
  );

  test("S7: as a JWK is imported once and as not extractable; later changes of the object have no effect", async () => {
    const load = vi.spyOn(crypto.subtle, "importKey");
    const jwk = { ...(await privateJwk("ES256")) } as Record<string, unknown>;
    const key = dpop({ privateKey: jwk });
    for (const member of Object.keys(jwk)) delete jwk[member];
    await headerOf(key);
    await headerOf(key);
    const [secret] = load.mock.calls.filter(([, parts]) => "d" in parts);
    expect(secret?.[3]).toBe(false);
    expect(load.mock.calls.filter(([, parts]) => "d" in parts)).toHaveLength(1);
  });

  test("as an RSA JWK signs with the option `algorithm`, else the JWK's alg, else RS256", async () => {
    const jwk = await privateJwk("PS256");
    const algs = [dpop({ privateKey: jwk }), dpop({ privateKey: { ...jwk, alg: "PS256" } })].map(headerOf);
    const chosen = headerOf(dpop({ privateKey: { ...jwk, alg: "RS256" }, algorithm: "PS256" }));
    expect((await Promise.all([...algs, chosen])).map(({ alg }) => alg)).toEqual(["RS256", "PS256", "PS256"]);
  });

  test("as a damaged JWK fails at the first proof, and the error shows nothing of the key", async () => {
    const jwk = await privateJwk("ES256");
    const error = await rejectionOf(headerOf(dpop({ privateKey: { ...jwk, d: "AAAA" } })));
    expect(error).toMatchObject({ code: "ERR_GRANT" });
    expect(String((error as Error).cause)).toMatch(/"privateKey" could not be imported/);
    expect(inspect(error)).not.toContain(jwk.x);
  });
});

async function wrong(): Promise<[options: unknown, message: RegExp][]> {
  const jwk = await privateJwk("ES256");
  const { privateKey, publicKey } = await generateKeyPair("ES256");
  const es384 = await generateKeyPair("ES384", { extractable: true });
  return [
    [null, /^dpop takes options/],
    [{ algorithm: "HS256" }, /"algorithm" must be one of ES256, Ed25519, RS256, PS256/],
    [{ keyPair: { privateKey, publicKey }, privateKey: jwk }, /"privateKey" must not be given together/],
    [{ keyPair: {} }, /"keyPair" must be a pair of CryptoKeys whose privateKey may sign/],
    [{ keyPair: "pem" }, /"keyPair"/],
    [{ keyPair: { privateKey: publicKey, publicKey } }, /privateKey may sign/],
    [{ keyPair: { privateKey, publicKey: privateKey } }, /publicKey can be exported/],
    [
      { keyPair: { privateKey, publicKey }, algorithm: "PS256" },
      /"keyPair" must be a pair for PS256, got one for ES256/,
    ],
    [{ keyPair: es384 }, /"keyPair" must be a pair for one of .*, got one for ECDSA/],
    [{ privateKey: "pem" }, /"privateKey" must be a private JWK, got a string/],
    [{ privateKey: { ...jwk, d: undefined } }, /whose "d" is undefined/],
    [{ privateKey: { ...jwk, y: undefined } }, /whose "y" is undefined/],
    [{ privateKey: jwk, algorithm: "RS256" }, /"algorithm" must be ES256 for this "privateKey"/],
    [{ privateKey: await exportJWK(es384.privateKey) }, /"privateKey" must be a private JWK on P-256 or Ed25519/],
    [{ privateKey: { kty: "oct", k: "c2VjcmV0" } }, /"privateKey" must be a private JWK on P-256/],
  ];
}

describe("wrong options", () => {
  test("of dpop() are a TypeError that names the option and shows nothing of the key", async () => {
    for (const [options, message] of await wrong()) {
      const make = (): unknown => dpop(options as DpopOptions);
      expect(make).toThrow(TypeError);
      expect(make).toThrow(message);
      const { d } = Object((options as DpopOptions | null)?.privateKey) as { d?: string };
      if (d !== undefined) expect(make).not.toThrow(d);
    }
  });

  test("of a grant are a TypeError: a `dpop` that is no key, and a DPoP header beside `dpop`", () => {
    const options = { tokenEndpoint: "https://auth.example/token", clientId: "a", clientSecret: "b" };
    for (const key of ["jwk", {}, null]) {
      expect(() => clientCredentialsGrant({ ...options, dpop: key as never })).toThrow(/"dpop" must be what dpop\(\)/);
    }
    expect(() => clientCredentialsGrant({ ...options, dpop: dpop(), headers: { DPoP: "x" } })).toThrow(
      /"headers".*"dpop"/,
    );
  });
});

describe("a key and its grant", () => {
  test("S5, S7: printing the key, the grant, the cache or copies of them shows nothing of the key", async () => {
    const jwk = await privateJwk("ES256");
    const key = dpop({ privateKey: jwk });
    const options = { tokenEndpoint: "https://auth.example/token", clientId: "a", clientSecret: "b", dpop: key };
    await headerOf(key);
    const grants = [clientCredentialsGrant(options), refreshTokenGrant({ ...options, refreshToken: "r", key: "user" })];
    const caches = grants.map((grant) => createTokenCache({ grant, origins: "any" }));
    const held = [key, Object.assign({}, key), options, ...grants, ...grants.map((grant) => ({ ...grant })), ...caches];
    for (const value of held) {
      const printed = inspect(value, { depth: 10, showHidden: true }) + JSON.stringify(value);
      for (const part of [jwk.d, jwk.x, jwk.y]) expect(printed).not.toContain(part);
    }
    expect([inspect(key), JSON.stringify(key)]).toEqual(["DpopKey [redacted]", '"[redacted]"']);
  });

  test("the grant's key contains a JWK's thumbprint; for other DPoP keys the grant has none, or says that it cannot be shared", async () => {
    const privateKey = await privateJwk("ES256");
    const options = { tokenEndpoint: "https://auth.example/token", clientId: "a", clientSecret: "b" };
    const keyPair = await generateKeyPair("ES256");
    const keyOf = (key: DpopKey | undefined, name?: string): string | undefined =>
      definitionOf(clientCredentialsGrant({ ...options, dpop: key, key: name })).key;
    const named = dpop({ privateKey });
    expect(keyOf(named)).toContain(named.thumbprint);
    expect(keyOf(named)).toBe(keyOf(dpop({ privateKey })));
    const other = dpop({ privateKey: await privateJwk("ES256") });
    expect(new Set([keyOf(undefined), keyOf(named), keyOf(other), keyOf(named, "name")]).size).toBe(4);
    for (const unnamed of [dpop(), dpop({ keyPair })]) {
      expect([keyOf(unnamed), keyOf(unnamed, "name")]).toEqual([undefined, undefined]);
      const { key, proofKey } = definitionOf(
        refreshTokenGrant({ ...options, refreshToken: "r", key: "user", dpop: unnamed }),
      );
      // The key names the session. That no other process can use its tokens is said beside it.
      expect([key, proofKey]).toEqual(["user", { thumbprint: undefined }]);
    }
    expect(
      definitionOf(refreshTokenGrant({ ...options, refreshToken: "r", key: "user", dpop: named })).proofKey,
    ).toEqual({ thumbprint: named.thumbprint });
    expect(JSON.stringify(keyOf(named))).not.toContain(privateKey.d);
  });
});
