/**
 * docs/servers.md, the lines for users' sessions. Every endpoint is scripted from the page that the comment above its row
 * names, and was never asked itself. How servers refuse a dead refresh token is often on no page of theirs; the comments say
 * where it was seen.
 */
import { generateKeyPairSync } from "node:crypto";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { createTokenCache, type Grant, type RefreshTokenGrantOptions, type TokenPool } from "remint";
import { createAuthFetch } from "remint/fetch";
import { fakeSessions, manualClock } from "remint/testing";
import { codeBlocks } from "../house/markdown.ts";
import { GUIDE, must, ran, run, startHosts, takesBasic, takesForm, takesJwt, takesNoHeader } from "./hosts.ts";
import type { Answered, Asked, Hosts } from "./hosts.ts";

const SECRET = "very-secret~1";
const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });

type Session = Pick<RefreshTokenGrantOptions, "refreshToken" | "onRotate">;
type WithGrantOf = { readonly grantOf: (session: Session) => Grant };

interface Server {
  readonly name: string;
  /** The block of its section. @defaultValue 0 */
  readonly nth?: number;
  readonly env: Readonly<Record<string, string>>;
  /** The token endpoint. */
  readonly endpoint: string;
  /** Checks how the client authenticates, and returns the parameters beside the grant's own. */
  readonly client: (asked: Asked) => Promise<Record<string, string>> | Record<string, string>;
  /** The answer beside the access token and the refresh token. */
  readonly answer: object;
  /** Whether the refresh token stays the same: sent again, or missing in the answer. @defaultValue a new one every time */
  readonly refreshToken?: "same" | "missing";
  readonly minutes: number;
  readonly api: string;
  /** The refusals of a dead refresh token. */
  readonly dead: readonly Answered[];
  /** A refusal for another reason. @defaultValue 401 invalid_client */
  readonly other?: Answered;
}

const inHeader =
  (id: string) =>
  (asked: Asked): Record<string, string> => {
    takesBasic(asked, id, SECRET);
    return {};
  };
const inForm =
  (client_id: string) =>
  (asked: Asked): Record<string, string> => {
    takesNoHeader(asked);
    return { client_id, client_secret: SECRET };
  };

