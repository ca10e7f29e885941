/**
 * The messages of errors are public: a server may show them to anybody. No message names a URL, a host, an OAuth error,
 * an option or what a server said, whatever goes wrong. The hint does.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isRemintError } from "../../src/base/errors.ts";
import { dpop } from "../../src/dpop/index.ts";
import {
  type AccessToken,
  clientAssertion,
  clientCredentialsGrant,
  createTokenCache,
  customGrant,
  type CustomToken,
  type Grant,
  jwtBearerGrant,
  privateKeyJwt,
  refreshTokenGrant,
  type RemintError,
  type RemintEvent,
  tokenExchangeGrant,
  type TokenFetch,
} from "../../src/index.ts";
import { secretFromFile, tokenFromFile } from "../../src/node/index.ts";
import { chalkGrant } from "../../src/providers/chalk.ts";
import {
  salesforceClientCredentialsGrant,
  salesforceRefreshTokenGrant,
  salesforceTokenExchangeGrant,
} from "../../src/providers/salesforce.ts";
import { ORIGIN, rejectionOf } from "../core/cache-under-test.ts";
import { mintOnce, revokeOnce } from "../grants/one-mint.ts";

/** Every message that an error of these folders may have. */
const MESSAGES = new Set([
  "no token is available: the authorization server refused the request",
  "no token is available: the authorization server failed",
  "no token is available: the authorization server did not answer",
  "no token is available: the authorization server's answer cannot be used",
  "no token is available: a function that was given to the grant failed",
  "no token is available: what the grant returned cannot be used",
  "the token could not be revoked: the authorization server refused the request",
  "the token could not be revoked: the authorization server failed",
  "the token could not be revoked: the authorization server did not answer",
  "the token could not be revoked: the authorization server's answer cannot be used",
  "the token could not be revoked: the authorization server has no way to do it",
  "a secret could not be read from its file",
  "a token could not be read from its file",
  "no DPoP proof could be made",
  "no DPoP proof can be made for this URL",
]);

const HOST = "auth.example";
const ISSUER = `https://${HOST}`;
const ENDPOINT = `https://${HOST}/token`;
const CLIENT = { clientId: "portal-client", clientSecret: "hush" } as const;
const PUBLIC_CLIENT = { clientId: "portal-client", clientAuthentication: "none" } as const;
const ORG = { loginUrl: "https://acme.my.salesforce.com", instanceUrl: "https://acme.my.salesforce.com" } as const;

/** What no message may hold. */
const FORBIDDEN =
  /https?:|\/\/|\.example|salesforce|chalk\.ai|localhost|127\.0|invalid_|unauthorized_|unsupported_|server_error|temporarily|use_dpop|portal-client|hush|marker|[a-z]\w*[A-Z]\w*[a-z](?<!DPoP)|[a-z]_[a-z]|\d{3}|"/;

function expectPublic(error: unknown, context = ""): void {
  if (!isRemintError(error)) expect.fail(`no error of ours: ${String(error)} ${context}`);
  expect(MESSAGES, `${error.message} ${context}`).toContain(error.message);
  expect(error.message).not.toMatch(FORBIDDEN);
}

const TOKEN = {
  access_token: "token",
  token_type: "Bearer",
  expires_in: 60,
  issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
  instance_url: ORG.instanceUrl,
};

/** One for all runs, because a key takes long to generate. */
const proofKey = dpop();

/** Every grant that sends requests, over a server that is a function. */
const grants: [name: string, build: (fetch: TokenFetch) => Grant][] = [
  ["clientCredentialsGrant", (fetch) => clientCredentialsGrant({ tokenEndpoint: ENDPOINT, ...CLIENT, fetch })],
  [
    "clientCredentialsGrant with a DPoP key",
    (fetch) => clientCredentialsGrant({ tokenEndpoint: ENDPOINT, ...CLIENT, dpop: proofKey, fetch }),
  ],
  [
    "refreshTokenGrant",
    (fetch) => refreshTokenGrant({ tokenEndpoint: ENDPOINT, ...CLIENT, refreshToken: "rt", fetch }),
  ],
  [
    "refreshTokenGrant with a function",
    (fetch) =>
      refreshTokenGrant({
        tokenEndpoint: ENDPOINT,
        ...CLIENT,
        refreshToken: () => "rt",
        onRotate: () => undefined,
        fetch,
      }),
  ],
  ["jwtBearerGrant", (fetch) => jwtBearerGrant({ tokenEndpoint: ENDPOINT, ...CLIENT, assertion: "a.b.c", fetch })],
  [
    "tokenExchangeGrant",
    (fetch) => tokenExchangeGrant({ tokenEndpoint: ENDPOINT, ...CLIENT, subjectToken: "subject", fetch }),
  ],
  ["salesforceClientCredentialsGrant", (fetch) => salesforceClientCredentialsGrant({ ...ORG, ...CLIENT, fetch })],
  [
    "salesforceRefreshTokenGrant",
    (fetch) => salesforceRefreshTokenGrant({ ...ORG, ...CLIENT, refreshToken: "rt", fetch }),
  ],
  [
    "salesforceTokenExchangeGrant",
    (fetch) => salesforceTokenExchangeGrant({ ...ORG, ...CLIENT, subjectToken: "subject", fetch }),
  ],
  ["chalkGrant", (fetch) => chalkGrant({ ...CLIENT, fetch })],
];

