/**
 * RFC 9700 (BCP 240), the sections that concern grants. Most of the RFC is for servers. This file tests what a client can do,
 * except:
 *
 * - Section 2.2.1, sender-constrained tokens: test/dpop for DPoP, and test/rfc/rfc8705-2.test.ts and
 *   test/oauth/certified.test.ts for mutual TLS.
 * - Section 4.14, rotation of refresh tokens: also test/grants/granting.test.ts, against a server with reuse detection,
 *   test/grants/killed.test.ts, and test/fleet for several processes.
 */
import { decodeJwt, generateKeyPair } from "jose";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  clientCredentialsGrant,
  createTokenCache,
  type Grant,
  jwtBearerGrant,
  privateKeyJwt,
  refreshTokenGrant,
  tlsClientAuth,
  tokenExchangeGrant,
  type TokenFetch,
} from "remint";
import { chalkGrant } from "remint/chalk";
import { createAuthFetch } from "remint/fetch";
import { salesforceClientCredentialsGrant } from "remint/salesforce";
import { startApi, startAuthServer } from "remint/testing";
import { definitionOf } from "../../src/core/grant.ts";
import { rejectionOf } from "../core/cache-under-test.ts";
import { FIRST, startRotatingServer } from "../grants/rotating-server.ts";
import { mintOnce } from "../grants/one-mint.ts";

const common = { clientId: "client", clientSecret: "s3cr3t" } as const;

describe("section 4.14: refresh token rotation", () => {
  test.each([
    ["before the function was asked: one request", 0],
    ["after the function was asked: it is asked again, and the next request has another refresh token", 1],
  ])("ten callers, and another process has rotated %s", async (_when, refused) => {
    const server = await startRotatingServer();
    const { tokenEndpoint } = server.auth;
    // A server that refuses the used one without ending the session, so that each request is counted.
    if (refused > 0) server.auth.respond({ status: 400, body: { error: "invalid_grant" } });
    const winner = server.rotate();
    const known = [...Array.from({ length: refused }, () => FIRST), winner];
    const saved: string[] = [];
    const grant = refreshTokenGrant({
      tokenEndpoint,
      ...common,
      refreshToken: () => known.shift(),
      onRotate: (next) => void saved.push(next),
      origins: "any",
    });
    const cache = createTokenCache({ grant });
    await Promise.all(Array.from({ length: 10 }, () => cache.get()));
    expect(server.auth.requests.map(({ form }) => form.get("refresh_token"))).toEqual(
      refused === 0 ? [winner] : [FIRST, winner],
    );
    expect(saved).toEqual([server.live()]);
  });
});

