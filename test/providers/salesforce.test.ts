/** The four Salesforce grants against a scripted login server, and which answers of the org's APIs reject a token. */
import { generateKeyPairSync } from "node:crypto";
import { inspect } from "node:util";
import axios from "axios";
import { exportPKCS8, generateKeyPair, jwtVerify } from "jose";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  type AccessToken,
  createTokenCache,
  type Grant,
  type RemintError,
  type TokenCache,
  type TokenFetch,
} from "remint";
import { createAuthInterceptor } from "remint/axios";
import { createAuthFetch } from "remint/fetch";
import { createAuthOfetch } from "remint/ofetch";
import {
  salesforceClientCredentialsGrant,
  salesforceJwtBearerGrant,
  salesforceRefreshTokenGrant,
  salesforceToken,
  salesforceTokenExchangeGrant,
} from "remint/salesforce";
import { type Api, type AuthServer, manualClock, startApi, startAuthServer } from "remint/testing";
import { definitionOf } from "../../src/core/grant.ts";
import { policyHalf } from "../../src/core/types.ts";
import { rejectionOf } from "../core/cache-under-test.ts";
import { revokeOnce } from "../grants/one-mint.ts";

const KEY = "3MVG9_consumer.key";
const SECRET = "consumer-secret-value";
const ORG = "https://acme.my.salesforce.com";
const TOKEN =
  "00Dx0000000BV7z!AR8AQP0jITN80ESEsj5EbaZTFG0RNBaT1cyWk7TrqoDjoNIWQ2ME_sTZzBjfmOE6zMHq6y8PIW4eWze9JksNEkWUl.Cju7m4";
const PATH = "/services/oauth2/token";
const REVOKE = "/services/oauth2/revoke";

let auth: AuthServer;
let api: Api;
beforeEach(async () => {
  auth = await startAuthServer();
  api = await startApi({ accepts: auth });
  answerWith();
});
afterEach(() => Promise.all([auth.close(), api.close()]));

/** Lets the server answer as Salesforce documents it, without a `Date`, so that the test's clock is the only one. */
function answerWith(more: Record<string, unknown> = {}): void {
  let count = 0;
  auth.respondAlways(() => ({
    headers: { date: undefined },
    body: {
      access_token: `${TOKEN}${++count}`,
      signature: "CMJ4l+CCaPQiKjoOEwEig9H4wqhpuLSk4J2urAe+fVg=",
      scope: "api",
      instance_url: api.origin,
      id: "https://login.salesforce.com/id/00Dx0000000BV7z/005x00000012Q9P",
      token_type: "Bearer",
      issued_at: "1278448384422",
      ...more,
    },
  }));
}

function orgOptions(): { loginUrl: string; instanceUrl: string; clientId: string; clientSecret: string } {
  return { loginUrl: auth.origin, instanceUrl: api.origin, clientId: KEY, clientSecret: SECRET };
}

function cacheOf(grant: Grant = salesforceClientCredentialsGrant(orgOptions())): TokenCache {
  return createTokenCache({ grant, mintRetries: 0, clock: manualClock() });
}

