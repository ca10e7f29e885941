/**
 * Unknown options of all public functions: one table with a slip and its message for each. The table is compared with what
 * the subpaths export and with the methods of a cache, a pool and the testing kit, so that a new one cannot be forgotten.
 *
 * How the message finds the nearest name is in base/options-names.test.ts.
 */
import { afterAll, describe, expect, test } from "vitest";
import {
  clientCredentialsGrant,
  clientSecretBasic,
  createTokenCache,
  createTokenPool,
  customGrant,
  genericGrant,
  jwtBearerGrant,
  privateKeyJwt,
  refreshTokenGrant,
  tlsClientAuth,
  tokenExchangeGrant,
} from "remint";
import { chalkGrant } from "remint/chalk";
import { dpop } from "remint/dpop";
import { fleetStore, memoryStore, storeContract } from "remint/fleet";
import { redisStore } from "remint/redis";
import {
  salesforceClientCredentialsGrant,
  salesforceJwtBearerGrant,
  salesforceRefreshTokenGrant,
  salesforceTokenExchangeGrant,
} from "remint/salesforce";
import { privateKeyFromFile, privateKeyFromPem } from "remint/node";
import { createAuthInterceptor } from "remint/axios";
import { createAuthFetch } from "remint/fetch";
import { createAuthOfetch } from "remint/ofetch";
import { createAuthProxy } from "remint/proxy";
import { tabStore } from "remint/browser";
import { openTelemetry } from "remint/otel";
import { fakeGrant, fakeSessions, manualClock, startApi, startAuthServer } from "remint/testing";
import { SUBPATHS } from "../../scripts/subpaths.mjs";
import type { MintFunction, TokenCache, TokenPool } from "remint";
import type { Api, AuthServer, FakeGrant, FakeSessions, ManualClock, Scripted } from "remint/testing";

const origins = ["https://api.example"];
const client = { tokenEndpoint: "https://auth.example/token", clientId: "client", clientSecret: "secret" } as const;
const org = { loginUrl: "https://acme.my.salesforce.com", instanceUrl: "https://acme.my.salesforce.com" } as const;
const app = { ...org, clientId: "client", clientSecret: "secret" } as const;
const store = { encryptionKey: "none" } as const;

const tokens = createTokenCache({ grant: refreshTokenGrant({ ...client, refreshToken: "rt" }), origins });
const pool = createTokenPool({ create: () => createTokenCache({ grant: fakeGrant({ state: "s" }), origins }) });
const grant = fakeGrant();
const auth = await startAuthServer();
const api = await startApi({ accepts: auth });
afterAll(() => Promise.all([tokens.close(), pool.close(), auth.close(), api.close()]));

/**
 * A public function; a call of it with a member too many, which the types do not let through; what the member is called; and
 * the end of the message.
 */
type Row = readonly [where: string, call: (slip: object) => unknown, name: string, advice: string];

