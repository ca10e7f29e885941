/**
 * Every client in a real browser: Debian's Chromium, a page whose origin is both API and token endpoint, and a second
 * origin. What runs inside the page is in page.ts.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";
import { type Api, type ApiRequest, type Answer, startApi } from "remint/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ClientName, Outcome, Request } from "./page.ts";

const executablePath = process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium";
const isThere = existsSync(executablePath);
const isCi = process.env["CI"] === "true";
if (!isThere && !isCi) console.warn(`test/browser is skipped: there is no Chromium at ${executablePath}`);

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers": "authorization, content-type",
  "access-control-allow-methods": "GET, POST",
  "access-control-max-age": "0",
};
const clientNames: readonly ClientName[] = ["fetch", "ofetch", "axios/xhr", "axios/fetch"];

let bundle: string;
let browser: Browser;
let page: Page;
/** The server of the page's origin. */
let pageApi: Api;
/** The server of another origin, which accepts the same tokens. */
let foreign: Api;
let minted: string[];
let revoked: Set<string>;

const source = (path: string): string => fileURLToPath(new URL(`../../src/${path}`, import.meta.url));

async function bundled(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("page.ts", import.meta.url))],
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
    target: "es2022",
    alias: {
      "remint/axios": source("adapters/axios/index.ts"),
      "remint/fetch": source("adapters/fetch.ts"),
      "remint/ofetch": source("adapters/ofetch.ts"),
      remint: source("index.ts"),
    },
  });
  return outputFiles[0]?.text ?? "";
}

/**
 * The answers of the page's origin to requests that are not for its API: the page, its script, a redirect, the token
 * endpoint.
 */
function pageAnswer({ url, method }: ApiRequest): Answer | undefined {
  if (url === "/")
    return html('<!doctype html><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>');
  if (url === "/page.js") return { headers: { "content-type": "text/javascript; charset=utf-8" }, body: bundle };
  if (url === "/leave") return { status: 302, headers: { location: `${foreign.origin}/left` }, body: "" };
  if (url !== "/token" || method !== "POST") return undefined;
  minted.push(`page-token-${minted.length + 1}`);
  return { body: { access_token: minted.at(-1), token_type: "Bearer", expires_in: 3600 } };
}

function html(body: string): Answer {
  return { headers: { "content-type": "text/html; charset=utf-8" }, body };
}

function call(client: ClientName, request: Request): Promise<Outcome> {
  return page.evaluate(
    ([name, sent]) =>
      (globalThis as unknown as { call(name: ClientName, request: Request): Promise<Outcome> }).call(name, sent),
    [client, request] as const,
  );
}

/** Returns the tokens of the requests to this path. */
const tokensAt = (api: Api, path: string): (string | undefined)[] =>
  api.requests.filter(({ url, method }) => url === path && method !== "OPTIONS").map(({ token }) => token);

// A test of its own, because a suite whose set-up fails counts as skipped where only tests are counted.
test.runIf(isCi)("in CI there is a Chromium", () => expect([executablePath, isThere]).toEqual([executablePath, true]));

