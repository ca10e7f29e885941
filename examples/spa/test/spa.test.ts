/** The example in Chromium: sign-in, calls, sign-out, two tabs, strict mode and hot module replacement, on both pages. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { isSkipped, launch, Pages } from "./pages.ts";
import type { Browser, BrowserContext, Page } from "playwright-core";

interface Seen {
  /** Instances of axios that modules of the page have made. */
  readonly instances: { readonly interceptors: { readonly request: { readonly handlers: readonly unknown[] } } }[];
  /** How often each module was loaded with a change. */
  readonly versions: Record<string, number>;
  /** Where the page went. */
  readonly places: string[];
  isSame: boolean;
  /** How often the effect of a list has run. */
  effects: number;
}
// oxlint-disable-next-line no-shadow-restricted-names -- what the page has there
declare const globalThis: Seen & { readonly location: Location };

const soon = { timeout: 20_000 };
const report = (version: number) => (code: string) =>
  `${code}\n;(globalThis.instances ??= []).push(api); (globalThis.versions ??= {}).api = ${version};\n`;
const versioned = (name: string, version: number) => (code: string) =>
  `${code}\n;(globalThis.versions ??= {}).${name} = ${version};\n`;

let browser: Browser;
let pages: Pages;
let context: BrowserContext;

