/** docs/errors.md: every cell of the table "Which error do I get" is made to happen, with real servers, and compared. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import axios from "axios";
import {
  clientCredentialsGrant,
  createTokenCache,
  isRemintError,
  refreshTokenGrant,
  type RemintError,
  type TokenCache,
} from "remint";
import { createAuthInterceptor } from "remint/axios";
import { createAuthFetch } from "remint/fetch";
import { createAuthOfetch } from "remint/ofetch";
import { createAuthProxy } from "remint/proxy";
import { type Api, type AuthServer, startApi, startAuthServer } from "remint/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ROOT } from "./markdown.ts";

/** The columns of the clients, in the order of the page. */
const CLIENTS = ["axios", "fetch", "ofetch", "`remint/proxy`"] as const;
type Client = (typeof CLIENTS)[number];

let auth: AuthServer;
let api: Api;
beforeEach(async () => {
  auth = await startAuthServer({ clientId: "portal", clientSecret: "s3cret" });
  api = await startApi({ accepts: auth });
});
afterEach(() => Promise.all([auth.close(), api.close()]));

const client = { clientId: "portal", clientSecret: "s3cret" };
const more = (): { origins: string[]; mintRetries: number } => ({ origins: [api.origin], mintRetries: 0 });

function service(): TokenCache {
  const grant = clientCredentialsGrant({ ...client, tokenEndpoint: auth.tokenEndpoint });
  return createTokenCache({ ...more(), grant });
}

function session(): TokenCache {
  const { tokenEndpoint } = auth;
  const grant = refreshTokenGrant({ ...client, tokenEndpoint, refreshToken: "of-nobody", onRotate() {} });
  return createTokenCache({ ...more(), grant });
}

function throws(): never {
  throw new Error("no secret today");
}

/** What has to be there for a row: the cache, and what happens while the call is under way. */
interface Scene {
  readonly tokens: TokenCache;
  readonly signal?: AbortSignal;
  readonly meanwhile?: () => Promise<void>;
}

/** How each row of the table is made to happen. */
const ROWS: Readonly<Record<string, () => Promise<Scene>>> = {
  async "the token endpoint is down, slow or says 5xx"() {
    auth.respondAlways({ status: 503 });
    return { tokens: service() };
  },
  async "the token endpoint refuses the client (`invalid_client`, …)"() {
    auth.respondAlways({ status: 401, body: { error: "invalid_client" } });
    return { tokens: service() };
  },
  async "the session is over or signed out, and nothing was sent"() {
    return { tokens: session() };
  },
  async "the session is over, and the API has answered 401"() {
    const tokens = session();
    await tokens.signIn(auth.signIn("alice"));
    auth.endSignIns();
    return { tokens };
  },
  async "nobody is signed in: the request goes without a token"() {
    return { tokens: createTokenCache({ ...more(), grant: () => null }) };
  },
  async "no token can be had after a 401, and the session is not over"() {
    const tokens = service();
    await tokens.get();
    auth.revokeAll();
    auth.respondAlways({ status: 503 });
    return { tokens };
  },
  async "the API says 401 to a new token too"() {
    api.respondAlways({ status: 401 });
    return { tokens: service() };
  },
  async "the API wants another scope (`insufficient_scope`)"() {
    api.respondAlways({ status: 401, headers: { "www-authenticate": 'Bearer error="insufficient_scope"' } });
    return { tokens: service() };
  },
  async "another user signed in while the request waited"() {
    const tokens = session();
    await tokens.signIn({ ...auth.signIn("alice"), expires_at: new Date(0) });
    const release = auth.holdAnswers();
    const meanwhile = async (): Promise<void> => {
      await auth.waitFor(1);
      await tokens.signIn(auth.signIn("bob"));
      release();
    };
    return { tokens, meanwhile };
  },
  async "a function of yours (a grant, `onRotate`'s source) threw"() {
    return { tokens: createTokenCache({ ...more(), grant: throws }) };
  },
  async "the caller aborted"() {
    auth.respondAlways({ hang: true });
    const caller = new AbortController();
    const meanwhile = async (): Promise<void> => {
      await auth.waitFor(1);
      caller.abort();
    };
    return { tokens: service(), signal: caller.signal, meanwhile };
  },
  async "the API cannot be reached"() {
    await api.close();
    return { tokens: service() };
  },
};

/** Makes a call through a client, and returns what its caller gets: an answer or an error. */
function call(through: Client, { tokens, signal }: Scene): Promise<unknown> {
  const url = `${api.origin}/orders`;
  const init = signal === undefined ? {} : { signal };
  if (through === "axios") {
    const instance = axios.create();
    instance.interceptors.request.use(createAuthInterceptor(tokens));
    return instance.get(url, init);
  }
  if (through === "fetch") return createAuthFetch(tokens)(url, init);
  if (through === "ofetch") return createAuthOfetch(tokens)(url, init);
  const proxy = createAuthProxy(() => tokens, { routes: { "/api": api.origin } });
  return proxy(new Request("https://app.example/api/orders", { ...init, headers: { "x-bff": "1" } }));
}

