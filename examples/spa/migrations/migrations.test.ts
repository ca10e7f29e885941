/**
 * Each migration of this folder, before and after, in Chromium against one server: many callers, late 401s, failures of the
 * refresh endpoint, an API that always refuses. The names have the numbers.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { isSkipped, launch, Pages } from "../test/pages.ts";
import { COUNTER, NAMES, openSide } from "./opened.ts";
import type { Browser, BrowserContext, Page } from "playwright-core";
import type { Loaded, Name, Side } from "./opened.ts";

declare const loaded: Loaded;
declare const rejections: number;
declare function callMany(count: number, path: string): Promise<number[]>;

const soon = { timeout: 20_000 };
let browser: Browser;
let pages: Pages;
let context: BrowserContext;

const count = (path: string): number => pages.app.answered.filter((request) => request.path === path).length;
const refreshes = (): number => count("/auth/refresh");
const seen = (page: Page): Promise<Loaded["seen"]> => page.evaluate(() => loaded.seen);
/** The statuses that callers get at once; 0 for a failure without one. */
const calls = (page: Page, number: number, path = "/items"): Promise<number[]> =>
  page.evaluate(([times, url]) => callMany(times, url), [number, path] as const);

const open = (name: Name, side: Side): Promise<Page> => openSide(context, pages, name, side);

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

/** What comes of a test: for the callers, at the refresh endpoint, and in the application around. */
interface Outcome {
  readonly statuses: readonly number[];
  /** Requests to the refresh endpoint. */
  readonly refreshes: number;
  /** How often the page was sent to the sign-in page. */
  readonly redirects: number;
  /** How often the application was told of a new token. */
  readonly told: number;
  readonly lives: boolean;
}

const said = ({ statuses, refreshes: asked, redirects, told, lives }: Outcome): string =>
  `${new Set(statuses).size === 1 ? `each ${statuses[0]}` : statuses.join()}, refreshes ${asked}, redirects ${redirects}, ` +
  `told ${told}, the session ${lives ? "lives" : "is over"}`;

async function outcome(page: Page, statuses: readonly number[]): Promise<Outcome> {
  const { redirects, refreshes: told } = await seen(page);
  const sorted = statuses.toSorted((one, other) => one - other);
  return { statuses: sorted, refreshes: refreshes(), redirects, told, lives: pages.app.isSignedIn("alice") };
}

const each = (status: number, times: number): number[] => Array.from({ length: times }, () => status);
const all = (
  status: number,
  times: number,
  [asked, redirects, told, lives]: readonly [number, number, number, boolean],
): Outcome => ({ statuses: each(status, times), refreshes: asked, redirects, told, lives });

type Case = "herd" | "late" | "failing" | "over" | "always";
const RIGHT: Record<Case, Outcome> = {
  herd: all(200, 6, [1, 0, 1, true]),
  late: all(200, 2, [1, 0, 1, true]),
  failing: all(503, 6, [1, 0, 0, true]),
  over: all(401, 6, [1, 1, 0, false]),
  always: all(401, 15, [1, 0, 1, true]),
};
/** What each side does, in numbers. */
const MEASURED: Record<Name, Record<Side, Record<Case, Outcome>>> = {
  "axios-auth-refresh": {
    before: {
      // What is answered 401 during the refresh goes to its caller: the default `deduplicateRefresh: true`.
      herd: { ...all(200, 6, [1, 0, 1, true]), statuses: [200, 401, 401, 401, 401, 401] },
      late: all(200, 2, [2, 0, 2, true]),
      failing: { ...all(500, 6, [1, 1, 0, true]), statuses: [401, 401, 401, 401, 401, 500] },
      over: all(401, 6, [1, 1, 0, false]),
      always: all(401, 15, [15, 0, 15, true]),
    },
    after: RIGHT,
  },
  "failed-queue": {
    before: {
      herd: all(200, 6, [1, 0, 1, true]),
      late: all(200, 2, [2, 0, 2, true]),
      failing: all(500, 6, [1, 1, 0, true]),
      over: all(401, 6, [1, 1, 0, false]),
      always: all(401, 15, [15, 0, 15, true]),
    },
    after: RIGHT,
  },
  "nuxt-ofetch": {
    before: {
      // Each caller refreshes by itself, with one cookie.
      herd: { ...all(200, 6, [11, 10, 1, false]), statuses: [200, 401, 401, 401, 401, 401] },
      late: all(200, 2, [2, 0, 2, true]),
      failing: all(401, 6, [12, 12, 0, true]),
      over: all(401, 6, [12, 12, 0, false]),
      always: all(401, 15, [30, 0, 30, true]),
    },
    after: RIGHT,
  },
};