describe("section 2.3: tokens are restricted to their audience and scope", () => {
  const tokenEndpoint = "https://auth.example/token";
  const variants: readonly Record<string, unknown>[] = [
    {},
    { tokenEndpoint: "https://other.example/token" },
    { clientId: "another" },
    { scope: "read" },
    { resource: "urn:example:a" },
    { parameters: { tenant: "a" } },
    { headers: { "x-tenant": "a" } },
    { key: "alice" },
  ];
  const grants: [name: string, make: (more: object) => Grant][] = [
    ["clientCredentialsGrant", (more) => clientCredentialsGrant({ tokenEndpoint, ...common, ...more })],
    ["jwtBearerGrant", (more) => jwtBearerGrant({ tokenEndpoint, ...common, assertion: "a.b.c", ...more })],
    ["tokenExchangeGrant", (more) => tokenExchangeGrant({ tokenEndpoint, ...common, subjectToken: "s", ...more })],
  ];
  test("grants without a user: another server, client, grant, subject, scope, resource, parameter or header makes another key", () => {
    const keys = grants.flatMap(([, make]) => variants.map((more) => definitionOf(make(more)).key));
    const subjects = ["a.b.d", "a.b.e"].map(
      (assertion) => definitionOf(jwtBearerGrant({ tokenEndpoint, ...common, assertion })).key,
    );
    expect(new Set([...keys, ...subjects]).size).toBe(keys.length + 2);
    expect(keys).not.toContain(undefined);
  });

  test("refreshTokenGrant: its key names the session, and its server and client are known beside it", () => {
    const named = variants.map((more) =>
      definitionOf(refreshTokenGrant({ tokenEndpoint, ...common, refreshToken: "rt", key: "u", ...more })),
    );
    expect(named.map(({ key }) => key)).toEqual([...Array.from({ length: 7 }, () => "u"), "alice"]);
    expect(new Set(named.map(({ server }) => JSON.stringify([server?.endpoint, server?.client])))).toEqual(
      new Set([
        JSON.stringify([tokenEndpoint, "client"]),
        JSON.stringify(["https://other.example/token", "client"]),
        JSON.stringify([tokenEndpoint, "another"]),
      ]),
    );
  });

  test("two targets of one session: each API gets the token that was asked for it", async () => {
    const auth = await startAuthServer();
    const [a, b] = [await startApi({ accepts: auth }), await startApi({ accepts: auth })];
    onTestFinished(() => Promise.all([auth, a, b].map((server) => server.close())).then(() => undefined));
    const { refresh_token: refreshToken } = auth.signIn("alice");
    const grant = refreshTokenGrant({ tokenEndpoint: auth.tokenEndpoint, ...common, refreshToken, onRotate: () => {} });
    const session = createTokenCache({ grant, origins: [a.origin] });
    const authFetch = createAuthFetch([
      session.for({ resource: a.origin, origins: [a.origin] }),
      session.for({ resource: b.origin, origins: [b.origin] }),
    ]);
    for (const { origin } of [a, b, a, b]) expect((await authFetch(origin)).status).toBe(200);
    for (const api of [a, b]) {
      const tokens = new Set(api.requests.map(({ token }) => token));
      expect([...tokens].map((token) => auth.tokenInfo(token ?? "")?.resource)).toEqual([[api.origin]]);
    }
    await session.close();
  });

  test("a token for one API is not sent to another", async () => {
    const auth = await startAuthServer();
    const [a, b] = [await startApi({ accepts: auth }), await startApi({ accepts: auth })];
    onTestFinished(() => Promise.all([auth, a, b].map((server) => server.close())).then(() => undefined));
    const tokensFor = (origin: string, audience: string): ReturnType<typeof createTokenCache> => {
      const grant = clientCredentialsGrant({ tokenEndpoint: auth.tokenEndpoint, ...common, audience });
      return createTokenCache({ grant, origins: [origin] });
    };
    const authFetch = createAuthFetch([tokensFor(a.origin, "a"), tokensFor(b.origin, "b")]);
    for (const { origin } of [a, b, a, b]) await authFetch(origin);
    expect(new Set(a.requests.map(({ token }) => token)).size).toBe(1);
    expect(a.requests[0]?.token).not.toBe(b.requests[0]?.token);
    expect(auth.requests.map(({ form }) => form.get("audience"))).toEqual(["a", "b"]);
  });
});

describe("section 2.4: the password grant must not be used", () => {
  const tokenEndpoint = "https://auth.example/token";
  const grants: [name: string, make: (parameters: Record<string, string>) => Grant][] = [
    ["clientCredentialsGrant", (parameters) => clientCredentialsGrant({ ...common, tokenEndpoint, parameters })],
    [
      "refreshTokenGrant",
      (parameters) => refreshTokenGrant({ ...common, tokenEndpoint, refreshToken: "rt", parameters }),
    ],
    ["jwtBearerGrant", (parameters) => jwtBearerGrant({ ...common, tokenEndpoint, assertion: "a.b.c", parameters })],
    [
      "tokenExchangeGrant",
      (parameters) => tokenExchangeGrant({ ...common, tokenEndpoint, subjectToken: "s", parameters }),
    ],
  ];
  test.each(grants)("%s with parameters of the password grant is refused", (_name, make) => {
    expect(() => make({ grant_type: "password", username: "alice", password: "x" })).toThrow(
      /must not have "grant_type"/,
    );
  });
});