/** Compares what a caller got with what a cell says. */
async function expectCell(cell: string, got: unknown, { signal }: Scene): Promise<void> {
  const error = got as RemintError & { response?: { status: number } };
  if (/^\d{3} `/.test(cell)) {
    const { status, code } = (await (got as Response).json()) as { status: number; code: string };
    return expect(`${status} \`${code}\``).toBe(cell);
  }
  expect(isRemintError(error)).toBe(cell.startsWith("ours"));
  if (cell.startsWith("ours")) {
    const [, code] = /`(ERR_\w+)`/.exec(cell) ?? [];
    if (code !== undefined) expect(error.code).toBe(code);
    if (cell.includes("`retryable`")) expect(error.retryable).toBe(true);
    expect(error.terminal).toBe(cell.includes("`terminal`"));
    expect(error.rejected !== undefined).toBe(cell.includes("`rejected`"));
    return expect(error.response).toBeUndefined();
  }
  if (cell === "the API's 401" || cell === "the API's answer") {
    return expect(got instanceof Response ? got.status : error.response?.status).toBe(401);
  }
  if (cell === "`signal.reason`") return expect(got).toBe(signal!.reason);
  const [, name] = /^`(\w+)`$/.exec(cell) ?? [];
  if (name !== undefined) return expect(error.name).toBe(name);
  expect(cell).toMatch(/^as \w+ without remint$/);
  return expect(got).toBeInstanceOf(Error);
}

const read = (page: string): string => readFileSync(join(ROOT, page), "utf8");
const table = tableOf(read("docs/errors.md"), "## Which error do I get");

/** The rows of the README's table, by those of the page, and what its cells say in place of those of the page. */
const IN_README: Readonly<Record<string, readonly string[]>> = {
  "the token endpoint is down, slow or refuses you": [
    "the token endpoint is down, slow or says 5xx",
    "the token endpoint refuses the client (`invalid_client`, …)",
  ],
  "the session is over, and nothing was sent": ["the session is over or signed out, and nothing was sent"],
  "the session is over, and the API has answered 401": ["the session is over, and the API has answered 401"],
  "nobody is signed in": ["nobody is signed in: the request goes without a token"],
};
const SAME_CELLS: Readonly<Record<string, RegExp>> = {
  "rejects: an `AxiosError` that is a `RemintError`": /^ours/,
  "rejects: a `RemintError`": /^ours/,
  "the same, with `terminal: true`": /^ours, `terminal`$/,
  "that 401, as axios gives it": /^the API's 401$/,
  "that 401": /^the API's 401$/,
  "sends without a token: the API's own answer": /^the API's answer$/,
};

test("the README's table says the same in four rows", () => {
  const rows = tableOf(read("README.md"), "## When no token can be had").slice(1);
  expect(rows.map(([happened]) => happened)).toEqual(Object.keys(IN_README));
  for (const [happened, byAxios, byFetch] of rows) {
    for (const row of IN_README[happened]!) {
      const [, ...cells] = table.find(([name]) => name === row)!;
      expect(cells[0]).toMatch(SAME_CELLS[byAxios!]!);
      // "The same" is what the cell to the left says.
      expect(cells[1]).toMatch(SAME_CELLS[byFetch === "the same" ? byAxios! : byFetch!]!);
    }
  }
});

test("every row of the table is made to happen here", () => {
  expect(table[0]!.slice(1, 5).map((cell) => cell.replace(" answers", ""))).toEqual(CLIENTS);
  expect(table.slice(1).map(([happened]) => happened)).toEqual(Object.keys(ROWS));
});

describe.each(table.slice(1))("%s", (happened, ...cells) => {
  test.each(CLIENTS.map((name, index) => [name, cells[index]!] as const))("%s: %s", async (through, cell) => {
    const scene = await ROWS[happened]!();
    const result = call(through, scene).catch((error: unknown) => error);
    await scene.meanwhile?.();
    await expectCell(cell, await result, scene);
  });
});

/** The cells of the first table below a heading, the head first. */
function tableOf(page: string, heading: string): [string, ...string[]][] {
  const [lines = ""] = /^\|.*?(?=\n\n)/ms.exec(page.slice(page.indexOf(heading))) ?? [];
  const rows = lines.split("\n").filter((line) => !line.startsWith("| -"));
  return rows.map(
    (line) =>
      line
        .slice(1, -1)
        .split("|")
        .map((cell) => cell.trim()) as [string, ...string[]],
  );
}