const SERVERS: readonly Server[] = [
  {
    // "Refreshing user access tokens" (docs.github.com). Without Accept: application/json GitHub answers a form. The refusal, with
    // status 200, is in issues of GitHub's users.
    name: "GitHub",
    nth: 1,
    env: { GITHUB_SECRET: SECRET },
    endpoint: "https://github.com/login/oauth/access_token",
    client(asked) {
      must(asked.headers.accept === "application/json", "GitHub would answer a form");
      return inForm("Iv1.8a61f9b3a7aba766")(asked);
    },
    answer: { expires_in: 28_800, refresh_token_expires_in: 15_897_600, scope: "", token_type: "bearer" },
    minutes: 480,
    api: "https://api.github.com/user",
    dead: [
      {
        body: {
          error: "bad_refresh_token",
          error_description: "The refresh token passed is incorrect or expired.",
          error_uri: "https://docs.github.com/apps/managing-oauth-apps/troubleshooting",
        },
      },
    ],
    other: { body: { error: "incorrect_client_credentials" } },
  },
  {
    // "oauth.v2.access method" and "Using token rotation" (docs.slack.dev): HTTP Basic is preferred. `invalid_refresh_token` is
    // on the page "tooling.tokens.rotate" there.
    name: "Slack",
    env: { SLACK_SECRET: SECRET },
    endpoint: "https://slack.com/api/oauth.v2.access",
    client: inHeader("2141029472.691202649728"),
    answer: {
      ok: true,
      expires_in: 43_200,
      token_type: "bot",
      scope: "commands,incoming-webhook",
      bot_user_id: "U0KRQLJ9H",
      app_id: "A0KRD7HC3",
      team: { name: "Acme", id: "T9TK3CUKW" },
      enterprise: null,
      is_enterprise_install: false,
    },
    minutes: 720,
    api: "https://slack.com/api/conversations.list",
    dead: [{ body: { ok: false, error: "invalid_refresh_token" } }],
    other: { body: { ok: false, error: "bad_client_secret" } },
  },
  {
    // "OAuth" (developers.zoom.us). The refusals are in issues of Zoom's users: invalid_grant today, invalid_request earlier.
    name: "Zoom",
    nth: 1,
    env: { ZOOM_SECRET: SECRET },
    endpoint: "https://zoom.us/oauth/token",
    client: inHeader("7nZ4pPortal"),
    answer: { token_type: "bearer", expires_in: 3599, scope: "user:read" },
    minutes: 60,
    api: "https://api.zoom.us/v2/users/me",
    dead: [
      { status: 400, body: { reason: "Invalid Token!", error: "invalid_grant" } },
      { status: 400, body: { reason: "Invalid Token!", error: "invalid_request" } },
      { status: 401, body: { reason: "Invalid Token!", error: "invalid_request" } },
    ],
    other: { status: 400, body: { reason: "Invalid client_id or client_secret", error: "invalid_client" } },
  },
  {
    // "Creating a client secret" and "Generate and validate tokens" (developer.apple.com). ES256, at most six months.
    name: "Apple",
    env: { APPLE_KEY: String(privateKey.export({ type: "pkcs8", format: "pem" })) },
    endpoint: "https://appleid.apple.com/auth/token",
    async client(asked) {
      takesNoHeader(asked);
      const client_secret = asked.form.get("client_secret") ?? "";
      await takesJwt(client_secret, {
        key: publicKey,
        header: { alg: "ES256", kid: "ABC123DEFG" },
        claims: { iss: "DEF123GHIJ", sub: "com.acme.portal", aud: "https://appleid.apple.com" },
        longest: 15_777_000,
      });
      return { client_id: "com.acme.portal", client_secret };
    },
    answer: { token_type: "Bearer", expires_in: 3600, id_token: "eyJ.eyJ.s" },
    refreshToken: "missing",
    minutes: 60,
    api: "https://api.acme.example/me",
    dead: [{ status: 400, body: { error: "invalid_grant" } }],
    other: { status: 400, body: { error: "invalid_client" } },
  },
  {
    // "Refresh Tokens with OAuth 2.0" (learn.microsoft.com/linkedin). The refusal is that of RFC 6749.
    name: "LinkedIn",
    env: { LINKEDIN_SECRET: SECRET },
    endpoint: "https://www.linkedin.com/oauth/v2/accessToken",
    client: inForm("861hhm46p48to2"),
    answer: { expires_in: 5_184_000, refresh_token_expires_in: 439_200 },
    refreshToken: "same",
    minutes: 86_400,
    api: "https://api.linkedin.com/rest/me",
    dead: [{ status: 400, body: { error: "invalid_grant" } }],
  },
  {
    // "Refresh access token" and "Common errors" (developer.box.com); "Refresh token has expired" is from memory.
    name: "Box",
    nth: 1,
    env: { BOX_SECRET: SECRET },
    endpoint: "https://api.box.com/oauth2/token",
    client: inForm("ly1nj6n11vionaie65emwzk575hnnmrk"),
    answer: {
      expires_in: 3600,
      token_type: "bearer",
      restricted_to: [],
      issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
    },
    minutes: 60,
    api: "https://api.box.com/2.0/users/me",
    dead: [
      { status: 400, body: { error: "invalid_grant", error_description: "Refresh token has expired" } },
      { status: 400, body: { error: "invalid_grant", error_description: "Invalid refresh token" } },
    ],
    other: {
      status: 400,
      body: { error: "invalid_client", error_description: "The client credentials are not valid" },
    },
  },
  {
    // "Authorization Code Grant refresh tokens" (docusign.com/blog). The refusal is that of RFC 6749.
    name: "DocuSign",
    nth: 1,
    env: { DOCUSIGN_SECRET: SECRET },
    endpoint: "https://account.docusign.com/oauth/token",
    client: inHeader("5f1e84a9-integration-key"),
    answer: { token_type: "Bearer", expires_in: 28_800 },
    minutes: 480,
    api: "https://eu.docusign.net/restapi/v2.1/accounts/4711/envelopes",
    dead: [{ status: 400, body: { error: "invalid_grant" } }],
  },
  {
    // "Set up OAuth 2.0" and "FAQ" (developer.intuit.com); the texts of the refusal are from memory.
    name: "QuickBooks",
    env: { QUICKBOOKS_SECRET: SECRET },
    endpoint: "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
    client(asked) {
      must(asked.headers.accept === "application/json", "accept must be application/json");
      return inHeader("ABportal")(asked);
    },
    answer: { token_type: "bearer", expires_in: 3600, x_refresh_token_expires_in: 8_726_400 },
    minutes: 60,
    api: "https://quickbooks.api.intuit.com/v3/company/4711/companyinfo/4711",
    dead: [
      { status: 400, body: { error: "invalid_grant" } },
      { status: 400, body: { error: "invalid_grant", error_description: "Incorrect or invalid refresh token" } },
    ],
  },
  {
    // "Implementing the Refresh Token Flow" (developer.atlassian.com): 403 invalid_grant. The page shows a JSON body; that the form
    // is taken too, and 403 unauthorized_client, are from memory.
    name: "Atlassian",
    env: { ATLASSIAN_SECRET: SECRET },
    endpoint: "https://auth.atlassian.com/oauth/token",
    client: inForm("portal-4711"),
    answer: { expires_in: 3600, scope: "read:jira-work offline_access" },
    minutes: 60,
    api: "https://api.atlassian.com/ex/jira/4711/rest/api/3/myself",
    dead: [
      { status: 403, body: { error: "invalid_grant", error_description: "Unknown or invalid refresh token." } },
      { status: 403, body: { error: "unauthorized_client", error_description: "refresh_token is invalid" } },
    ],
    other: { status: 403, body: { error: "unauthorized_client", error_description: "Unauthorized" } },
  },
  {
    // "Token types" (developer.xero.com), from posts of Xero's staff (community.xero.com): rotation, 30 minutes, the refusal.
    name: "Xero",
    env: { XERO_SECRET: SECRET },
    endpoint: "https://identity.xero.com/connect/token",
    client: inHeader("F1E2D3C4B5A6"),
    answer: { token_type: "Bearer", expires_in: 1800, id_token: "eyJ.eyJ.s", scope: "offline_access accounting" },
    minutes: 30,
    api: "https://api.xero.com/api.xro/2.0/Invoices",
    dead: [{ status: 400, body: { error: "invalid_grant" } }],
    other: { status: 400, body: { error: "invalid_client" } },
  },
  {
    // "Refresh an OAuth Access Token" (developers.hubspot.com); the refusal is in posts of HubSpot's users.
    name: "HubSpot",
    env: { HUBSPOT_SECRET: SECRET },
    endpoint: "https://api.hubapi.com/oauth/v1/token",
    client: inForm("9d7c3a51-portal"),
    answer: { expires_in: 1800, token_type: "bearer" },
    refreshToken: "same",
    minutes: 30,
    api: "https://api.hubapi.com/crm/v3/objects/contacts",
    dead: [{ status: 400, body: { status: "BAD_REFRESH_TOKEN", message: "missing or invalid refresh token" } }],
    other: { status: 400, body: { status: "BAD_CLIENT_ID", message: "missing or unknown client id" } },
  },
];

