/**
 * RFC 7523 section 2.2: JWTs for client authentication; section 3: the claims of such a JWT.
 *
 * The package is stricter than the RFC, on purpose. The RFC requires `exp` and allows `jti`: here every assertion has both, is
 * valid for a minute and is sent once. The RFC allows the token endpoint's URL as `aud`: with an issuer, `aud` is the issuer
 * alone, as the draft of the RFC's successor requires (draft-ietf-oauth-rfc7523bis, paraphrased).
 */
import { generateKeyPair, jwtVerify, type JWTVerifyResult } from "jose";
import { beforeAll, describe, expect, test } from "vitest";
import {
  clientAssertion,
  clientCredentialsGrant,
  createTokenCache,
  privateKeyJwt,
  type ClientCredentialsGrantOptions,
  type PrivateKeyJwtOptions,
} from "remint";
import { startAuthServer, type TokenRequest } from "remint/testing";
import { mintOnce, revokeOnce } from "../grants/one-mint.ts";

const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const METADATA = {
  issuer: "https://auth.example",
  token_endpoint: "https://auth.example/token",
  revocation_endpoint: "https://auth.example/revoke",
};

let pair: { privateKey: CryptoKey; publicKey: CryptoKey };
beforeAll(async () => {
  pair = await generateKeyPair("ES256");
});

const method = (more: Partial<PrivateKeyJwtOptions> = {}): ReturnType<typeof privateKeyJwt> =>
  privateKeyJwt({ key: pair.privateKey, ...more });

function verified({ form }: Pick<TokenRequest, "form">): Promise<JWTVerifyResult> {
  return jwtVerify(form.get("client_assertion") ?? "", pair.publicKey);
}

async function requestOf(options: Partial<ClientCredentialsGrantOptions>): Promise<TokenRequest> {
  await using auth = await startAuthServer();
  await mintOnce(clientCredentialsGrant({ tokenEndpoint: auth.tokenEndpoint, clientId: "orders", ...options }));
  return auth.requests[0] ?? expect.fail("nothing was sent");
}

describe("section 2.2", () => {
  test("the body has client_assertion and client_assertion_type once each, and no other credential", async () => {
    for (const clientAuthentication of [method(), clientAssertion(async () => "e30.e30.c2ln")]) {
      const { form, headers } = await requestOf({ clientAuthentication });
      expect(form.getAll("client_assertion_type")).toEqual([ASSERTION_TYPE]);
      expect(form.getAll("client_assertion")).toHaveLength(1);
      expect(form.has("client_secret")).toBe(false);
      expect(headers.authorization).toBeUndefined();
    }
  });

  test("client_id equals the sub of the assertion", async () => {
    const request = await requestOf({ clientAuthentication: method() });
    expect((await verified(request)).payload.sub).toBe(request.form.get("client_id"));
  });
});

describe("section 3", () => {
  test("iss and sub are the client, exp is at most 60 s away, and the algorithm is asymmetric", async () => {
    const before = Math.floor(Date.now() / 1000);
    const { payload, protectedHeader } = await verified(
      await requestOf({ clientAuthentication: method({ kid: "k1" }) }),
    );
    expect(payload).toMatchObject({ iss: "orders", sub: "orders", jti: expect.stringMatching(/^\S{16,}$/) as unknown });
    expect(payload.exp).toBeGreaterThan(before);
    expect((payload.exp ?? Infinity) - (payload.iat ?? 0)).toBeLessThanOrEqual(60);
    expect(protectedHeader).toEqual({ alg: "ES256", kid: "k1" });
  });

  test("three attempts of one mint: each has a new assertion", async () => {
    await using auth = await startAuthServer();
    auth.respond({ status: 503 }, { status: 503 });
    const { tokenEndpoint } = auth;
    const grant = clientCredentialsGrant({ tokenEndpoint, clientId: "orders", clientAuthentication: method() });
    await createTokenCache({ grant, origins: ["https://api.example"], mintRetries: 2 }).get();
    const ids = await Promise.all(auth.requests.map(async (request) => (await verified(request)).payload.jti));
    expect(ids).toHaveLength(3);
    expect(new Set(ids).size).toBe(3);
  });

  test("without an issuer, aud is the token endpoint as a string", async () => {
    await using auth = await startAuthServer();
    const { tokenEndpoint } = auth;
    await mintOnce(clientCredentialsGrant({ tokenEndpoint, clientId: "orders", clientAuthentication: method() }));
    expect((await verified(auth.requests[0]!)).payload.aud).toBe(tokenEndpoint);
  });

  test("with an issuer, aud is the issuer at every endpoint; with the option `audience`, it is that audience", async () => {
    const seen: URLSearchParams[] = [];
    const fetch = async (url: string, { body }: RequestInit): Promise<Response> => {
      if (url.endsWith("/openid-configuration")) return Response.json(METADATA);
      seen.push(body as URLSearchParams);
      return Response.json({ access_token: "a", token_type: "Bearer" });
    };
    const options = { issuer: METADATA.issuer, clientId: "orders", fetch };
    const grant = clientCredentialsGrant({ ...options, clientAuthentication: method() });
    const token = await createTokenCache({ grant, origins: ["https://api.example"] }).get();
    await revokeOnce(grant, token);
    const old = "https://auth.example/legacy";
    await mintOnce(clientCredentialsGrant({ ...options, clientAuthentication: method({ audience: old }) }));
    const audiences = await Promise.all(seen.map(async (form) => (await verified({ form })).payload.aud));
    expect(audiences).toEqual([METADATA.issuer, METADATA.issuer, old]);
  });
});
