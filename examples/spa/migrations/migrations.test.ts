/**
 * Each migration of this folder, before and after, in Chromium against one server: many callers, late 401s, failures of the
 * refresh endpoint, an API that always refuses. Where the code before is wrong, the name says so.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { isSkipped, launch, Pages } from "../test/pages.ts";
import type { Browser, BrowserContext, Page } from "playwright-core";

type Side = "before" | "after";
const NAMES = ["axios-auth-refresh", "failed-queue", "nuxt-ofetch"] as const;
type Name = (typeof NAMES)[number];

interface Module {
  readonly api: ((path: string) => Promise<unknown>) & { get?: (path: string) => Promise<unknown> };
  signIn(user: string): Promise<void>;
}
/** What a page has: the migration, and what was told of it. */
interface Loaded {
  readonly code: Module;
  readonly seen: { redirects: number; refreshes: number };
}
declare const loaded: Loaded;
declare function callMany(count: number, path: string): Promise<number[]>;

let browser: Browser;
let pages: Pages;
let context: BrowserContext;

const count = (path: string): number => pages.app.answered.filter((request) => request.path === path).length;
const refreshes = (): number => count("/auth/refresh");
const seen = (page: Page): Promise<Loaded["seen"]> => page.evaluate(() => loaded.seen);
/** The statuses that callers get at once; 0 for a failure without one. */
const calls = (page: Page, number: number, path = "/items"): Promise<number[]> =>
  page.evaluate(([times, url]) => callMany(times, url), [number, path] as const);

async function open(name: Name, side: Side): Promise<Page> {
  const page = await context.newPage();
  const script = `
    import * as code from "/migrations/${name}/${side}.ts";
    import { seen } from "/migrations/page.ts";
    const call = (path) => (code.api.get ?? code.api)(path).then(() => 200, (error) => error.response?.status ?? error.status ?? 0);
    Object.assign(globalThis, {
      loaded: { code, seen },
      callMany: (times, path) => Promise.all(Array.from({ length: times }, () => call(path))),
    });`;
  const body = `<!doctype html><title>app</title><script type="module">${script}</script>`;
  await page.route("**/blank", (route) => route.fulfill({ contentType: "text/html", body }));
  await page.goto(`${pages.origin}/blank`);
  await page.waitForFunction(() => "loaded" in globalThis);
  return page;
}

async function signedIn(name: Name, side: Side): Promise<Page> {
  const page = await open(name, side);
  await page.evaluate(() => loaded.code.signIn("alice"));
  return page;
}

function deferred(): { readonly promise: Promise<undefined>; resolve(): void } {
  let resolve!: () => void;
  const promise = new Promise<undefined>((settle) => (resolve = () => settle(undefined)));
  return { promise, resolve };
}

const all = (status: number, times = 10): number[] => Array.from({ length: times }, () => status);

/** The test's name, with what the code before does in place of it. */
const title = (side: Side, what: string, before: string): string =>
  side === "before" ? `${what}: WRONG, ${before}` : what;

describe.skipIf(isSkipped).each(NAMES)("%s", (name) => {
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
    pages.app.endSessions("alice");
    context = await browser.newContext();
  });
  afterEach(() => context.close());

  describe.each(["before", "after"] as const)("%s", (side) => {
    test("ten callers with a rejected token: one refresh, and each gets an answer, where the code before may do more", async () => {
      const page = await signedIn(name, side);
      pages.app.revokeTokens();
      const statuses = await calls(page, 10);
      if (side === "before") {
        // How many depends on when the answers come: a browser sends six requests to a server at a time.
        expect(refreshes()).toBeGreaterThanOrEqual(1);
        return;
      }
      expect([statuses, refreshes(), pages.app.isSignedIn("alice")]).toEqual([all(200), 1, true]);
      expect(await seen(page), "the application is told once").toEqual({ redirects: 0, refreshes: 1 });
    });

    test(
      title(
        side,
        "a 401 comes late, for a token that was replaced meanwhile: no other refresh",
        "there is a second refresh",
      ),
      async () => {
        const page = await signedIn(name, side);
        pages.app.revokeTokens();
        const [arrival, hold] = [deferred(), deferred()];
        pages.app.before = (path) => {
          if (path !== "/api/slow") return undefined;
          arrival.resolve();
          return hold.promise;
        };
        const late = calls(page, 1, "/slow");
        await arrival.promise;
        expect(await calls(page, 1)).toEqual([200]);
        hold.resolve();
        expect([await late, refreshes()]).toEqual([[200], side === "before" ? 2 : 1]);
      },
    );

    test(
      title(
        side,
        "the refresh endpoint answers 500: the callers fail, and the user stays signed in",
        "the user has to sign in again",
      ),
      async () => {
        const page = await signedIn(name, side);
        pages.app.revokeTokens();
        pages.app.before = (path) => (path === "/auth/refresh" ? 500 : undefined);
        const statuses = await calls(page, 10);
        const { redirects } = await seen(page);
        if (side === "before") expect(redirects).toBeGreaterThanOrEqual(1);
        else expect([statuses, redirects]).toEqual([all(503), 0]);
      },
    );

    test("the session is over: the callers get a 401, and after the migration the page goes to the sign-in page once", async () => {
      const page = await signedIn(name, side);
      pages.app.revokeTokens();
      pages.app.endSessions("alice");
      expect(await calls(page, 10)).toEqual(all(401));
      const { redirects } = await seen(page);
      if (side === "before") expect(redirects).toBeGreaterThanOrEqual(1);
      else expect([redirects, refreshes()]).toEqual([1, 1]);
    });

    test(
      title(
        side,
        "the API answers 401 to every token, fifteen calls one after the other: three refreshes at most",
        "each call refreshes",
      ),
      async () => {
        const page = await signedIn(name, side);
        pages.app.before = (path) => (path === "/api/items" ? 401 : undefined);
        for (let times = 0; times < 15; times++) expect(await calls(page, 1)).toEqual([401]);
        if (side === "before") expect(refreshes()).toBeGreaterThanOrEqual(15);
        else expect(refreshes()).toBeLessThanOrEqual(3);
      },
    );

    // Of the code before, who gets what depends on which tab is first.
    test.runIf(side === "after")("two tabs with a rejected token: one refresh, and the session lives", async () => {
      const [one, two] = [await signedIn(name, side), await open(name, side)];
      pages.app.revokeTokens();
      const statuses = await Promise.all([calls(one, 3), calls(two, 3)]);
      expect([statuses, pages.app.isSignedIn("alice")]).toEqual([[all(200, 3), all(200, 3)], true]);
    });
  });
});
