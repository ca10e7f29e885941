/** The JWT bearer grant (RFC 7523): given assertions, assertions that it signs, its key, and refused options. */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { inspect } from "node:util";
import { exportJWK, exportPKCS8, generateKeyPair, jwtVerify } from "jose";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createTokenCache, jwtBearerGrant, type JwtBearerGrantOptions, type SignedAssertion } from "remint";
import { type AuthServer, startAuthServer } from "remint/testing";
import { definitionOf } from "../../src/core/grant.ts";
import { rejectionOf } from "../core/cache-under-test.ts";
import { mintOnce } from "./one-mint.ts";

const CLIENT = { clientId: "reports", clientSecret: "s3cr3t-value" } as const;
const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer";

let auth: AuthServer;
beforeEach(async () => {
  auth = await startAuthServer();
  auth.respondAlways({ body: { access_token: "a", token_type: "Bearer", refresh_token: "rt" } });
});
afterEach(() => auth.close());

function options(
  assertion: JwtBearerGrantOptions["assertion"],
  more: Partial<JwtBearerGrantOptions> = {},
): JwtBearerGrantOptions {
  return { tokenEndpoint: auth.tokenEndpoint, ...CLIENT, assertion, ...more };
}

const PARTIES = { issuer: "reports", subject: "alice@example.com", audience: "https://auth.example" } as const;

/** Returns every assertion that was sent, oldest first. */
function sent(): string[] {
  return auth.requests.map(({ form }) => form.get("assertion") ?? "");
}

describe("the token request", () => {
  test("has the assertion unchanged, the scope and the parameters (RFC 7523 section 2.1)", async () => {
    await mintOnce(jwtBearerGrant(options("aaa.bbb.ccc", { scope: ["a", "b"], parameters: { tenant: "t1" } })));
    expect([...auth.requests[0]!.form]).toEqual([
      ["scope", "a b"],
      ["tenant", "t1"],
      ["assertion", "aaa.bbb.ccc"],
      ["grant_type", GRANT_TYPE],
    ]);
  });

  test("an assertion function is called before every request, also before a retry", async () => {
    let count = 0;
    const assertion = vi.fn(async (_context: { signal: AbortSignal }) => `aaa.bbb.${++count}`);
    auth.respond({ status: 503 });
    const cache = createTokenCache({ grant: jwtBearerGrant(options(assertion)), origins: ["https://api.example"] });
    await cache.get();
    expect(sent()).toEqual(["aaa.bbb.1", "aaa.bbb.2"]);
    expect(assertion.mock.calls[0]![0].signal).toBeInstanceOf(AbortSignal);
  });

  test("an assertion function returns an empty string: nothing is sent", async () => {
    await expect(mintOnce(jwtBearerGrant(options(() => "")))).rejects.toMatchObject({
      code: "ERR_GRANT",
      hint: expect.stringMatching(
        /^the function "assertion" failed: "assertion" must be .*, got an empty string$/,
      ) as unknown,
      cause: {
        name: "TypeError",
        message: expect.stringMatching(/"assertion" must be .* empty string/) as unknown,
      },
    });
    expect(auth.requests).toHaveLength(0);
  });

  test("a refresh token in the answer is ignored", async () => {
    expect((await mintOnce(jwtBearerGrant(options("a.b.c"))))["refresh_token"]).toBeUndefined();
  });
});

describe("an assertion that the grant signs", () => {
  test.each(["ES256", "RS256", "PS256", "EdDSA"] as const)(
    "%s: it verifies and has iss, sub, aud, jti, iat and exp (RFC 7523 section 3)",
    async (alg) => {
      const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
      const before = Math.floor(Date.now() / 1000);
      const assertion = { key: privateKey, alg, kid: "k1", ...PARTIES, claims: { tenant: "acme" } };
      await mintOnce(jwtBearerGrant(options(assertion)));
      const { payload, protectedHeader } = await jwtVerify(sent()[0]!, publicKey, { audience: PARTIES.audience });
      expect(protectedHeader).toMatchObject({ alg, kid: "k1" });
      expect(payload).toMatchObject({
        iss: PARTIES.issuer,
        sub: PARTIES.subject,
        aud: PARTIES.audience,
        tenant: "acme",
        jti: expect.stringMatching(/.{16,}/) as string,
      });
      expect(payload.iat).toBeGreaterThanOrEqual(before);
      expect(payload.exp! - payload.iat!).toBe(60);
      expect(payload).not.toHaveProperty("nbf");
    },
  );

  test("it has a new jti in every request, also in a retry (RFC 7523 section 3)", async () => {
    const { privateKey, publicKey } = await generateKeyPair("ES256");
    auth.respond({ status: 503 }, { status: 500 });
    const grant = jwtBearerGrant(options({ key: privateKey, ...PARTIES }));
    await createTokenCache({ grant, origins: ["https://api.example"] }).get();
    const ids = await Promise.all(sent().map(async (jwt) => (await jwtVerify(jwt, publicKey)).payload.jti));
    expect(ids).toHaveLength(3);
    expect(new Set(ids).size).toBe(3);
  });

  test("a key as JWK or PEM, several audiences, and another lifetime are used", async () => {
    const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
    for (const pemOrJwk of [await exportPKCS8(privateKey), await exportJWK(privateKey)] as SignedAssertion["key"][]) {
      const audience = ["https://a.example", "https://b.example"];
      await mintOnce(jwtBearerGrant(options({ key: pemOrJwk, ...PARTIES, audience, lifetime: 30_000 })));
      const { payload } = await jwtVerify(sent().at(-1)!, publicKey);
      expect(payload.aud).toEqual(audience);
      expect(payload.exp! - payload.iat!).toBe(30);
    }
  });

  test("a PKCS#1 key is a TypeError that names the openssl command and shows nothing of the key", () => {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 }) as { privateKey: KeyObject };
    const pem = String(privateKey.export({ type: "pkcs1", format: "pem" }));
    const error = errorOf(() => jwtBearerGrant(options({ key: pem, ...PARTIES })));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toMatch(/openssl pkcs8 -topk8/);
    expect(error.message).not.toContain(pem.split("\n")[1]);
  });
});

