import { existsSync } from "node:fs";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { type Api, type AuthServer, startApi, startAuthServer } from "remint/testing";
import { build } from "vite";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createAppServer } from "../server.ts";

const folder = fileURLToPath(new URL("..", import.meta.url));
const executablePath = process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium";
const hasBrowser = existsSync(executablePath);
if (!hasBrowser) console.log(`skipped: there is no Chromium at ${executablePath}`);

describe.skipIf(!hasBrowser)("the page in Chromium", () => {
  let browser: Browser;
  beforeAll(async () => {
    await build({ configFile: `${folder}vite.config.ts` });
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  });
  afterAll(() => browser?.close());

  let auth: AuthServer;
  let api: Api;
  let app: ReturnType<typeof createAppServer>;
  let context: BrowserContext;
  let url: string;
  beforeEach(async () => {
    auth = await startAuthServer();
    api = await startApi({ accepts: auth });
    app = createAppServer({
      files: `${folder}dist`,
      tokenEndpoint: auth.tokenEndpoint,
      revocationEndpoint: auth.revocationEndpoint,
      clientId: "orders",
      clientSecret: "the secret of the orders",
      api: api.origin,
      signIn: async (user, password) => (password === "secret" ? auth.signIn(user) : undefined),
    });
    await once(app.listen(0, "127.0.0.1"), "listening");
    url = `http://127.0.0.1:${(app.address() as AddressInfo).port}/`;
    context = await browser.newContext();
  });
  afterEach(async () => {
    await context.close();
    app.close();
    app.closeAllConnections();
    await Promise.all([api.close(), auth.close()]);
  });

  async function openTab(): Promise<Page> {
    const page = await context.newPage();
    page.on("pageerror", (error) => console.error(error));
    await page.goto(url);
    return page;
  }

  async function openSignedIn(): Promise<Page> {
    const page = await openTab();
    await says(page, "You are signed out");
    await signIn(page);
    await says(page, "You are signed in");
    return page;
  }

  const refreshes = (): number => auth.requests.filter(({ path }) => path === "/token").length;

  test("the first visit: the page says that nobody is signed in", async () => {
    const page = await openTab();
    await says(page, "You are signed out");
    expect([await page.isVisible("#sign-in"), await page.isVisible("#signed-in")]).toEqual([true, false]);
  });

  test("a wrong password: the page says so", async () => {
    const page = await openTab();
    await signIn(page, "alice", "wrong");
    await says(page, "The name or the password is wrong");
  });

  test("the first request after the sign-in works, with the token that the sign-in has brought", async () => {
    const page = await openSignedIn();
    expect(await ordersOf(page)).toBe('{"ok":true,"path":"/api/orders"}');
    expect(refreshes()).toBe(0);
  });

  test("the token is revoked: it is replaced, and the page shows the orders as if nothing had been", async () => {
    const page = await openSignedIn();
    auth.revokeAll();
    const answered = page.waitForResponse((response) => response.url().endsWith("/api/orders") && response.ok());
    await page.click("#load");
    await answered;
    await says(page, "You are signed in");
    expect(refreshes()).toBe(1);
  });

  test("the page is reloaded: the user is signed in still", async () => {
    const page = await openSignedIn();
    await page.reload();
    await says(page, "You are signed in");
  });

  test("all tabs are closed, and the page is opened again: the cookie brings a token", async () => {
    const page = await openSignedIn();
    await page.close();
    await says(await openTab(), "You are signed in");
    expect(refreshes()).toBe(1);
  });

  test("the token is revoked, and the token endpoint is down: the page says when to try again, and that works", async () => {
    const page = await openSignedIn();
    auth.revokeAll();
    auth.respondAlways({ status: 503, headers: { "retry-after": "3" } });
    await page.click("#load");
    await says(page, "the sign-in service does not answer. Please try again in 3 s.");
    auth.respondAlways(undefined);
    const said = async (): Promise<string | null> => {
      await page.click("#load");
      return page.textContent("#state");
    };
    await expect.poll(said, { timeout: 20_000, interval: 500 }).toBe("You are signed in.");
  });

  test("the session is ended at the authorization server: the page says that the user is signed out", async () => {
    const page = await openSignedIn();
    auth.endSignIns("alice");
    await page.click("#load");
    await says(page, "You are signed out");
  });

  test("a sign-out in one tab reaches the other, and its next visit is signed out too", async () => {
    const page = await openSignedIn();
    const other = await openTab();
    await says(other, "You are signed in");
    await page.click("#sign-out");
    await says(page, "You are signed out");
    await says(other, "You are signed out");
    expect(await ordersOf(other)).toBe("");
    await other.reload();
    await says(other, "You are signed out");
  });

  test("a sign-in in one tab reaches the other", async () => {
    const other = await openTab();
    await says(other, "You are signed out");
    await openSignedIn();
    await says(other, "You are signed in");
  });

  test("three tabs, and the token is revoked: one token request for all of them", async () => {
    const tabs = [await openSignedIn(), await openTab(), await openTab()];
    for (const tab of tabs) await says(tab, "You are signed in");
    auth.revokeAll();
    const before = api.requests.length;
    await Promise.all(tabs.map((tab) => tab.click("#load")));
    await expect
      .poll(() => api.requests.slice(before).filter(({ status }) => status === 200).length, { timeout: 20_000 })
      .toBe(3);
    expect(refreshes()).toBe(1);
  });
});

/** Resolves when the page says this. */
function says(page: Page, text: string): Promise<unknown> {
  return page.waitForFunction((wanted) => document.querySelector("#state")?.textContent?.includes(wanted), text);
}

async function signIn(page: Page, user = "alice", password = "secret"): Promise<void> {
  await page.fill("[name=user]", user);
  await page.fill("[name=password]", password);
  await page.click("#sign-in button");
}

const ordersOf = (page: Page): Promise<string | null> => page.textContent("#orders");