const functions: readonly Row[] = [
  ["tabStore", (slip) => tabStore({ ...slip }), "persists", 'did you mean "persist"?'],
  [
    "createAuthProxy",
    (slip) => createAuthProxy(() => tokens, { routes: { "/api": "https://api.example" }, ...slip }),
    "route",
    'did you mean "routes"?',
  ],
  ["createAuthFetch", (slip) => createAuthFetch(tokens, { ...slip }), "isrejected", 'did you mean "isRejected"?'],
  [
    "createAuthInterceptor",
    (slip) => createAuthInterceptor(tokens, { ...slip }),
    "inspect_statuses",
    'did you mean "inspectStatuses"?',
  ],
  [
    "createAuthOfetch",
    (slip) => createAuthOfetch(tokens, {}, { ...slip }),
    "failed_renewal",
    'did you mean "failedRenewal"?',
  ],
  [
    "createTokenCache",
    (slip) => createTokenCache({ grant, origins, ...slip }),
    "refreshbuffer",
    'did you mean "refreshBuffer"?',
  ],
  ["createTokenPool", (slip) => createTokenPool({ create: () => tokens, ...slip }), "max", 'did you mean "maxSize"?'],
  [
    "clientCredentialsGrant",
    (slip) => clientCredentialsGrant({ ...client, ...slip }),
    "scopes",
    'did you mean "scope"?',
  ],
  [
    "refreshTokenGrant",
    (slip) => refreshTokenGrant({ ...client, refreshToken: "rt", ...slip }),
    "onRotated",
    'did you mean "onRotate"?',
  ],
  [
    "genericGrant",
    (slip) => genericGrant({ ...client, grantType: "password", ...slip }),
    "grant_types",
    'did you mean "grantType"?',
  ],
  [
    "jwtBearerGrant",
    (slip) => jwtBearerGrant({ ...client, assertion: "a.b.c", ...slip }),
    "assertions",
    'did you mean "assertion"?',
  ],
  [
    "tokenExchangeGrant",
    (slip) => tokenExchangeGrant({ ...client, subjectToken: "s", ...slip }),
    "actor_token",
    'did you mean "actorToken"?',
  ],
  ["customGrant", (slip) => customGrant({ mint: () => "a", ...slip }), "retries", 'did you mean "mintRetries"?'],
  [
    "privateKeyJwt",
    (slip) => privateKeyJwt({ key: () => "", ...slip }),
    "algorithm",
    'it has "key", "alg", "kid", "header", "audience"',
  ],
  ["clientSecretBasic", (slip) => clientSecretBasic({ ...slip }), "encode", 'did you mean "encoding"?'],
  [
    "chalkGrant",
    (slip) => chalkGrant({ clientId: "c", clientSecret: "s", ...slip }),
    "env",
    'did you mean "environment"?',
  ],
  ["dpop", (slip) => dpop({ ...slip }), "alg", 'did you mean "algorithm"?'],
  ["fleetStore", (slip) => fleetStore(memoryStore(), { ...store, ...slip }), "leaseTtl", 'did you mean "lease"?'],
  ["redisStore", (slip) => redisStore(async () => null, { ...store, ...slip }), "keyPrefix", 'did you mean "prefix"?'],
  ["memoryStore", (slip) => memoryStore({ ...slip }), "maxSize", 'it has "clock"'],
  ["storeContract", (slip) => storeContract(() => memoryStore(), { ...slip }), "timeout", 'it has "patience"'],
  [
    "salesforceClientCredentialsGrant",
    (slip) => salesforceClientCredentialsGrant({ ...app, ...slip }),
    "url",
    'did you mean "loginUrl" or "instanceUrl"?',
  ],
  [
    "salesforceJwtBearerGrant",
    (slip) => salesforceJwtBearerGrant({ ...org, clientId: "c", username: "u", privateKey: () => "", ...slip }),
    "user",
    'did you mean "username"?',
  ],
  [
    "salesforceRefreshTokenGrant",
    (slip) => salesforceRefreshTokenGrant({ ...app, refreshToken: "rt", ...slip }),
    "refresh_token",
    'did you mean "refreshToken"?',
  ],
  [
    "salesforceTokenExchangeGrant",
    (slip) => salesforceTokenExchangeGrant({ ...app, subjectToken: "s", ...slip }),
    "handler",
    'did you mean "tokenHandler"?',
  ],
  ["privateKeyFromPem", (slip) => privateKeyFromPem("x", { ...slip }), "password", 'it has "passphrase"'],
  ["privateKeyFromFile", (slip) => privateKeyFromFile("x", { ...slip }), "passPhraze", 'did you mean "passphrase"?'],
  ["startApi", (slip) => startApi({ accepts: auth, ...slip }), "accept", 'did you mean "accepts"?'],
  ["startAuthServer", (slip) => startAuthServer({ ...slip }), "expires_in", 'did you mean "expiresIn"?'],
  ["fakeGrant", (slip) => fakeGrant({ ...slip }), "expiresin", 'did you mean "expiresIn"?'],
  ["openTelemetry", (slip) => openTelemetry({ ...slip }), "traces", 'did you mean "tracer"?'],
  ["manualClock", (slip) => manualClock({ ...slip }), "time", 'it has "now"'],
];

const methods: readonly Row[] = [
  ["get", (slip) => tokens.get({ ...slip }), "abortSignal", 'it has "signal"'],
  ["signOut", (slip) => tokens.signOut({ ...slip }), "revok", 'did you mean "revoke"?'],
  ["for", (slip) => tokens.for({ scope: "a", ...slip }), "resources", 'did you mean "resource"?'],
  ["close", (slip) => tokens.close({ ...slip }), "timeout", 'it has "within"'],
  ["signOut", (slip) => pool.signOut("a", { ...slip }), "revoked", 'did you mean "revoke"?'],
  ["release", (slip) => pool.release("nobody", { ...slip }), "with", 'did you mean "within"?'],
  ["close", (slip) => pool.close({ ...slip }), "Within", 'did you mean "within"?'],
  ["hold", (slip) => grant.hold({ ...slip }), "ignore", 'did you mean "ignoreSignal"?'],
  ["signIn", (slip) => auth.signIn("alice", { ...slip }), "scopes", 'did you mean "scope"?'],
  ["holdAnswers", (slip) => api.holdAnswers({ ...slip }), "process", 'did you mean "processFirst"?'],
  ["respond", (slip) => api.respond({ status: 401 }, { ...slip }), "statusCode", 'it has "status", '],
  ["respondAlways", (slip) => auth.respondAlways({ ...slip }), "header", 'did you mean "headers"?'],
];

