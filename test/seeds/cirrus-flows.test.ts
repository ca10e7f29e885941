/**
 * The tests of cirrus-auth, a Rust client for Salesforce, one by one, through what `remint/salesforce` exports: client
 * credentials, JWT bearer, token exchange and static tokens. Each comment names the original test, says what the original
 * does where it is another thing, and what remint does. docs/salesforce.md has the comparison as a table.
 */
import { generateKeyPairSync } from "node:crypto";
import { jwtVerify } from "jose";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createTokenCache, type Grant, type RemintError, type TokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";
import { privateKeyFromPem } from "remint/node";
import {
  salesforceClientCredentialsGrant,
  salesforceJwtBearerGrant,
  salesforceRefreshTokenGrant,
  salesforceToken,
  salesforceTokenExchangeGrant,
} from "remint/salesforce";
import { manualClock } from "remint/testing";
import { rejectionOf } from "../core/cache-under-test.ts";
import { REFRESH_TOKEN, startOrg, type Org } from "./org.ts";

const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
const PEM = String(pair.privateKey.export({ type: "pkcs8", format: "pem" }));
const PKCS1 = String(pair.privateKey.export({ type: "pkcs1", format: "pem" }));
const PUBLIC = String(pair.publicKey.export({ type: "spki", format: "pem" }));
const USERNAME = "integration@example.com";

let org: Org;
beforeEach(async () => {
  org = await startOrg();
});
afterEach(() => org.close());

/** The four grants, by the name of the original's type, with what each needs. */
const grants: [name: string, build: (more?: object) => Grant][] = [
  ["ClientCredentialsAuth", (more) => salesforceClientCredentialsGrant({ ...org.options, ...more })],
  ["JwtAuth", (more) => salesforceJwtBearerGrant({ ...org.open, username: USERNAME, privateKey: PEM, ...more })],
  ["RefreshTokenAuth", (more) => salesforceRefreshTokenGrant({ ...org.open, refreshToken: REFRESH_TOKEN, ...more })],
  [
    "TokenExchangeFlow",
    (more) => salesforceTokenExchangeGrant({ ...org.open, subjectToken: "idp-issued-token-xyz", ...more }),
  ],
];

function cacheOf(grant: Grant, more: object = {}): TokenCache {
  return createTokenCache({ grant, mintRetries: 0, clock: manualClock(), ...more });
}

