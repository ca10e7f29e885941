/**
 * RFC 9449 section 4.2: the contents of a DPoP proof; section 7.1: the proof beside a token. Token and hash are the RFC's own
 * (figures 12 to 14).
 */
import { calculateJwkThumbprint, decodeJwt, decodeProtectedHeader, EmbeddedJWK, jwtVerify } from "jose";
import { expect, test } from "vitest";
import { createTokenCache, customGrant, type TokenResponse } from "remint";
import { dpop } from "remint/dpop";
import { createAuthFetch } from "remint/fetch";

const TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const HASH = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";
const RESOURCE = "https://resource.example.org/protectedresource";

const mint = (): TokenResponse => ({ access_token: TOKEN, token_type: "DPoP", expires_in: 2677 });

/** Sends requests with the RFC's token, and returns their headers. */
async function sentTo(...urls: readonly [string, RequestInit?][]): Promise<Headers[]> {
  const sent: Headers[] = [];
  const tokens = createTokenCache({ grant: customGrant({ mint, prove: dpop().prove }), origins: "any" });
  const fetch = async (_url: unknown, init?: RequestInit): Promise<Response> => {
    sent.push(new Headers(init?.headers));
    return new Response(null, { status: 204 });
  };
  const authFetch = createAuthFetch(tokens, { fetch });
  for (const [url, init] of urls) await authFetch(url, init);
  return sent;
}

const proofIn = (headers: Headers | undefined): string => headers?.get("dpop") ?? "";

test("section 4.2: the header has typ, an asymmetric alg and only the public key, which verifies the signature", async () => {
  const [headers] = await sentTo([RESOURCE]);
  const { typ, alg, jwk = {} } = decodeProtectedHeader(proofIn(headers));
  expect([typ, alg]).toEqual(["dpop+jwt", "ES256"]);
  expect(Object.keys(jwk).toSorted()).toEqual(["crv", "kty", "x", "y"]);
  await jwtVerify(proofIn(headers), EmbeddedJWK, { typ: "dpop+jwt", algorithms: ["ES256"] });
  expect(await calculateJwkThumbprint(jwk)).toHaveLength(43);
});

test("section 4.2: a URL with query and fragment: htu has neither; htm, iat, jti and ath are there, a nonce is not", async () => {
  const before = Math.floor(Date.now() / 1000);
  const [headers] = await sentTo([`${RESOURCE}?foo=bar#part`, { method: "POST" }]);
  const { iat, jti, ...claims } = decodeJwt(proofIn(headers));
  expect(claims).toEqual({ htm: "POST", htu: RESOURCE, ath: HASH });
  expect(iat).toBeGreaterThanOrEqual(before);
  // Section 4.2 wants at least 96 random bits. A version 4 UUID has 122.
  expect(jti).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
});

test("section 4.2: methods in mixed case: htm is the method as fetch sends it", async () => {
  const methods = ["get", "Put", "PATCH", "Patch", "query"];
  const sent = await sentTo(...methods.map((method): [string, RequestInit] => [RESOURCE, { method }]));
  const written = methods.map((method) => new Request(RESOURCE, { method }).method);
  expect(sent.map((headers) => decodeJwt(proofIn(headers))["htm"])).toEqual(written);
});

test("section 4.2: htu has scheme and host in lower case, and the path as a URL parser writes it", async () => {
  const urls = [
    "HTTPS://Resource.Example.ORG:443/a/../b",
    "https://resource.example.org",
    "https://resource.example.org/%7e u",
  ];
  const sent = await sentTo(...urls.map((url): [string] => [url]));
  expect(sent.map((headers) => decodeJwt(proofIn(headers))["htu"])).toEqual([
    "https://resource.example.org/b",
    "https://resource.example.org/",
    "https://resource.example.org/%7e%20u",
  ]);
});

test("section 4.2: 200 requests have 200 different values of jti", async () => {
  const sent = await sentTo(...Array.from({ length: 200 }, (): [string] => [RESOURCE]));
  expect(new Set(sent.map((headers) => decodeJwt(proofIn(headers)).jti)).size).toBe(200);
});

test("section 7.1: the caller set a DPoP header: the token has the scheme DPoP, and one proof is sent", async () => {
  const [headers] = await sentTo([RESOURCE, { headers: { dpop: "another" } }]);
  expect(headers?.get("authorization")).toBe(`DPoP ${TOKEN}`);
  // Two proofs would be joined by a comma.
  expect(proofIn(headers)).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
});