interface SentRequest {
  readonly url: string;
  readonly headers: Headers;
  readonly form: URLSearchParams;
}

/** Authorization servers with this metadata, by issuer. `sent` has every request except the metadata lookups. */
function servers(metadata: Readonly<Record<string, object>>): {
  sent: SentRequest[];
  fetch: (url: string, init: RequestInit) => Promise<Response>;
} {
  const sent: SentRequest[] = [];
  return {
    sent,
    async fetch(url, { headers, body }) {
      const { origin, pathname } = new URL(url);
      if (pathname === "/.well-known/openid-configuration")
        return Response.json({ issuer: origin, ...metadata[origin] });
      sent.push({ url, headers: new Headers(headers), form: new URLSearchParams(body as URLSearchParams) });
      return Response.json({ access_token: "a", token_type: "Bearer" });
    },
  };
}

test("section 2.5: a client with an asymmetric key or a certificate sends no secret", async () => {
  const issuer = "https://auth.example";
  const { fetch, sent } = servers({ [issuer]: { token_endpoint: `${issuer}/token` } });
  const { privateKey: key } = await generateKeyPair("ES256");
  for (const clientAuthentication of [privateKeyJwt({ key }), tlsClientAuth()]) {
    await mintOnce(clientCredentialsGrant({ issuer, clientId: "client", clientAuthentication, fetch }));
  }
  expect(sent.map(({ form }) => new Set(form.keys()))).toEqual([
    new Set(["grant_type", "client_id", "client_assertion", "client_assertion_type"]),
    new Set(["grant_type", "client_id"]),
  ]);
  expect(sent.some(({ headers }) => headers.has("authorization"))).toBe(false);
});

// The exact comparison of the issuer is tested in test/rfc/rfc8414-3.3.test.ts.
test("section 2.6: a client with an issuer uses the endpoints of the server's metadata", async () => {
  const issuer = "https://auth.example";
  const endpoints = { token_endpoint: `${issuer}/t1`, revocation_endpoint: `${issuer}/r1` };
  const { fetch, sent } = servers({ [issuer]: endpoints });
  const grant = refreshTokenGrant({ issuer, ...common, refreshToken: "rt", fetch });
  const cache = createTokenCache({ grant, origins: ["https://api.example"] });
  await cache.get();
  await cache.signOut();
  const { token_endpoint, revocation_endpoint } = endpoints;
  expect(sent.map(({ url, form }) => [url, form.get("token")])).toEqual([
    [token_endpoint, null],
    [revocation_endpoint, "rt"],
    [revocation_endpoint, "a"],
  ]);
});

describe("section 4.3.2: no token in a URL", () => {
  const grants: [name: string, make: (where: { tokenEndpoint: string; fetch: TokenFetch }) => Grant][] = [
    ["clientCredentialsGrant", (where) => clientCredentialsGrant({ ...common, ...where })],
    ["refreshTokenGrant", (where) => refreshTokenGrant({ ...common, ...where, refreshToken: "rt-secret" })],
    ["jwtBearerGrant", (where) => jwtBearerGrant({ ...common, ...where, assertion: "aaa.bbb.ccc" })],
    ["tokenExchangeGrant", (where) => tokenExchangeGrant({ ...common, ...where, subjectToken: "subject-1" })],
  ];
  test.each(grants)(
    "%s: the URLs of the API, also after a renewal, and of the token endpoint have no token",
    async (_name, make) => {
      const auth = await startAuthServer();
      const api = await startApi({ accepts: auth });
      onTestFinished(() => Promise.all([auth.close(), api.close()]).then(() => undefined));
      const issued_token_type = "urn:ietf:params:oauth:token-type:access_token";
      auth.respondAlways(() => ({
        body: { access_token: `at-${auth.mints + 1}`, token_type: "Bearer", issued_token_type },
      }));
      const asked: string[] = [];
      const { tokenEndpoint } = auth;
      const grant = make({ tokenEndpoint, fetch: (url, init) => (asked.push(url), fetch(url, init)) });
      const authFetch = createAuthFetch(createTokenCache({ grant, origins: [api.origin] }));
      await authFetch(`${api.origin}/a?page=1`);
      auth.revokeAll();
      expect((await authFetch(`${api.origin}/b`)).status).toBe(200);
      expect(api.requests.map(({ url }) => url)).toEqual(["/a?page=1", "/b", "/b"]);
      expect(asked).toEqual([tokenEndpoint, tokenEndpoint]);
    },
  );
});

