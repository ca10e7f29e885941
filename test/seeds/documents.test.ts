/**
 * docs/chalk.md and docs/salesforce.md: their code runs as it stands, against scripted servers, and every row of their
 * comparisons names a test that exists. That the code compiles is checked in house/docs.test.ts.
 */
import { createHash, generateKeyPairSync } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ts from "typescript";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createTokenCache, type Grant, type TokenCache } from "remint";
import { type Api, type AuthServer, fakeSessions, startApi, startAuthServer } from "remint/testing";
import { codeBlocks, ROOT } from "../house/markdown.ts";

const ORG = "https://acme.my.salesforce.com";
const STAND_IN = JSON.stringify(join(ROOT, "test/seeds/openid-client.ts"));

let folder = "";
let home = "";
let login: AuthServer;
let api: Api;
beforeEach(async () => {
  mkdirSync(join(ROOT, ".tmp"), { recursive: true });
  folder = mkdtempSync(join(ROOT, ".tmp/docs-"));
  home = mkdtempSync(join(tmpdir(), "remint-home-"));
  login = await startAuthServer();
  api = await startApi({ accepts: login });
  // The hosts of the documents lead to the servers of the test.
  const { fetch } = globalThis;
  vi.stubGlobal("fetch", (input: string | URL | Request, init?: RequestInit) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const isLogin = url.hostname === "api.chalk.ai" || url.pathname.startsWith("/services/oauth2/");
    return fetch((isLogin ? login.origin : api.origin) + url.pathname + url.search, init);
  });
});
afterEach(async () => {
  vi.unstubAllGlobals();
  vi.unstubAllEnvs();
  for (const each of [folder, home]) rmSync(each, { recursive: true, force: true });
  await Promise.all([login.close(), api.close()]);
});

type Exports = Readonly<Record<string, unknown>>;

/** Runs the block of a document that has this text in it, and returns what it exports. */
async function run(document: string, text: string, edit = (code: string): string => code): Promise<Exports> {
  const found = codeBlocks(document).filter(({ code }) => code.includes(text));
  expect(
    found.map(({ line }) => line),
    `blocks of ${document} with ${text}`,
  ).toHaveLength(1);
  const file = join(folder, `block-${Math.random()}.${found[0]!.info}`);
  writeFileSync(file, edit(found[0]!.code).replace(/"openid-client"/g, STAND_IN));
  return (await import(/* @vite-ignore */ file)) as Exports;
}

describe("docs/chalk.md", () => {
  beforeEach(() => {
    vi.stubEnv("CHALK_CLIENT_ID", "id");
    vi.stubEnv("CHALK_CLIENT_SECRET", "very-secret");
    const names = { "env-abc": "production", "env-dev": "development" };
    login.respondAlways({
      body: {
        access_token: "t",
        expires_in: 3600,
        primary_environment: "env-abc",
        environment_id_to_name: names,
        engines: { "env-abc": "engine.chalk.example:443", "env-dev": "dev.chalk.example" },
        grpc_engines: { "env-dev": "grpc.chalk.example:443" },
      },
    });
  });

  test("the first lines: a query of the engine, with a token and the environment", async () => {
    api.respond({ body: { data: [{ field: "user.score", value: 7 }] } });
    const { data } = await run("docs/chalk.md", "export const { data }");
    expect(data).toEqual([{ field: "user.score", value: 7 }]);
    expect(api.requests).toMatchObject([
      { method: "POST", url: "/v1/query/online", token: "t", headers: { "x-chalk-env-id": "env-abc" } },
    ]);
  });

  test("the lines on the config: what is used and where it comes from", async () => {
    const { shown } = await run("docs/chalk.md", "export const shown");
    expect(shown).toContain("clientId: id (CHALK_CLIENT_ID)");
    expect(shown).toContain("environment: Production (option)");
    expect(String(shown)).not.toContain("very-secret");
  });

  test("the lines on the token response: the engine of another environment, and the minutes that are left", async () => {
    const { engine, grpcEngine, minutes } = await run("docs/chalk.md", "export const engine");
    expect([engine, grpcEngine]).toEqual(["https://dev.chalk.example", "https://grpc.chalk.example:443"]);
    expect(Math.round(minutes as number)).toBe(60);
  });

  // test_yaml_config_parsing of chalk-client.
  test.each([["default"], [process.cwd()]])("the file of chalk login, with the key %s: its options", async (key) => {
    const other = key === "default" ? "" : "  default:\n    clientId: other\n    clientSecret: other\n";
    writeFileSync(
      join(home, ".chalk.yml"),
      `tokens:\n${other}  ${key}:\n    clientId: "yaml-id"\n    clientSecret: "yaml-secret"\n` +
        `    apiServer: "https://yaml.chalk.ai"\n    activeEnvironment: "yaml-env"\n`,
    );
    vi.stubEnv("HOME", home);
    const { options } = await run("docs/chalk.md", ".chalk.yml");
    const { chalkGrant } = await import("remint/chalk");
    const { config } = chalkGrant(options as object);
    expect([config.clientId.value, config.apiServer.value, config.environment.value]).toEqual([
      "yaml-id",
      "https://yaml.chalk.ai",
      "yaml-env",
    ]);
  });
});

