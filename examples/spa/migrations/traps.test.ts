/**
 * What goes wrong in a migration that is half done, and what docs/browser.md says to do: each trap, and the way out. Tests of the
 * migrations themselves are in migrations.test.ts.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { isSkipped, launch, Pages } from "../test/pages.ts";
import { COUNTER, openSide } from "./opened.ts";
import type { Browser, BrowserContext, Page } from "playwright-core";
import type { Loaded, Name, Side } from "./opened.ts";

declare const loaded: Loaded;
declare const rejections: number;
declare function callMany(count: number, path: string, options?: object): Promise<number[]>;

const soon = { timeout: 20_000 };
let browser: Browser;
let pages: Pages;
let context: BrowserContext;

const count = (path: string): number => pages.app.answered.filter((request) => request.path === path).length;
/** What one call gets, and how many requests to the refresh endpoint there were so far. */
async function call(page: Page, options: object = {}): Promise<[status: number, refreshes: number]> {
  const [status] = await page.evaluate((given) => callMany(1, "/items", given), options);
  return [status!, count("/auth/refresh")];
}

/** Opens a side with changes of its code: each a text, and what takes its place. */
async function opened(name: Name, side: Side, ...changes: readonly (readonly [string, string])[]): Promise<Page> {
  pages.change(`migrations/${name}/${side}.ts`, (code) => {
    let changed = code;
    for (const [from, to] of changes) {
      if (!changed.includes(from)) throw new Error(`${name}/${side} has no ${from}`);
      changed = changed.replace(from, to);
    }
    return changed;
  });
  return openSide(context, pages, name, side);
}
async function signedIn(...given: Parameters<typeof opened>): Promise<Page> {
  const page = await opened(...given);
  await page.evaluate(() => loaded.code.signIn("alice"));
  return page;
}

