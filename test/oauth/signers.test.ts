/** Keys that sign: those that stay in a KMS, headers of assertions, keys that rotate, clocks that differ, keys that cannot be used. */
import { createPublicKey, createSign, generateKeyPairSync, sign as signWith } from "node:crypto";
import { decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair, importJWK, jwtVerify } from "jose";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { clientCredentialsGrant, jwtBearerGrant, privateKeyJwt, refreshTokenGrant, type Signer } from "remint";
import { dpop } from "remint/dpop";
import { mintOnce } from "../grants/one-mint.ts";
import { json, startTokenServer } from "../grants/token-server.ts";
import type { JWK } from "jose";
import type { TokenServer } from "../grants/token-server.ts";

const TOKEN = { access_token: "a", token_type: "Bearer" };

let publicJwk: JWK;
/** Signs as a KMS does: the key is known to the function only. */
let kms: Signer;
beforeAll(() => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  publicJwk = createPublicKey(privateKey).export({ format: "jwk" });
  kms = {
    alg: "ES256",
    kid: "kms-1",
    sign: async (bytes) => new Uint8Array(signWith("sha256", bytes, { key: privateKey, dsaEncoding: "ieee-p1363" })),
  };
});

function startServer(): Promise<TokenServer> {
  return startTokenServer((response) => json(response, 200, TOKEN));
}