const pem = (): string => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return String(privateKey.export({ type: "pkcs1", format: "pem" }));
};

describe("docs/salesforce.md", () => {
  let count = 0;
  beforeEach(() => {
    count = 0;
    vi.stubEnv("SALESFORCE_KEY", "consumer-key");
    vi.stubEnv("SALESFORCE_SECRET", "consumer-secret");
    login.respondAlways(() => ({ body: { access_token: `00D!${++count}`, token_type: "Bearer", instance_url: ORG } }));
  });

  test("the first lines: a query with a token", async () => {
    api.respond({ body: { records: [{ Id: "001" }] } });
    expect((await run("docs/salesforce.md", "export const { records }"))["records"]).toEqual([{ Id: "001" }]);
    expect(api.requests).toMatchObject([
      { url: "/services/data/v66.0/query?q=SELECT+Id+FROM+Account", token: "00D!1" },
    ]);
  });

  test("the lines on SOAP: the session is in the body, and after a fault the new one", async () => {
    const fault = "<faultcode>sf:INVALID_SESSION_ID</faultcode>";
    api.respond({ status: 500, body: fault }, { body: "<ok/>" });
    const { grant } = (await run("docs/salesforce.md", "export const { records }", (code) =>
      code.replace("const grant", "export const grant").replace(/\nconst response[^]*/, ""),
    )) as { grant: Grant };
    const { soapCall } = (await run("docs/salesforce.md", "export function soapCall")) as {
      soapCall: (tokens: TokenCache, url: string, action: string) => Promise<Response>;
    };
    const response = await soapCall(createTokenCache({ grant }), `${ORG}/services/Soap/u/66.0`, "<getUserInfo/>");
    expect(await response.text()).toBe("<ok/>");
    expect(api.requests.map(({ text }) => /<sessionId>(.*)<\/sessionId>/.exec(text)?.[1])).toEqual(["00D!1", "00D!2"]);
  });

  test("the lines on keys: a PKCS#1 key from a variable and from a file mint", async () => {
    writeFileSync(join(home, "server.key"), pem());
    vi.stubEnv("SALESFORCE_PEM", pem());
    const { fromVariable, fromFile } = (await run("docs/salesforce.md", "export const fromFile", (code) =>
      code.replace("/run/secrets/server.key", join(home, "server.key")),
    )) as Readonly<Record<"fromVariable" | "fromFile", Grant>>;
    for (const grant of [fromVariable, fromFile]) await createTokenCache({ grant }).get();
    expect(login.requests.map(({ form }) => form.get("assertion")?.split(".").length)).toEqual([3, 3]);
  });

  test.each([
    ["with a secret", "force://consumer-key:consumer-secret:5Aep.rt==@acme.my.salesforce.com", /^Basic /],
    ["without a secret", "force://PlatformCLI::5Aep.rt==@acme.my.salesforce.com", undefined],
  ])("the lines on an auth URL %s: its refresh token is sent to its instance", async (_what, url, authorization) => {
    vi.stubEnv("SFDX_AUTH_URL", url);
    const { tokens } = (await run("docs/salesforce.md", "SFDX_AUTH_URL")) as { tokens: TokenCache };
    expect((await tokens.get()).value).toBe("00D!1");
    const [{ form, headers }] = login.requests as [AuthServer["requests"][number]];
    expect(form.get("refresh_token")).toBe("5Aep.rt==");
    if (authorization === undefined)
      expect([headers.authorization, form.get("client_id")]).toEqual([undefined, "PlatformCLI"]);
    else expect(headers.authorization).toMatch(authorization);
  });

  test("the lines on jsforce: a rejected token is replaced, one that was replaced meanwhile is not, a failure is told", async () => {
    const { refreshFn } = (await run("docs/salesforce.md", "refreshFn(tokens)")) as {
      refreshFn: (tokens: TokenCache) => (connection: object, done: (error: unknown, token?: string) => void) => void;
    };
    vi.stubEnv("SFDX_AUTH_URL", "force://consumer-key:consumer-secret:rt@acme.my.salesforce.com");
    const { tokens } = (await run("docs/salesforce.md", "SFDX_AUTH_URL")) as { tokens: TokenCache };
    const refreshed = (accessToken: string | undefined): Promise<unknown> =>
      new Promise((resolve) => refreshFn(tokens)({ accessToken }, (error, token) => resolve(error ?? token)));
    expect(await refreshed(undefined)).toBe("00D!1");
    expect(await refreshed("00D!1")).toBe("00D!2");
    expect(await refreshed("00D!1")).toBe("00D!2");
    login.respond({ status: 400, body: { error: "invalid_grant", error_description: "expired access/refresh token" } });
    expect(await refreshed("00D!2")).toMatchObject({ code: "ERR_TOKEN_ENDPOINT", terminal: true });
  });
});

