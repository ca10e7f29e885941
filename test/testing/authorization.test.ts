/** The code flow of `startAuthServer`, and its metadata. */
import { createHash, randomBytes } from "node:crypto";
import * as oauth from "oauth4webapi";
import { describe, expect, test } from "vitest";
import { ask, post, refresh, start } from "./server-under-test.ts";
import type { AuthServer } from "../../src/testing/index.ts";

const REDIRECT_URI = "https://app.example/callback?from=login";

interface Flow {
  readonly verifier: string;
  readonly parameters: Readonly<Record<string, string>>;
}

function flow(more: Record<string, string> = {}): Flow {
  const verifier = randomBytes(32).toString("base64url");
  const parameters = {
    response_type: "code",
    client_id: "portal",
    redirect_uri: REDIRECT_URI,
    state: "s t&te",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    ...more,
  };
  return { verifier, parameters };
}

function open(auth: AuthServer, parameters: Readonly<Record<string, string>>): Promise<Response> {
  const query = new URLSearchParams(parameters).toString();
  return fetch(`${auth.authorizationEndpoint}?${query}`, { redirect: "manual" });
}

/** Returns the parameters with which the authorize page redirects back. */
async function back(auth: AuthServer, parameters: Readonly<Record<string, string>>): Promise<Record<string, string>> {
  const response = await open(auth, parameters);
  expect(response.status).toBe(302);
  const location = new URL(response.headers.get("location") ?? "");
  expect(location.origin + location.pathname).toBe("https://app.example/callback");
  return Object.fromEntries(location.searchParams);
}

/** Redeems a code. `undefined` leaves a parameter out. */
async function redeem(auth: AuthServer, code: string, verifier: string, more: Record<string, string | undefined> = {}) {
  const form = Object.entries({
    grant_type: "authorization_code",
    code,
    redirect_uri: REDIRECT_URI,
    client_id: "portal",
    code_verifier: verifier,
    ...more,
  }).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return ask(auth, Object.fromEntries(form));
}

describe("RFC 6749 section 4.1, RFC 7636: the code flow", () => {
  test("a complete request redirects back at once, and the code is good for a sign-in", async () => {
    const auth = await start({ user: "alice" });
    const { verifier, parameters } = flow({ scope: "a b", resource: "https://x.example", audience: "z" });
    const { code = "", ...others } = await back(auth, parameters);
    expect(others).toEqual({ from: "login", state: "s t&te", iss: auth.issuer });
    const { status, body } = await redeem(auth, code, verifier);
    expect([status, body]).toEqual([
      200,
      {
        access_token: expect.stringMatching(/^at-1-/) as unknown,
        token_type: "Bearer",
        expires_in: 3600,
        refresh_token: expect.stringMatching(/^rt-1-/) as unknown,
        scope: "a b",
      },
    ]);
    const facts = { subject: "alice", clientId: "portal", signIn: 1, scope: "a b", audience: ["z"] };
    expect(auth.tokenInfo(body.access_token)).toMatchObject({ ...facts, resource: ["https://x.example"] });
    expect((await refresh(auth, body.refresh_token)).body.error).toBe("invalid_grant");
    expect((await refresh(auth, body.refresh_token, { client_id: "portal" })).status).toBe(200);
  });

  test("without state there is no state in the redirect", async () => {
    const auth = await start();
    const { state: _, ...parameters } = flow().parameters;
    expect(Object.keys(await back(auth, parameters)).toSorted()).toEqual(["code", "from", "iss"]);
  });

  test("the user says no: access_denied, and the state comes back", async () => {
    const auth = await start({ user: null });
    const denied = await back(auth, flow().parameters);
    expect(denied).toEqual({ from: "login", error: "access_denied", state: "s t&te", iss: auth.issuer });
    auth.user = "bob";
    const { verifier, parameters } = flow();
    const { code = "" } = await back(auth, parameters);
    expect(auth.tokenInfo((await redeem(auth, code, verifier)).body.access_token)?.subject).toBe("bob");
  });

  test.each<[string, Record<string, string>, string]>([
    ["another response_type", { response_type: "token" }, "unsupported_response_type"],
    ["no challenge", { code_challenge: "" }, "invalid_request"],
    ["a challenge that is no SHA-256", { code_challenge: "short" }, "invalid_request"],
    ["the method plain", { code_challenge_method: "plain" }, "invalid_request"],
  ])("%s: redirects back with the error", async (_what, more, error) => {
    const auth = await start();
    expect(await back(auth, flow(more).parameters)).toMatchObject({ error, state: "s t&te" });
  });

  test.each<[string, Record<string, string>]>([
    ["no client_id", { client_id: "" }],
    ["the client_id of another client", { client_id: "other" }],
    ["no redirect_uri", { redirect_uri: "" }],
    ["a redirect_uri that is no absolute URL", { redirect_uri: "/callback" }],
    ["a redirect_uri with a fragment", { redirect_uri: "https://app.example/#a" }],
  ])("%s: a page with status 400, and no redirect", async (_what, more) => {
    const auth = await start({ clientId: "portal" });
    const response = await open(auth, flow(more).parameters);
    expect([response.status, response.headers.get("location")]).toEqual([400, null]);
    expect((await fetch(auth.authorizationEndpoint, { method: "POST" })).status).toBe(405);
  });

  test.each<[string, Record<string, string | undefined>]>([
    ["another redirect_uri", { redirect_uri: "https://app.example/callback" }],
    ["no redirect_uri", { redirect_uri: undefined }],
    ["another client", { client_id: "other" }],
    ["no client", { client_id: undefined }],
    ["another verifier", { code_verifier: "x".repeat(43) }],
    ["no verifier", { code_verifier: undefined }],
    ["an unknown code", { code: "code-1-made-up" }],
    ["no code", { code: undefined }],
  ])("%s: invalid_grant, and the code is still good for its own request", async (_what, more) => {
    const auth = await start();
    const { verifier, parameters } = flow();
    const { code = "" } = await back(auth, parameters);
    const { status, body } = await redeem(auth, code, verifier, more);
    expect([status, body.error, auth.mints]).toEqual([400, "invalid_grant", 0]);
    expect((await redeem(auth, code, verifier)).status).toBe(200);
  });

  test("a code that is used again is refused, and ends the sign-in that it began", async () => {
    const auth = await start();
    const { verifier, parameters } = flow();
    const { code = "" } = await back(auth, parameters);
    const { access_token, refresh_token } = (await redeem(auth, code, verifier)).body;
    expect((await redeem(auth, code, verifier)).body.error).toBe("invalid_grant");
    expect(auth.isLive(access_token)).toBe(false);
    expect(auth.tokenInfo(refresh_token)).toMatchObject({ isLive: false, ended: "code reused" });
  });

  test("RFC 8707: the token request may narrow the resources, and not widen them", async () => {
    const auth = await start();
    const { verifier, parameters } = flow({ resource: "https://x.example" });
    const { code = "" } = await back(auth, parameters);
    const wider = await redeem(auth, code, verifier, { resource: "https://y.example" });
    expect([wider.status, wider.body.error]).toEqual([400, "invalid_target"]);
    const same = await redeem(auth, code, verifier, { resource: "https://x.example" });
    expect(auth.tokenInfo(same.body.access_token)?.resource).toEqual(["https://x.example"]);
  });

  test("a scope in the token request changes nothing: it was asked for at the authorize page", async () => {
    const auth = await start();
    const { verifier, parameters } = flow({ scope: "a b" });
    const { code = "" } = await back(auth, parameters);
    expect((await redeem(auth, code, verifier, { scope: "c" })).body.scope).toBe("a b");
  });

  test("a client with a secret must authenticate at the token endpoint", async () => {
    const auth = await start({ clientId: "portal", clientSecret: "s" });
    const { verifier, parameters } = flow();
    const { code = "" } = await back(auth, parameters);
    expect((await redeem(auth, code, verifier)).status).toBe(401);
    expect((await redeem(auth, code, verifier, { client_secret: "s" })).status).toBe(200);
  });
});