let hosts: Hosts;
let sessions: ReturnType<typeof fakeSessions>;
beforeEach(async () => {
  hosts = await startHosts();
  sessions = fakeSessions({ "sid-1": "refresh-token-0" });
});

const session: Session = {
  refreshToken: () => sessions.refreshToken("sid-1"),
  onRotate: (next) => sessions.save("sid-1", next),
};

async function grantOf({ name, nth, env }: Server): Promise<Grant> {
  for (const [variable, value] of Object.entries(env)) vi.stubEnv(variable, value);
  return (await run<WithGrantOf>(hosts, name, nth)).grantOf(session);
}

/** Refreshes whatever refresh token is saved now, and nothing else. */
function refreshes({ endpoint, client, answer, refreshToken }: Server): void {
  let count = 0;
  hosts.on(`POST ${endpoint}`, async (asked) => {
    const newest = refreshToken === undefined ? `refresh-token-${count}` : "refresh-token-0";
    takesForm(asked, { ...(await client(asked)), grant_type: "refresh_token", refresh_token: newest });
    count += 1;
    const next = refreshToken === "missing" ? undefined : refreshToken === "same" ? newest : `refresh-token-${count}`;
    return { body: { ...answer, access_token: `access-token-${count}`, refresh_token: next } };
  });
}