/** Options inside of options. */
const nested: readonly Row[] = [
  [
    "assertion",
    (slip) => {
      const assertion = { key: () => "", issuer: "i", subject: "s", audience: "a", ...slip };
      return jwtBearerGrant({ ...client, assertion });
    },
    "aud",
    'did you mean "audience"?',
  ],
];

describe("Q17: an unknown option is a TypeError that names the option that was meant", () => {
  test.each([...functions, ...methods, ...nested])("Q17: %s", async (where, call, name, advice) => {
    // As a promise, because some of them are async. Those that are not throw at once.
    const message = await Promise.resolve()
      .then(() => call({ [name]: "hush" }))
      .then(
        () => "accepted",
        (error: unknown) => (expect(error).toBeInstanceOf(TypeError), (error as Error).message),
      );
    expect(message.startsWith(`${where} has no option "${name}": ${advice}`), message).toBe(true);
    expect(message).not.toContain("hush");
  });

  test("Q17: an unknown option of a close, a release or a script: nothing was done", async () => {
    const cache = pool.get("alice");
    await expect(pool.close({ timeout: 1 } as never)).rejects.toThrow(TypeError);
    await expect(pool.release("alice", { timeout: 1 } as never)).rejects.toThrow(TypeError);
    await expect(cache.close({ timeout: 1 } as never)).rejects.toThrow(TypeError);
    expect(pool.get("alice")).toBe(cache);
    expect((await cache.get()).value).toBe("fake-1");
    expect(() => api.respond({ status: 503 }, { stauts: 503 } as never)).toThrow(TypeError);
    expect((await fetch(api.origin)).status).toBe(401);
  });

  test("Q17: tlsClientAuth takes no options: a certificate that is given to it is a TypeError", () => {
    const message = 'tlsClientAuth takes no options: what presents the certificate is the grant\'s option "fetch"';
    expect(() => (tlsClientAuth as (options: object) => unknown)({ cert: "c", key: "k" })).toThrow(
      new TypeError(message),
    );
    expect(tlsClientAuth().method).toBe("tls_client_auth");
  });
});

describe("Q17: structures of the user's own may have members of any name", () => {
  const more = {
    mint: () => "a",
    mintRetries: 3,
    retry: 3,
    server: "db-1",
    source: "vault",
    signIn: "never",
    name: "vault",
  };

  test("Q17: an object with a mint as the grant: its other members mean nothing, whatever their names are", async () => {
    // The types let only functions and grants through.
    const cache = createTokenCache({ grant: more as unknown as MintFunction, origins });
    expect((await cache.get()).value).toBe("a");
    const failing = { ...more, mint: () => Promise.reject(new Error("down")) } as unknown as MintFunction;
    const error = { code: "ERR_GRANT", cause: new Error("down") };
    await expect(createTokenCache({ grant: failing, origins }).get()).rejects.toMatchObject(error);
  });

  test("Q17: an instance of a class is taken by customGrant, with its methods and other members", async () => {
    class Vault {
      readonly origins = origins;
      readonly address = "https://vault.example";
      #count = 0;
      mint(): string {
        return `${this.address} ${++this.#count}`.replaceAll(/\W/g, "");
      }
    }
    expect((await createTokenCache({ grant: customGrant(new Vault()) }).get()).value).toBe("httpsvaultexample1");
  });

  test("Q17: token responses, sign-ins, claims, parameters, headers and saved sessions", async () => {
    const response = { access_token: "a", expires_in: 60, instance_url: "https://api.example", claims: () => ({}) };
    const cache = createTokenCache({
      grant: fakeGrant({ state: "s", response: { tenant: "a" } }),
      origins,
      initial: response,
    });
    await cache.signIn(response);
    expect((await cache.get()).value).toBe("a");
    fakeGrant().respond(response);
    const assertion = { key: () => "", issuer: "i", subject: "s", audience: "a", claims: { tenant: "a" } };
    jwtBearerGrant({ ...client, assertion, parameters: { tenant: "a" }, headers: { "x-tenant": "a" } });
    expect(await fakeSessions({ scopes: "rt" }).refreshToken("scopes")).toBe("rt");
  });

  test("Q17: clocks, stores and sources of tokens", () => {
    const engine = Object.assign(memoryStore(), { region: "eu" });
    const ticking = Object.assign(manualClock(), { zone: "UTC" });
    createTokenCache({ grant: fakeGrant({ key: "a" }), origins, clock: ticking, store: fleetStore(engine, store) });
    createTokenPool({ create: () => tokens, clock: ticking });
  });
});