describe("RFC 8414: metadata", () => {
  test("both documents name the issuer and the endpoints", async () => {
    const auth = await start();
    expect(auth.issuer).toBe(auth.origin);
    for (const name of ["openid-configuration", "oauth-authorization-server"]) {
      const response = await fetch(`${auth.issuer}/.well-known/${name}`);
      expect(response.headers.get("content-type")).toBe("application/json");
      expect(await response.json()).toMatchObject({
        issuer: auth.issuer,
        token_endpoint: auth.tokenEndpoint,
        authorization_endpoint: auth.authorizationEndpoint,
        revocation_endpoint: auth.revocationEndpoint,
        response_types_supported: ["code"],
        grant_types_supported: ["client_credentials", "refresh_token", "authorization_code"],
        code_challenge_methods_supported: ["S256"],
      });
    }
    const posted = await post(`${auth.issuer}/.well-known/openid-configuration`, {});
    expect([posted.status, posted.headers.get("allow")]).toEqual([405, "GET"]);
  });

  test("oauth4webapi, on which openid-client stands: discovery, sign-in, refresh and revocation", async () => {
    const auth = await start({ clientId: "portal", clientSecret: "s3cret:+%", user: "alice" });
    const http = { [oauth.allowInsecureRequests]: true } as const;
    const issuer = new URL(auth.issuer);
    const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, http));
    const client: oauth.Client = { client_id: "portal" };
    const secret = oauth.ClientSecretBasic("s3cret:+%");
    const verifier = oauth.generateRandomCodeVerifier();
    const state = oauth.generateRandomState();
    const { parameters } = flow({ state, code_challenge: await oauth.calculatePKCECodeChallenge(verifier) });
    const location = (await open(auth, parameters)).headers.get("location") ?? "";
    const callback = oauth.validateAuthResponse(server, client, new URL(location), state);
    const redeemed = await oauth.authorizationCodeGrantRequest(
      server,
      client,
      secret,
      callback,
      REDIRECT_URI,
      verifier,
      http,
    );
    const signedIn = await oauth.processAuthorizationCodeResponse(server, client, redeemed);
    expect(auth.tokenInfo(signedIn.access_token)?.subject).toBe("alice");
    const { refresh_token = "" } = signedIn;
    const refreshed = await oauth.refreshTokenGrantRequest(server, client, secret, refresh_token, http);
    const renewed = await oauth.processRefreshTokenResponse(server, client, refreshed);
    expect(auth.isLive(renewed.access_token)).toBe(true);
    const revoked = await oauth.revocationRequest(server, client, secret, renewed.refresh_token ?? "", http);
    await oauth.processRevocationResponse(revoked);
    expect(auth.isLive(renewed.access_token)).toBe(false);
  });
});