describe.each(SERVERS)("$name", (server) => {
  const { endpoint, refreshToken, minutes, api, dead, other } = server;
  const token = `POST ${endpoint}`;

  test("a refresh, and after a 401 the next one with the refresh token that was saved", async () => {
    refreshes(server);
    const live = new Set(["Bearer access-token-1", "Bearer access-token-2"]);
    hosts.on(`GET ${api}`, ({ headers }) => ({ status: live.has(headers.authorization!) ? 200 : 401, body: {} }));
    const clock = manualClock({ now: Date.now() });
    const tokens = createTokenCache({ grant: await grantOf(server), clock });
    const authFetch = createAuthFetch(tokens);
    expect([(await authFetch(api)).status, (await authFetch(api)).status, hosts.count(token)]).toEqual([200, 200, 1]);
    expect(Math.round((tokens.peek()!.expiresAt - clock.now()) / 60_000)).toBe(minutes);
    live.delete("Bearer access-token-1");
    expect([(await authFetch(api)).status, hosts.count(token)]).toEqual([200, 2]);
    const saved = refreshToken === undefined ? "refresh-token-2" : "refresh-token-0";
    expect(await sessions.refreshToken("sid-1")).toBe(saved);
  });

  test.each(dead)(
    "a dead refresh token, answered $status $body: terminal, and nothing more is sent",
    async (answer) => {
      hosts.on(token, () => answer);
      const tokens = createTokenCache({ grant: await grantOf(server) });
      for (let call = 0; call < 3; call += 1) {
        await expect(tokens.get()).rejects.toMatchObject({ code: "ERR_TOKEN_ENDPOINT", terminal: true, status: 401 });
      }
      expect(hosts.count(token)).toBe(1);
    },
  );

  test("a refusal for another reason: not terminal", async () => {
    hosts.on(token, () => other ?? { status: 401, body: { error: "invalid_client" } });
    const tokens = createTokenCache({ grant: await grantOf(server) });
    await expect(tokens.get()).rejects.toMatchObject({ code: "ERR_TOKEN_ENDPOINT", terminal: false, status: 503 });
  });
});

// "Common errors" of the Web API (docs.slack.dev): token_expired, invalid_auth.
test.each(["token_expired", "invalid_auth"])(
  "Slack: 200 with ok false and %s: one refresh, sent again",
  async (error) => {
    const slack = SERVERS.find(({ name }) => name === "Slack")!;
    refreshes(slack);
    hosts.on(`GET ${slack.api}`, ({ headers }) => ({
      body: headers.authorization === "Bearer access-token-1" ? { ok: false, error } : { ok: true, channels: [] },
    }));
    const authFetch = createAuthFetch(createTokenCache({ grant: await grantOf(slack) }));
    expect(await (await authFetch(slack.api)).json()).toEqual({ ok: true, channels: [] });
    hosts.on(`GET ${slack.api}`, () => ({ body: { ok: false, error: "missing_scope" } }));
    expect(await (await authFetch(slack.api)).json()).toEqual({ ok: false, error: "missing_scope" });
    expect(hosts.count(`POST ${slack.endpoint}`)).toBe(2);
  },
);

test("QuickBooks: the lifetime of the refresh token reaches onRotate", async () => {
  const quickBooks = SERVERS.find(({ name }) => name === "QuickBooks")!;
  refreshes(quickBooks);
  vi.stubEnv("QUICKBOOKS_SECRET", SECRET);
  const onRotate = vi.fn<NonNullable<Session["onRotate"]>>();
  const lines = await run<WithGrantOf>(hosts, quickBooks.name);
  await createTokenCache({ grant: lines.grantOf({ ...session, onRotate }) }).get();
  expect(onRotate.mock.calls[0]?.[1].response).toMatchObject({ x_refresh_token_expires_in: 8_726_400 });
});