const mint = (grant: Grant): Promise<unknown> => mintOnce(grant, { signal: new AbortController().signal, state: "rt" });

describe.each(grants)("%s: whatever the server answers", (_name, build) => {
  const words = fc.constantFrom(
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "server_error",
    "temporarily_unavailable",
    "use_dpop_nonce",
    "unsupported_token_type",
    `see ${ENDPOINT}`,
    "marker",
  );
  const value = fc.oneof(words, fc.jsonValue(), fc.constant(undefined));
  const answer = fc.record({
    status: fc.oneof(
      fc.constantFrom(200, 301, 400, 401, 403, 404, 408, 429, 500, 503),
      fc.integer({ min: 200, max: 599 }),
    ),
    headers: fc.record(
      {
        "retry-after": fc.constantFrom("7", "0", "marker"),
        "dpop-nonce": fc.constantFrom("marker"),
        location: fc.constantFrom(`${ISSUER}/marker`),
        "www-authenticate": fc.constantFrom('Basic realm="marker"'),
      },
      { requiredKeys: [] },
    ),
    body: fc.oneof(
      fc.constantFrom("", "<html>marker</html>", "marker", "null", "[]"),
      fc
        .record({ error: value, error_description: value, access_token: value, token_type: value, instance_url: value })
        .map((body) => JSON.stringify(body)),
      fc
        .record({ token_type: value, instance_url: value, error: value })
        .map((more) => JSON.stringify({ ...TOKEN, ...more })),
    ),
  });

  test("the message is one of the public ones, also of the error that a cache gives", async () => {
    await fc.assert(
      fc.asyncProperty(answer, async ({ status, headers, body }) => {
        const fetch: TokenFetch = async () =>
          new Response([204, 205, 304].includes(status) ? null : body, { status, headers });
        const outcome: unknown = await mint(build(fetch)).catch((error: unknown) => error);
        if (!(outcome instanceof Error)) return;
        expectPublic(outcome, JSON.stringify({ status, headers, body }));
        const grant = Object.assign({ ...build(fetch) }, { origins: [ORIGIN] });
        const failed: unknown = await createTokenCache({ grant, mintRetries: 0 })
          .get()
          .catch((error: unknown) => error);
        expectPublic(failed);
        expect((failed as RemintError).hint).toBe((outcome as RemintError).hint);
      }),
      { numRuns: 60 },
    );
  });

  test("no answer", async () => {
    const error = await rejectionOf(mint(build(() => Promise.reject(new Error(`connect ${ENDPOINT} marker`)))));
    expectPublic(error);
  });
});

/** A server with these answers by path. Others are 404. */
function serverOf(answers: Readonly<Record<string, () => Response>>): TokenFetch {
  return async (url) => answers[new URL(url).pathname]?.() ?? new Response(null, { status: 404 });
}

const CONFIGURATION = "/.well-known/openid-configuration";
const json =
  (body: object, status = 200): (() => Response) =>
  () =>
    Response.json(body, { status });
const metadata = { issuer: ISSUER, token_endpoint: ENDPOINT };
const withIssuer = (answers: Readonly<Record<string, () => Response>>): Grant =>
  clientCredentialsGrant({ issuer: ISSUER, ...CLIENT, fetch: serverOf(answers) });
const failing = (): never => {
  throw new Error(`marker ${ENDPOINT}`);
};
const missing = join(mkdtempSync(join(tmpdir(), "remint-marker-")), "no-such-file");
const custom = (token: unknown): Grant => customGrant({ mint: () => token as CustomToken });

/** Rejects with the error of the event that tells of a refresh token which could not be saved. */
async function unsaved(onRotate: () => never): Promise<never> {
  let reject!: (error: RemintError) => void;
  const promise = new Promise<never>((_, refuse) => (reject = refuse));
  const grant = refreshTokenGrant({
    tokenEndpoint: ENDPOINT,
    ...PUBLIC_CLIENT,
    refreshToken: "rt",
    onRotate,
    fetch: async () => Response.json({ ...TOKEN, refresh_token: "marker" }),
  });
  const onEvent = (event: RemintEvent): void => void (event.name === "state-unsaved" && reject(event.error));
  await createTokenCache({ grant, origins: [ORIGIN], onEvent }).get();
  return promise;
}