function errorOf(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  return expect.fail("nothing was thrown");
}

function key(assertion: JwtBearerGrantOptions["assertion"], name?: string): string | undefined {
  return definitionOf(jwtBearerGrant(options(assertion, { key: name }))).key;
}

describe("the grant", () => {
  test("another assertion, party or claim makes another key; the key contains no assertion", async () => {
    const { privateKey } = await generateKeyPair("ES256");
    const signed = { key: privateKey, ...PARTIES };
    const keys = [
      key("aaa.bbb.ccc"),
      key("aaa.bbb.ddd"),
      key(signed),
      key({ ...signed, subject: "bob@example.com" }),
      key({ ...signed, audience: "https://other.example" }),
      key({ ...signed, claims: { tenant: "acme" } }),
      key(() => "x", "alice"),
      key(() => "x", "bob"),
      key(signed, "alice"),
      key({ ...signed, subject: "bob@example.com" }, "alice"),
    ];
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys.join()).not.toContain("aaa.bbb");
    expect(key(() => "x")).toBeUndefined();
  });

  test("S5: the server repeats the assertion: neither the printed grant nor the error shows it", async () => {
    const grant = jwtBearerGrant(options("aaa.bbb.ccc"));
    auth.respond({ status: 400, body: { error: "invalid_grant", error_description: "aaa.bbb.ccc is too old" } });
    const error = await rejectionOf(mintOnce(grant));
    expect(error).toMatchObject({ error: "invalid_grant", terminal: false });
    const shown = [grant, error].map((value) => inspect(value, { depth: 10, showHidden: true, getters: true }));
    expect(shown.join() + JSON.stringify([grant, error])).not.toMatch(/aaa\.bbb|s3cr3t/);
  });

  const jwk = { kty: "OKP", crv: "Ed25519", d: "x", x: "y" };
  test.each([
    ["no assertion", undefined, /"assertion" must be .* got undefined/],
    ["an empty assertion", "", /"assertion" must be .* got an empty string/],
    ["no issuer", { key: jwk, ...PARTIES, issuer: "" }, /"assertion.issuer" must be a non-empty string/],
    ["no subject", { key: jwk, ...PARTIES, subject: undefined }, /"assertion.subject" must be a non-empty string/],
    ["no audience", { key: jwk, ...PARTIES, audience: [] }, /"assertion.audience" must be a non-empty string/],
    ["a lifetime below a second", { key: jwk, ...PARTIES, lifetime: 60 }, /"assertion.lifetime" must be at least 1000/],
    [
      "a claim that the grant sets itself",
      { key: jwk, ...PARTIES, claims: { exp: 1 } },
      /"assertion.claims" must not have "exp"/,
    ],
    ["no key", { ...PARTIES }, /"assertion.key" must be/],
    ["an alg that the key cannot sign", { key: jwk, ...PARTIES, alg: "RS256" }, /"assertion.alg" must be one of EdDSA/],
    ["an empty kid", { key: jwk, ...PARTIES, kid: "" }, /"assertion.kid" must be a non-empty string/],
    ["a key that is a string without PEM", { key: "x", ...PARTIES }, /"assertion.key" must be a PEM/],
  ])("%s: a TypeError that names the option", (_name, assertion, message) => {
    const build = (): unknown => jwtBearerGrant(options(assertion as JwtBearerGrantOptions["assertion"]));
    expect(build).toThrow(TypeError);
    expect(build).toThrow(message);
  });
});