describe("a signer { alg, kid, sign }", () => {
  test("privateKeyJwt: the assertion is signed by it, has its kid, and the members of `header`", async () => {
    const server = await startServer();
    const clientAuthentication = privateKeyJwt({ key: kms, header: { "x5t#S256": "thumb" } });
    await mintOnce(clientCredentialsGrant({ tokenEndpoint: server.origin, clientId: "orders", clientAuthentication }));
    const assertion = server.first().form.get("client_assertion")!;
    const { payload, protectedHeader } = await jwtVerify(assertion, await importJWK(publicJwk, "ES256"), {
      audience: `${server.origin}/`,
    });
    expect(protectedHeader).toEqual({ alg: "ES256", kid: "kms-1", "x5t#S256": "thumb" });
    expect(payload).toMatchObject({ iss: "orders", sub: "orders" });
  });

  test("jwtBearerGrant: so is the assertion of the grant", async () => {
    const server = await startServer();
    const assertion = { key: kms, kid: "other", issuer: "orders", subject: "alice", audience: "as" };
    await mintOnce(
      jwtBearerGrant({ tokenEndpoint: server.origin, clientId: "orders", clientAuthentication: "none", assertion }),
    );
    const { protectedHeader } = await jwtVerify(
      server.first().form.get("assertion")!,
      await importJWK(publicJwk, "ES256"),
    );
    expect(protectedHeader).toEqual({ alg: "ES256", kid: "other" });
  });

  test("dpop: the proof is signed by it and carries the public key that was given beside it", async () => {
    const server = await startTokenServer((response) => json(response, 200, { ...TOKEN, token_type: "DPoP" }));
    const key = dpop({ privateKey: kms, publicKey: publicJwk });
    await mintOnce(
      clientCredentialsGrant({
        tokenEndpoint: `${server.origin}/t?x=1`,
        clientId: "a",
        clientSecret: "hush-hush",
        dpop: key,
      }),
    );
    const proof = String(server.first().headers["dpop"]);
    const { payload, protectedHeader } = await jwtVerify(proof, await importJWK(publicJwk, "ES256"));
    expect(protectedHeader).toMatchObject({ alg: "ES256", typ: "dpop+jwt", jwk: { ...publicJwk } });
    expect(payload).toMatchObject({ htm: "POST", htu: `${server.origin}/t` });
    expect(key.thumbprint).toMatch(/^[\w-]{43}$/);
    const { headers } = (await key.prove({
      method: "GET",
      url: "https://api.example/x",
      token: { value: "abc", scheme: "DPoP" } as never,
    }))!;
    // RFC 9449 section 4.2: the base64url of the SHA-256 of the token.
    expect(decodeJwt(headers["DPoP"]!)["ath"]).toBe("ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
  });

  test.each<[name: string, sign: () => unknown]>([
    [
      "throws",
      () => {
        throw new Error("the KMS is down");
      },
    ],
    [
      "returns DER in place of r and s",
      () =>
        createSign("sha256")
          .update("x")
          .sign(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey),
    ],
    ["returns a text", () => "signature"],
    ["returns nothing", () => undefined],
    ["returns no bytes", () => new Uint8Array()],
  ])("%s: ERR_GRANT that names the function; nothing is sent", async (_name, sign) => {
    const server = await startServer();
    const clientAuthentication = privateKeyJwt({ key: { alg: "ES256", sign: sign as never } });
    const minted = mintOnce(
      clientCredentialsGrant({ tokenEndpoint: server.origin, clientId: "a", clientAuthentication }),
    );
    await expect(minted).rejects.toMatchObject({
      code: "ERR_GRANT",
      hint: expect.stringContaining('the function "key.sign" failed') as unknown,
    });
    expect(server.requests).toHaveLength(0);
  });

  test.each<[name: string, build: () => unknown, message: RegExp]>([
    [
      "without a function",
      () => privateKeyJwt({ key: { alg: "ES256", sign: undefined as never } }),
      /"key.sign" must be a function/,
    ],
    [
      "for an unknown algorithm",
      () => privateKeyJwt({ key: { alg: "HS256" as never, sign: kms.sign } }),
      /"key.alg" must be one of ES256/,
    ],
    [
      "for another algorithm than `alg`",
      () => privateKeyJwt({ key: kms, alg: "RS256" }),
      /signer for ES256, which cannot sign RS256/,
    ],
    [
      "for DPoP without its public key",
      () => dpop({ privateKey: kms }),
      /"publicKey" must be the public key of the signer/,
    ],
    [
      "for DPoP with a public key of another algorithm",
      () => dpop({ privateKey: kms, publicKey: { kty: "RSA", n: "n", e: "e" } }),
      /"publicKey" must be a JWK for ES256/,
    ],
    [
      "for DPoP with half a public key",
      () => dpop({ privateKey: kms, publicKey: { kty: "EC", crv: "P-256", x: "x" } }),
      /whose "y" is undefined/,
    ],
    [
      "a public key without a signer",
      () => dpop({ publicKey: publicJwk }),
      /"publicKey" must be given together with a signer/,
    ],
    [
      "a header with the algorithm in it",
      () => privateKeyJwt({ key: kms, header: { alg: "none" } }),
      /"header" must not have "alg"/,
    ],
  ])("%s: a TypeError", (_name, build, message) => {
    expect(build).toThrow(TypeError);
    expect(build).toThrow(message);
  });
});

describe("keys that cannot be used: the message says what to pass", () => {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  test.each<[name: string, key: unknown, message: RegExp]>([
    ["a KeyObject", pair.privateKey, /got a KeyObject; pass key\.export/],
    ["DER", pair.privateKey.export({ type: "pkcs8", format: "der" }), /got bytes: pass the text of a PEM/],
    [
      "a PEM as a Buffer",
      Buffer.from(pair.privateKey.export({ type: "pkcs8", format: "pem" })),
      /got bytes: pass the text of a PEM/,
    ],
    ["an ArrayBuffer", new ArrayBuffer(4), /got bytes/],
    [
      "PKCS#1",
      generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ type: "pkcs1", format: "pem" }),
      /PKCS#1.*openssl pkcs8/,
    ],
  ])("%s", (_name, key, message) => {
    expect(() => privateKeyJwt({ key: key as never })).toThrow(TypeError);
    expect(() => privateKeyJwt({ key: key as never })).toThrow(message);
  });
});

test("a key that a function gives is asked for at every mint: a rotated key signs the next assertion", async () => {
  const server = await startServer();
  const keys = await Promise.all(
    ["one", "two"].map(async (kid) => ({
      ...(await exportJWK((await generateKeyPair("ES256", { extractable: true })).privateKey)),
      kid,
    })),
  );
  const key = vi.fn(() => keys[Math.min(key.mock.calls.length, keys.length) - 1] as never);
  const grant = clientCredentialsGrant({
    tokenEndpoint: server.origin,
    clientId: "a",
    clientAuthentication: privateKeyJwt({ key }),
  });
  await mintOnce(grant);
  await mintOnce(grant);
  expect(server.requests.map(({ form }) => decodeProtectedHeader(form.get("client_assertion")!).kid)).toEqual([
    "one",
    "two",
  ]);
});