const mints: [what: string, mint: () => Promise<unknown>][] = [
  ["an issuer without metadata", () => mint(withIssuer({}))],
  ["an issuer that is down", () => mint(withIssuer({ [CONFIGURATION]: json({}, 503) }))],
  ["an issuer whose metadata is a page", () => mint(withIssuer({ [CONFIGURATION]: () => new Response("<html>") }))],
  ["an issuer that redirects", () => mint(withIssuer({ [CONFIGURATION]: () => Response.redirect(`${ISSUER}/x`) }))],
  [
    "another issuer's metadata",
    () => mint(withIssuer({ [CONFIGURATION]: json({ ...metadata, issuer: "https://marker.example" }) })),
  ],
  ["metadata without a token endpoint", () => mint(withIssuer({ [CONFIGURATION]: json({ issuer: ISSUER }) }))],
  [
    "metadata with a token endpoint on plain http",
    () => mint(withIssuer({ [CONFIGURATION]: json({ ...metadata, token_endpoint: "http://marker.example" }) })),
  ],
  ["a token endpoint of the metadata that is gone", () => mint(withIssuer({ [CONFIGURATION]: json(metadata) }))],
  [
    "a token exchange with token_type N_A",
    () =>
      mint(
        tokenExchangeGrant({
          tokenEndpoint: ENDPOINT,
          ...CLIENT,
          subjectToken: "subject",
          fetch: async () => Response.json({ ...TOKEN, token_type: "N_A" }),
        }),
      ),
  ],
  [
    "a function that fails",
    () => mint(clientCredentialsGrant({ tokenEndpoint: ENDPOINT, clientId: "portal-client", clientSecret: failing })),
  ],
  [
    "an assertion that is none",
    () =>
      mint(
        clientCredentialsGrant({
          tokenEndpoint: ENDPOINT,
          clientId: "portal-client",
          clientAuthentication: clientAssertion(() => "marker marker"),
        }),
      ),
  ],
  [
    "a key that is none",
    () =>
      mint(
        clientCredentialsGrant({
          tokenEndpoint: ENDPOINT,
          clientId: "portal-client",
          clientAuthentication: privateKeyJwt({ key: () => "marker" }),
        }),
      ),
  ],
  [
    "a subject token that is too long for Salesforce",
    () =>
      mint(
        salesforceTokenExchangeGrant({ ...ORG, ...CLIENT, subjectToken: () => "marker".repeat(2000), fetch: failing }),
      ),
  ],
  ["onRotate, in its event", () => unsaved(failing)],
  [
    "the function refreshToken",
    () =>
      createTokenCache({
        grant: refreshTokenGrant({
          tokenEndpoint: ENDPOINT,
          ...PUBLIC_CLIENT,
          refreshToken: failing,
          onRotate: () => undefined,
          fetch: failing,
        }),
        origins: [ORIGIN],
      }).get(),
  ],
  [
    "the function refreshToken, after the server has refused what it returned",
    () => {
      const returned = ["rt"];
      return createTokenCache({
        grant: refreshTokenGrant({
          tokenEndpoint: ENDPOINT,
          ...PUBLIC_CLIENT,
          refreshToken: () => returned.pop() ?? failing(),
          onRotate: () => undefined,
          fetch: async () => Response.json({ error: "invalid_grant" }, { status: 400 }),
        }),
        origins: [ORIGIN],
      }).get();
    },
  ],
  ["a custom grant that returns another object", () => mint(custom({ marker: 1 }))],
  ["a secret file that is missing", () => secretFromFile(missing)()],
  ["a token file that is missing", () => tokenFromFile(missing)()],
  ["a proof for a relative URL", async () => dpop().prove({ method: "GET", url: "/marker" })],
];

test.each(mints)("%s", async (_what, run) => {
  const error = await rejectionOf(run());
  expectPublic(error);
  expect((error as RemintError).hint, "the operator is told").toMatch(/\w/);
});

function revoke(grant: Grant): Promise<unknown> {
  return revokeOnce(grant, { value: "marker" } as AccessToken, "rt");
}

describe("revoking", () => {
  const endpoints = { tokenEndpoint: ENDPOINT, revocationEndpoint: `${ISSUER}/revoke` } as const;
  const answers: [what: string, answer: () => Response][] = [
    ["400", json({ error: "unsupported_token_type", error_description: "marker" }, 400)],
    ["401", json({ error: "invalid_client" }, 401)],
    ["404", () => new Response(null, { status: 404 })],
    ["503", () => new Response(null, { status: 503 })],
    ["a redirect", () => Response.redirect(`${ISSUER}/marker`)],
    ["nothing", failing],
  ];

  test.each(answers)("the server answers with %s", async (_what, answer) => {
    for (const grant of [
      clientCredentialsGrant({ ...endpoints, ...CLIENT, fetch: serverOf({ "/revoke": answer }) }),
      refreshTokenGrant({ ...endpoints, ...CLIENT, refreshToken: "rt", fetch: serverOf({ "/revoke": answer }) }),
    ]) {
      const error = await rejectionOf(revoke(grant));
      expectPublic(error);
      expect((error as RemintError).message).toMatch(/^the token could not be revoked: /);
      expect((error as RemintError).hint).toContain(`${ISSUER}/revoke`);
    }
  });

  test("the metadata has no revocation endpoint", async () => {
    const error = await rejectionOf(revoke(withIssuer({ [CONFIGURATION]: json(metadata) })));
    expectPublic(error);
    expect((error as RemintError).hint).toBe(
      `the token cannot be revoked: the issuer ${ISSUER} has no revocation endpoint; set revocationEndpoint`,
    );
  });
});
