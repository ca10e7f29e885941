/**
 * RFC 9449 section 5: the token request and its answer (figures 5 to 7). Tests for every grant, and for refresh tokens that
 * rotate, are in test/dpop/token-request.test.ts.
 */
import { calculateJwkThumbprint, decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair } from "jose";
import { describe, expect, test } from "vitest";
import { clientCredentialsGrant, createTokenCache, refreshTokenGrant } from "remint";
import { dpop, type DpopKey } from "remint/dpop";
import { definitionOf } from "../../src/core/grant.ts";
import { rejectionOf } from "../core/cache-under-test.ts";

const TOKEN_ENDPOINT = "https://server.example.com/token";
const ANSWER = {
  access_token: "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU",
  token_type: "DPoP",
  expires_in: 2677,
};

interface Endpoint {
  readonly tokenEndpoint: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
}

/** Returns the options for a token endpoint with this answer, and the proofs that the endpoint received. */
function endpoint(answer: object = ANSWER): { readonly options: Endpoint; readonly proofs: string[] } {
  const proofs: string[] = [];
  const fetch = async (_url: string, { headers }: RequestInit): Promise<Response> => {
    proofs.push(new Headers(headers).get("dpop") ?? "");
    return Response.json(answer);
  };
  return { options: { tokenEndpoint: TOKEN_ENDPOINT, clientId: "s6BhdRkqt", clientSecret: "s3cret", fetch }, proofs };
}

function tokensOf({ options }: ReturnType<typeof endpoint>, key: DpopKey): ReturnType<typeof createTokenCache> {
  return createTokenCache({ grant: clientCredentialsGrant({ ...options, dpop: key }), origins: "any", mintRetries: 0 });
}

test("section 5: the proof of a token request is for POST and the endpoint, and has no ath", async () => {
  const server = endpoint();
  await tokensOf(server, dpop()).get();
  expect(decodeJwt(server.proofs[0] ?? "")).toMatchObject({ htm: "POST", htu: TOKEN_ENDPOINT });
  expect(decodeJwt(server.proofs[0] ?? "")).not.toHaveProperty("ath");
});

test("section 5: token_type DPoP in any case: the token has the scheme DPoP", async () => {
  for (const token_type of ["DPoP", "dpop", "DPOP"]) {
    const token = await tokensOf(endpoint({ ...ANSWER, token_type }), dpop()).get();
    expect(token.header).toBe(`DPoP ${ANSWER.access_token}`);
  }
});

test("section 5: token_type Bearer is refused; with allowBearer it is accepted and sent without a proof", async () => {
  const bearer = endpoint({ ...ANSWER, token_type: "Bearer" });
  expect(await rejectionOf(tokensOf(bearer, dpop()).get())).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
  const token = await tokensOf(bearer, dpop({ allowBearer: true })).get();
  expect(token.header).toBe(`Bearer ${ANSWER.access_token}`);
  expect(await dpop({ allowBearer: true }).prove({ method: "GET", url: "https://a.example/", token })).toBeUndefined();
});

test("section 5: a public client refreshes twice: both requests have a proof of the same key", async () => {
  const keyPair = await generateKeyPair("ES256");
  const { proofs, options: server } = endpoint();
  const isPublic = { clientSecret: undefined, clientAuthentication: "none" } as const;
  const options = { ...server, ...isPublic, refreshToken: "bound", dpop: dpop({ keyPair }) };
  const tokens = createTokenCache({ grant: refreshTokenGrant(options), origins: "any" });
  await tokens.invalidate((await tokens.get()).value);
  await tokens.get();
  const expected = await calculateJwkThumbprint(await exportJWK(keyPair.publicKey));
  const keys = proofs.map((proof) => calculateJwkThumbprint(decodeProtectedHeader(proof).jwk ?? {}));
  expect(await Promise.all(keys)).toEqual([expected, expected]);
});

describe("section 6", () => {
  test("a grant with a JWK has another key than without, with the thumbprint; with a generated key it has none", async () => {
    const { privateKey } = await generateKeyPair("ES256", { extractable: true });
    const jwk = await exportJWK(privateKey);
    const { options } = endpoint();
    const plain = definitionOf(clientCredentialsGrant(options)).key;
    const bound = definitionOf(clientCredentialsGrant({ ...options, dpop: dpop({ privateKey: jwk }) })).key;
    expect([plain, bound]).toEqual([expect.any(String), expect.stringContaining(await calculateJwkThumbprint(jwk))]);
    expect(bound).not.toBe(plain);
    expect(bound).not.toContain(jwk.d);
    expect(definitionOf(clientCredentialsGrant({ ...options, dpop: dpop() })).key).toBeUndefined();
  });
});
