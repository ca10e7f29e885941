import { decodeProtectedHeader, exportJWK, exportPKCS8, generateKeyPair, jwtVerify } from "jose";
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { signingKey } from "../../src/base/keys.ts";
import { signedJwt } from "../../src/oauth/client-authentication.ts";
import { hasOpenssl } from "../oauth/certificates.ts";
import type { JWTVerifyResult } from "jose";
import type { SigningAlgorithm, SigningKey } from "../../src/base/keys.ts";

const ALGORITHMS = [
  "ES256",
  "ES384",
  "ES512",
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "EdDSA",
  "Ed25519",
] as const;

interface Pair {
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
}
const pairs = new Map<SigningAlgorithm, Pair>();
beforeAll(async () => {
  for (const alg of ALGORITHMS) pairs.set(alg, await generateKeyPair(alg, { extractable: true }));
});
afterEach(() => {
  vi.restoreAllMocks();
});

function pair(alg: SigningAlgorithm): Pair {
  return pairs.get(alg) ?? expect.fail(`no ${alg} key`);
}

async function signedBy(alg: SigningAlgorithm, key: SigningKey, more: object = {}): Promise<JWTVerifyResult> {
  const jwt = await signedJwt(await signingKey({ key, ...more })(), { sub: "a" });
  return jwtVerify(jwt, pair(alg).publicKey, { algorithms: [alg] });
}

describe.each(ALGORITHMS)("%s signs what another implementation verifies", (alg) => {
  it("with a CryptoKey that is not extractable", async () => {
    const { privateKey } = pair(alg);
    const fixed = await crypto.subtle.importKey("jwk", await exportJWK(privateKey), privateKey.algorithm, false, [
      "sign",
    ]);
    expect((await signedBy(alg, fixed, { alg })).payload.sub).toBe("a");
  });

  it("with a JWK that has other members too, and with a PEM", async () => {
    const { privateKey } = pair(alg);
    const jwk = { ...(await exportJWK(privateKey)), alg, kid: "k", use: "sig", key_ops: ["verify"], ext: false };
    expect((await signedBy(alg, jwk)).protectedHeader).toEqual({ alg, kid: "k" });
    expect((await signedBy(alg, await exportPKCS8(privateKey), { alg })).protectedHeader).toEqual({ alg });
  });
});

describe("default algorithms and key ids", () => {
  it.each(["ES256", "ES384", "ES512", "RS256", "EdDSA"] as const)(
    "%s is the default algorithm of its kind of key",
    async (alg) => {
      const { privateKey } = pair(alg);
      const { alg: _, ...jwk } = await exportJWK(privateKey);
      for (const form of [jwk, await exportPKCS8(privateKey)])
        expect((await signedBy(alg, form)).protectedHeader.alg).toBe(alg);
    },
  );

  it("a CryptoKey is used with its own algorithm", async () => {
    expect((await signedBy("PS384", pair("PS384").privateKey)).protectedHeader.alg).toBe("PS384");
  });

  it("a given kid takes precedence over the JWK's own", async () => {
    const jwk = { ...(await exportJWK(pair("ES256").privateKey)), kid: "own" };
    expect((await signedBy("ES256", jwk, { kid: "given" })).protectedHeader.kid).toBe("given");
  });
});

describe("loading a key", () => {
  it("a key is imported when it is first needed, and once", async () => {
    const importKey = vi.spyOn(crypto.subtle, "importKey");
    const key = signingKey({ key: await exportPKCS8(pair("ES256").privateKey) });
    expect(importKey).not.toHaveBeenCalled();
    await Promise.all([key(), key()]);
    await key();
    expect(importKey).toHaveBeenCalledOnce();
    expect(importKey.mock.calls[0]?.[3]).toBe(false);
  });

  it("a function is called every time, and its key is imported when it differs from the last one", async () => {
    const first = await exportPKCS8(pair("ES256").privateKey);
    const second = await exportPKCS8(pair("RS256").privateKey);
    const importKey = vi.spyOn(crypto.subtle, "importKey");
    const source = vi.fn<() => Promise<string>>().mockResolvedValue(second);
    source.mockResolvedValueOnce(first).mockResolvedValueOnce(first);
    const key = signingKey({ key: source });
    expect(source).not.toHaveBeenCalled();
    const algs = [(await key()).alg, (await key()).alg, (await key()).alg, (await key()).alg];
    expect(algs).toEqual(["ES256", "ES256", "RS256", "RS256"]);
    expect(importKey).toHaveBeenCalledTimes(2);
  });

  it("a PEM may have its line ends written as \\n, as environment variables do", async () => {
    const pem = (await exportPKCS8(pair("ES256").privateKey)).replaceAll("\n", "\\n");
    expect((await signedBy("ES256", pem)).payload.sub).toBe("a");
  });

  it("every JWT has a jti of its own and lives for at most 60 s", async () => {
    const key = await signingKey({ key: pair("ES256").privateKey })();
    const jwts = await Promise.all([signedJwt(key, { aud: "x" }), signedJwt(key, { aud: "x" })]);
    const [one, two] = await Promise.all(jwts.map((jwt) => jwtVerify(jwt, pair("ES256").publicKey)));
    expect(one?.payload.jti).not.toBe(two?.payload.jti);
    expect((one?.payload.exp ?? 0) - (one?.payload.iat ?? 0)).toBe(60);
    expect(one?.payload).not.toHaveProperty("nbf");
    expect(decodeProtectedHeader(jwts[0] ?? "")).toEqual({ alg: "ES256" });
  });
});