/** Refuses assertions that are not of this moment, by a clock that is so far ahead. */
function startStrictServer(ahead: number, name: string, error: string): Promise<TokenServer> {
  return startTokenServer((response, { form }) => {
    const now = Date.now() + ahead;
    const { iat = 0, exp = 0 } = decodeJwt(form.get(name)!);
    const isNow = iat * 1000 <= now + 1000 && exp * 1000 > now;
    const headers = { date: new Date(now).toUTCString() };
    if (isNow) json(response, 200, TOKEN, headers);
    else json(response, 400, { error }, headers);
  });
}

describe("the clock of the server", () => {
  const HOUR = 3600_000;

  test.each([5 * HOUR, -5 * HOUR, -90_000])(
    "is %i ms ahead: privateKeyJwt: the second assertion is by that clock",
    async (ahead) => {
      const server = await startStrictServer(ahead, "client_assertion", "invalid_client");
      const clientAuthentication = privateKeyJwt({ key: kms });
      await expect(
        mintOnce(clientCredentialsGrant({ tokenEndpoint: server.origin, clientId: "a", clientAuthentication })),
      ).resolves.toMatchObject(TOKEN_IN);
      expect(server.requests).toHaveLength(2);
      expect(new Set(server.requests.map(({ form }) => decodeJwt(form.get("client_assertion")!).jti)).size).toBe(2);
    },
  );

  test("is hours behind: jwtBearerGrant: so is the assertion of the grant", async () => {
    const server = await startStrictServer(-HOUR, "assertion", "invalid_grant");
    const assertion = { key: kms, issuer: "a", subject: "b", audience: "c" };
    await expect(
      mintOnce(
        jwtBearerGrant({ tokenEndpoint: server.origin, clientId: "a", clientAuthentication: "none", assertion }),
      ),
    ).resolves.toMatchObject(TOKEN_IN);
    expect(server.requests).toHaveLength(2);
  });

  test.each<[name: string, status: number, error: string, date: number | undefined]>([
    ["is the same", 401, "invalid_client", 0],
    ["is not known", 401, "invalid_client", undefined],
    ["is hours ahead, and the refusal is another one", 400, "invalid_scope", HOUR],
  ])("%s: one request", async (_name, status, error, ahead) => {
    const server = await startTokenServer((response) => {
      response.sendDate = false;
      const headers = ahead === undefined ? {} : { date: new Date(Date.now() + ahead).toUTCString() };
      json(response, status, { error }, headers);
    });
    const clientAuthentication = privateKeyJwt({ key: kms });
    await expect(
      mintOnce(clientCredentialsGrant({ tokenEndpoint: server.origin, clientId: "a", clientAuthentication })),
    ).rejects.toMatchObject({ error });
    expect(server.requests).toHaveLength(1);
  });

  test("refuses the second assertion too: two requests; a refresh token that is refused: one", async () => {
    const server = await startTokenServer((response, { form }) =>
      json(
        response,
        400,
        { error: form.has("refresh_token") ? "invalid_grant" : "invalid_client" },
        { date: new Date(Date.now() + HOUR).toUTCString() },
      ),
    );
    const client = { tokenEndpoint: server.origin, clientId: "a", clientAuthentication: privateKeyJwt({ key: kms }) };
    await expect(mintOnce(clientCredentialsGrant(client))).rejects.toMatchObject({ error: "invalid_client" });
    expect(server.requests).toHaveLength(2);
    const context = { signal: new AbortController().signal, state: "rt-1" };
    await expect(mintOnce(refreshTokenGrant({ ...client, refreshToken: "rt-1" }), context)).rejects.toMatchObject({
      error: "invalid_grant",
    });
    expect(server.requests).toHaveLength(3);
  });
});

const TOKEN_IN = { access_token: "a" };
