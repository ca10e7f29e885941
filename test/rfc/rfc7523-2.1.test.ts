/**
 * RFC 7523 section 2.1: a JWT as an authorization grant; section 3: its claims. Everything else about the grant is in
 * test/grants/jwt-bearer.test.ts, and client authentication with a JWT is in test/rfc/rfc7523-2.2.test.ts.
 *
 * Section 3 requires `iss`, `sub`, `aud` and `exp`. That `exp` is near and `jti` is new each time is this package's rule.
 */
import { generateKeyPair, jwtVerify } from "jose";
import { expect, onTestFinished, test } from "vitest";
import { createTokenCache, jwtBearerGrant, type JwtBearerGrantOptions } from "remint";
import { type AuthServer, startAuthServer } from "remint/testing";

async function server(): Promise<AuthServer> {
  const auth = await startAuthServer();
  onTestFinished(() => auth.close());
  auth.respondAlways({ body: { access_token: "a", token_type: "Bearer" } });
  return auth;
}

async function mint({ tokenEndpoint }: AuthServer, more: Partial<JwtBearerGrantOptions>): Promise<void> {
  const grant = jwtBearerGrant({
    tokenEndpoint,
    clientId: "client",
    clientSecret: "secret",
    assertion: "a.b.c",
    ...more,
  });
  await createTokenCache({ grant, origins: "any" }).get();
}

test("section 2.1: the body has grant_type and assertion, and no client_id that could contradict the header", async () => {
  const auth = await server();
  await mint(auth, { assertion: "eyJhbGciOiJFUzI1NiIsImtpZCI6IjE2In0.eyJpc3Mi.J9l-ZhwP" });
  expect(Object.fromEntries(auth.requests[0]!.form)).toEqual({
    grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
    assertion: "eyJhbGciOiJFUzI1NiIsImtpZCI6IjE2In0.eyJpc3Mi.J9l-ZhwP",
  });
});

test("section 2.1: without client authentication the body has the client_id", async () => {
  const auth = await server();
  await mint(auth, { clientSecret: undefined, clientAuthentication: "none" });
  const { form, headers } = auth.requests[0]!;
  expect([form.get("client_id"), headers.authorization]).toEqual(["client", undefined]);
});

test("section 3: three attempts: each assertion has iss, sub, aud, a short exp and a new jti", async () => {
  const auth = await server();
  const { privateKey, publicKey } = await generateKeyPair("RS256");
  auth.respond({ status: 500 }, { status: 503 });
  const assertion = { key: privateKey, issuer: "client", subject: "user", audience: auth.origin };
  await mint(auth, { assertion });
  const payloads = await Promise.all(
    auth.requests.map(async ({ form }) => (await jwtVerify(form.get("assertion") ?? "", publicKey)).payload),
  );
  expect(payloads).toHaveLength(3);
  for (const { iss, sub, aud, exp, iat } of payloads) {
    expect({ iss, sub, aud }).toEqual({ iss: "client", sub: "user", aud: auth.origin });
    expect(exp! - iat!).toBeLessThanOrEqual(60);
  }
  expect(new Set(payloads.map(({ jti }) => jti)).size).toBe(3);
});