/** Returns the message of the TypeError that a wrong key leads to. */
function typeErrorOf(text: string): string {
  try {
    signingKey({ key: text });
  } catch (error) {
    expect(error).toBeInstanceOf(TypeError);
    return (error as Error).message;
  }
  return expect.fail("the key was accepted");
}

describe("older forms of PEM are a TypeError with the command that converts them", () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const format = "pem" as const;
  const forms: [name: string, text: string][] = [
    ["RSA PRIVATE KEY", String(rsa.export({ type: "pkcs1", format }))],
    ["EC PRIVATE KEY", String(ec.export({ type: "sec1", format }))],
    ["ENCRYPTED PRIVATE KEY", String(ec.export({ type: "pkcs8", format, cipher: "aes-256-cbc", passphrase: "hush" }))],
  ];

  it.each(forms)("%s", (name, text) => {
    expect(typeErrorOf(text)).toMatch(/: openssl pkcs8 -topk8 -nocrypt -in key.pem -out key.pkcs8.pem$/);
    expect(typeErrorOf(text)).toContain(`got "BEGIN ${name}"`);
    const secret = text.split("\n")[1] ?? expect.fail();
    expect(typeErrorOf(text)).not.toContain(secret);
  });

  it.runIf(hasOpenssl).each(forms)("%s: the command makes a key that is accepted", async (_name, text) => {
    const folder = mkdtempSync(join(tmpdir(), "remint-key-"));
    try {
      writeFileSync(join(folder, "key.pem"), text);
      const [command = "", ...words] = typeErrorOf(text)
        .replace(/^.*: (?=openssl)/, "")
        .split(" ");
      const { status, stderr } = spawnSync(command, [...words, "-passin", "pass:hush"], { cwd: folder });
      expect({ status, stderr: String(stderr) }).toEqual({ status: 0, stderr: "" });
      const key = await signingKey({ key: readFileSync(join(folder, "key.pkcs8.pem"), "utf8") })();
      expect(await signedJwt(key, {})).toMatch(/^\S+\.\S+\.\S+$/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("a wrong key is a TypeError that shows nothing of the key", () => {
  const cases: [name: string, options: () => Promise<object>, message: RegExp][] = [
    ["no key", async () => ({}), /"key" must be a CryptoKey that may sign, .* got undefined/],
    [
      "a string that is no PEM",
      async () => ({ key: "hush" }),
      /"key" must be a PEM with .* got a string that is not one$/,
    ],
    [
      "a damaged PEM",
      async () => ({ key: "-----BEGIN PRIVATE KEY-----\n*hush*\n-----END PRIVATE KEY-----" }),
      /"key" must be a PEM/,
    ],
    ["an object", async () => ({ key: { hush: 1 } }), /"key" must be .* got an object/],
    ["a public CryptoKey", async () => ({ key: pair("ES256").publicKey }), /got a public CryptoKey/],
    [
      "a public JWK",
      async () => ({ key: await exportJWK(pair("ES256").publicKey) }),
      /got a JWK without its private part/,
    ],
    ["a symmetric JWK", async () => ({ key: { kty: "oct", k: "hush", d: "hush" } }), /"key" must be an RSA, P-256/],
    [
      "an unknown curve",
      async () => ({ key: { kty: "EC", crv: "secp256k1", d: "hush" } }),
      /"key" must be an RSA, P-256/,
    ],
    [
      "a key of another algorithm",
      async () => ({ key: pair("ES256").privateKey, alg: "RS256" }),
      /is a CryptoKey for ECDSA, which cannot sign RS256/,
    ],
    [
      "RS256 with a PSS key",
      async () => ({ key: pair("PS256").privateKey, alg: "RS256" }),
      /is a CryptoKey for RSA-PSS, which/,
    ],
    [
      "a PEM of another kind",
      async () => ({ key: await exportPKCS8(pair("RS256").privateKey), alg: "ES256" }),
      /"alg" must be one of RS256, .* for this key \(RSA\), got ES256/,
    ],
    [
      "an unknown alg",
      async () => ({ key: pair("ES256").privateKey, alg: "HS256" }),
      /"alg" must be one of ES256, .* got a string/,
    ],
    ["an empty kid", async () => ({ key: pair("ES256").privateKey, kid: "" }), /"kid" must be a non-empty string/],
    [
      "an X25519 key",
      async () => ({ key: generateKeyPairSync("x25519").privateKey.export({ type: "pkcs8", format: "pem" }) }),
      /"key" must be an RSA, P-256/,
    ],
    [
      "a CryptoKey that may only derive",
      async () => ({
        key: (await crypto.subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, false, ["deriveBits"])).privateKey,
      }),
      /a CryptoKey without "sign" among its usages/,
    ],
  ];
  it.each(cases)("%s", async (_name, options, message) => {
    const given = (await options()) as Parameters<typeof signingKey>[0];
    expect(() => signingKey(given)).toThrow(TypeError);
    expect(() => signingKey(given)).toThrow(message);
    expect(() => signingKey(given)).not.toThrow(/hush/);
  });

  it("a JWK with damaged parts is refused when it is imported, without the platform's error as cause", async () => {
    const jwk = { ...(await exportJWK(pair("ES256").privateKey)), d: "hush" };
    const error: unknown = await signingKey({ key: jwk })().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({
      message: '"key" could not be imported as a private key for ES256: it is damaged, or incomplete',
    });
    expect((error as Error).cause).toBeUndefined();
  });
});
