/**
 * RFC 9700 (BCP 240), the lines that concern grants.
 *
 * - T13, 2.2.1 sender-constrained tokens: `remint/dpop` and `tlsClientAuth()`, with tests of their own.
 * - T14 across processes (one use of a refresh token per fleet, re-reading the store after taking the lease) is the
 *   fleet's; within a process: here and in test/grants/granting.test.ts, against a server with reuse detection.
 * - T16, 2.4: there is no password grant to test.
 * - T17, 2.5 asymmetric client authentication: test/grants/certified.test.ts.
 * - T18, 2.6 and T20, 4.4 metadata and mix-up: test/grants/discovery.test.ts.
 * - T19, 4.3.2 no token in a query: test/rfc/rfc6750.test.ts, T9.
 */
import { describe, expect, onTestFinished, test } from "vitest";
import { clientCredentials, createTokenCache, type Grant, jwtBearer, refreshToken, tokenExchange } from "remint";
import { chalk } from "remint/chalk";
import { createAuthFetch } from "remint/fetch";
import { salesforceClientCredentials } from "remint/salesforce";
import { startApi, startAuthServer } from "remint/testing";
import { rejectionOf } from "../cache-under-test.ts";
import { FIRST, startRotatingServer } from "../grants/rotating-server.ts";

const common = { clientId: "client", clientSecret: "s3cr3t" } as const;

describe("T14, 4.14: refresh token rotation", () => {
  test("there is one use of a refresh token at a time, and an invalid_grant after a lost race re-reads before failing", async () => {
    const server = await startRotatingServer();
    const { tokenEndpoint } = server.auth;
    server.auth.respond({ status: 400, body: { error: "invalid_grant" } }); // lost the race
    const winner = server.rotate();
    const grant = refreshToken({
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
    ["clientCredentials", (more) => clientCredentials({ tokenEndpoint, ...common, ...more })],
    ["refreshToken", (more) => refreshToken({ tokenEndpoint, ...common, refreshToken: "rt", key: "u", ...more })],
    ["jwtBearer", (more) => jwtBearer({ tokenEndpoint, ...common, assertion: "a.b.c", ...more })],
    ["tokenExchange", (more) => tokenExchange({ tokenEndpoint, ...common, subjectToken: "s", ...more })],
  ];
  test("every server, client, grant, subject, scope, resource and parameter makes another key", () => {
    const keys = grants.flatMap(([, make]) => variants.map((more) => make(more).key));
    const subjects = ["a.b.d", "a.b.e"].map((assertion) => jwtBearer({ tokenEndpoint, ...common, assertion }).key);
    expect(new Set([...keys, ...subjects]).size).toBe(keys.length + 2);
    expect(keys).not.toContain(undefined);
  });

  test("a token for one API is not sent to another", async () => {
    const auth = await startAuthServer();
    const [a, b] = [await startApi({ accepts: auth }), await startApi({ accepts: auth })];
    onTestFinished(() => Promise.all([auth, a, b].map((server) => server.close())).then(() => undefined));
    const tokensFor = (origin: string, audience: string): ReturnType<typeof createTokenCache> => {
      const grant = clientCredentials({ tokenEndpoint: auth.tokenEndpoint, ...common, audience });
      return createTokenCache({ grant, origins: [origin] });
    };
    const authFetch = createAuthFetch([tokensFor(a.origin, "a"), tokensFor(b.origin, "b")]);
    for (const { origin } of [a, b, a, b]) await authFetch(origin);
    expect(new Set(a.requests.map(({ token }) => token)).size).toBe(1);
    expect(a.requests[0]?.token).not.toBe(b.requests[0]?.token);
    expect(auth.requests.map(({ form }) => form.get("audience"))).toEqual(["a", "b"]);
  });
});

describe("T21, 4.12: a redirect of the token endpoint is not followed", () => {
  const grants: [name: string, make: (origin: string) => Grant][] = [
    ["clientCredentials", (origin) => clientCredentials({ ...common, tokenEndpoint: origin })],
    ["refreshToken", (origin) => refreshToken({ ...common, tokenEndpoint: origin, refreshToken: "rt" })],
    ["jwtBearer", (origin) => jwtBearer({ ...common, tokenEndpoint: origin, assertion: "a.b.c" })],
    ["tokenExchange", (origin) => tokenExchange({ ...common, tokenEndpoint: origin, subjectToken: "s" })],
    ["chalk", (origin) => chalk({ ...common, apiServer: origin })],
    ["salesforce", (origin) => salesforceClientCredentials({ ...common, loginUrl: origin, instanceUrl: origin })],
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
