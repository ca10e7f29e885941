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

const all = (status: number, times = 10): number[] => Array.from({ length: times }, () => status);

/** The test's name, with what the code before does where that is wrong. */
function title(side: Side, what: string, before: string | undefined): string {
  return side === "before" && before !== undefined ? `${what}: WRONG, ${before}` : what;
}

interface Expected {
  /** What ten callers get whose token was rejected, the number of refreshes, and whether the session lives. */
  readonly herd: readonly [statuses: readonly number[], refreshes: number, isAlive: boolean];
  readonly late: number;
  /** The endpoint answers 500: statuses, redirects. */
  readonly failing: readonly [statuses: readonly number[], redirects: number];
  readonly over: readonly [statuses: readonly number[], redirects: number, refreshes: number];
  /** The API always answers 401 to three rounds of five calls: refreshes. */
  readonly always: number;
  readonly events: number;
}
const RIGHT: Expected = {
  herd: [all(200), 1, true],
  late: 1,
  failing: [all(503), 0],
  over: [all(401), 1, 1],
  always: 3,
  events: 1,
};
const BEFORE: Readonly<Record<Name, { readonly expected: Expected; readonly wrong: Partial<Record<keyof Expected, string>> }>> = {
  "axios-auth-refresh": { expected: RIGHT, wrong: {} },
  "failed-queue": { expected: RIGHT, wrong: {} },
  "nuxt-ofetch": { expected: RIGHT, wrong: {} },
};

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
    const { expected, wrong } = side === "before" ? BEFORE[name] : { expected: RIGHT, wrong: {} as never };
    const named = (key: keyof Expected, what: string): string => title(side, what, wrong[key]);

    test(named("herd", "ten callers with a rejected token: one refresh, and each gets an answer"), async () => {
      const page = await signedIn(name, side);
      pages.app.revokeTokens();
      const statuses = await calls(page, 10);
      expect([statuses, refreshes(), pages.app.isSignedIn("alice")]).toEqual(expected.herd);
    });

    test(named("late", "a 401 comes late, for a token that was replaced meanwhile: no other refresh"), async () => {
      const page = await signedIn(name, side);
      pages.app.revokeTokens();
      let release!: () => void;
      const held = new Promise<undefined>((resolve) => (release = () => resolve(undefined)));
      let arrived!: () => void;
      const arrival = new Promise<void>((resolve) => (arrived = resolve));
      pages.app.before = (path) => {
        if (path !== "/api/slow") return undefined;
        arrived();
        return held;
      };
      const late = calls(page, 1, "/slow");
      await arrival;
      expect(await calls(page, 1)).toEqual([200]);
      release();
      expect([await late, refreshes()]).toEqual([[200], expected.late]);
    });

    test(named("failing", "the refresh endpoint answers 500: the callers fail, and the user stays signed in"), async () => {
      const page = await signedIn(name, side);
      pages.app.revokeTokens();
      pages.app.before = (path) => (path === "/auth/refresh" ? 500 : undefined);
      const statuses = await calls(page, 10);
      expect([statuses, (await seen(page)).redirects]).toEqual(expected.failing);
    });

    test(named("over", "the session is over: the callers get the API's 401, and the page goes to the sign-in page once"), async () => {
      const page = await signedIn(name, side);
      pages.app.revokeTokens();
      pages.app.endSessions("alice");
      const statuses = await calls(page, 10);
      expect([statuses, (await seen(page)).redirects, refreshes()]).toEqual(expected.over);
    });

    test(named("always", "the API answers 401 to every token, to fifteen calls one after the other: refreshes are limited"), async () => {
      const page = await signedIn(name, side);
      pages.app.before = (path) => (path === "/api/items" ? 401 : undefined);
      for (let times = 0; times < 15; times++) expect(await calls(page, 1)).toEqual([401]);
      expect(refreshes()).toBe(expected.always);
    });

    test(named("events", "ten callers with a rejected token: the application is told of one refresh"), async () => {
      const page = await signedIn(name, side);
      pages.app.revokeTokens();
      await calls(page, 10);
      expect(await seen(page)).toEqual({ redirects: 0, refreshes: expected.events });
    });

    test(title(side, "two tabs with a rejected token: the session lives", "MEASURE"), async () => {
      const one = await signedIn(name, side);
      const two = await open(name, side);
      pages.app.revokeTokens();
      const statuses = await Promise.all([calls(one, 3), calls(two, 3)]);
      expect([statuses, pages.app.isSignedIn("alice")]).toEqual([[all(200, 3), all(200, 3)], true]);
    });
  });
});