describe.skipIf(isSkipped).each(["index.html", "react.html"])("%s", (file) => {
  beforeAll(async () => void (browser = await launch()));
  afterAll(() => browser.close());
  beforeEach(async () => {
    pages = await Pages.start({ "src/api.ts": report(0) });
    context = await browser.newContext();
    await context.addInitScript(() => {
      Object.assign(globalThis, { places: [], isSame: false });
      addEventListener("hashchange", () => globalThis.places.push(globalThis.location.hash));
    });
  });
  afterEach(async () => {
    await context.close();
    await pages.close();
  });

  async function open(): Promise<Page> {
    const page = await context.newPage();
    await page.goto(`${pages.origin}/${file}`);
    return page;
  }
  async function signIn(page: Page, user: string): Promise<void> {
    await page.fill("[name=user]", user);
    await page.click("button");
    await shows(page, user);
  }
  const shows = (page: Page, user: string): Promise<unknown> =>
    page.waitForFunction((name) => document.querySelector("#user")?.textContent === `Items of ${name}`, user, soon);
  const asksToSignIn = (page: Page): Promise<unknown> => page.waitForSelector("[name=user]", soon);
  const places = (page: Page): Promise<string[]> => page.evaluate(() => globalThis.places);
  const count = (path: string): number => pages.app.answered.filter((request) => request.path === path).length;
  /** Clicks, and waits for the answers that come of it. */
  async function load(page: Page): Promise<void> {
    await Promise.all([
      page.waitForResponse((response) => response.url().endsWith("/api/items") && response.status() === 200, soon),
      page.click("#load"),
    ]);
  }
  const interceptors = (page: Page): Promise<number[]> =>
    page.evaluate(() =>
      globalThis.instances.map(({ interceptors: { request } }) => request.handlers.filter(Boolean).length),
    );

  test("sign in, call, sign out: the token goes to the API, and the page goes to the sign-in page once each time", async () => {
    const page = await open();
    await asksToSignIn(page);
    await signIn(page, "alice");
    await load(page);
    await page.click("#sign-out");
    await asksToSignIn(page);
    expect(await places(page)).toEqual(["#/sign-in", "#/items", "#/sign-in"]);
    expect(pages.app.isSignedIn("alice")).toBe(false);
    const withToken = pages.app.answered.filter(({ path, status }) => path === "/api/items" && status === 200);
    expect(new Set(withToken.map(({ token }) => token))).toEqual(new Set(["access-1"]));
    // The page has asked once whether somebody is signed in.
    expect(count("/auth/refresh")).toBe(1);
  });

  test("the token is rejected while ten requests are under way: one refresh, and the list is shown", async () => {
    const page = await open();
    await signIn(page, "alice");
    const before = count("/auth/refresh");
    pages.app.revokeTokens();
    await page.evaluate(() => {
      for (let times = 0; times < 10; times++) (document.querySelector("#load") as HTMLButtonElement).click();
    });
    await load(page);
    await shows(page, "alice");
    expect([count("/auth/refresh") - before, pages.app.isSignedIn("alice")]).toEqual([1, true]);
  });

  test("two tabs: the second has the session without a refresh, and after a rejection one tab refreshes for both", async () => {
    const one = await open();
    await signIn(one, "alice");
    const before = count("/auth/refresh");
    const two = await open();
    await shows(two, "alice");
    expect(count("/auth/refresh") - before).toBe(0);
    pages.app.revokeTokens();
    await Promise.all([load(one), load(two)]);
    expect([count("/auth/refresh") - before, pages.app.isSignedIn("alice")]).toEqual([1, true]);
  });

  test("two tabs: a sign-out in one leads the other to the sign-in page, and a sign-in leads it back", async () => {
    const [one, two] = [await open(), await open()];
    await signIn(one, "alice");
    await shows(two, "alice");
    await one.click("#sign-out");
    await Promise.all([asksToSignIn(one), asksToSignIn(two)]);
    await signIn(two, "bob");
    await shows(one, "bob");
    expect(await places(two)).toEqual(["#/sign-in", "#/items", "#/sign-in", "#/items"]);
  });

  test("the server has ended the session: each of two tabs goes to the sign-in page once, and one of them has asked", async () => {
    const one = await open();
    await signIn(one, "alice");
    const two = await open();
    await shows(two, "alice");
    const before = count("/auth/refresh");
    pages.app.endSessions("alice");
    pages.app.revokeTokens();
    for (const page of [one, two]) {
      await page.evaluate(() => {
        for (let times = 0; times < 5; times++) (document.querySelector("#load") as HTMLButtonElement).click();
      });
    }
    await Promise.all([asksToSignIn(one), asksToSignIn(two)]);
    expect([(await places(one)).at(-1), (await places(two)).length, count("/auth/refresh") - before]).toEqual([
      "#/sign-in",
      1,
      1,
    ]);
  });

  test("modules change while the page is open: one interceptor, one request for each click, one refresh for each rejection", async () => {
    const page = await open();
    await signIn(page, "alice");
    await page.evaluate(() => void (globalThis.isSame = true));
    const view = file === "index.html" ? "src/plain.ts" : "src/app.tsx";
    for (let version = 1; version <= 3; version++) {
      pages.change(view, versioned("view", version));
      await page.waitForFunction((expected) => globalThis.versions["view"] === expected, version, soon);
      pages.change("src/api.ts", report(version));
      await page.waitForFunction((expected) => globalThis.versions["api"] === expected, version, soon);
      pages.change("src/session.ts", versioned("session", version));
      await page.waitForFunction((expected) => globalThis.versions["session"] === expected, version, soon);
      await shows(page, "alice");
    }
    expect(await page.evaluate(() => globalThis.isSame), "the page was not loaded anew").toBe(true);
    const all = await interceptors(page);
    expect([all.length > 3, new Set(all)]).toEqual([true, new Set([1])]);
    const [calls, refreshes] = [count("/api/items"), count("/auth/refresh")];
    await load(page);
    expect([count("/api/items") - calls, count("/auth/refresh") - refreshes]).toEqual([1, 0]);
    pages.app.revokeTokens();
    await load(page);
    expect([count("/api/items") - calls, count("/auth/refresh") - refreshes]).toEqual([3, 1]);
    // The caches of the old modules are closed: they do not lead the page anywhere.
    const before = await places(page);
    await page.click("#sign-out");
    await asksToSignIn(page);
    expect((await places(page)).slice(before.length)).toEqual(["#/sign-in"]);
  });

  const isReact = file === "react.html";
  const EFFECT = "const leave = new AbortController();";
  const counted = (code: string): string =>
    code.replace(EFFECT, `globalThis.effects = (globalThis.effects ?? 0) + 1; ${EFFECT}`);

  /** A page with so many lists, which is loaded with the cookie of a session and without a token. */
  async function comeBack(lists: number): Promise<Page> {
    const before = await open();
    await signIn(before, "alice");
    await before.close();
    pages.app.answered.length = 0;
    pages.change("src/react.tsx", (code) => code.replace("<App />", "<App />".repeat(lists)));
    const page = await open();
    await loaded(page, lists);
    return page;
  }
  const loaded = (page: Page, lists: number): Promise<unknown> =>
    page.waitForFunction(
      (expected) =>
        [...document.querySelectorAll("#user")].filter(({ textContent }) => textContent === "Items of alice").length ===
        expected,
      lists,
      soon,
    );

  test.runIf(isReact).each([
    ["one list", 1],
    ["two lists, which are mounted at once", 2],
  ])(
    "strict mode with %s: each effect runs twice, and there is one interceptor, one refresh, and one request for each list",
    async (_, lists) => {
      pages.change("src/app.tsx", counted);
      const page = await comeBack(lists);
      expect(await page.evaluate(() => globalThis.effects)).toBe(2 * lists);
      expect([await interceptors(page), count("/auth/refresh"), count("/api/items")]).toEqual([[1], 1, lists]);
      // Once more, after the API has rejected the token.
      pages.app.revokeTokens();
      await page.evaluate(() => {
        for (const button of document.querySelectorAll<HTMLButtonElement>("#load")) button.click();
      });
      await vi.waitUntil(() => count("/api/items") === 3 * lists, soon);
      expect([await interceptors(page), count("/auth/refresh")]).toEqual([[1], 2]);
    },
  );

  test.runIf(isReact).each([
    ["takes it away in its cleanup: one", " api.interceptors.request.eject(id);", 1],
    ["does not take it away: WRONG, one more for each run", "", 2],
  ])("strict mode: an effect that adds the interceptor %s", async (_, cleanup, expected) => {
    pages.change("src/api.ts", (code) => report(0)(code.replace(/^api\.interceptors.*$/m, "")));
    pages.change(
      "src/app.tsx",
      (code) =>
        `import { createAuthInterceptor } from "remint/axios"; import { api } from "./api.ts"; import { tokens } from "./session.ts";` +
        counted(code)
          .replace(EFFECT, `const id = api.interceptors.request.use(createAuthInterceptor(tokens)); ${EFFECT}`)
          .replace("return () => leave.abort();", `return () => { leave.abort();${cleanup} };`),
    );
    const page = await comeBack(1);
    expect([await page.evaluate(() => globalThis.effects), await interceptors(page)]).toEqual([2, [expected]]);
    expect([count("/auth/refresh"), count("/api/items")]).toEqual([1, 1]);
  });
});