describe("builders", () => {
  // builder_requires_consumer_key, ..._consumer_secret, ..._username, ..._private_key, ..._refresh_token,
  // ..._subject_token, ..._instance_url, ..._login_url. The original fails with MissingField. remint throws a TypeError.
  // The original requires `login_url` of two flows, and takes https://login.salesforce.com for the others. remint requires
  // it of all: most orgs refuse logins elsewhere than at their My Domain, and the error would come at the first mint.
  test.each([
    ["ClientCredentialsAuth", "clientId"],
    ["ClientCredentialsAuth", "clientSecret"],
    ["ClientCredentialsAuth", "instanceUrl"],
    ["ClientCredentialsAuth", "loginUrl"],
    ["JwtAuth", "clientId"],
    ["JwtAuth", "username"],
    ["JwtAuth", "privateKey"],
    ["JwtAuth", "instanceUrl"],
    ["JwtAuth", "loginUrl"],
    ["RefreshTokenAuth", "clientId"],
    ["RefreshTokenAuth", "refreshToken"],
    ["RefreshTokenAuth", "instanceUrl"],
    ["RefreshTokenAuth", "loginUrl"],
    ["TokenExchangeFlow", "clientId"],
    ["TokenExchangeFlow", "loginUrl"],
    ["TokenExchangeFlow", "subjectToken"],
  ])("%s without %s: a TypeError that names it", (name, option) => {
    const [, build] = grants.find(([each]) => each === name)!;
    expect(() => build({ [option]: undefined })).toThrow(TypeError);
    expect(() => build({ [option]: undefined })).toThrow(new RegExp(`"${option}"`));
  });

  // builder_requires_subject_token_type. The original requires it. In remint it is "access_token" by default.
  test("token exchange without a type of the subject token: it is an access token", async () => {
    await cacheOf(salesforceTokenExchangeGrant({ ...org.open, subjectToken: "s" })).get();
    expect(org.login.requests[0]?.form.get("subject_token_type")).toBe("urn:ietf:params:oauth:token-type:access_token");
  });

  // invalid_pem_is_refused_as_an_invalid_private_key, a_public_key_is_refused_when_loaded,
  // a_certificate_is_refused_when_loaded. Both refuse them when they are given.
  test.each([
    ["no PEM", "not a pem"],
    ["a public key", PUBLIC],
    ["a certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
  ])("JWT bearer with %s as its private key: a TypeError that names it", (_what, privateKey) => {
    const build = (): unknown => salesforceJwtBearerGrant({ ...org.open, username: USERNAME, privateKey });
    expect(build).toThrow(/^"privateKey" must be /);
    expect(() => privateKeyFromPem(privateKey)).toThrow(/^"pem" must be /);
  });

  // a_bundle_is_read_from_its_first_block. The original reads a key before a certificate, and refuses one behind it. remint
  // reads the private key wherever it stands.
  test("JWT bearer with a key and a certificate in one PEM, in either order: the key is used", async () => {
    const certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (const privateKey of [PEM + certificate, certificate + PEM]) {
      await cacheOf(salesforceJwtBearerGrant({ ...org.open, username: USERNAME, privateKey })).get();
    }
    expect(org.login.requests).toHaveLength(2);
  });

  // test_rsa_key.pem: the original reads PKCS#1 and PKCS#8. In remint PKCS#1 goes through privateKeyFromPem.
  test("JWT bearer with a PKCS#1 key: refused as it is, with privateKeyFromPem it signs", async () => {
    const build = (privateKey: string): Grant =>
      salesforceJwtBearerGrant({ ...org.open, username: USERNAME, privateKey });
    expect(() => build(PKCS1)).toThrow(/PKCS#1/);
    await cacheOf(build(privateKeyFromPem(PKCS1))).get();
    await jwtVerify(org.login.requests[0]?.form.get("assertion") ?? "", pair.publicKey);
  });

  // builder_strips_trailing_slashes..., normalize_url_trims_whitespace_and_every_trailing_slash. The same in both.
  test.each(grants)("%s with slashes and white space around its URLs: none are left", async (_name, build) => {
    const grant = build({ loginUrl: ` ${org.login.origin}// `, instanceUrl: ` ${org.api.origin}// ` });
    expect((grant as { readonly instanceUrl?: unknown }).instanceUrl).toBe(org.api.origin);
    await cacheOf(grant).get();
    expect(org.login.requests[0]?.path).toBe("/services/oauth2/token");
  });

  // https_and_loopback_login_urls_are_accepted, cleartext_login_url_is_rejected, login_url_without_a_scheme_is_a_url_error.
  test.each([
    ["https://my-org.my.salesforce.com", undefined],
    ["http://127.0.0.1:8080", undefined],
    ["http://localhost:8080", undefined],
    ["http://[::1]:8080", undefined],
    // a_dotted_localhost_login_url_is_rejected. remint accepts it: RFC 6761 keeps names below localhost on this machine.
    ["http://sf.localhost:8080", undefined],
    ["http://my-org.my.salesforce.com", /"loginUrl" must be an https URL/],
    ["my-org.my.salesforce.com", /"loginUrl" must be an absolute URL/],
  ])("S1: the loginUrl %s: accepted, or a TypeError (%s)", (loginUrl, message) => {
    const build = (): unknown =>
      salesforceJwtBearerGrant({ ...org.open, username: USERNAME, privateKey: PEM, loginUrl });
    if (message === undefined) expect(build).not.toThrow();
    else expect(build).toThrow(message);
  });
});

describe("a mint", () => {
  // mint_succeeds_and_caches, mint_token_succeeds_and_caches, refresh_succeeds_and_caches.
  test.each(grants)("%s, two calls: one token request", async (_name, build) => {
    const cache = cacheOf(build());
    const tokens = [await cache.get(), await cache.get()];
    expect(tokens.map(({ value }) => value)).toEqual(["00DXX!ACCESS1", "00DXX!ACCESS1"]);
    expect(org.login.requests.map(({ method, path }) => `${method} ${path}`)).toEqual(["POST /services/oauth2/token"]);
  });

  // expired_cache_remints_token. In both a lifetime of zero keeps nothing.
  test.each(grants)("%s with a lifetime of 0, three calls: three token requests", async (_name, build) => {
    const cache = cacheOf(build({ defaultTtl: 0 }));
    for (let call = 0; call < 3; call++) await cache.get();
    expect(org.login.requests).toHaveLength(3);
  });

  // token_within_refresh_margin_is_treated_as_expired, refresh_margin_is_the_fixed_margin_or_half_a_shorter_ttl. The original
  // mints again when less than 60 s are left, or less than half of a shorter lifetime. remint replaces it in the background
  // at the same points, and serves it meanwhile.
  test("a lifetime of 30 s: the token is used for half of it, and replaced in the background after that", async () => {
    const clock = manualClock();
    const cache = createTokenCache({
      grant: salesforceClientCredentialsGrant({ ...org.options, defaultTtl: 30_000 }),
      clock,
    });
    await cache.get();
    await clock.advance(13_000);
    expect((await cache.get()).value).toBe("00DXX!ACCESS1");
    expect(org.login.requests).toHaveLength(1);
    await clock.advance(4_000);
    expect((await cache.get()).value).toBe("00DXX!ACCESS1");
    await org.login.waitFor(2);
  });

  // server_expires_in_overrides_configured_ttl, cache_expiry_takes_the_shorter_of_expires_in_and_configured_ttl. Here the
  // original's `token_ttl` is two options: `defaultTtl` counts where there is no expires_in, `maxTtl` of the cache always.
  test.each([
    ["expires_in 7200, defaultTtl 300 s", { expires_in: 7200 }, { defaultTtl: 300_000 }, {}, 7_200_000],
    ["expires_in 7200, maxTtl 300 s", { expires_in: 7200 }, {}, { maxTtl: 300_000 }, 300_000],
    ["expires_in 30, maxTtl 300 s", { expires_in: 30 }, {}, { maxTtl: 300_000 }, 30_000],
    ["no expires_in, maxTtl 300 s", {}, {}, { maxTtl: 300_000 }, 300_000],
    ["no expires_in", {}, {}, {}, 1_800_000],
    // cache_expiry_survives_an_absurd_expires_in
    [
      "expires_in 18446744073709551615, maxTtl 300 s",
      { expires_in: 18446744073709552e3 },
      {},
      { maxTtl: 300_000 },
      300_000,
    ],
  ])("E1: %s: the token is kept for that long", async (_what, response, options, cacheOptions, kept) => {
    org.answer(response);
    const clock = manualClock();
    const cache = cacheOf(salesforceClientCredentialsGrant({ ...org.options, ...options }), { clock, ...cacheOptions });
    expect((await cache.get()).expiresAt - clock.now()).toBe(kept);
  });

  // cache_expiry_saturates_an_unbounded_ttl. In the original any duration is a lifetime. remint wants a finite number.
  test("E3: a lifetime without an end is refused; a thousand years are kept", async () => {
    const endless = { ...org.options, defaultTtl: Infinity };
    expect(() => salesforceClientCredentialsGrant(endless)).toThrow(/"defaultTtl" must be a non-negative number/);
    const thousandYears = { ...org.options, defaultTtl: 1000 * 365 * 86_400_000 };
    const clock = manualClock();
    const token = await cacheOf(salesforceClientCredentialsGrant(thousandYears), { clock }).get();
    expect(token.expiresAt - clock.now()).toBe(thousandYears.defaultTtl);
  });

  // invalid_client_surfaces_oauth_error, oauth_error_response_is_surfaced, revoked_refresh_token_surfaces_oauth_error,
  // rejected_subject_token_surfaces_oauth_error. Code and description are members of the error in both.
  test.each([
    ["ClientCredentialsAuth", "invalid_client", "client identifier invalid"],
    ["JwtAuth", "invalid_grant", "user hasn't approved this consumer"],
    ["RefreshTokenAuth", "invalid_grant", "expired access/refresh token"],
    ["TokenExchangeFlow", "invalid_grant", "subject_token validation failed"],
  ])("%s, refused with %s: an error with that code and description", async (name, error, error_description) => {
    const [, build] = grants.find(([each]) => each === name)!;
    org.login.respond({ status: 400, body: { error, error_description } });
    expect(await rejectionOf(cacheOf(build()).get())).toMatchObject({
      code: "ERR_TOKEN_ENDPOINT",
      endpointStatus: 400,
      error,
      errorDescription: error_description,
    });
  });

  // instance_url_mismatch_is_an_auth_error, instance_url_check_reports_both_sides_on_mismatch. Both refuse the token. The
  // original's error has both URLs, remint's hint the configured one: what a server sends is not put into texts.
  test.each(grants)("%s, the token of another org: refused, and not kept", async (_name, build) => {
    org.answer({ instance_url: "https://wrong-org.my.salesforce.com" });
    const cache = cacheOf(build());
    const error = (await rejectionOf(cache.get())) as RemintError;
    expect([error.code, cache.peek()]).toEqual(["ERR_TOKEN_RESPONSE", undefined]);
    expect(error.hint).toContain(org.api.origin);
    expect(error.hint).not.toContain("wrong-org");
  });

  // instance_url_check_tolerates_documented_trailing_slash, instance_url_check_ignores_ascii_case.
  test("an instance_url with a slash at its end, and in another case: the same org", async () => {
    org.answer({ instance_url: `${org.api.origin.toUpperCase()}/` });
    expect((await cacheOf(salesforceClientCredentialsGrant(org.options)).get()).value).toBe("00DXX!ACCESS1");
  });

  // invalidate_clears_cache_only_when_stale_token_matches, invalidate_clears_only_a_matching_token_...
  test.each(grants)(
    "C5: %s, invalidate: another value changes nothing, the current one leads to a mint",
    async (_name, build) => {
      const cache = cacheOf(build());
      await cache.get();
      await cache.invalidate("not-the-cached-token");
      expect([(await cache.get()).value, org.login.requests.length]).toEqual(["00DXX!ACCESS1", 1]);
      await cache.invalidate("00DXX!ACCESS1");
      expect([(await cache.get()).value, org.login.requests.length]).toEqual(["00DXX!ACCESS2", 2]);
    },
  );
});

describe("what is sent", () => {
  // mint_succeeds_and_caches of client credentials: the original sends id and secret in the form. remint sends them in the
  // header, as Salesforce recommends, or in the form where it is asked to.
  test("client credentials: grant type; id and secret in the header, or in the form", async () => {
    await cacheOf(salesforceClientCredentialsGrant(org.options)).get();
    await cacheOf(
      salesforceClientCredentialsGrant({ ...org.options, clientAuthentication: "client_secret_post" }),
    ).get();
    const [basic, post] = org.login.requests;
    expect(Object.fromEntries(basic!.form)).toEqual({ grant_type: "client_credentials" });
    expect(atob(basic!.headers.authorization!.slice(6))).toBe("consumer-key-123:top-secret");
    expect(Object.fromEntries(post!.form)).toEqual({
      grant_type: "client_credentials",
      client_id: "consumer-key-123",
      client_secret: "top-secret",
    });
  });

  // mint_token_succeeds_and_caches of JWT bearer. The original's assertion is valid for 170 seconds, remint's for 60.
  test("JWT bearer: an assertion of the app for the user, signed with RS256, for the login server", async () => {
    await cacheOf(salesforceJwtBearerGrant({ ...org.open, username: USERNAME, privateKey: PEM })).get();
    const { form } = org.login.requests[0]!;
    expect(form.get("grant_type")).toBe("urn:ietf:params:oauth:grant-type:jwt-bearer");
    const { payload, protectedHeader } = await jwtVerify(form.get("assertion")!, pair.publicKey);
    expect(protectedHeader.alg).toBe("RS256");
    expect(payload).toMatchObject({ iss: "consumer-key-123", sub: USERNAME, aud: org.login.origin });
    expect(payload.exp! - payload.iat!).toBe(60);
  });

  // exchange_sends_required_params, grant_type_urn_matches_spec.
  test("token exchange: grant type, subject token, its type and the client's id", async () => {
    await cacheOf(salesforceTokenExchangeGrant({ ...org.open, subjectToken: "idp-issued-token-xyz" })).get();
    expect(Object.fromEntries(org.login.requests[0]!.form)).toEqual({
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      subject_token: "idp-issued-token-xyz",
      subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
      client_id: "consumer-key-123",
    });
  });

  // subject_token_type_urns_match_rfc_8693.
  test.each(["access_token", "refresh_token", "id_token", "saml2", "jwt"] as const)(
    "token exchange with the type %s: its URN is sent",
    async (subjectTokenType) => {
      await cacheOf(salesforceTokenExchangeGrant({ ...org.open, subjectToken: "s", subjectTokenType })).get();
      const sent = org.login.requests[0]?.form.get("subject_token_type");
      expect(sent).toBe(`urn:ietf:params:oauth:token-type:${subjectTokenType}`);
    },
  );

  // SubjectTokenType::Custom: any other URN.
  test("token exchange with another URN as the type: that URN is sent", async () => {
    const subjectTokenType = "urn:acme:token-type:badge";
    await cacheOf(salesforceTokenExchangeGrant({ ...org.open, subjectToken: "s", subjectTokenType })).get();
    expect(org.login.requests[0]?.form.get("subject_token_type")).toBe(subjectTokenType);
  });

  // exchange_includes_optional_params_when_set. The original hands out id_token and refresh_token. remint keeps neither: an
  // exchange is repeated when its token expires.
  test("token exchange with a secret, scopes and a handler: all are sent; no other token of the answer is kept", async () => {
    org.answer({ id_token: "eyJ...", refresh_token: "5Aep861..." });
    const more = { subjectToken: "s", scope: ["api", "refresh_token"], tokenHandler: "MyHandler" };
    const token = await cacheOf(salesforceTokenExchangeGrant({ ...org.options, ...more })).get();
    const { form, headers } = org.login.requests[0]!;
    expect([form.get("scope"), form.get("token_handler")]).toEqual(["api refresh_token", "MyHandler"]);
    expect(atob(headers.authorization!.slice(6))).toBe("consumer-key-123:top-secret");
    expect(JSON.stringify(token.response)).not.toMatch(/eyJ|5Aep/);
  });

  // public_client_omits_client_secret, public_client_omits_consumer_secret.
  test.each(grants.slice(1))("%s without a secret: none is sent", async (_name, build) => {
    await cacheOf(build()).get();
    const { form, headers } = org.login.requests[0]!;
    expect([form.get("client_secret"), headers.authorization]).toEqual([null, undefined]);
  });
});

// exchange_sends_required_params: what the original's session has beside the token. remint drops the signature: it proves
// nothing about the token, and is made with the consumer secret.
test("the identity URL, the time of issue and the scope of a token response are readable; the signature is not kept", async () => {
  org.answer({ scope: "api refresh_token" });
  const token = await cacheOf(salesforceTokenExchangeGrant({ ...org.open, subjectToken: "s" })).get();
  expect([token.scope, salesforceToken(token)]).toEqual([
    "api refresh_token",
    { instanceUrl: org.api.origin, id: "https://login.salesforce.com/id/00DXX/005XX", issuedAt: 1278448384422 },
  ]);
  expect(token.response).not.toHaveProperty("signature");
});

describe("static_token.rs", () => {
  // returns_provided_token_and_url, strips_trailing_slash_from_instance_url. In remint a function does it.
  test("a token that is already there: a function that returns it is a grant", async () => {
    org.api.respondAlways(({ token }) => ({ status: token === "00D...!AQ..." ? 200 : 401 }));
    const cache = createTokenCache({ grant: async () => "00D...!AQ...", origins: [org.api.origin] });
    expect((await createAuthFetch(cache)(`${org.api.origin}/services/data`)).status).toBe(200);
    expect(org.login.requests).toHaveLength(0);
  });
});
