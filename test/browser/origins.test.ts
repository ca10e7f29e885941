/**
 * Where a token goes from a page, in a real browser: Debian's Chromium, an origin of the page and a foreign one. What the
 * browser makes of a URL is judged by the server that gets the request.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";
import { type Answer, type Api, type ApiRequest, startApi } from "remint/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

const executablePath = process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium";
const isThere = existsSync(executablePath);
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers": "authorization",
  "access-control-max-age": "0",
};

/** Sends requests with a token, for a page and for a worker. What fails is not of interest: the servers are asked. */
const SENDER = `
  import { createTokenCache } from "remint";
  import { createAuthFetch } from "remint/fetch";
  globalThis.send = async (origins, urls) => {
    const authFetch = createAuthFetch(createTokenCache({ grant: () => "page-token", origins }));
    for (const url of urls) await authFetch(url).catch(() => {});
  };
  if (typeof document === "undefined") {
    addEventListener("message", ({ data }) => send(...data).then(() => postMessage("sent")));
  }
`;

let script: string;
let browser: Browser;
let page: Page;
let own: Api;
let foreign: Api;
/** What is in the page before its script. */
let head: string;
let headers: Record<string, string>;

const source = (path: string): string => fileURLToPath(new URL(`../../src/${path}`, import.meta.url));

async function bundled(): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: SENDER, resolveDir: import.meta.dirname },
    bundle: true,
    write: false,
    format: "iife",
    target: "es2022",
    alias: { "remint/fetch": source("adapters/fetch.ts"), remint: source("index.ts") },
  });
  return outputFiles[0]?.text ?? "";
}

const allowed = ({ method }: ApiRequest): Answer => ({ headers: CORS, ...(method === "OPTIONS" && { status: 204 }) });

type Sender = (origins: readonly string[], urls: readonly string[]) => Promise<void>;

/** Opens the page and sends requests from it. */
async function send(origins: readonly string[], ...urls: string[]): Promise<void> {
  await page.goto(`${own.origin}/page`);
  await page.evaluate(([list, sent]) => (globalThis as unknown as { send: Sender }).send(list, sent), [
    origins,
    urls,
  ] as const);
}

/** The paths that a server was asked for, each with whether the request carried the token. */
const requestsTo = (api: Api): [string, boolean][] =>
  api.requests
    .filter(({ url, method }) => method === "GET" && !/^\/(?:page|script\.js|favicon)/.test(url))
    .map(({ url, token }) => [url, token === "page-token"]);

describe.skipIf(!isThere)("Chromium", () => {
  beforeAll(async () => {
    [script, browser] = await Promise.all([
      bundled(),
      chromium.launch({ executablePath, headless: true, args: FLAGS }),
    ]);
  }, 60_000);
  afterAll(() => browser?.close());

  beforeEach(async () => {
    [head, headers] = ["", {}];
    own = await startApi({ accepts: () => true });
    foreign = await startApi({ accepts: () => true });
    own.respondAlways((request) => {
      const { url } = request;
      if (url === "/script.js") return { headers: { "content-type": "text/javascript", ...CORS }, body: script };
      if (url !== "/page") return allowed(request);
      const body = `<!doctype html>${head}<body><script src="${own.origin}/script.js"></script>`;
      return { headers: { "content-type": "text/html; charset=utf-8", ...headers }, body };
    });
    foreign.respondAlways(allowed);
    page = await browser.newPage();
  });
  afterEach(async () => {
    await page.close();
    await Promise.all([own.close(), foreign.close()]);
  });

  test('Q2: "self" is the origin of the page, for relative and absolute URLs', async () => {
    await send(["self"], "/a", "b", `${own.origin}/c`, `${foreign.origin}/d`, `//${new URL(foreign.origin).host}/e`);
    expect(requestsTo(own)).toEqual([
      ["/a", true],
      ["/b", true],
      ["/c", true],
    ]);
    expect(requestsTo(foreign)).toEqual([
      ["/d", false],
      ["/e", false],
    ]);
  });

  test("Q2: <base href> of another origin: relative URLs lead there, without the token", async () => {
    head = `<base href="${foreign.origin}/base/">`;
    await send(["self", own.origin], "/a", "b", `${own.origin}/c`);
    expect(requestsTo(foreign)).toEqual([
      ["/a", false],
      ["/base/b", false],
    ]);
    expect(requestsTo(own)).toEqual([["/c", true]]);
  });

  test("Q2: <base href> of another origin, which is listed: relative URLs carry the token there", async () => {
    head = `<base href="${foreign.origin}/base/">`;
    await send([foreign.origin], "/a", "b");
    expect(requestsTo(foreign)).toEqual([
      ["/a", true],
      ["/base/b", true],
    ]);
  });

  test.each(["img", "embed", "form", "iframe"])(
    "Q2: <%s name=baseURI> hides what <base href> says: relative URLs lead there, without the token",
    async (element) => {
      head = `<base href="${foreign.origin}/base/"><${element} name="baseURI"></${element}>`;
      await send(["self", own.origin], "/a", "b", `${own.origin}/c`);
      expect(requestsTo(foreign)).toEqual([
        ["/a", false],
        ["/base/b", false],
      ]);
      expect(requestsTo(own)).toEqual([["/c", true]]);
    },
  );

  test('Q2: a sandboxed page has no origin: "self" matches nothing, its own URL only if it is listed', async () => {
    headers = { "content-security-policy": "sandbox allow-scripts" };
    await send(["self"], "/a", `${own.origin}/b`);
    await send([own.origin], "/c");
    expect(requestsTo(own)).toEqual([
      ["/a", false],
      ["/b", false],
      ["/c", true],
    ]);
  });

  test('Q2: "self" in a worker is the origin of its script', async () => {
    await page.goto(`${own.origin}/page`);
    const urls = ["/a", `${own.origin}/b`, `${foreign.origin}/c`];
    await page.evaluate(
      (sent) =>
        new Promise((resolve) => {
          const worker = new Worker("/script.js");
          worker.addEventListener("message", resolve);
          // oxlint-disable-next-line unicorn/require-post-message-target-origin -- workers have none
          worker.postMessage([["self"], sent]);
        }),
      urls,
    );
    expect([requestsTo(own), requestsTo(foreign)]).toEqual([
      [
        ["/a", true],
        ["/b", true],
      ],
      [["/c", false]],
    ]);
  });
});
