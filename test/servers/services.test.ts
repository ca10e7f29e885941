/**
 * docs/servers.md, the lines for services that act for themselves or for the user of one request. Every endpoint is scripted
 * from the page that the comment above its test names, and was never asked itself. The last test holds that no lines are left
 * out.
 *
 * From memory, and held by no test, is of the page's prose: the path of Keycloak before version 17 and its authenticator's name, one
 * authentication method per application at Auth0, DPoP at Okta, Cognito's issuer, the sandboxes, that UAA does not decode the
 * header, the CA of a pod, and Vault's 403.
 */
import { createHash, createPublicKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { createTokenCache, type Grant } from "remint";
import { createAuthFetch } from "remint/fetch";
import { manualClock } from "remint/testing";
import { codeBlocks } from "../house/markdown.ts";
import { hasOpenssl } from "../oauth/certificates.ts";
import {
  GUIDE,
  must,
  ran,
  run,
  startHosts,
  takesBasic,
  takesForm,
  takesJwt,
  takesNoHeader,
  type Answered,
  type Asked,
  type Hosts,
} from "./hosts.ts";

const SECRET = "very-secret~1";
const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const PKCS1 = String(privateKey.export({ type: "pkcs1", format: "pem" }));
const PKCS8 = String(privateKey.export({ type: "pkcs8", format: "pem" }));

let hosts: Hosts;
beforeEach(async () => {
  hosts = await startHosts();
});

interface Expected {
  /** `METHOD URL` of the endpoint that gives tokens. */
  readonly endpoint: string;
  /** Checks the request, and returns the answer. `token` is new in every answer. */
  readonly answer: (asked: Asked, token: string) => Answered | Promise<Answered>;
  /** What every token begins with. @defaultValue "eyJ" */
  readonly prefix?: string;
  /** The URL of a request to the API. */
  readonly api: string;
  /** The headers by which the API knows the token. @defaultValue the token as Bearer */
  readonly carried?: (token: string) => Readonly<Record<string, string | undefined>>;
  /** How long the token is kept. */
  readonly minutes: number;
}

/** Two requests to the API carry the first token. It is rejected then, and the request is sent again with the second. */
async function works(grant: Grant, expected: Expected): Promise<void> {
  const { endpoint, answer, prefix = "eyJ", api, minutes } = expected;
  const { carried = (token) => ({ authorization: `Bearer ${token}` }) } = expected;
  let count = 0;
  let rejected = false;
  hosts.on(endpoint, (asked) => answer(asked, `${prefix}${++count}`));
  hosts.on(`GET ${api}`, ({ headers }) => {
    const isRight = Object.entries(carried(`${prefix}${count}`)).every(([name, value]) => headers[name] === value);
    if (rejected && count === 1) return { status: 401, body: {} };
    return { status: isRight ? 200 : 418, body: {} };
  });
  const clock = manualClock({ now: Date.now() });
  const tokens = createTokenCache({ grant, clock, mintRetries: 0 });
  const authFetch = createAuthFetch(tokens);
  const statuses = [(await authFetch(api)).status, (await authFetch(api)).status];
  expect([...statuses, hosts.count(endpoint), hosts.problems]).toEqual([200, 200, 1, []]);
  expect(Math.round((tokens.peek()!.expiresAt - clock.now()) / 60_000)).toBe(minutes);
  rejected = true;
  expect([(await authFetch(api)).status, hosts.count(endpoint)]).toEqual([200, 2]);
}

const CLIENT_CREDENTIALS = { grant_type: "client_credentials" };
const JWT_BEARER = { grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer" };
const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";
const EXCHANGE = {
  grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
  subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
};

type WithGrant = { readonly grant: Grant };

function discovery(issuer: string, path: string, token: string): void {
  hosts.on(`GET ${path}/.well-known/openid-configuration`, () => ({ body: { issuer, token_endpoint: token } }));
}

// "Server Administration Guide", section "Using a service account" (keycloak.org). The members `refresh_expires_in` and
// `not-before-policy` are in answers that users of Keycloak show.
test("Keycloak: endpoints from the realm, secret in the header", async () => {
  vi.stubEnv("KEYCLOAK_SECRET", SECRET);
  const realm = "https://sso.acme.example/realms/acme";
  discovery(realm, realm, `${realm}/protocol/openid-connect/token`);
  await works((await run<WithGrant>(hosts, "Keycloak")).grant, {
    endpoint: `POST ${realm}/protocol/openid-connect/token`,
    answer(asked, token) {
      takesBasic(asked, "orders", SECRET);
      takesForm(asked, CLIENT_CREDENTIALS);
      const more = { refresh_expires_in: 0, "not-before-policy": 0, scope: "profile email" };
      return { body: { access_token: token, expires_in: 300, token_type: "Bearer", ...more } };
    },
    api: "https://api.acme.example/orders",
    minutes: 5,
  });
});

// "Get Access Tokens" (auth0.com/docs). That the issuer ends with a slash is from memory.
test("Auth0: audience, secret in the form", async () => {
  vi.stubEnv("AUTH0_SECRET", SECRET);
  discovery("https://acme.eu.auth0.com/", "https://acme.eu.auth0.com", "https://acme.eu.auth0.com/oauth/token");
  await works((await run<WithGrant>(hosts, "Auth0")).grant, {
    endpoint: "POST https://acme.eu.auth0.com/oauth/token",
    answer(asked, token) {
      takesNoHeader(asked);
      const audience = "https://api.acme.example";
      takesForm(asked, { ...CLIENT_CREDENTIALS, audience, client_id: "AxtB0", client_secret: SECRET });
      return { body: { access_token: token, token_type: "Bearer", expires_in: 86_400 } };
    },
    api: "https://api.acme.example/orders",
    minutes: 1440,
  });
});

describe("Okta", () => {
  // "Implement authorization by grant type: Client Credentials" (developer.okta.com), from memory; its issuer and scope too.
  test("a custom authorization server: secret in the header, scope", async () => {
    vi.stubEnv("OKTA_SECRET", SECRET);
    const issuer = "https://acme.okta.com/oauth2/default";
    discovery(issuer, issuer, `${issuer}/v1/token`);
    await works((await run<WithGrant>(hosts, "Okta")).grant, {
      endpoint: `POST ${issuer}/v1/token`,
      answer(asked, token) {
        takesBasic(asked, "0oa1orders", SECRET);
        takesForm(asked, { ...CLIENT_CREDENTIALS, scope: "orders:read" });
        return { body: { access_token: token, token_type: "Bearer", expires_in: 3600, scope: "orders:read" } };
      },
      api: "https://api.acme.example/orders",
      minutes: 60,
    });
  });

  // "Implement OAuth for Okta with a service app" (developer.okta.com): claims, at most an hour, aud is the token endpoint.
  test("the org's server: an assertion for the token endpoint, with the key's id", async () => {
    writeFileSync(join(hosts.folder, "okta.pem"), PKCS1);
    const endpoint = "https://acme.okta.com/oauth2/v1/token";
    const used = new Set<unknown>();
    await works((await run<WithGrant>(hosts, "Okta", 1)).grant, {
      endpoint: `POST ${endpoint}`,
      async answer(asked, token) {
        takesNoHeader(asked);
        takesForm(asked, {
          ...CLIENT_CREDENTIALS,
          client_id: undefined,
          scope: "okta.users.read",
          client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
          client_assertion: undefined,
        });
        const { jti } = await takesJwt(asked.form.get("client_assertion"), {
          key: publicKey,
          header: { alg: "RS256", kid: "jwks1" },
          claims: { iss: "0oa1service", sub: "0oa1service", aud: endpoint },
          longest: 3600,
        });
        must(!used.has(jti), "the assertion was used before");
        used.add(jti);
        return { body: { token_type: "Bearer", expires_in: 3600, access_token: token, scope: "okta.users.read" } };
      },
      api: "https://acme.okta.com/api/v1/users",
      minutes: 60,
    });
  });
});

const entraAnswer = (token: string): Answered => ({
  body: { token_type: "Bearer", expires_in: 3599, ext_expires_in: 3599, access_token: token },
});

describe("Microsoft Entra ID", () => {
  const endpoint = "https://login.microsoftonline.com/acme.example/oauth2/v2.0/token";
  const client_id = "535fb089-9ff3-47b6-9bfb-4f1264799865";
  const scope = "https://graph.microsoft.com/.default";
  const rest = { endpoint: `POST ${endpoint}`, api: "https://graph.microsoft.com/v1.0/users", minutes: 60 };

  // "Microsoft identity platform and the OAuth 2.0 client credentials flow" (learn.microsoft.com).
  test("secret in the form", async () => {
    vi.stubEnv("ENTRA_SECRET", SECRET);
    await works((await run<WithGrant>(hosts, "Microsoft Entra ID")).grant, {
      ...rest,
      answer(asked, token) {
        takesNoHeader(asked);
        takesForm(asked, { ...CLIENT_CREDENTIALS, client_id, client_secret: SECRET, scope });
        return entraAnswer(token);
      },
    });
  });

  // "Microsoft identity platform application authentication certificate credentials" (learn.microsoft.com): PS256 and
  // x5t#S256; an earlier version of the page has RS256 and x5t with SHA-1. The page also lists nbf, which is not sent.
  test.skipIf(!hasOpenssl).each([
    ["PS256", "x5t#S256", "sha256"],
    ["RS256", "x5t", "sha1"],
  ])("certificate: %s and %s", async (alg, member, hash) => {
    const [certificate, key] = [join(hosts.folder, "entra.crt"), join(hosts.folder, "entra.key")];
    writeFileSync(key, PKCS8);
    spawnSync("openssl", [
      "req",
      "-x509",
      "-new",
      "-key",
      key,
      "-out",
      certificate,
      "-days",
      "2",
      "-subj",
      "/CN=orders",
    ]);
    const { raw } = new X509Certificate(readFileSync(certificate));
    const edit = (code: string): string =>
      code.replace('"PS256"', `"${alg}"`).replace('"x5t#S256"', `"${member}"`).replace('"sha256"', `"${hash}"`);
    await works((await run<WithGrant>(hosts, "Microsoft Entra ID", 1, edit)).grant, {
      ...rest,
      async answer(asked, token) {
        takesNoHeader(asked);
        const client_assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        takesForm(asked, {
          ...CLIENT_CREDENTIALS,
          client_id,
          client_assertion_type,
          client_assertion: undefined,
          scope,
        });
        const { jti } = await takesJwt(asked.form.get("client_assertion"), {
          key: publicKey,
          header: { alg, typ: "JWT", [member]: createHash(hash).update(raw).digest("base64url") },
          claims: { aud: endpoint, iss: client_id, sub: client_id },
          longest: 600,
        });
        must(jti !== undefined, "the assertion has no jti");
        return entraAnswer(token);
      },
    });
  });

  // "Microsoft identity platform and OAuth 2.0 On-Behalf-Of flow" (learn.microsoft.com).
  test("on behalf of the user whose token a request carries", async () => {
    vi.stubEnv("ENTRA_SECRET", SECRET);
    const { grantOf } = await run<{ grantOf: (userToken: string) => Grant }>(hosts, "Microsoft Entra ID", 2);
    await works(grantOf("the-users-token"), {
      ...rest,
      api: "https://graph.microsoft.com/v1.0/me",
      minutes: 54,
      answer(asked, token) {
        takesNoHeader(asked);
        takesForm(asked, {
          ...JWT_BEARER,
          client_id,
          client_secret: SECRET,
          assertion: "the-users-token",
          scope: "https://graph.microsoft.com/user.read",
          requested_token_use: "on_behalf_of",
        });
        const body = { token_type: "Bearer", scope: "https://graph.microsoft.com/user.read", expires_in: 3269 };
        return { body: { ...body, ext_expires_in: 0, access_token: token, refresh_token: "OAQABAAAA" } };
      },
    });
  });
});

// "The token issuer endpoint" (docs.aws.amazon.com/cognito).
test("Amazon Cognito: secret in the header, scope of a resource server", async () => {
  vi.stubEnv("COGNITO_SECRET", SECRET);
  await works((await run<WithGrant>(hosts, "Amazon Cognito")).grant, {
    endpoint: "POST https://acme.auth.eu-central-1.amazoncognito.com/oauth2/token",
    answer(asked, token) {
      takesBasic(asked, "1example23456789", SECRET);
      takesForm(asked, { ...CLIENT_CREDENTIALS, scope: "orders/read" });
      return { body: { access_token: token, expires_in: 3600, token_type: "Bearer" } };
    },
    api: "https://api.acme.example/orders",
    minutes: 60,
  });
});

describe("Google", () => {
  // "Using OAuth 2.0 for Server to Server Applications", HTTP/REST (developers.google.com). From memory: Google ignores
  // client_id, which its page does not name, and takes the account itself as sub.
  test("service account: an assertion with the scope as a claim", async () => {
    const issuer = "orders@acme.iam.gserviceaccount.com";
    const account = { type: "service_account", client_email: issuer, private_key: PKCS8 };
    vi.stubEnv("GOOGLE_CREDENTIALS", JSON.stringify(account));
    const endpoint = "https://oauth2.googleapis.com/token";
    await works((await run<WithGrant>(hosts, "Google")).grant, {
      endpoint: `POST ${endpoint}`,
      async answer(asked, token) {
        takesNoHeader(asked);
        takesForm(asked, { ...JWT_BEARER, assertion: undefined, client_id: undefined });
        await takesJwt(asked.form.get("assertion"), {
          key: publicKey,
          header: { alg: "RS256", typ: "JWT" },
          claims: { iss: issuer, aud: endpoint, scope: "https://www.googleapis.com/auth/devstorage.read_only" },
          longest: 3600,
        });
        return { body: { access_token: token, scope: "devstorage", token_type: "Bearer", expires_in: 3600 } };
      },
      prefix: "ya29.",
      api: "https://storage.googleapis.com/storage/v1/b",
      minutes: 60,
    });
  });

  // "Method: token" of the Security Token Service API (cloud.google.com/iam): no Authorization header.
  test("token service: the token of another provider from a file, and no client", async () => {
    writeFileSync(join(hosts.folder, "gcp"), "header.payload.signature\n");
    await works((await run<WithGrant>(hosts, "Google", 1)).grant, {
      endpoint: "POST https://sts.googleapis.com/v1/token",
      answer(asked, token) {
        takesNoHeader(asked);
        takesForm(asked, {
          ...EXCHANGE,
          subject_token: "header.payload.signature",
          requested_token_type: ACCESS_TOKEN,
          audience: "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/pool/providers/cluster",
          scope: "https://www.googleapis.com/auth/cloud-platform",
        });
        const body = { access_token: token, issued_token_type: ACCESS_TOKEN, token_type: "Bearer", expires_in: 3599 };
        return { body };
      },
      prefix: "ya29.d.",
      api: "https://storage.googleapis.com/storage/v1/b",
      minutes: 60,
    });
  });
});

// "Generating a JSON Web Token (JWT) for a GitHub App" and "Create an installation access token for an app" (docs.github.com).
test("GitHub: an installation token, with a JWT of the app as Bearer", async () => {
  vi.stubEnv("GITHUB_APP_KEY", PKCS1);
  await works((await run<WithGrant>(hosts, "GitHub")).grant, {
    endpoint: "POST https://api.github.com/app/installations/4711/access_tokens",
    async answer({ headers }, token) {
      must(headers.accept === "application/vnd.github+json", `accept is ${headers.accept}`);
      const { iat } = await takesJwt(/^Bearer (.+)$/.exec(headers.authorization ?? "")?.[1], {
        key: publicKey,
        header: { alg: "RS256" },
        claims: { iss: "Iv1.8a61f9b3a7aba766" },
        longest: 600,
      });
      must(iat! <= Date.now() / 1000 - 59, "iat leaves no room for another clock");
      const expires_at = new Date(Date.now() + 3_600_000).toISOString().replace(/\.\d+/, "");
      const body = { token, expires_at, permissions: { contents: "read" }, repository_selection: "selected" };
      return { status: 201, body };
    },
    prefix: "ghs_",
    api: "https://api.github.com/installation/repositories",
    minutes: 60,
  });
});

// "Get an access token" (developer.paypal.com).
test("PayPal: secret in the header", async () => {
  vi.stubEnv("PAYPAL_SECRET", SECRET);
  await works((await run<WithGrant>(hosts, "PayPal")).grant, {
    endpoint: "POST https://api-m.paypal.com/v1/oauth2/token",
    answer(asked, token) {
      takesBasic(asked, "AZDxjDScFp_QMlR-orders", SECRET);
      takesForm(asked, CLIENT_CREDENTIALS);
      const more = { scope: "scope", app_id: "APP-80W284485P519543T", nonce: "nonce" };
      return { body: { ...more, access_token: token, token_type: "Bearer", expires_in: 31_349 } };
    },
    prefix: "A21AA",
    api: "https://api-m.paypal.com/v2/invoicing/invoices",
    minutes: 522,
  });
});

// "Server-to-Server OAuth" (developers.zoom.us); `api_url` is from memory.
test("Zoom: account_credentials with the account's id", async () => {
  vi.stubEnv("ZOOM_SECRET", SECRET);
  await works((await run<WithGrant>(hosts, "Zoom")).grant, {
    endpoint: "POST https://zoom.us/oauth/token",
    answer(asked, token) {
      takesBasic(asked, "7nZ4pOrders", SECRET);
      takesForm(asked, { grant_type: "account_credentials", account_id: "gYz8S9w5Q5yr" });
      const more = { scope: "meeting:read:admin", api_url: "https://api.zoom.us" };
      return { body: { access_token: token, token_type: "bearer", expires_in: 3599, ...more } };
    },
    api: "https://api.zoom.us/v2/users/me",
    minutes: 60,
  });
});

const inShopifysHeader = (token: string): Record<string, string | undefined> => ({
  "x-shopify-access-token": token,
  authorization: undefined,
});

describe("Shopify", () => {
  const endpoint = "POST https://acme.myshopify.com/admin/oauth/access_token";
  const api = "https://acme.myshopify.com/admin/api/2025-01/shop.json";
  beforeEach(() => {
    vi.stubEnv("SHOPIFY_SECRET", SECRET);
  });

  // "Using the client credentials grant" (shopify.dev).
  test("client credentials: the answer has no token_type, the API a header of its own", async () => {
    await works((await run<WithGrant>(hosts, "Shopify")).grant, {
      endpoint,
      answer(asked, token) {
        takesNoHeader(asked);
        takesForm(asked, { ...CLIENT_CREDENTIALS, client_id: "f8e2orders", client_secret: SECRET });
        return { body: { access_token: token, scope: "write_orders", expires_in: 86_399 } };
      },
      api,
      carried: inShopifysHeader,
      minutes: 1440,
    });
  });

  // "Exchange a session token for an access token" (shopify.dev): no issued_token_type, no token_type.
  test("token exchange: the session token of the newest request", async () => {
    type Block = { grantOf: (shop: string, sessionToken: () => string) => Grant };
    const { grantOf } = await run<Block>(hosts, "Shopify", 1);
    let sent = 0;
    await works(
      grantOf("acme.myshopify.com", () => `session-token-${++sent}`),
      {
        endpoint,
        answer(asked, token) {
          takesNoHeader(asked);
          takesForm(asked, {
            ...EXCHANGE,
            client_id: "f8e2portal",
            client_secret: SECRET,
            subject_token: `session-token-${sent}`,
            subject_token_type: "urn:ietf:params:oauth:token-type:id_token",
            requested_token_type: "urn:shopify:params:oauth:token-type:online-access-token",
          });
          const associated_user = { id: 902_541_635, first_name: "John", account_owner: true };
          const body = { scope: "write_orders", expires_in: 86_399, associated_user_scope: "write_orders" };
          return { body: { access_token: token, ...body, associated_user } };
        },
        api,
        carried: inShopifysHeader,
        minutes: 1440,
      },
    );
    expect(sent).toBe(2);
  });
});

// "Client Credentials Flow" (developer.spotify.com), from answers that users of Spotify show.
test("Spotify: secret in the header", async () => {
  vi.stubEnv("SPOTIFY_SECRET", SECRET);
  await works((await run<WithGrant>(hosts, "Spotify")).grant, {
    endpoint: "POST https://accounts.spotify.com/api/token",
    answer(asked, token) {
      takesBasic(asked, "5fe01282e44241328a84e7c5cc169165", SECRET);
      takesForm(asked, CLIENT_CREDENTIALS);
      return { body: { access_token: token, token_type: "Bearer", expires_in: 3600 } };
    },
    prefix: "BQ",
    api: "https://api.spotify.com/v1/search",
    minutes: 60,
  });
});

// "The client credentials grant flow" (developer.ebay.com).
test("eBay: a token of the type Application Access Token", async () => {
  vi.stubEnv("EBAY_SECRET", SECRET);
  await works((await run<WithGrant>(hosts, "eBay")).grant, {
    endpoint: "POST https://api.ebay.com/identity/v1/oauth2/token",
    answer(asked, token) {
      takesBasic(asked, "Acme-orders-PRD-4711", SECRET);
      takesForm(asked, { ...CLIENT_CREDENTIALS, scope: "https://api.ebay.com/oauth/api_scope" });
      return { body: { access_token: token, expires_in: 7200, token_type: "Application Access Token" } };
    },
    prefix: "v^1.1#i^1#p^1#r^0#I^3#f^0#t^H4s",
    api: "https://api.ebay.com/buy/browse/v1/item_summary/search",
    minutes: 120,
  });
});

// "Client Credentials Grant" (developer.box.com); the answer is that of "Refresh access token" there.
test("Box: the subject in two parameters, secret in the form", async () => {
  vi.stubEnv("BOX_SECRET", SECRET);
  await works((await run<WithGrant>(hosts, "Box")).grant, {
    endpoint: "POST https://api.box.com/oauth2/token",
    answer(asked, token) {
      takesNoHeader(asked);
      takesForm(asked, {
        ...CLIENT_CREDENTIALS,
        client_id: "ly1nj6n11vionaie65emwzk575hnnmrk",
        client_secret: SECRET,
        box_subject_type: "enterprise",
        box_subject_id: "123456",
      });
      return { body: { access_token: token, expires_in: 3600, token_type: "bearer", restricted_to: [] } };
    },
    api: "https://api.box.com/2.0/users/me",
    minutes: 60,
  });
});

// "How to get an access token with JWT Grant" (developers.docusign.com). The lifetime of an hour for the assertion, and that
// a client_id in the form is ignored, are from memory.
test("DocuSign: an assertion whose audience is a host", async () => {
  writeFileSync(join(hosts.folder, "docusign.pem"), PKCS1);
  await works((await run<WithGrant>(hosts, "DocuSign")).grant, {
    endpoint: "POST https://account.docusign.com/oauth/token",
    async answer(asked, token) {
      takesNoHeader(asked);
      takesForm(asked, { ...JWT_BEARER, assertion: undefined, client_id: undefined });
      const iss = "5f1e84a9-integration-key";
      await takesJwt(asked.form.get("assertion"), {
        key: publicKey,
        header: { alg: "RS256", typ: "JWT" },
        claims: { iss, sub: "464f7988-user", aud: "account.docusign.com", scope: "signature impersonation" },
        longest: 3600,
      });
      return {
        body: { access_token: token, token_type: "Bearer", expires_in: 3600, scope: "signature impersonation" },
      };
    },
    api: "https://eu.docusign.net/restapi/v2.1/accounts/4711/envelopes",
    minutes: 60,
  });
});

// "REST OAuth example" and "OAuth API request parameters" (servicenow.com/docs).
test("ServiceNow: a user's name and password", async () => {
  vi.stubEnv("SERVICENOW_SECRET", SECRET);
  vi.stubEnv("SERVICENOW_PASSWORD", "RESTUserPassword&=");
  await works((await run<WithGrant>(hosts, "ServiceNow")).grant, {
    endpoint: "POST https://acme.service-now.com/oauth_token.do",
    answer(asked, token) {
      takesNoHeader(asked);
      takesForm(asked, {
        grant_type: "password",
        client_id: "a329c4515612210071a5e0c298ee2be8",
        client_secret: SECRET,
        username: "integration",
        password: "RESTUserPassword&=",
      });
      const more = { scope: "useraccount", token_type: "Bearer", expires_in: 1799, refresh_token: "jZPdkEVrWvtM" };
      return { body: { ...more, access_token: token } };
    },
    api: "https://acme.service-now.com/api/now/table/incident",
    minutes: 30,
  });
});

// "Getting an Application Access Token" (help.sap.com); that the secret may be in the form, and the answer with its `jti`,
// are of Cloud Foundry's UAA, from memory.
test("SAP: an id with a ! and a secret with a = in the form", async () => {
  vi.stubEnv("SAP_SECRET", "riH+/$x=");
  await works((await run<WithGrant>(hosts, "SAP")).grant, {
    endpoint: "POST https://acme.authentication.eu10.hana.ondemand.com/oauth/token",
    answer(asked, token) {
      takesNoHeader(asked);
      takesForm(asked, { ...CLIENT_CREDENTIALS, client_id: "sb-orders!t4711", client_secret: "riH+/$x=" });
      const more = { expires_in: 43_199, scope: "uaa.resource", jti: "1a2b3c" };
      return { body: { access_token: token, token_type: "bearer", ...more } };
    },
    api: "https://orders.cfapps.eu10.hana.ondemand.com/orders",
    minutes: 720,
  });
});

const podToken = (jti: number): string => {
  const claims = { aud: ["https://kubernetes.default.svc"], exp: Math.floor(Date.now() / 1000) + 3607, jti };
  return ["{}", JSON.stringify(claims), "s"].map((part) => Buffer.from(part).toString("base64url")).join(".");
};

// "Configure Service Accounts for Pods" and "Accessing the Kubernetes API from a Pod" (kubernetes.io).
test("Kubernetes: the token of the file, and after a rotation the new one", async () => {
  const file = join(hosts.folder, "token");
  const api = "https://kubernetes.default.svc/api/v1/namespaces";
  let live = podToken(1);
  writeFileSync(file, `${live}\n`);
  hosts.on(`GET ${api}`, ({ headers }) => ({
    status: headers.authorization === `Bearer ${live}` ? 200 : 401,
    body: {},
  }));
  const clock = manualClock({ now: Date.now() });
  const tokens = createTokenCache({ grant: (await run<WithGrant>(hosts, "Kubernetes")).grant, clock });
  const authFetch = createAuthFetch(tokens);
  expect((await authFetch(api)).status).toBe(200);
  expect(Math.round((tokens.peek()!.expiresAt - clock.now()) / 60_000)).toBe(60);
  live = podToken(22);
  writeFileSync(file, `${live}\n`);
  expect((await authFetch(api)).status).toBe(200);
});

// "How to use managed identities for Azure resources on an Azure VM to acquire an access token" (learn.microsoft.com).
test("Azure managed identity: a GET with the header Metadata", async () => {
  await works((await run<WithGrant>(hosts, "Azure managed identity")).grant, {
    endpoint: "GET http://169.254.169.254/metadata/identity/oauth2/token",
    answer({ url, headers }, token) {
      must(headers["metadata"] === "true", "Metadata is missing");
      must(headers["x-forwarded-for"] === undefined, "the request came through a proxy");
      const query = { "api-version": "2018-02-01", resource: "https://vault.azure.net" };
      expect(Object.fromEntries(url.searchParams)).toEqual(query);
      const now = Math.floor(Date.now() / 1000);
      const dates = { expires_in: "3599", expires_on: String(now + 3599), not_before: String(now - 300) };
      const more = { refresh_token: "", resource: "https://vault.azure.net", token_type: "Bearer" };
      return { body: { access_token: token, ...dates, ...more } };
    },
    api: "https://acme.vault.azure.net/secrets/db",
    minutes: 60,
  });
});

// "Kubernetes auth method (API)" (developer.hashicorp.com/vault). That the token may be sent as Bearer is from memory.
test("Vault: a login with the token of the service account", async () => {
  writeFileSync(join(hosts.folder, "token"), "header.payload.signature\n");
  await works((await run<WithGrant>(hosts, "Vault")).grant, {
    endpoint: "POST https://vault.acme.example/v1/auth/kubernetes/login",
    answer({ text }, token) {
      expect(JSON.parse(text)).toEqual({ role: "orders", jwt: "header.payload.signature" });
      const auth = { client_token: token, accessor: "afa306d0", policies: ["default"], lease_duration: 2_764_800 };
      return { body: { auth: { ...auth, renewable: true, metadata: { role: "orders" } }, lease_duration: 0 } };
    },
    prefix: "hvs.",
    api: "https://vault.acme.example/v1/secret/data/db",
    minutes: 46_080,
  });
});

test("the two lines that every section needs: a fetch that carries the token", async () => {
  vi.stubEnv("PAYPAL_SECRET", SECRET);
  const { apiOf } = await run<{ apiOf: (grant: Grant) => typeof fetch }>(hosts, "");
  hosts.on("POST https://api-m.paypal.com/v1/oauth2/token", () => ({
    body: { access_token: "A21AA", expires_in: 60 },
  }));
  hosts.on("GET https://api-m.paypal.com/v2/me", ({ headers }) => ({ body: headers.authorization }));
  const response = await apiOf((await run<WithGrant>(hosts, "PayPal")).grant)("https://api-m.paypal.com/v2/me");
  expect(await response.text()).toBe("Bearer A21AA");
});

/** What was wrong with the requests of a call. */
const refused = async (call: () => Promise<unknown>): Promise<string[]> => {
  await call().catch(() => undefined);
  return hosts.problems.splice(0);
};

describe("the hosts of these tests", () => {
  test("a wrong secret, another parameter, another key: refused, so that the tests above can fail", async () => {
    vi.stubEnv("PAYPAL_SECRET", "another-secret");
    const { grant } = await run<WithGrant>(hosts, "PayPal");
    const tokens = (): Promise<unknown> => createTokenCache({ grant, mintRetries: 0 }).get();
    const endpoint = "POST https://api-m.paypal.com/v1/oauth2/token";
    expect(await refused(tokens)).toEqual([`${endpoint}: nobody answers`]);
    const answer = { body: { access_token: "a" } };
    hosts.on(endpoint, (asked) => (takesBasic(asked, "AZDxjDScFp_QMlR-orders", SECRET), answer));
    expect(await refused(tokens)).toEqual([expect.stringContaining("the client is not authenticated")]);
    hosts.on(endpoint, (asked) => (takesForm(asked, { ...CLIENT_CREDENTIALS, scope: "a" }), answer));
    expect(await refused(tokens)).toEqual([expect.stringContaining('scope is ""')]);
    hosts.on(endpoint, (asked) => (takesForm(asked, {}), answer));
    expect(await refused(tokens)).toEqual([expect.stringContaining("unknown parameter grant_type")]);
    const other = createPublicKey(generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey);
    vi.stubEnv("GITHUB_APP_KEY", PKCS1);
    const app = await run<WithGrant>(hosts, "GitHub");
    const expected = { key: other, header: { alg: "RS256" }, claims: {}, longest: 600 };
    hosts.on("POST https://api.github.com/app/installations/4711/access_tokens", async ({ headers }) => {
      await takesJwt(headers.authorization!.slice(7), expected);
      return answer;
    });
    expect(await refused(() => createTokenCache({ grant: app.grant, mintRetries: 0 }).get())).toEqual([
      expect.stringContaining("signature verification failed"),
    ]);
  });
});

test("all lines of the page that are not about sessions have been run", () => {
  const lines = codeBlocks(GUIDE).filter(({ code }) => !/\(session|sessions/.test(code));
  expect(lines.length).toBeGreaterThan(20);
  expect(lines.map(({ line }) => line).filter((line) => !ran.has(line))).toEqual([]);
});