interface SignIn {
  readonly page: URL;
  readonly verifier: string;
  readonly state: string;
}
interface SignInBlock {
  readonly startSignIn: () => Promise<SignIn>;
  readonly finishSignIn: (url: URL, kept: SignIn) => Promise<{ access_token: string; refresh_token?: string }>;
}

const start = async (): Promise<SignInBlock> => (await run("docs/salesforce.md", "startSignIn")) as never;

const back = (query: Record<string, string>): URL =>
  new URL(`https://app.example/callback?${new URLSearchParams(query).toString()}`);

/**
 * web_server.rs of cirrus-auth: what of its tests reaches remint. The lines of docs/salesforce.md run on a stand-in for
 * openid-client. pkce_s256_challenge_matches_rfc_7636_test_vector, random_b64url_..., pending_exchange_round_trips_through_serde,
 * builder_requires_... and start_includes_optional_params_when_set are about code that remint leaves to openid-client.
 */
describe("the web server flow with PKCE", () => {
  beforeEach(() => {
    vi.stubEnv("SALESFORCE_KEY", "consumer-key-123");
    vi.stubEnv("SALESFORCE_SECRET", "hunter2");
  });

  // start_builds_authorization_url_with_all_required_params.
  test("the page to send the browser to: client, redirect, scope, state and the challenge of the verifier", async () => {
    const { page, verifier, state } = await (await start()).startSignIn();
    expect(page.origin + page.pathname).toBe(`${ORG}/services/oauth2/authorize`);
    expect(Object.fromEntries(page.searchParams)).toEqual({
      response_type: "code",
      client_id: "consumer-key-123",
      redirect_uri: "https://app.example/callback",
      scope: "api refresh_token",
      state,
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
    });
  });

  // complete_exchanges_code_for_session, confidential_client_includes_client_secret.
  test("the browser comes back: the code becomes a session, its token is used at once, and later it is refreshed", async () => {
    const { startSignIn, finishSignIn } = await start();
    const kept = await startSignIn();
    const sessions = fakeSessions();
    vi.stubGlobal("sessions", {
      refreshToken: (sid: string) => sessions.refreshToken(sid),
      save: (sid: string, next: string) => sessions.save(sid, next),
    });
    const { signedIn } = (await run("docs/salesforce.md", "export async function signedIn")) as {
      signedIn: (sid: string, response: object) => Promise<TokenCache>;
    };
    const answer = (access_token: string, more: object): void =>
      login.respond({
        body: {
          access_token,
          instance_url: ORG,
          token_type: "Bearer",
          issued_at: "1278448384422",
          signature: "2wG3=",
          ...more,
        },
      });
    answer("00DXX!ACCESS", {
      refresh_token: "5Aep861KIwKdekr",
      scope: "api refresh_token",
      id: "https://login.salesforce.com/id/0/5",
    });
    const response = await finishSignIn(back({ code: "auth-code-xyz", state: kept.state }), kept);
    const tokens = await signedIn("sid-1", response);
    expect(Object.fromEntries(login.requests[0]!.form)).toEqual({
      grant_type: "authorization_code",
      code: "auth-code-xyz",
      redirect_uri: "https://app.example/callback",
      code_verifier: kept.verifier,
      client_id: "consumer-key-123",
      client_secret: "hunter2",
    });
    const token = await tokens.get();
    expect([token.value, await sessions.refreshToken("sid-1")]).toEqual(["00DXX!ACCESS", "5Aep861KIwKdekr"]);
    expect(Object.keys(token.response)).not.toContain("signature");
    answer("00DXX!NEXT", { refresh_token: "R2" });
    await tokens.invalidate(token.value);
    expect([(await tokens.get()).value, await sessions.refreshToken("sid-1")]).toEqual(["00DXX!NEXT", "R2"]);
    expect(login.requests[1]!.form.get("refresh_token")).toBe("5Aep861KIwKdekr");
  });

  // complete_rejects_state_mismatch_without_calling_endpoint.
  test("the browser comes back with another state: refused, and nothing is sent", async () => {
    const { startSignIn, finishSignIn } = await start();
    const kept = await startSignIn();
    await expect(finishSignIn(back({ code: "c", state: "wrong-state" }), kept)).rejects.toThrow();
    expect(login.requests).toHaveLength(0);
  });

  // public_client_omits_client_secret.
  test("an app without a secret: none is sent", async () => {
    vi.stubEnv("SALESFORCE_SECRET", undefined);
    const { startSignIn, finishSignIn } = await start();
    const kept = await startSignIn();
    login.respond({ body: { access_token: "tok", token_type: "Bearer", instance_url: ORG } });
    await finishSignIn(back({ code: "c", state: kept.state }), kept);
    expect([login.requests[0]!.form.get("client_secret"), login.requests[0]!.headers.authorization]).toEqual([
      null,
      undefined,
    ]);
  });

  // user_denied_surfaces_oauth_error.
  test("the user says no, or the code is refused: an error, and no session", async () => {
    const { startSignIn, finishSignIn } = await start();
    const kept = await startSignIn();
    await expect(finishSignIn(back({ error: "access_denied", state: kept.state }), kept)).rejects.toThrow();
    login.respond({ status: 400, body: { error: "invalid_grant", error_description: "user denied access" } });
    await expect(finishSignIn(back({ code: "c", state: kept.state }), kept)).rejects.toMatchObject({
      error: "invalid_grant",
    });
  });
});

