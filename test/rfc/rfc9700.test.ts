/**
 * RFC 9700 (BCP 240), the lines that concern grants. Most of its sentences are for servers; what a client can do about each
 * is tested here, or where it says.
 *
 * - T13, 2.2.1 sender-constrained tokens: `remint/dpop`, with tests of its own, and `tlsClientAuth()`, in
 *   test/rfc/rfc8705-2.test.ts and test/grants/certified.test.ts.
 * - T14 across processes (one use of a refresh token per fleet, re-reading the store after taking the lease) is the
 *   fleet's; within a process: here, in test/grants/granting.test.ts, against a server with reuse detection, and in
 *   test/grants/killed.test.ts.
 */
import { definitionOf } from "../../src/core/grant.ts";
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
import { rejectionOf } from "../core/cache-under-test.ts";
import { FIRST, startRotatingServer } from "../grants/rotating-server.ts";

const common = { clientId: "client", clientSecret: "s3cr3t" } as const;

describe("T14, 4.14: refresh token rotation", () => {
  test("there is one use of a refresh token at a time, and an invalid_grant after a lost race re-reads before failing", async () => {
    const server = await startRotatingServer();
    const { tokenEndpoint } = server.auth;
    server.auth.respond({ status: 400, body: { error: "invalid_grant" } }); // lost the race
    const winner = server.rotate();
    const grant = refreshTokenGrant({
      tokenEndpoint,
      ...common,
      refreshToken: FIRST,
      current: () => winner,
      origins: "any",
    });
    const cache = createTokenCache({ grant });
    await Promise.all(Array.from({ length: 10 }, () => cache.get()));
    expect(server.presented).toEqual([winner]);
    expect(server.auth.requests).toHaveLength(2);
  });
});