describe.skipIf(isSkipped)("traps", () => {
  beforeAll(async () => {
    pages = await Pages.start();
    browser = await launch();
  });
  afterAll(async () => {
    await browser.close();
    await pages.close();
  });
  beforeEach(async () => {
    pages.app.answered.length = 0;
    pages.app.before = undefined;
    context = await browser.newContext();
    await context.addInitScript(COUNTER);
  });
  afterEach(() => context.close());

  test.each(["axios-auth-refresh", "failed-queue"] as const)(
    "%s: the default header Authorization is left: the 401 goes to the caller; it is deleted: the call is renewed",
    async (name) => {
      const page = await signedIn(name, "after");
      await page.evaluate(() => (loaded.code.api.defaults.headers.common["Authorization"] = "Bearer access-0"));
      expect(await call(page)).toEqual([401, 0]);
      await page.evaluate(() => delete loaded.code.api.defaults.headers.common["Authorization"]);
      pages.app.revokeTokens();
      expect(await call(page)).toEqual([200, 1]);
    },
  );

  test("axios-auth-refresh: the request interceptor is left: the 401 goes to the caller", async () => {
    const own = `api.interceptors.request.use((config) => {
        config.headers["Authorization"] = "Bearer access-0";
        return config;
      });`;
    const page = await signedIn("axios-auth-refresh", "after", [
      "export async function",
      `${own} export async function`,
    ]);
    expect(await call(page)).toEqual([401, 0]);
  });

  test("nuxt-ofetch: the Authorization of onRequest is left: the 401 goes to the caller; without it the call is renewed", async () => {
    const own = `{ baseURL: "/api", onRequest: ({ options }) => options.headers.set("Authorization", "Bearer access-0") }`;
    expect(await call(await signedIn("nuxt-ofetch", "after", [`{ baseURL: "/api" }`, own]))).toEqual([401, 0]);
    const page = await signedIn("nuxt-ofetch", "after");
    pages.app.revokeTokens();
    expect(await call(page)).toEqual([200, 1]);
  });

  test.each([
    ["is left: the request is sent three times", `{ baseURL: "/api", retry: 1, retryStatusCodes: [401] }`, 3],
    ["is gone: twice", `{ baseURL: "/api" }`, 2],
  ])("nuxt-ofetch: the API answers 401 to every token, and retryStatusCodes: [401] %s", async (_, options, sent) => {
    // The limit of refreshes counts by the clock, which stands here.
    await context.addInitScript("const now = Date.now(); Date.now = () => now; performance.now = () => 1000;");
    const page = await signedIn("nuxt-ofetch", "after", [`{ baseURL: "/api" }`, options]);
    pages.app.before = (path) => (path === "/api/items" ? 401 : undefined);
    expect((await call(page))[0]).toBe(401);
    expect(count("/api/items")).toBe(sent);
  });

  test("axios-auth-refresh: skipAuthRefresh: true means nothing any more: the call is renewed; remint: false sends no token and renews nothing", async () => {
    const before = await signedIn("axios-auth-refresh", "before");
    pages.app.revokeTokens();
    expect(await call(before, { skipAuthRefresh: true })).toEqual([401, 0]);
    expect(pages.app.answered.at(-1)!.token).toBeDefined();
    const after = await signedIn("axios-auth-refresh", "after");
    pages.app.revokeTokens();
    expect(await call(after, { skipAuthRefresh: true })).toEqual([200, 1]);
    expect(await call(after, { remint: false })).toEqual([401, 1]);
    expect(pages.app.answered.at(-1)!.token).toBeUndefined();
  });

  test("failed-queue, before: the refresh goes through the same client, and is answered 401: WRONG, it waits for itself, and the caller for ever", async () => {
    const page = await signedIn("failed-queue", "before", [`axios.post("/auth/refresh"`, `api.post("../auth/refresh"`]);
    pages.app.revokeTokens();
    pages.app.endSessions("alice");
    await page.evaluate(() => void callMany(1, "/items").then(() => Object.assign(globalThis, { isSettled: true })));
    // The page has had both 401s, and has nothing more to do.
    await page.waitForFunction(() => rejections === 2, undefined, soon);
    expect(await page.evaluate(() => [loaded.seen.redirects, "isSettled" in globalThis])).toEqual([0, false]);
  });

  test.each([
    [
      "failed-queue",
      `fetch: async (url, { body, headers }) => {
        const all = { baseURL: "", headers, validateStatus: () => true };
        const { status, data } = await api.post(url, body, all);
        return Response.json(data, { status });
      }, body:`,
      "body:",
    ],
    [
      "nuxt-ofetch",
      `fetch: async (url, init) => {
        const { status, _data: data } = await api.raw(url, { ...init, baseURL: "", ignoreResponseError: true });
        return Response.json(data ?? null, { status });
      }, read:`,
      "read:",
    ],
  ] as const)(
    "%s, after: the refresh goes through the same client: it gets no token and waits for none, and a 401 ends the session once",
    async (name, through, member) => {
      const page = await signedIn(name, "after", [member, through]);
      pages.app.revokeTokens();
      expect(await call(page)).toEqual([200, 1]);
      pages.app.revokeTokens();
      pages.app.endSessions("alice");
      expect(await call(page)).toEqual([401, 2]);
      expect(await page.evaluate(() => loaded.seen.redirects)).toBe(1);
      const own = pages.app.answered.filter(({ path }) => path === "/auth/refresh");
      expect(own.map(({ token }) => token)).toEqual([undefined, undefined]);
    },
  );

  test.each([
    ["fails with ERR_SESSION", "{}", "ERR_SESSION"],
    ["succeeds with { remint: false }", "{ remint: false }", "signed in"],
  ])(
    "failed-queue, after: the sign-in is sent through the client after a sign-out: it %s",
    async (_, options, result) => {
      const page = await signedIn(
        "failed-queue",
        "after",
        ["const tokens =", "export const tokens ="],
        [
          `axios.post("/auth/sign-in", { user, isJson: true })`,
          `api.post("../auth/sign-in", { user, isJson: true }, signInOptions)`,
        ],
        [
          "export async function",
          "let signInOptions = { remint: false }; export const set = (next) => void (signInOptions = next);\nexport async function",
        ],
      );
      const outcome = await page.evaluate(
        async (given) => {
          const { tokens, set, signIn } = loaded.code as unknown as {
            tokens: { signOut(): Promise<void> };
            set(options: object): void;
            signIn(user: string): Promise<void>;
          };
          await tokens.signOut();
          set(JSON.parse(given) as object);
          return signIn("alice").then(
            () => "signed in",
            (error: { code: string }) => error.code,
          );
        },
        options.replace("remint", '"remint"'),
      );
      expect(outcome).toBe(result);
      if (result === "signed in") expect(await call(page)).toEqual([200, 0]);
    },
  );

  test("axios-auth-refresh: a mock's history has no token after the call; the reply function has seen it", async () => {
    const found: unknown[] = [];
    for (const side of ["before", "after"] as const) {
      const page = await signedIn("axios-auth-refresh", side);
      await page.addScriptTag({
        type: "module",
        content: `import M from "/@id/axios-mock-adapter"; globalThis.Mock = M;`,
      });
      await page.waitForFunction(() => "Mock" in globalThis, undefined, soon);
      found.push(
        await page.evaluate(async () => {
          interface Config {
            readonly headers: Record<string, string>;
          }
          type Reply = (config: Config) => readonly [number, object];
          interface MockAdapter {
            readonly history: { readonly get: readonly Config[] };
            onGet(path: string): { reply(reply: Reply): void };
          }
          const { Mock } = globalThis as unknown as { Mock: new (api: unknown) => MockAdapter };
          const mock = new Mock(loaded.code.api);
          let seen: string | undefined;
          mock.onGet("/items").reply((config) => {
            seen = config.headers["Authorization"];
            return [200, {}];
          });
          await callMany(1, "/items");
          return [typeof seen, typeof mock.history.get[0]!.headers["Authorization"]];
        }),
      );
    }
    expect(found).toEqual([
      ["string", "string"],
      ["string", "undefined"],
    ]);
  });
});