/** Every name of a test, or of a group of tests, below these folders. */
function testNames(...folders: string[]): string[] {
  return folders.flatMap((place) =>
    readdirSync(join(ROOT, place))
      .filter((file) => file.endsWith(".test.ts"))
      .flatMap((file) => namesIn(readFileSync(join(ROOT, place, file), "utf8"))),
  );
}

function namesIn(text: string): string[] {
  const names: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && /^(test|describe)\b/.test(node.expression.getText())) {
      const [name] = node.arguments;
      if (name !== undefined && ts.isStringLiteralLike(name)) names.push(name.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile("x.ts", text, ts.ScriptTarget.Latest, true));
  return names;
}

/** The cells of the rows below the header that ends in "test". */
function comparison(document: string): string[][] {
  const lines = readFileSync(join(ROOT, document), "utf8").split("\n");
  const header = lines.findIndex((line) => /\| here +\| test +\|$/.test(line));
  expect(header, `${document} has a comparison`).toBeGreaterThan(0);
  const rows = lines.slice(header + 2);
  const end = rows.findIndex((line) => !line.startsWith("|"));
  return rows.slice(0, end === -1 ? undefined : end).map((row) =>
    row
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

describe.each(["docs/chalk.md", "docs/salesforce.md"])("the comparison in %s", (document) => {
  const names = testNames("test/seeds", "test/providers", "test/node", "test/house");

  test("every row says what the original does, what is done here, and names a test that exists", () => {
    const rows = comparison(document);
    expect(rows.length).toBeGreaterThan(20);
    expect(rows.filter((cells) => cells.length !== 4 || cells.includes(""))).toEqual([]);
    expect(rows.map(([, , , name]) => name).filter((name) => !names.some((each) => each.includes(name!)))).toEqual([]);
  });

  test("a row that names no test would be found", () => {
    expect(names.some((each) => each.includes("a test that nobody wrote"))).toBe(false);
    expect(existsSync(join(ROOT, document))).toBe(true);
  });
});