describe.skipIf(!isThere)("Chromium", () => {
  beforeAll(async () => {
    [bundle, browser] = await Promise.all([
      bundled(),
      chromium.launch({ executablePath, headless: true, args: FLAGS }),
    ]);
  }, 60_000);
  afterAll(() => browser?.close());

  beforeEach(async () => {
    [minted, revoked] = [[], new Set()];
    pageApi = await startApi({ accepts: (token) => minted.includes(token) && !revoked.has(token) });
    foreign = await startApi({ accepts: (token) => minted.includes(token) && !revoked.has(token) });
    pageApi.respondAlways(pageAnswer);
    foreign.respondAlways(({ method }) => ({ headers: CORS, ...(method === "OPTIONS" && { status: 204 }) }));
    page = await browser.newPage();
    await page.goto(`${pageApi.origin}/`);
    await page.waitForFunction("typeof call === 'function'");
  });
  afterEach(async () => {
    await page.close();
    await Promise.all([pageApi.close(), foreign.close()]);
  });

  describe.each(clientNames)("%s", (client) => {
    test("Q2: a relative URL belongs to the page's origin: a request with an empty cache mints once and carries the token", async () => {
      expect(await call(client, { url: "/orders" })).toEqual({ status: 200, text: '{"ok":true,"path":"/orders"}' });
      expect(await call(client, { url: "/orders", baseURL: pageApi.origin })).toMatchObject({ status: 200 });
      expect([tokensAt(pageApi, "/orders"), minted.length]).toEqual([["page-token-1", "page-token-1"], 1]);
    });

    test("Q5, Q6: a rejected token is renewed and the request sent again, its body byte for byte", async () => {
      await call(client, { url: "/warm" });
      for (const body of [{ json: { text: "gr\u{fc}n" } }, { blob: "blob gr\u{fc}n" }]) {
        revoked.add(minted.at(-1) ?? "");
        const path = "json" in body ? "/json" : "/blob";
        expect(await call(client, { url: path, method: "POST", ...body })).toMatchObject({ status: 200 });
        expect(tokensAt(pageApi, path)).toEqual(minted.slice(-2));
        const sent = pageApi.requests.filter(({ url }) => url === path).map(({ text }) => text);
        expect(sent).toEqual(Array(2).fill("json" in body ? '{"text":"gr\u{fc}n"}' : "blob gr\u{fc}n"));
      }
      expect(minted.length).toBe(3);
    });

    test("Q2: a foreign origin gets no token, however its URL is written, and its 401 renews nothing", async () => {
      await call(client, { url: "/warm" });
      const { host } = new URL(foreign.origin);
      for (const url of [`${foreign.origin}/x`, `//${host}/x`, `/\\${host}/x`, `http://${host}/x`]) {
        const { status } = await call(client, { url });
        expect([url, status]).toEqual([url, 401]);
      }
      expect([tokensAt(foreign, "/x"), minted.length]).toEqual([Array(4).fill(undefined), 1]);
    });

    test("Q2: a relative base URL does not make a foreign host the page's own", async () => {
      await call(client, { url: "/warm" });
      const { host } = new URL(foreign.origin);
      for (const url of [`\\${host}/x`, `\\\\${host}/x`, `/${host}/x`]) await call(client, { url, baseURL: "/" });
      expect(foreign.requests.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
      expect(foreign.requests.filter(({ method }) => method === "OPTIONS")).toEqual([]);
    });

    test("Q2: another origin on the list gets the token, across CORS, and its 401 renews the token", async () => {
      const { origin } = foreign;
      expect(await call(client, { url: `${origin}/x`, origin })).toMatchObject({ status: 200 });
      revoked.add("page-token-1");
      expect(await call(client, { url: `${origin}/x`, origin })).toMatchObject({ status: 200 });
      expect(tokensAt(foreign, "/x")).toEqual(["page-token-1", "page-token-1", "page-token-2"]);
    });

    test("Q3: a redirect to another origin carries no token, and the 401 there does not renew the token", async () => {
      expect(await call(client, { url: "/leave" })).toMatchObject({ status: 401 });
      // axios' fetch adapter does not tell where an answer came from: one needless renewal, which the storm guard
      // limits (C8).
      const sends = client === "axios/fetch" ? 2 : 1;
      expect(tokensAt(foreign, "/left")).toEqual(Array(sends).fill(undefined));
      expect([tokensAt(pageApi, "/leave").length, minted.length]).toEqual([sends, sends]);
    });

    test("Q11: a 401 that reaches the caller prints no token", async () => {
      pageApi.respondAlways((request) => pageAnswer(request) ?? { status: 401, body: "never" });
      const { status, text, thrown = "" } = await call(client, { url: "/x" });
      expect([status, text, tokensAt(pageApi, "/x").length]).toEqual([401, "never", 2]);
      expect(thrown).not.toMatch(/page-token/);
    });
  });
});