describe("client credentials", () => {
  test.each([
    ["clientId", { clientId: undefined }],
    ["clientSecret", { clientSecret: undefined }],
    ["loginUrl", { loginUrl: undefined }],
    ["instanceUrl", { instanceUrl: undefined }],
    ["sessionHeader", { sessionHeader: "true" }],
  ])("a missing or wrong %s is a TypeError naming it", (name, more) => {
    const build = (): unknown => salesforceClientCredentialsGrant({ ...orgOptions(), ...more } as never);
    expect(build).toThrow(TypeError);
    expect(build).toThrow(`"${name}"`);
  });

  test("trailing slashes in loginUrl, instanceUrl and instance_url are ignored", async () => {
    const grant = salesforceClientCredentialsGrant({
      ...orgOptions(),
      loginUrl: `${auth.origin}//`,
      instanceUrl: `${api.origin}/`,
    });
    expect((await cacheOf(grant).get()).value).toBe(`${TOKEN}1`);
    expect(auth.requests[0]?.path).toBe(PATH);
    answerWith({ instance_url: `${api.origin}/` });
    await cacheOf().get();
  });

  test("S5: a User-Agent with the address of the org in it: the answer's instance_url is read as it is", async () => {
    const headers = { "user-agent": `the portal of the orders department (+${api.origin})` };
    const token = await cacheOf(salesforceClientCredentialsGrant({ ...orgOptions(), headers })).get();
    expect(salesforceToken(token).instanceUrl).toBe(api.origin);
  });

  test("two calls: one request, with the grant type in the form, and consumer key and secret in the header", async () => {
    const cache = cacheOf();
    const tokens = [await cache.get(), await cache.get()];
    expect(tokens.map(({ value }) => value)).toEqual([`${TOKEN}1`, `${TOKEN}1`]);
    expect(auth.requests).toHaveLength(1);
    const { form, headers } = auth.requests[0]!;
    expect([...form]).toEqual([["grant_type", "client_credentials"]]);
    expect(atob(headers.authorization?.replace("Basic ", "") ?? "")).toBe(`${KEY}:${SECRET}`);
  });

  test("client_secret_post: consumer key and secret are in the form", async () => {
    const clientAuthentication = "client_secret_post";
    await cacheOf(salesforceClientCredentialsGrant({ ...orgOptions(), clientAuthentication })).get();
    const { form, headers } = auth.requests[0]!;
    expect(Object.fromEntries(form)).toEqual({
      grant_type: "client_credentials",
      client_id: KEY,
      client_secret: SECRET,
    });
    expect(headers.authorization).toBeUndefined();
  });

  test("`invalid_client` with a description is a TokenEndpointError with that code", async () => {
    auth.respond({ status: 400, body: { error: "invalid_client", error_description: "invalid client credentials" } });
    expect(await rejectionOf(cacheOf().get())).toMatchObject({
      name: "TokenEndpointError",
      error: "invalid_client",
      errorDescription: "invalid client credentials",
      endpointStatus: 400,
    });
  });

  test.each(["https://login.salesforce.com", "https://test.salesforce.com/", "https://LOGIN.salesforce.com"])(
    "loginUrl %s is refused: the error asks for the org's My Domain",
    (loginUrl) => {
      const build = (): unknown => salesforceClientCredentialsGrant({ ...orgOptions(), loginUrl });
      expect(build).toThrow(TypeError);
      expect(build).toThrow(/"loginUrl" must be the org's My Domain/);
    },
  );
});

describe("the org", () => {
  test("instanceUrl of a grant is known before there is a token, without the slash at its end", () => {
    const org = { ...orgOptions(), instanceUrl: `${ORG}/` };
    const { clientSecret: _secret, ...open } = org;
    const privateKey = { kty: "RSA", n: "x", e: "AQAB", d: "x" };
    const grants = [
      salesforceClientCredentialsGrant(org),
      salesforceRefreshTokenGrant({ ...org, refreshToken: "rt" }),
      salesforceTokenExchangeGrant({ ...org, subjectToken: "s" }),
      salesforceJwtBearerGrant({ ...open, username: "a@b.example", privateKey }),
    ];
    expect(grants.map(({ instanceUrl }) => instanceUrl)).toEqual(grants.map(() => ORG));
    expect(auth.requests).toHaveLength(0);
  });

  test("Q2: the identity URL is at another host: its token goes there only if the cache lists that origin", async () => {
    const identity = await startApi({ accepts: auth });
    try {
      const grant = salesforceClientCredentialsGrant(orgOptions());
      await createAuthFetch(createTokenCache({ grant, warnings: false }))(`${identity.origin}/id/00Dx/005x`);
      const listed = createTokenCache({ grant, origins: [grant.instanceUrl, identity.origin] });
      identity.respond({ status: 403, body: "Bad_OAuth_Token" });
      expect((await createAuthFetch(listed)(`${identity.origin}/id/00Dx/005x`)).status).toBe(200);
      expect(identity.requests.map(({ token }) => token)).toEqual([undefined, `${TOKEN}1`, `${TOKEN}2`]);
    } finally {
      await identity.close();
    }
  });

  test.each([
    ["another org's", "https://evil.my.salesforce.com"],
    ["no", undefined],
    ["a broken", "acme"],
  ])("%s instance_url in the answer: the token is refused and nothing is cached", async (_what, instance_url) => {
    answerWith({ instance_url });
    const cache = cacheOf();
    const error = await rejectionOf(cache.get());
    expect(error).toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
    expect((error as RemintError).message).toBe(
      "no token is available: the authorization server's answer cannot be used",
    );
    expect((error as RemintError).hint).toContain("instance_url");
    expect(inspect(error, { depth: 5, showHidden: true })).not.toContain("00Dx");
    expect(cache.peek()).toBeUndefined();
  });

  test("an instance_url in upper case with trailing slashes is accepted", async () => {
    answerWith({ instance_url: `${api.origin.toUpperCase()}//` });
    expect((await cacheOf().get()).value).toBe(`${TOKEN}1`);
  });

  test("Q2: a token goes to instanceUrl, and neither to the login server nor to another origin", async () => {
    const { rules } = policyHalf(
      cacheOf(salesforceClientCredentialsGrant({ ...orgOptions(), loginUrl: ORG, instanceUrl: ORG })),
    );
    expect(rules.allows(`${ORG}/services/data/v60.0/`)).toBe(true);
    for (const url of [
      "https://acme.lightning.force.com/",
      "https://login.salesforce.com/",
      "http://acme.my.salesforce.com/",
    ])
      expect(rules.allows(url)).toBe(false);
  });

  test.each(["https://acme.lightning.force.com", "https://acme--dev.sandbox.LIGHTNING.force.com/"])(
    "instanceUrl %s is refused: it is no API base",
    (instanceUrl) => {
      const build = (): unknown => salesforceClientCredentialsGrant({ ...orgOptions(), instanceUrl });
      expect(build).toThrow(TypeError);
      expect(build).toThrow(/"instanceUrl" must be the org's My Domain/);
    },
  );

  test.each(["loginUrl", "instanceUrl"])("S1: %s must be https", (name) => {
    const build = (): unknown =>
      salesforceClientCredentialsGrant({ ...orgOptions(), [name]: "http://acme.my.salesforce.com" });
    expect(build).toThrow(`"${name}" must be an https URL`);
  });
});

/** Returns how many milliseconds a token is kept. */
async function left(defaultTtl?: number): Promise<number> {
  const clock = manualClock();
  const grant = salesforceClientCredentialsGrant({ ...orgOptions(), defaultTtl });
  return (await createTokenCache({ grant, clock }).get()).expiresAt - clock.now();
}

describe("lifetime", () => {
  test("is 30 minutes, or defaultTtl, or expires_in if the answer has one", async () => {
    expect([await left(), await left(60_000)]).toEqual([1_800_000, 60_000]);
    answerWith({ expires_in: 600 });
    expect(await left()).toBe(600_000);
  });

  test("E1: `maxTtl: 60_000` beside `expires_in: 7200`: a minute; it caps defaultTtl too", async () => {
    answerWith({ expires_in: 7200 });
    const clock = manualClock();
    const kept = async (): Promise<number> => {
      const grant = salesforceClientCredentialsGrant(orgOptions());
      return (await createTokenCache({ grant, clock, maxTtl: 60_000 }).get()).expiresAt - clock.now();
    };
    expect(await kept()).toBe(60_000);
    answerWith();
    expect(await kept()).toBe(60_000);
  });

  test("E3: `maxTtl: 0` beside `expires_in: 7200` keeps nothing: every call mints", async () => {
    answerWith({ expires_in: 7200 });
    const cache = createTokenCache({
      grant: salesforceClientCredentialsGrant(orgOptions()),
      clock: manualClock(),
      maxTtl: 0,
    });
    const tokens = [await cache.get(), await cache.get()];
    expect(tokens.map(({ value }) => value)).toEqual([`${TOKEN}1`, `${TOKEN}2`]);
    expect(cache.peek()).toBeUndefined();
  });

  test("`defaultTtl: 0` mints on every call", async () => {
    const cache = cacheOf(salesforceClientCredentialsGrant({ ...orgOptions(), defaultTtl: 0 }));
    const tokens = [await cache.get(), await cache.get()];
    expect(tokens.map(({ value }) => value)).toEqual([`${TOKEN}1`, `${TOKEN}2`]);
  });

  test("S5: the signature in the answer is not kept, because it is made with the consumer secret", async () => {
    const { response } = await cacheOf().get();
    expect(response).toMatchObject({ instance_url: api.origin, issued_at: "1278448384422" });
    expect(response).not.toHaveProperty("signature");
  });

  test.each([
    ["the token cache", () => cacheOf(), "an object"],
    ["the promise of get()", () => cacheOf().get(), "a promise that was not awaited"],
    ["nothing", () => undefined, "undefined"],
  ])("%s in place of the token is a TypeError that says where to get it", async (_, given, kind) => {
    const message = `"token" must be an access token: what tokens.get() resolves with, got ${kind}`;
    const value: unknown = given();
    expect(() => salesforceToken(value as never)).toThrow(new TypeError(message));
    // The server is there until its answer has come.
    await value;
  });

  test("issued_at is read from a string of milliseconds; a number is ignored", async () => {
    expect(salesforceToken(await cacheOf().get())).toEqual({
      issuedAt: 1278448384422,
      instanceUrl: api.origin,
      id: "https://login.salesforce.com/id/00Dx0000000BV7z/005x00000012Q9P",
    });
    answerWith({ issued_at: 1278448384422, id: 7 });
    expect(salesforceToken(await cacheOf().get())).toMatchObject({ issuedAt: undefined, id: undefined });
  });

  test("C8: the renewal returns the same token: it is resent, and the second 401 goes to the caller", async () => {
    answerWith({ access_token: TOKEN });
    api.respondAlways({ status: 401, body: [{ errorCode: "INVALID_SESSION_ID" }] });
    const authFetch = createAuthFetch(cacheOf());
    expect((await authFetch(`${api.origin}/services/data`)).status).toBe(401);
    expect([auth.requests.length, api.requests.length]).toEqual([2, 2]);
  });
});

/** Each client as a function that sends a request and returns the status. */
const clients: [name: string, (tokens: TokenCache) => (url: string) => Promise<number>][] = [
  [
    "axios",
    (tokens) => {
      const client = axios.create({ validateStatus: null });
      client.interceptors.request.use(createAuthInterceptor(tokens));
      return async (url) => (await client.get(url)).status;
    },
  ],
  ["fetch", (tokens) => async (url) => (await createAuthFetch(tokens)(url)).status],
  [
    "ofetch",
    (tokens) => async (url) =>
      (await createAuthOfetch(tokens).raw(url, { ignoreResponseError: true, retry: 0 })).status,
  ],
];

const XML = '<?xml version="1.0" encoding="UTF-8"?>';
const SOAP = (code: string): string =>
  `${XML}<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:sf="urn:fault.partner.soap.sforce.com">` +
  `<soapenv:Body><soapenv:Fault><faultcode>${code}</faultcode><faultstring>Invalid Session ID found in SessionHeader</faultstring>` +
  `</soapenv:Fault></soapenv:Body></soapenv:Envelope>`;
const REST = (errorCode: string, message: string): object[] => [{ message, errorCode }];

describe.each(clients)("an answer about the session, with %s", (_name, connect) => {
  const over: [name: string, status: number, body: string | object][] = [
    ["REST", 401, REST("INVALID_SESSION_ID", "Session expired or invalid")],
    ["REST without a body", 401, ""],
    ["SOAP", 500, SOAP("sf:INVALID_SESSION_ID")],
    ["SOAP, another prefix", 500, SOAP("ns1:INVALID_SESSION_ID")],
    [
      "Bulk v1, XML",
      400,
      `${XML}<error><exceptionCode>InvalidSessionId</exceptionCode><exceptionMessage>x</exceptionMessage></error>`,
    ],
    ["Bulk v1, JSON", 400, { exceptionCode: "InvalidSessionId", exceptionMessage: "Unable to find session" }],
    ["Bulk v2", 401, REST("INVALID_SESSION_ID", "INVALID_SESSION_ID")],
    [
      "REST with two errors",
      401,
      [...REST("UNKNOWN", "x"), ...REST("INVALID_SESSION_ID", "Session expired or invalid")],
    ],
    ["userinfo, text", 403, "Bad_OAuth_Token"],
    ["userinfo, text with a line end", 403, "Bad_OAuth_Token\r\n"],
    ["identity, a JSON string", 403, '"Bad_OAuth_Token"'],
    ["identity, JSON", 403, REST("Bad_OAuth_Token", "Bad_OAuth_Token")],
    ["identity, JSON with `error`", 403, { error: "Bad_OAuth_Token" }],
    ["identity, XML", 403, `${XML}<Error><errorCode>Bad_OAuth_Token</errorCode></Error>`],
  ];
  test.each(over)(
    "the session is over: %s, %i: the token is renewed and the request resent",
    async (_api, status, body) => {
      api.respond({ status, body });
      expect(await connect(cacheOf())(`${api.origin}/services/x`)).toBe(200);
      expect(api.requests.map(({ token }) => token)).toEqual([`${TOKEN}1`, `${TOKEN}2`]);
    },
  );

  const other: [name: string, status: number, body: string | object][] = [
    ["the app is not attached", 401, REST("INVALID_AUTH_HEADER", "Connected app is not attached to Agent")],
    ["not a REST session", 401, REST("INVALID_SESSION_ID", "This session is not valid for use with the REST API")],
    ["a BlackTab user", 401, REST("API_DISABLED_FOR_ORG", "BlackTab users cannot perform API operations")],
    ["a bad request", 400, REST("MALFORMED_QUERY", "unexpected token: INVALID_SESSION_ID")],
    ["another Bulk error", 400, `${XML}<error><exceptionCode>InvalidBatch</exceptionCode></error>`],
    ["another SOAP fault", 500, SOAP("sf:UNABLE_TO_LOCK_ROW")],
    ["a body that only contains the words", 500, "<detail>INVALID_SESSION_ID</detail>"],
    ["no body", 500, ""],
    ["forbidden", 403, REST("INVALID_SESSION_ID", "x")],
    ["no token, text", 403, "Missing_OAuth_Token"],
    ["no token, JSON", 403, REST("Missing_OAuth_Token", "Missing_OAuth_Token")],
    ["no API for the org", 403, REST("API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner")],
    ["no API for the user", 403, REST("API_CURRENTLY_DISABLED", "API is disabled for this User")],
    ["no access", 403, REST("INSUFFICIENT_ACCESS", "insufficient access rights on object id")],
    ["a text that only has the words in it", 403, REST("FORBIDDEN", "the record is named Bad_OAuth_Token")],
    ["a longer word", 403, "Bad_OAuth_Token_Handler"],
    ["no body", 403, ""],
  ];
  test.each(other)("the session is not over: %s, %i: nothing is renewed", async (_what, status, body) => {
    api.respond({ status, body });
    expect(await connect(cacheOf())(`${api.origin}/services/x`)).toBe(status);
    expect([auth.requests.length, api.requests.length]).toEqual([1, 1]);
  });
});

describe.each(clients)("APIs that read the session elsewhere than in Authorization, with %s", (_name, connect) => {
  test("sessionHeader: X-SFDC-Session has the token, and after a renewal the new one; without it there is none", async () => {
    await connect(cacheOf())(`${api.origin}/services/async/60.0/job`);
    answerWith();
    api.respond({
      status: 400,
      body: { exceptionCode: "InvalidSessionId", exceptionMessage: "Unable to find session" },
    });
    const grant = salesforceClientCredentialsGrant({ ...orgOptions(), sessionHeader: true });
    expect(await connect(cacheOf(grant))(`${api.origin}/services/async/60.0/job`)).toBe(200);
    expect(api.requests.map(({ headers }) => headers["x-sfdc-session"])).toEqual([undefined, `${TOKEN}1`, `${TOKEN}2`]);
  });
});

test("SOAP: a body function puts the token into the SessionHeader, and after a renewal the new one", async () => {
  api.respondAlways(({ text }) =>
    text === `<sessionId>${TOKEN}2</sessionId>`
      ? { body: "<ok/>" }
      : { status: 500, body: SOAP("sf:INVALID_SESSION_ID") },
  );
  const tokens = cacheOf();
  const body = async (): Promise<string> => `<sessionId>${(await tokens.get()).value}</sessionId>`;
  const response = await createAuthFetch(tokens)(`${api.origin}/services/Soap/u/60.0`, {
    method: "POST",
    remint: { body },
  });
  expect([response.status, await response.text()]).toEqual([200, "<ok/>"]);
  expect(api.requests.map(({ text }) => text)).toEqual(
    [1, 2].map((count) => `<sessionId>${TOKEN}${count}</sessionId>`),
  );
});

test("an answer that was inspected and is not about the session: the caller can still read its body", async () => {
  api.respond({ status: 400, body: REST("MALFORMED_QUERY", "unexpected token") });
  const response = await createAuthFetch(cacheOf())(`${api.origin}/services/x`);
  expect(await response.json()).toEqual(REST("MALFORMED_QUERY", "unexpected token"));
});

describe("JWT bearer", () => {
  test("without a secret: the assertion has iss, sub and aud, is signed with RS256 and lasts a minute", async () => {
    const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
    const { loginUrl, instanceUrl, clientId } = orgOptions();
    const user = { username: "alice@acme.example", privateKey: await exportPKCS8(privateKey) };
    const grant = salesforceJwtBearerGrant({ loginUrl: `${loginUrl}/`, instanceUrl, clientId, ...user });
    expect((await cacheOf(grant).get()).value).toBe(`${TOKEN}1`);
    const { form, path, headers } = auth.requests[0]!;
    expect([path, headers.authorization]).toEqual([PATH, undefined]);
    expect(form.get("grant_type")).toBe("urn:ietf:params:oauth:grant-type:jwt-bearer");
    const { payload, protectedHeader } = await jwtVerify(form.get("assertion") ?? "", publicKey);
    expect(protectedHeader.alg).toBe("RS256");
    expect(payload).toMatchObject({ iss: KEY, sub: "alice@acme.example", aud: loginUrl });
    expect(payload.exp! - payload.iat!).toBe(60);
  });

  test("at login.salesforce.com: the audience is loginUrl, or the option `audience`", async () => {
    const { privateKey, publicKey } = await generateKeyPair("RS256");
    const fetch = vi.fn(async (_url: string, _init: RequestInit) =>
      Response.json({ access_token: "t", token_type: "Bearer", instance_url: ORG }),
    );
    const user = { username: "alice@acme.example", privateKey };
    const org = { loginUrl: "https://login.salesforce.com", instanceUrl: ORG, clientId: KEY };
    await cacheOf(salesforceJwtBearerGrant({ ...org, ...user, fetch })).get();
    await cacheOf(salesforceJwtBearerGrant({ ...org, ...user, fetch, audience: "https://test.salesforce.com" })).get();
    const audiences = fetch.mock.calls.map(async ([url, init]) => {
      expect(url).toBe(`https://login.salesforce.com${PATH}`);
      const form = new URLSearchParams(init.body as URLSearchParams);
      return (await jwtVerify(form.get("assertion") ?? "", publicKey)).payload.aud;
    });
    expect(await Promise.all(audiences)).toEqual(["https://login.salesforce.com", "https://test.salesforce.com"]);
  });

  test.each([
    ["username", { username: "" }],
    ["clientId", { clientId: undefined }],
    ["privateKey", { privateKey: undefined }],
    ["privateKey", { privateKey: "no PEM" }],
    ["privateKey", { privateKey: { kty: "EC", crv: "P-256", d: "x", x: "x", y: "y" } }],
    ["audience", { audience: "" }],
    ["instanceUrl", { instanceUrl: undefined }],
  ])("a wrong %s is a TypeError naming it", (name, more) => {
    const privateKey = { kty: "RSA", n: "x", e: "AQAB", d: "x" };
    const good = { ...orgOptions(), clientSecret: undefined, username: "a@b.example", privateKey };
    expect(() => salesforceJwtBearerGrant(good as never)).not.toThrow();
    const build = (): unknown => salesforceJwtBearerGrant({ ...good, ...more } as never);
    expect(build).toThrow(TypeError);
    expect(build).toThrow(new RegExp(`^"${name}" `));
  });

  test("a privateKey function that returns no PEM: the cause is a TypeError naming privateKey", async () => {
    const { clientSecret: _secret, ...org } = orgOptions();
    const grant = salesforceJwtBearerGrant({ ...org, username: "a@b.example", privateKey: async () => "no PEM" });
    const error = await rejectionOf(cacheOf(grant).get());
    expect(error).toMatchObject({ code: "ERR_GRANT", cause: { name: "TypeError" } });
    expect((error as { cause: Error }).cause.message).toMatch(/^"privateKey" must be a PEM/);
    expect(auth.requests).toHaveLength(0);
  });
});

describe("refresh token", () => {
  test("with or without a secret: refreshes, and onRotate gets the rotated refresh token", async () => {
    answerWith({ refresh_token: "rt-2" });
    const onRotate = vi.fn<(token: string) => void>();
    const { clientSecret: _secret, ...org } = orgOptions();
    await cacheOf(salesforceRefreshTokenGrant({ ...org, refreshToken: "rt-1", onRotate })).get();
    await cacheOf(salesforceRefreshTokenGrant({ ...orgOptions(), refreshToken: "rt-1" })).get();
    expect(onRotate.mock.calls[0]?.[0]).toBe("rt-2");
    const [without, withSecret] = auth.requests;
    expect(Object.fromEntries(without!.form)).toEqual({
      grant_type: "refresh_token",
      refresh_token: "rt-1",
      client_id: KEY,
    });
    expect(withSecret?.headers.authorization).toMatch(/^Basic /);
  });

  test.each([
    "token request is already being processed",
    "expired authorization code",
    "Token request is already being processed.",
  ])(
    "C11: refused with `%s`: the same refresh token is sent again after a pause, and the session goes on",
    async (error_description) => {
      auth.respond({ status: 400, body: { error: "invalid_grant", error_description } });
      const onRotate = vi.fn<(token: string) => void>();
      const clock = manualClock();
      const grant = salesforceRefreshTokenGrant({ ...orgOptions(), refreshToken: "rt-1", onRotate });
      const minted = createTokenCache({ grant, clock }).get();
      await auth.waitFor(1);
      await vi.waitFor(() => expect(clock.timers).toBe(2), { timeout: 20_000 }); // That of the mint, and that of the pause.
      expect(auth.requests).toHaveLength(1);
      await clock.advance(500);
      expect((await minted).value).toBe(`${TOKEN}1`);
      expect(auth.requests.map(({ form }) => form.get("refresh_token"))).toEqual(["rt-1", "rt-1"]);
      expect(onRotate).not.toHaveBeenCalled();
    },
  );

  test("C11: refused so three times: callers get a retryable 503, and the next mint presents the same refresh token", async () => {
    const busy = { error: "invalid_grant", error_description: "token request is already being processed" };
    auth.respond(...Array.from({ length: 3 }, () => ({ status: 400, body: busy })));
    const clock = manualClock();
    const grant = salesforceRefreshTokenGrant({ ...orgOptions(), refreshToken: "rt-1" });
    const cache = createTokenCache({ grant, clock });
    const rejected = rejectionOf(cache.get());
    for (const [sends, pause] of [
      [1, 500],
      [2, 1000],
    ] as const) {
      await auth.waitFor(sends);
      await vi.waitFor(() => expect(clock.timers).toBe(2), { timeout: 20_000 });
      await clock.advance(pause);
    }
    expect(await rejected).toMatchObject({ status: 503, retryable: true, terminal: false, error: "invalid_grant" });
    await clock.advance(5_000);
    expect((await cache.get()).value).toBe(`${TOKEN}1`);
    expect(auth.requests.map(({ form }) => form.get("refresh_token"))).toEqual(Array.from({ length: 4 }, () => "rt-1"));
  });

  test.each([
    ["invalid_grant", "expired access/refresh token", true],
    ["invalid_grant", "inactive user", true],
    ["invalid_grant", undefined, true],
    ["invalid_client", "token request is already being processed", false],
  ])("C9: refused with %s and `%s`: sent once; terminal: %s", async (error, error_description, isTerminal) => {
    auth.respondAlways({ status: 400, body: { error, error_description } });
    const grant = salesforceRefreshTokenGrant({ ...orgOptions(), refreshToken: "rt-1" });
    const rejection = await rejectionOf(createTokenCache({ grant }).get());
    expect(rejection).toMatchObject({ retryable: false, terminal: isTerminal, error });
    expect(auth.requests).toHaveLength(1);
  });

  test("C9: the refresh token is refused: the function is asked again, and its other refresh token is sent", async () => {
    auth.respond({ status: 400, body: { error: "invalid_grant", error_description: "expired access/refresh token" } });
    const known = ["rt-2", "rt-1"];
    const options = { ...orgOptions(), refreshToken: () => known.pop(), onRotate: () => undefined };
    expect((await cacheOf(salesforceRefreshTokenGrant(options)).get()).value).toBe(`${TOKEN}1`);
    expect(auth.requests.map(({ form }) => form.get("refresh_token"))).toEqual(["rt-1", "rt-2"]);
  });

  test("the token of another org is refused; the rotated refresh token is saved nevertheless", async () => {
    answerWith({ refresh_token: "rt-2", instance_url: "https://evil.my.salesforce.com" });
    const onRotate = vi.fn<(token: string) => void>();
    const clock = manualClock();
    const grant = salesforceRefreshTokenGrant({ ...orgOptions(), refreshToken: "rt-1", onRotate });
    const cache = createTokenCache({ grant, clock });
    const error = await rejectionOf(cache.get());
    expect(error).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
    expect(onRotate.mock.calls.map(([next]) => next)).toEqual(["rt-2"]);
    // The error that a caller gets carries nothing: it may be thrown into another mint.
    expect(printed(error)).not.toContain("rt-");
    answerWith();
    await clock.advance(1000);
    expect((await cache.get()).value).toBe(`${TOKEN}1`);
    expect(auth.requests.map(({ form }) => form.get("refresh_token"))).toEqual(["rt-1", "rt-2"]);
  });
});

test.each([
  ["refresh token", (more: object) => salesforceRefreshTokenGrant({ ...orgOptions(), refreshToken: "rt", ...more })],
  ["token exchange", (more: object) => salesforceTokenExchangeGrant({ ...orgOptions(), subjectToken: "s", ...more })],
])("%s: clientAuthentication without a secret is a TypeError", (_name, build) => {
  for (const clientAuthentication of ["client_secret_basic", "client_secret_post"]) {
    expect(() => build({ clientSecret: undefined, clientAuthentication })).toThrow(/^"clientSecret" must be given/);
  }
});

describe("options of all four grants", () => {
  const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const privateKey = String(pair.privateKey.export({ type: "pkcs8", format: "pem" }));
  const grants: [name: string, build: (more: object) => Grant][] = [
    ["client credentials", (more) => salesforceClientCredentialsGrant({ ...orgOptions(), ...more })],
    [
      "refresh token",
      (more) => salesforceRefreshTokenGrant({ ...orgOptions(), refreshToken: "rt", key: "alice", ...more }),
    ],
    ["token exchange", (more) => salesforceTokenExchangeGrant({ ...orgOptions(), subjectToken: "s", ...more })],
    [
      "JWT bearer",
      (more) => {
        const { clientSecret: _secret, ...org } = orgOptions();
        return salesforceJwtBearerGrant({ ...org, username: "alice@acme.example", privateKey, ...more });
      },
    ],
  ];
  test.each(grants)("%s: scope, headers and fetch are used", async (_name, build) => {
    const urls: string[] = [];
    const send: TokenFetch = (url, init) => (urls.push(url), fetch(url, init));
    await cacheOf(build({ scope: ["api", "id"], headers: { "X-Tenant": "t1" }, fetch: send })).get();
    const { form, headers } = auth.requests[0]!;
    expect([form.get("scope"), headers["x-tenant"], urls]).toEqual(["api id", "t1", [auth.origin + PATH]]);
  });

  test.each(grants)(
    "%s: another key makes another key, so do scope and clientId unless it is a session; no key contains a secret",
    (name, build) => {
      const keys = [{}, { key: "bob" }, { scope: "api" }, { clientId: "another" }].map(
        (more) => definitionOf(build(more)).key,
      );
      // The key of a refresh token names the session, which goes on when a deploy asks for another scope.
      expect(keys.map((key) => keys.indexOf(key))).toEqual(name === "refresh token" ? [0, 1, 0, 0] : [0, 1, 2, 3]);
      expect(keys).not.toContain(undefined);
      expect(keys.join()).not.toContain(SECRET);
    },
  );
});

describe("revoking", () => {
  const subject = { subjectToken: "subject", clientSecret: undefined };
  const token = { value: `${TOKEN}1` } as AccessToken;
  const grants: [name: string, build: () => Grant][] = [
    ["client credentials", () => salesforceClientCredentialsGrant(orgOptions())],
    ["token exchange", () => salesforceTokenExchangeGrant({ ...orgOptions(), ...subject })],
  ];
  test.each(grants)("%s: its token is sent to /services/oauth2/revoke of the login server", async (_name, build) => {
    auth.respondAlways({ status: 200, body: "" });
    await revokeOnce(build(), token);
    expect(auth.requests.map(({ method, path }) => [method, path])).toEqual([["POST", REVOKE]]);
    const [{ form }] = auth.requests as [AuthServer["requests"][number]];
    expect([form.get("token"), form.get("token_type_hint")]).toEqual([`${TOKEN}1`, "access_token"]);
  });

  test("refresh token: signing out sends both tokens to /services/oauth2/revoke of the login server", async () => {
    const cache = cacheOf(salesforceRefreshTokenGrant({ ...orgOptions(), refreshToken: "rt-1" }));
    await cache.get();
    auth.respondAlways({ status: 200, body: "" });
    await cache.signOut();
    const [, ...revocations] = auth.requests;
    expect(
      revocations.map(({ method, path, form }) => [method, path, form.get("token"), form.get("token_type_hint")]),
    ).toEqual([
      ["POST", REVOKE, "rt-1", "refresh_token"],
      ["POST", REVOKE, `${TOKEN}1`, "access_token"],
    ]);
  });

  test("JWT bearer with a loginUrl that has a path: revokes below that path, without a secret", async () => {
    const { privateKey } = await generateKeyPair("RS256");
    const { clientSecret: _secret, ...org } = orgOptions();
    const user = { username: "alice@acme.example", privateKey };
    const grant = salesforceJwtBearerGrant({ ...org, loginUrl: `${auth.origin}/community/`, ...user });
    await cacheOf(grant).get();
    auth.respondAlways({ status: 200, body: "" });
    await revokeOnce(grant, token);
    expect(auth.requests.map(({ path }) => path)).toEqual([`/community${PATH}`, `/community${REVOKE}`]);
    const { form, headers } = auth.requests[1]!;
    expect([form.get("client_id"), headers.authorization]).toEqual([KEY, undefined]);
  });

  // Salesforce documents both: revoking a refresh token revokes its access tokens, and an invalid token is a 400.
  test("refresh token: the server calls the access token invalid after the refresh token was revoked: no error", async () => {
    const cache = cacheOf(salesforceRefreshTokenGrant({ ...orgOptions(), refreshToken: "rt-1" }));
    await cache.get();
    const refused = { status: 400, body: { error: "invalid_token", error_description: "invalid token" } };
    auth.respond({ status: 200, body: "" }, refused);
    await cache.signOut();
    expect(auth.requests).toHaveLength(3);
  });

  test("refresh token: the server refuses with another error: signing out rejects with that error", async () => {
    const cache = cacheOf(salesforceRefreshTokenGrant({ ...orgOptions(), refreshToken: "rt-1" }));
    await cache.get();
    auth.respond({ status: 400, body: { error: "unsupported_token_type" } }, { status: 200, body: "" });
    expect(await rejectionOf(cache.signOut())).toMatchObject({ error: "unsupported_token_type" });
  });

  test("C16: a grant without a user cannot be signed out: a TypeError that says which can, and nothing is sent", async () => {
    for (const [, build] of grants) {
      const cache = cacheOf(build());
      expect(await rejectionOf(cache.signOut())).toBeInstanceOf(TypeError);
      await expect(cache.signOut()).rejects.toThrow(/refreshTokenGrant/);
    }
    expect(auth.requests).toHaveLength(0);
  });
});

describe("token exchange", () => {
  test("sends the identity provider's token and the handler, and accepts an answer without issued_token_type", async () => {
    const grant = salesforceTokenExchangeGrant({
      ...orgOptions(),
      subjectToken: async () => "idp-token",
      subjectTokenType: "id_token",
      tokenHandler: "AcmeHandler",
      scope: "api",
    });
    expect((await cacheOf(grant).get()).value).toBe(`${TOKEN}1`);
    expect(Object.fromEntries(auth.requests[0]!.form)).toEqual({
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      subject_token: "idp-token",
      subject_token_type: "urn:ietf:params:oauth:token-type:id_token",
      token_handler: "AcmeHandler",
      scope: "api",
    });
  });

  test("subjectExpiresAt: the issued token is kept no longer", async () => {
    const clock = manualClock();
    const subjectExpiresAt = clock.now() + 120_000;
    const grant = salesforceTokenExchangeGrant({ ...orgOptions(), subjectToken: "opaque", subjectExpiresAt });
    expect((await createTokenCache({ grant, clock }).get()).expiresAt).toBe(subjectExpiresAt);
  });

  test("a subject token over 10,000 characters is refused before any request", async () => {
    const tooLong = "x".repeat(10_001);
    expect(() => salesforceTokenExchangeGrant({ ...orgOptions(), subjectToken: tooLong })).toThrow(/10000 characters/);
    const cache = cacheOf(salesforceTokenExchangeGrant({ ...orgOptions(), subjectToken: () => tooLong }));
    expect(await rejectionOf(cache.get())).toMatchObject({
      code: "ERR_GRANT",
      retryable: false,
      hint: 'the function "subjectToken" failed; see the cause',
      cause: { name: "TypeError", message: expect.stringContaining("10000 characters") as string },
    });
    expect(auth.requests).toHaveLength(0);
    await cacheOf(salesforceTokenExchangeGrant({ ...orgOptions(), subjectToken: "x".repeat(10_000) })).get();
    expect(auth.requests).toHaveLength(1);
  });
});

test("S5: the printed grant, cache, token and error show no key, secret or token", async () => {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  const pem = await exportPKCS8(privateKey);
  const { clientSecret: _secret, ...org } = orgOptions();
  const grants: [grant: Grant, sent: string][] = [
    [salesforceJwtBearerGrant({ ...org, username: "alice@acme.example", privateKey: pem }), "assertion"],
    [salesforceClientCredentialsGrant(orgOptions()), SECRET],
    [salesforceRefreshTokenGrant({ ...orgOptions(), refreshToken: "rt-secret" }), "rt-secret"],
    [salesforceTokenExchangeGrant({ ...orgOptions(), subjectToken: "subject-secret" }), "subject-secret"],
  ];
  const shown: string[] = [];
  for (const [grant, sent] of grants) {
    const cache = cacheOf(grant);
    shown.push(printed(grant), printed({ ...grant }), printed(await cache.get()), printed(cache));
    await cache.invalidate((await cache.get()).value);
    // The server repeats everything it received, with the secret if there was one.
    auth.respond(({ form, headers }) => {
      const secret = headers.authorization === undefined ? "" : SECRET;
      const error_description = `${sent} ${secret} ${form.get("assertion") ?? ""}`;
      return { status: 400, body: { error: "invalid_request", error_description } };
    });
    shown.push(printed(await rejectionOf(cache.get())));
  }
  expect(shown.join("\n")).not.toMatch(/3MVG9|consumer-secret|rt-secret|subject-secret|00Dx|CMJ4l|PRIVATE|eyJ/);
  expect(shown.join("\n")).not.toContain(pem.slice(100, 140));
});

function printed(value: unknown): string {
  return inspect(value, { depth: 10, showHidden: true, getters: true }) + JSON.stringify(value);
}