describe("T15, 2.3: tokens are restricted, and so is what may share one", () => {
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
    [
      "refreshTokenGrant",
      (more) => refreshTokenGrant({ tokenEndpoint, ...common, refreshToken: "rt", key: "u", ...more }),
    ],
    ["jwtBearerGrant", (more) => jwtBearerGrant({ tokenEndpoint, ...common, assertion: "a.b.c", ...more })],
    ["tokenExchangeGrant", (more) => tokenExchangeGrant({ tokenEndpoint, ...common, subjectToken: "s", ...more })],
  ];
  test("every server, client, grant, subject, scope, resource and parameter makes another key", () => {
    const keys = grants.flatMap(([, make]) => variants.map((more) => definitionOf(make(more)).key));
    const subjects = ["a.b.d", "a.b.e"].map(
      (assertion) => definitionOf(jwtBearerGrant({ tokenEndpoint, ...common, assertion })).key,
    );
    expect(new Set([...keys, ...subjects]).size).toBe(keys.length + 2);
    expect(keys).not.toContain(undefined);
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

describe("T16, 2.4: the password grant must not be used", () => {
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
  test.each(grants)("%s cannot be made into it", (_name, make) => {
    expect(() => make({ grant_type: "password", username: "alice", password: "x" })).toThrow(
      /must not have "grant_type"/,
    );
  });
});

interface Sent {
  readonly url: string;
  readonly headers: Headers;
  readonly form: URLSearchParams;
}

/** Authorization servers by issuer, whose metadata is what it is told to be; and every request that was no lookup. */
function servers(metadata: Readonly<Record<string, object>>): {
  sent: Sent[];
  fetch: (url: string, init: RequestInit) => Promise<Response>;
} {
  const sent: Sent[] = [];
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

const signal = new AbortController().signal;

test("T17, 2.5: a client can authenticate with an asymmetric key or a certificate; no secret is sent then", async () => {
  const issuer = "https://auth.example";
  const { fetch, sent } = servers({ [issuer]: { token_endpoint: `${issuer}/token` } });
  const { privateKey: key } = await generateKeyPair("ES256");
  for (const clientAuthentication of [privateKeyJwt({ key }), tlsClientAuth()]) {
    await definitionOf(clientCredentialsGrant({ issuer, clientId: "client", clientAuthentication, fetch })).mint({
      signal,
    });
  }
  expect(sent.map(({ form }) => new Set(form.keys()))).toEqual([
    new Set(["grant_type", "client_id", "client_assertion", "client_assertion_type"]),
    new Set(["grant_type", "client_id"]),
  ]);
  expect(sent.some(({ headers }) => headers.has("authorization"))).toBe(false);
});

// That its issuer is compared exactly: test/rfc/rfc8414-3.3.test.ts.
test("T18, 2.6: a client configures itself from the server's metadata", async () => {
  const issuer = "https://auth.example";
  const endpoints = { token_endpoint: `${issuer}/t1`, revocation_endpoint: `${issuer}/r1` };
  const { fetch, sent } = servers({ [issuer]: endpoints });
  const grant = clientCredentialsGrant({ issuer, ...common, fetch });
  const cache = createTokenCache({ grant, origins: ["https://api.example"] });
  await cache.get();
  await cache.close({ revoke: true });
  expect(sent.map(({ url }) => url)).toEqual(Object.values(endpoints));
});

describe("T19, 4.3.2: no token in a URL", () => {
  const grants: [name: string, make: (where: { tokenEndpoint: string; fetch: TokenFetch }) => Grant][] = [
    ["clientCredentialsGrant", (where) => clientCredentialsGrant({ ...common, ...where })],
    ["refreshTokenGrant", (where) => refreshTokenGrant({ ...common, ...where, refreshToken: "rt-secret" })],
    ["jwtBearerGrant", (where) => jwtBearerGrant({ ...common, ...where, assertion: "aaa.bbb.ccc" })],
    ["tokenExchangeGrant", (where) => tokenExchangeGrant({ ...common, ...where, subjectToken: "subject-1" })],
  ];
  test.each(grants)("%s: neither of an API, also after a renewal, nor of the endpoint", async (_name, make) => {
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
  });
});

describe("T20, 4.4: what is for one server is not good at another", () => {
  const honest = "https://honest.example";
  const attacker = "https://attacker.example";

  test("two grants with the same client: each is known at the endpoints of its own issuer only", async () => {
    const { fetch, sent } = servers({
      [honest]: { token_endpoint: `${honest}/token`, revocation_endpoint: `${honest}/revoke` },
      [attacker]: { token_endpoint: `${attacker}/token`, revocation_endpoint: `${attacker}/revoke` },
    });
    for (const [issuer, clientSecret] of [
      [honest, "for-honest"],
      [attacker, "for-attacker"],
    ] as const) {
      const grant = clientCredentialsGrant({ issuer, clientId: "client", clientSecret, fetch });
      const cache = createTokenCache({ grant, origins: ["https://api.example"] });
      await cache.get();
      await cache.close({ revoke: true });
    }
    const secrets = sent.map(({ url, headers }) => [
      new URL(url).origin,
      atob(headers.get("authorization")?.slice(6) ?? "").replaceAll("%2D", "-"),
    ]);
    expect(secrets).toEqual([
      [honest, "client:for-honest"],
      [honest, "client:for-honest"],
      [attacker, "client:for-attacker"],
      [attacker, "client:for-attacker"],
    ]);
  });

  test("metadata that names another server's token endpoint gets an assertion that is no good there", async () => {
    const { fetch, sent } = servers({ [attacker]: { token_endpoint: `${honest}/token` } });
    const { privateKey: key } = await generateKeyPair("ES256");
    const clientAuthentication = privateKeyJwt({ key });
    await definitionOf(
      clientCredentialsGrant({ issuer: attacker, clientId: "client", clientAuthentication, fetch }),
    ).mint({
      signal,
    });
    expect(sent[0]?.url).toBe(`${honest}/token`);
    expect(decodeJwt(sent[0]?.form.get("client_assertion") ?? "").aud).toBe(attacker);
  });
});

// Section 4.12 forbids servers to send browsers that carry a password on with a 307. A token request carries a secret, and
// a 307 or 308 would have it repeated elsewhere just so: S2.
describe("T21, after 4.12: a redirect of the token endpoint is not followed", () => {
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