// "Revoke tokens" (developer.apple.com).
test("Apple: signOut revokes the refresh token", async () => {
  const apple = SERVERS.find(({ name }) => name === "Apple")!;
  refreshes(apple);
  hosts.on("POST https://appleid.apple.com/auth/revoke", async (asked) => {
    const token = asked.form.get("token") ?? "";
    const token_type_hint = token === "refresh-token-0" ? "refresh_token" : "access_token";
    takesForm(asked, { ...(await apple.client(asked)), token, token_type_hint });
    return { body: "" };
  });
  const tokens = createTokenCache({ grant: await grantOf(apple) });
  await tokens.get();
  await tokens.signOut();
  const revoked = hosts.asked.filter(({ url }) => url.pathname === "/auth/revoke").map(({ form }) => form.get("token"));
  expect(revoked).toEqual(["refresh-token-0", "access-token-1"]);
});

// "OAuth 2.0" of Stripe Apps (docs.stripe.com): the key is the user of HTTP Basic, the password is empty; an access token lives for
// an hour, a refresh token is replaced, and lives for a year (from memory). The refusal is that of RFC 6749.
test("Stripe: the key alone, no expires_in, and a dead refresh token means that nobody is signed in", async () => {
  vi.stubEnv("STRIPE_KEY", "sk_live_1");
  type Block = { grantOf: (session: { load: () => Promise<string | null>; save: typeof save }) => Grant };
  const save = (next: string): Promise<void> => sessions.save("sid-1", next);
  const block = await run<Block>(hosts, "Stripe");
  const grant = block.grantOf({ load: async () => (await sessions.refreshToken("sid-1")) ?? null, save });
  const [endpoint, api] = ["https://api.stripe.com/v1/oauth/token", "https://api.stripe.com/v1/charges"];
  refreshes({
    ...SERVERS[0]!,
    endpoint,
    client(asked) {
      takesBasic(asked, "sk_live_1", "");
      return {};
    },
    answer: { livemode: true, scope: "stripe_apps", stripe_user_id: "acct_1", token_type: "bearer" },
  });
  const live = new Set(["Bearer access-token-1", "Bearer access-token-2"]);
  hosts.on(`GET ${api}`, ({ headers }) => ({ status: live.has(headers.authorization ?? "") ? 200 : 401, body: {} }));
  const clock = manualClock({ now: Date.now() });
  const tokens = createTokenCache({ grant, clock });
  const authFetch = createAuthFetch(tokens);
  expect((await authFetch(api)).status).toBe(200);
  expect(Math.round((tokens.peek()!.expiresAt - clock.now()) / 60_000)).toBe(60);
  live.delete("Bearer access-token-1");
  expect([(await authFetch(api)).status, await sessions.refreshToken("sid-1")]).toEqual([200, "refresh-token-2"]);
  live.clear();
  hosts.on(`POST ${endpoint}`, () => ({ status: 400, body: { error: "invalid_grant" } }));
  expect((await authFetch(api)).status).toBe(401);
  await expect(tokens.get()).rejects.toMatchObject({ code: "ERR_NO_SESSION" });
});

test("the lines on sessions: a pool with a cache for every session", async () => {
  vi.stubGlobal("sessions", {
    refreshToken: (sid: string) => sessions.refreshToken(sid),
    save: (sid: string, next: string) => sessions.save(sid, next),
  });
  const xero = SERVERS.find(({ name }) => name === "Xero")!;
  refreshes(xero);
  vi.stubEnv("XERO_SECRET", SECRET);
  const lines = await run<WithGrantOf>(hosts, xero.name);
  const { poolOf } = await run<{ poolOf: (grantOf: WithGrantOf["grantOf"]) => TokenPool }>(hosts, "", 1);
  const pool = poolOf(lines.grantOf);
  expect((await pool.get("sid-1").get()).value).toBe("access-token-1");
  expect(await sessions.refreshToken("sid-1")).toBe("refresh-token-1");
  await pool.close();
});

test("all lines of the page that are about sessions have been run", () => {
  const lines = codeBlocks(GUIDE).filter(({ code }) => /\(session|sessions/.test(code));
  expect(lines.length).toBeGreaterThan(10);
  expect(lines.map(({ line }) => line).filter((line) => !ran.has(line))).toEqual([]);
});