/** The members of a type, and whether each takes options. One that is not listed does not compile. */
type Members<Type> = Readonly<Record<keyof Type & string, boolean>>;

const servers: Members<Scripted<unknown>> = {
  origin: false,
  requests: false,
  latency: false,
  waiting: false,
  respond: true,
  respondAlways: true,
  holdAnswers: true,
  freeze: false,
  waitFor: false,
  close: false,
};
const members = {
  cache: {
    peek: false,
    get: true,
    invalidate: false,
    signIn: false,
    signOut: true,
    for: true,
    close: true,
  } satisfies Members<TokenCache>,
  pool: {
    size: false,
    get: false,
    signIn: false,
    signOut: true,
    release: true,
    describe: false,
    close: true,
  } satisfies Members<TokenPool>,
  grant: {
    mints: false,
    contexts: false,
    last: false,
    fail: false,
    respond: false,
    recover: false,
    hold: true,
  } satisfies Members<FakeGrant>,
  sessions: {
    saved: false,
    log: false,
    refreshToken: false,
    save: false,
    delete: false,
    failSaves: false,
    holdSaves: false,
  } satisfies Members<FakeSessions>,
  clock: {
    now: false,
    monotonic: false,
    setTimeout: false,
    advance: false,
    stepWall: false,
    stepMonotonic: false,
    suspend: false,
    timers: false,
    awaited: false,
  } satisfies Members<ManualClock>,
  servers,
  api: { unauthorized: false } satisfies Members<Omit<Api, keyof Scripted<unknown>>>,
  auth: {
    issuer: false,
    tokenEndpoint: false,
    revocationEndpoint: false,
    authorizationEndpoint: false,
    expiresIn: false,
    rotation: false,
    gracePeriod: false,
    user: false,
    mints: false,
    issued: false,
    log: false,
    waitForLog: false,
    signIn: true,
    endSignIns: false,
    tokenInfo: false,
    isLive: false,
    revoke: false,
    revokeAll: false,
  } satisfies Members<Omit<AuthServer, keyof Scripted<unknown>>>,
};

describe("Q17: the table is complete", () => {
  /** Exported functions that have no options to check, and why. */
  const without: Readonly<Record<string, string>> = {
    RemintError: "an error, which is made for every caller of a failed mint",
    TokenEndpointError: "an error",
    chalkToken: "takes a token",
    clientAssertion: "takes a function",
    damagedAnswer: "takes a name",
    fakeSessions: "takes refresh tokens by session, which may have any id",
    findRemintError: "takes an error",
    isRemintError: "takes an error",
    refreshEndpoint: "takes the options of fetch, of which runtimes have more than the standard",
    salesforceToken: "takes a token",
    secretFromFile: "takes a path",
    tlsClientAuth: "takes nothing",
    tokenFromFile: "takes a path",
    withToken: "takes what a client implements",
  };

  test("Q17: every exported function is in the table, or has a reason not to be", async () => {
    const modules = await Promise.all(
      SUBPATHS.map(
        async ({ source }) => (await import(/* @vite-ignore */ `../../src/${source}`)) as Record<string, unknown>,
      ),
    );
    const exported = modules.flatMap((module) =>
      Object.entries(module).flatMap(([name, value]) => (typeof value === "function" ? [name] : [])),
    );
    const known = [...functions.map(([where]) => where), ...Object.keys(without)];
    expect(exported.toSorted()).toEqual(known.toSorted());
  });

  test("Q17: every method that takes options is in the table", () => {
    const withOptions = Object.values(members).flatMap((each) =>
      Object.entries(each).flatMap(([name, takesOptions]) => (takesOptions ? [name] : [])),
    );
    expect(methods.map(([where]) => where).toSorted()).toEqual(withOptions.toSorted());
  });
});