describe("section 4.4: credentials for one server are useless at another", () => {
  const honest = "https://honest.example";
  const attacker = "https://attacker.example";

  test("two grants with the same client id: each secret goes only to the endpoints of its own issuer", async () => {
    const { fetch, sent } = servers({
      [honest]: { token_endpoint: `${honest}/token`, revocation_endpoint: `${honest}/revoke` },
      [attacker]: { token_endpoint: `${attacker}/token`, revocation_endpoint: `${attacker}/revoke` },
    });
    for (const [issuer, clientSecret] of [
      [honest, "for-honest"],
      [attacker, "for-attacker"],
    ] as const) {
      const grant = refreshTokenGrant({ issuer, clientId: "client", clientSecret, refreshToken: "rt", fetch });
      const cache = createTokenCache({ grant, origins: ["https://api.example"] });
      await cache.get();
      await cache.signOut();
    }
    const secrets = sent.map(({ url, headers }) => [
      new URL(url).origin,
      atob(headers.get("authorization")?.slice(6) ?? "").replaceAll("%2D", "-"),
    ]);
    expect(secrets).toEqual([
      ...Array.from({ length: 3 }, () => [honest, "client:for-honest"]),
      ...Array.from({ length: 3 }, () => [attacker, "client:for-attacker"]),
    ]);
  });

  test("an attacker's metadata names another server's token endpoint: the assertion's audience is the attacker", async () => {
    const { fetch, sent } = servers({ [attacker]: { token_endpoint: `${honest}/token` } });
    const { privateKey: key } = await generateKeyPair("ES256");
    const clientAuthentication = privateKeyJwt({ key });
    await mintOnce(clientCredentialsGrant({ issuer: attacker, clientId: "client", clientAuthentication, fetch }));
    expect(sent[0]?.url).toBe(`${honest}/token`);
    expect(decodeJwt(sent[0]?.form.get("client_assertion") ?? "").aud).toBe(attacker);
  });
});

// Section 4.12 forbids a 307 after a browser sent a password, because the browser would send the password again. A token
// request carries a secret, so the same holds for it (S2).
describe("section 4.12: a redirect of the token endpoint is not followed", () => {
  const grants: [name: string, make: (origin: string) => Grant][] = [
    ["clientCredentialsGrant", (origin) => clientCredentialsGrant({ ...common, tokenEndpoint: origin })],
    ["refreshTokenGrant", (origin) => refreshTokenGrant({ ...common, tokenEndpoint: origin, refreshToken: "rt" })],
    ["jwtBearerGrant", (origin) => jwtBearerGrant({ ...common, tokenEndpoint: origin, assertion: "a.b.c" })],
    ["tokenExchangeGrant", (origin) => tokenExchangeGrant({ ...common, tokenEndpoint: origin, subjectToken: "s" })],
    ["chalkGrant", (origin) => chalkGrant({ ...common, apiServer: origin })],
    ["salesforce", (origin) => salesforceClientCredentialsGrant({ ...common, loginUrl: origin, instanceUrl: origin })],
  ];
  test.each(grants)("%s", async (_name, make) => {
    const auth = await startAuthServer();
    const elsewhere = await startApi({ accepts: () => true });
    onTestFinished(() => Promise.all([auth.close(), elsewhere.close()]).then(() => undefined));
    for (const status of [302, 307, 308]) {
      auth.respondAlways({ status, headers: { location: elsewhere.origin } });
      const grant = { ...make(auth.origin), origins: [elsewhere.origin] };
      expect(await rejectionOf(createTokenCache({ grant }).get())).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
    }
    expect([auth.requests.length, elsewhere.requests.length]).toEqual([3, 0]);
  });
});
