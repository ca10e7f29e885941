/**
 * What the README says is run: its command, its programs, the interceptor that it replaces with each of its five faults, and
 * its own row beside other packages. The servers are real, on loopback. What callers get is in errors-page.test.ts.
 */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import axios, { type AxiosInstance } from "axios";
import { clientCredentialsGrant, createTokenCache, type TokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";
import { type Api, type AuthServer, startApi, startAuthServer } from "remint/testing";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { axiosProgram, blockWith, codeBlocks, OFFLINE_OUTPUT, ROOT } from "./markdown.ts";

let folder: string;
let auth: AuthServer;
let api: Api;
beforeEach(async () => {
  mkdirSync(join(ROOT, ".tmp"), { recursive: true });
  folder = mkdtempSync(join(ROOT, ".tmp/readme-"));
  auth = await startAuthServer({ clientId: "orders-service", clientSecret: "s3cret" });
  api = await startApi({ accepts: auth });
});
afterEach(async () => {
  vi.unstubAllGlobals();
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
  await Promise.all([auth.close(), api.close()]);
});

/** The environment of a program. */
const settings = (): Record<string, string> => ({
  TOKEN_ENDPOINT: auth.tokenEndpoint,
  CLIENT_ID: "orders-service",
  CLIENT_SECRET: "s3cret",
  API_URL: `${api.origin}/orders`,
});
/** A request of the page, with its cookies. */
const from = (cookie: string): Request =>
  new Request("https://app.example/api/orders", { headers: { cookie, "x-bff": "1" } });
const statuses = (answers: readonly Response[]): Set<number> => new Set(answers.map(({ status }) => status));

describe("the commands and programs", () => {
  test("the offline command runs a file of the examples, which prints what the README says", async () => {
    const [, file] = /^node node_modules\/remint\/(\S+)$/m.exec(blockWith("README.md", "sh", "node_modules").code)!;
    expect(readFileSync(join(ROOT, "README.md"), "utf8")).toContain(`\`${OFFLINE_OUTPUT}\``);
    expect(await runFile(join(ROOT, file!))).toEqual({ stdout: `${OFFLINE_OUTPUT}\n`, stderr: "", status: 0 });
  });

  describe.each([
    ["the program for axios in the README", axiosProgram(), "200 { ok: true, path: '/orders' }\n"],
    [
      "the program for fetch in getting-started.md",
      blockWith("docs/getting-started.md", "ts", "process.env"),
      '200 {"ok":true,"path":"/orders"}\n',
    ],
  ])("%s, pasted into a file of JavaScript", (_, { code }, printed) => {
    const program = (): string => {
      const file = join(folder, "orders.mjs");
      writeFileSync(file, code);
      return file;
    };

    test("the API rejects the first token: it asks for another one, sends again, and prints the answer", async () => {
      api.respond({ status: 401 });
      expect(await runFile(program(), settings())).toEqual({ stdout: printed, stderr: "", status: 0 });
      expect([auth.requests.length, api.requests.map(({ status }) => status)]).toEqual([2, [401, 200]]);
    });

    test.each(["TOKEN_ENDPOINT", "CLIENT_ID", "CLIENT_SECRET", "API_URL"])("says that %s is missing", async (name) => {
      for (const [each, value] of Object.entries(settings())) vi.stubEnv(each, each === name ? undefined : value);
      await expect(import(/* @vite-ignore */ program())).rejects.toThrow(`Set ${name}, `);
      expect(auth.requests).toEqual([]);
    });
  });
});

describe("the interceptor that is replaced has the five faults", () => {
  const { code } = blockWith("README.md", "js", "axios.interceptors.response");
  let client: AxiosInstance;
  let tokenRequests: number;
  beforeEach(async () => {
    tokenRequests = 0;
    client = axios.create({ baseURL: api.origin });
    const requestToken = async (): Promise<string> => {
      tokenRequests++;
      const body = new URLSearchParams({ grant_type: "client_credentials" });
      const { data } = await axios.post(auth.tokenEndpoint, body, {
        auth: { username: "orders-service", password: "s3cret" },
      });
      return data.access_token;
    };
    // The block says axios, and here that is an instance, so that the interceptors end with the test.
    const file = join(folder, "usual.mjs");
    writeFileSync(file, `export function use(axios, requestToken) {\n${code}}\n`);
    const { use } = (await import(/* @vite-ignore */ file)) as { use: (axios: unknown, requestToken: unknown) => void };
    use(client, requestToken);
  });

  test("1: on a cold start every request asks for a token", async () => {
    await Promise.all(Array.from({ length: 50 }, () => client.get("/a")));
    expect(tokenRequests).toBe(50);
  });

  test("2: the token goes to another host, and into an error that is logged", async () => {
    const other = await startApi({ accepts: () => true });
    await client.get(`${other.origin}/elsewhere`);
    expect(other.requests[0]!.token).toBe(auth.issued[0]);
    await other.close();
    api.respond({ status: 500 });
    const error: unknown = await client.get("/a").catch((reason: unknown) => reason);
    expect(JSON.stringify(error)).toContain(auth.issued[0]);
  });

  test("3: a late 401 throws away a good token", async () => {
    await client.get("/a");
    let answerLate!: () => void;
    const gate = new Promise<void>((resolve) => (answerLate = resolve));
    let isFirst = true;
    api.respondAlways(async ({ url }) => {
      if (url !== "/slow" || !isFirst) return undefined;
      isFirst = false;
      await gate;
      return { status: 401 };
    });
    const slow = client.get("/slow");
    await api.waitFor(2);
    auth.revokeAll();
    await client.get("/a");
    expect([tokenRequests, auth.isLive(auth.issued[1]!)]).toEqual([2, true]);
    answerLate();
    await slow;
    expect(tokenRequests).toBe(3);
  });

  test("4: after a revocation each rejected request asks for a token of its own", async () => {
    await client.get("/a");
    const release = api.holdAnswers();
    const answers = Promise.all(Array.from({ length: 20 }, () => client.get("/a")));
    await api.waitFor(21);
    auth.revokeAll();
    release();
    await answers;
    expect(tokenRequests).toBe(21);
  });

  test("5: interceptors run twice, and a stream is sent again with an empty body, which the API takes", async () => {
    let runs = 0;
    client.interceptors.request.use((config) => (runs++, config));
    await client.get("/a");
    auth.revokeAll();
    const { status } = await client.put("/a", Readable.from(["a file"]), { headers: { "content-type": "text/plain" } });
    expect([status, runs, api.requests.slice(1).map(({ text }) => text)]).toEqual([200, 3, ["a file", ""]]);
  });
});

describe("the lines for users", () => {
  interface Lines {
    readonly signIn: (signInId: string, response: object) => Promise<void>;
    readonly signOut: (signInId: string) => Promise<void>;
    readonly proxy: (request: Request) => Promise<Response>;
  }
  test("a user who signs in gets the API's answers, also after a revocation, until they sign out", async () => {
    const users = await startAuthServer({ clientId: "portal", clientSecret: "s3cret" });
    const upstream = await startApi({ accepts: users });
    vi.stubEnv("CLIENT_SECRET", "s3cret");
    const { code } = blockWith("README.md", "ts", "createTokenPool");
    const file = join(folder, "users.ts");
    const own = code
      .replaceAll("https://auth.example", users.issuer)
      .replaceAll("https://api.example", upstream.origin);
    writeFileSync(file, own);
    const { signIn, signOut, proxy } = (await import(/* @vite-ignore */ file)) as Lines;

    expect((await proxy(from(""))).status).toBe(401);
    await signIn("one", users.signIn("alice"));
    const alice = from("theme=dark; __Host-session=one");
    expect(await (await proxy(alice.clone())).json()).toEqual({ ok: true, path: "/orders" });
    users.revokeAll();
    expect((await proxy(alice.clone())).status).toBe(200);
    expect(upstream.requests.map(({ token }) => users.tokenInfo(token!)?.subject)).toEqual(["alice", "alice", "alice"]);
    expect((await proxy(from("__Host-session=two"))).status).toBe(401);

    const token = upstream.requests.at(-1)!.token!;
    await signOut("one");
    expect(users.isLive(token)).toBe(false);
    expect(await (await proxy(alice.clone())).json()).toMatchObject({ status: 401, code: "sign-in" });
    await Promise.all([users.close(), upstream.close()]);
  });
});

describe("the row of remint beside other packages", () => {
  const CALLERS = 1000;
  let tokens: TokenCache;
  let call: (path: string) => Promise<Response>;
  beforeEach(() => {
    const client = { tokenEndpoint: auth.tokenEndpoint, clientId: "orders-service", clientSecret: "s3cret" };
    tokens = createTokenCache({ grant: clientCredentialsGrant(client), origins: [api.origin], warnings: false });
    const authFetch = createAuthFetch(tokens);
    call = (path) => authFetch(new URL(path, api.origin));
  });
  const callers = (): Promise<Response[]> => Promise.all(Array.from({ length: CALLERS }, () => call("/a")));

  test("1,000 requests before there is a token: 1 token request; revoked in flight: 1 more, and no 401", async () => {
    expect(statuses(await callers())).toEqual(new Set([200]));
    expect(auth.requests).toHaveLength(1);
    const release = api.holdAnswers();
    const answers = callers();
    await api.waitFor(2 * CALLERS);
    auth.revokeAll();
    release();
    expect(statuses(await answers)).toEqual(new Set([200]));
    expect(auth.requests).toHaveLength(2);
  }, 60_000);

  test("20 late 401s to a token that has been replaced: no token request", async () => {
    const old = await tokens.get();
    const release = api.holdAnswers();
    const late = Promise.all(Array.from({ length: 20 }, () => call("/a")));
    await api.waitFor(20);
    auth.revokeAll();
    await tokens.invalidate(old.value);
    const next = await tokens.get();
    release();
    expect(statuses(await late)).toEqual(new Set([200]));
    expect([auth.requests.length, (await tokens.get()).value]).toEqual([2, next.value]);
  });

  test("a URL of another host: no token", async () => {
    const other = await startApi({ accepts: () => true });
    await call("/a");
    await call(`${other.origin}/a`);
    expect(other.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
    await other.close();
  });
});

test("every code block of the README is run here", () => {
  const runBlocks = ["node_modules/remint/examples", "process.env;", "axios.interceptors.response", "createTokenPool"];
  const blocks = codeBlocks("README.md");
  expect(blocks.filter(({ code }) => !runBlocks.some((text) => code.includes(text)))).toEqual([]);
});

interface Ended {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number | null;
}

/** Runs a file on the sources, with these variables in its environment. */
async function runFile(file: string, env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const child = spawn(process.execPath, ["--import", "tsx", file], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  return { stdout, stderr, status };
}