/**
 * Calls the API so often at once. Its 401s are given when all requests are there, the refreshes are answered when the page has
 * had all those 401s, and the first of them last. So no number depends on which answer is faster.
 */
async function callAtOnce(page: Page, times: number, expected: Outcome): Promise<number[]> {
  const asks = Math.min(times, expected.refreshes);
  const [arrived, asked, rejected, others] = [deferred(), deferred(), deferred(), deferred()];
  let [atApi, atRefresh] = [0, 0];
  pages.app.before = async (path) => {
    if (path !== "/auth/refresh") {
      if (++atApi === times) arrived.resolve();
      await arrived.promise;
      return undefined;
    }
    const own = ++atRefresh;
    if (own === asks) asked.resolve();
    await rejected.promise;
    if (own === 1 && asks > 1) await others.promise;
    // Those who are refused call once more, and ask once more.
    else if (refreshes() + 1 === 2 * (asks - 1)) others.resolve();
    return undefined;
  };
  const pending = calls(page, times);
  await page.waitForFunction((number) => rejections === number, times, soon);
  await asked.promise;
  rejected.resolve();
  return pending;
}

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
    Object.assign(pages.app, { before: undefined, failsWith: undefined });
    pages.app.endSessions("alice");
    context = await browser.newContext();
    await context.addInitScript(COUNTER);
  });
  afterEach(() => context.close());

  describe.each(["before", "after"] as const)("%s", (side) => {
    const expected = MEASURED[name][side];

    test(`six callers at once with a rejected token: ${said(expected.herd)}`, async () => {
      const page = await signedIn(name, side);
      pages.app.revokeTokens();
      expect(await outcome(page, await callAtOnce(page, 6, expected.herd))).toEqual(expected.herd);
    });

    test(`a 401 comes late, for a token that was replaced meanwhile: ${said(expected.late)}`, async () => {
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
      const quick = await calls(page, 1);
      hold.resolve();
      expect(await outcome(page, [...quick, ...(await late)])).toEqual(expected.late);
    });

    test(`the refresh endpoint answers 500 to six callers at once: ${said(expected.failing)}`, async () => {
      const page = await signedIn(name, side);
      pages.app.revokeTokens();
      pages.app.failsWith = 500;
      expect(await outcome(page, await callAtOnce(page, 6, expected.failing))).toEqual(expected.failing);
    });

    test(`the session is over, and six callers find out: ${said(expected.over)}`, async () => {
      const page = await signedIn(name, side);
      pages.app.revokeTokens();
      pages.app.endSessions("alice");
      expect(await outcome(page, await callAtOnce(page, 6, expected.over))).toEqual(expected.over);
    });

    test(`the API answers 401 to every token, fifteen calls one after the other in one moment: ${said(expected.always)}`, async () => {
      // The limit counts by the clock, which stands here.
      await context.addInitScript("const now = Date.now(); Date.now = () => now; performance.now = () => 1000;");
      const page = await signedIn(name, side);
      pages.app.before = (path) => (path === "/api/items" ? 401 : undefined);
      const statuses: number[] = [];
      for (let times = 0; times < 15; times++) statuses.push(...(await calls(page, 1)));
      expect(await outcome(page, statuses)).toEqual(expected.always);
    });
  });

  // The code before does more than one refresh here, and how many depends on when the answers come: a browser sends six requests
  // to a server at a time.
  test("after: ten callers with a rejected token: one refresh, each gets an answer, and the application is told once", async () => {
    const page = await signedIn(name, "after");
    pages.app.revokeTokens();
    expect(await outcome(page, await calls(page, 10))).toEqual(all(200, 10, [1, 0, 1, true]));
  });

  // Of the code before, who gets what depends on which tab is first.
  test("after: two tabs with a rejected token: one refresh, and the session lives", async () => {
    const [one, two] = [await signedIn(name, "after"), await open(name, "after")];
    pages.app.revokeTokens();
    const statuses = await Promise.all([calls(one, 3), calls(two, 3)]);
    expect([statuses, refreshes(), pages.app.isSignedIn("alice")]).toEqual([
      [
        [200, 200, 200],
        [200, 200, 200],
      ],
      1,
      true,
    ]);
  });
});
