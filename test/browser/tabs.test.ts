/**
 * Tabs of a real browser that share one session, against a server whose refresh cookie rotates and which ends a session when a
 * cookie comes twice. What runs in each tab is in tabs-page.ts.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { type Browser, type BrowserContext, chromium, type Page, type Worker } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { SessionServer } from "./session-server.ts";
import type { Tab } from "./tabs-page.ts";

declare const tab: Tab;
declare const twin: Tab;

const executablePath = process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium";
const isThere = existsSync(executablePath);
const isCi = process.env["CI"] === "true";
if (!isThere && !isCi) console.warn(`test/browser/tabs is skipped: there is no Chromium at ${executablePath}`);
const FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"];
const PAGE =
  '<!doctype html><title>app</title><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>';
const soon = { timeout: 20_000 };

let script: string;
let browser: Browser;
let context: BrowserContext;
let server: SessionServer;

const source = (path: string): string => fileURLToPath(new URL(`../../src/${path}`, import.meta.url));

async function open(query = ""): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`${server.origin}/${query}`);
  await page.waitForFunction(() => "tab" in globalThis);
  return page;
}
const tabs = (count: number, query = ""): Promise<Page[]> =>
  Promise.all(Array.from({ length: count }, () => open(query)));
const call = (page: Page): Promise<string> => page.evaluate(() => tab.call());
const callAll = (pages: readonly Page[]): Promise<string[]> => Promise.all(pages.map(call));
const signIn = (page: Page, user: string): Promise<void> => page.evaluate((name) => tab.signIn(name), user);
const events = (page: Page): Promise<string[]> => page.evaluate(() => tab.events);

/** A call whose token the API rejects, and whose refresh is at the server, which has rotated the cookie and not answered yet. */
async function heldRefresh(page: Page): Promise<{ pending: Promise<string>; release: () => void }> {
  server.revokeAccess();
  let release!: () => void;
  server.beforeAnswer = () => new Promise<void>((resolve) => (release = resolve));
  const pending = call(page);
  await vi.waitUntil(() => server.refreshes.length === 1, soon);
  server.beforeAnswer = undefined;
  return { pending, release };
}

/** What the database and the local storage of a page hold, as text. */
const stored = (page: Page): Promise<string> =>
  page.evaluate(async () => {
    const request = indexedDB.open("remint");
    await new Promise((resolve) => request.addEventListener("success", resolve));
    const rows = request.result.transaction("records").objectStore("records").getAll();
    await new Promise((resolve) => rows.addEventListener("success", resolve));
    const texts = (rows.result as { value: string }[]).map(({ value }) =>
      atob(value.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/")),
    );
    return texts.join() + JSON.stringify(Object.entries(localStorage));
  });

/** What the records of the database are: at rest, leased, refused, ended. */
const phases = (page: Page): Promise<string> =>
  page.evaluate(async () => {
    const request = indexedDB.open("remint");
    await new Promise((resolve) => request.addEventListener("success", resolve));
    const rows = request.result.transaction("records").objectStore("records").getAll();
    await new Promise((resolve) => rows.addEventListener("success", resolve));
    request.result.close();
    return (rows.result as { value: string }[]).map(({ value }) => value[1]).join("");
  });

/** Loads the page's script into a worker or a frame of the page too. */
async function partOf(page: Page, what: string): Promise<Pick<Worker, "evaluate">> {
  if (what === "a frame") {
    const attached = page.waitForEvent("frameattached");
    await page.evaluate(() => {
      document.body.append(Object.assign(document.createElement("iframe"), { src: "/" }));
    });
    const frame = await attached;
    await frame.waitForFunction(() => "tab" in globalThis);
    return frame;
  }
  const isService = what === "a service worker";
  const started = isService ? context.waitForEvent("serviceworker") : page.waitForEvent("worker");
  await page.evaluate(async (service) => {
    if (service) await navigator.serviceWorker.register("/page.js");
    else Object.assign(globalThis, { worker: new Worker("/page.js", { type: "module" }) });
  }, isService);
  const worker = await started;
  await vi.waitUntil(() => worker.evaluate(() => "tab" in globalThis), soon);
  return worker;
}

/** Whether the browser refuses to store anything more. */
async function isFull(): Promise<boolean> {
  const request = indexedDB.open("probe", 1);
  request.addEventListener("upgradeneeded", () => request.result.createObjectStore("rows"));
  try {
    await new Promise((resolve, reject) => {
      request.addEventListener("success", resolve);
      request.addEventListener("error", () => reject(request.error!));
    });
    const transaction = request.result.transaction("rows", "readwrite");
    transaction.objectStore("rows").put("x".repeat(1_000_000), Math.random());
    await new Promise((resolve, reject) => {
      transaction.addEventListener("complete", resolve);
      transaction.addEventListener("abort", () => reject(transaction.error!));
    });
    return false;
  } catch (error) {
    return (error as DOMException).name === "QuotaExceededError";
  }
}

describe.skipIf(!isThere && !isCi)("tabs", { timeout: 60_000 }, () => {
  beforeAll(async () => {
    const { outputFiles } = await build({
      entryPoints: [fileURLToPath(new URL("tabs-page.ts", import.meta.url))],
      bundle: true,
      write: false,
      format: "esm",
      platform: "browser",
      target: "es2022",
      alias: {
        "remint/browser": source("browser/index.ts"),
        "remint/fetch": source("adapters/fetch.ts"),
        remint: source("index.ts"),
      },
    });
    script = outputFiles[0]!.text;
    browser = await chromium.launch({ executablePath, args: FLAGS });
  }, 60_000);
  afterAll(() => browser.close());
  beforeEach(async () => {
    server = await SessionServer.start(PAGE, () => script);
    context = await browser.newContext();
  });
  afterEach(async () => {
    await context.close();
    await server[Symbol.asyncDispose]();
  });

  test.each([2, 5])(
    "C18, C14: %i tabs of one session: the token of a sign-in serves all of them without a refresh",
    async (count) => {
      const pages = await tabs(count);
      await signIn(pages[0]!, "alice");
      expect(await callAll(pages)).toEqual(pages.map(() => "200 alice"));
      expect(server.refreshes).toEqual([]);
    },
  );

  test.each([2, 5])("C18, C14: the token expires in %i tabs at once: one refresh", async (count) => {
    const pages = await tabs(count);
    await signIn(pages[0]!, "alice");
    await callAll(pages);
    server.revokeAccess();
    await Promise.all(pages.map((page) => page.evaluate(() => tab.expire())));
    expect(await callAll(pages)).toEqual(pages.map(() => "200 alice"));
    expect([server.refreshes, server.isAlive("alice")]).toEqual([["200"], true]);
  });

  test("C18, C5: the API revokes the token three times while five tabs call it: three refreshes, and nobody sees a 401", async () => {
    const pages = await tabs(5);
    await signIn(pages[0]!, "alice");
    for (let times = 0; times < 3; times++) {
      server.revokeAccess();
      expect(await callAll(pages)).toEqual(pages.map(() => "200 alice"));
    }
    expect([server.refreshes, server.isAlive("alice")]).toEqual([["200", "200", "200"], true]);
  });

  test("C18, C14: all tabs are reloaded: no refresh", async () => {
    const pages = await tabs(5);
    await signIn(pages[0]!, "alice");
    await callAll(pages);
    await Promise.all(pages.map((page) => page.reload()));
    expect(await callAll(pages)).toEqual(pages.map(() => "200 alice"));
    expect(server.refreshes).toEqual([]);
  });

  test("C18, C14: the browser restores five tabs, and no tab has the token any more: one refresh", async () => {
    const first = await open();
    await signIn(first, "alice");
    await call(first);
    await first.close();
    const pages = await tabs(5);
    expect(await callAll(pages)).toEqual(pages.map(() => "200 alice"));
    expect([server.refreshes, server.isAlive("alice")]).toEqual([["200"], true]);
  });

  test("C18, C14: without a store, five restored tabs end the session: the server sees what these tests are about", async () => {
    const first = await open("?store=none");
    await signIn(first, "alice");
    await first.close();
    await callAll(await tabs(5, "?store=none"));
    expect([server.refreshes.includes("reused"), server.isAlive("alice")]).toEqual([true, false]);
  });

  test("C18, C16: one of five tabs signs out: the others are told at once and once, and none of them refreshes", async () => {
    const pages = await tabs(5);
    await signIn(pages[0]!, "alice");
    await callAll(pages);
    await pages[0]!.evaluate(() => tab.signOut());
    for (const page of pages.slice(1)) {
      await page.waitForFunction(() => tab.events.includes("session-replaced (ended)"), undefined, soon);
    }
    expect(await callAll(pages)).toEqual(pages.map(() => "ERR_SESSION 401"));
    const told = await Promise.all(pages.map(events));
    expect(told.map((names) => names.filter((name) => name.startsWith("session-replaced")))).toEqual([
      [],
      ...pages.slice(1).map(() => ["session-replaced (ended)"]),
    ]);
    expect(server.refreshes).toEqual([]);
  });

  test("C18, C16: another user signs in in one of three tabs: the others call as that user from then on, and never mix", async () => {
    const pages = await tabs(3);
    await signIn(pages[0]!, "alice");
    expect(await callAll(pages)).toEqual(["200 alice", "200 alice", "200 alice"]);
    await signIn(pages[1]!, "bob");
    for (const page of [pages[0]!, pages[2]!]) {
      await page.waitForFunction(() => tab.events.includes("session-replaced"), undefined, soon);
    }
    expect(await callAll(pages)).toEqual(["200 bob", "200 bob", "200 bob"]);
    expect(server.refreshes).toEqual([]);
  });

  test("C18, C15: a call of the first user is under way when another signs in elsewhere: it fails, and is not sent as the other", async () => {
    const [one, two] = (await tabs(2)) as [Page, Page];
    await signIn(one, "alice");
    await call(one);
    const { pending, release } = await heldRefresh(one);
    await signIn(two, "bob");
    await one.waitForFunction(() => tab.events.includes("session-replaced"), undefined, soon);
    release();
    expect(await pending).toBe("ERR_SESSION 503");
    expect(await call(one)).toBe("200 bob");
  });

  test.each(["in the same tab", "in another tab"])(
    "C18, C19, C15: another user signs in %s while a refresh is under way, whose answer then sets the first one's cookie: nobody is given the first one's token",
    async (where) => {
      const [one, two] = (await tabs(2)) as [Page, Page];
      await signIn(one, "alice");
      await call(one);
      const { pending, release } = await heldRefresh(one);
      await signIn(where === "in another tab" ? two : one, "bob");
      release();
      expect(await pending).toBe("ERR_SESSION 503");
      await vi.waitUntil(async () => (await phases(one)).includes("R"), soon);
      expect(await callAll([one, two])).toEqual(["200 bob", "200 bob"]);
      server.revokeAccess();
      expect(await callAll([one, two])).toEqual(["401 ", "401 "]);
      expect(server.refreshes, "no other one is sent").toEqual(["200"]);
      const told = await Promise.all([one, two].map(events));
      expect(told.map((names) => names.filter((name) => name === "mint-failed").length)).toEqual([1, 1]);
      await signIn(two, "bob");
      expect(await call(two)).toBe("200 bob");
    },
  );

  test("C18, C14: the tab that refreshes is closed meanwhile: another tab goes on, and the session lives", async () => {
    const [one, two] = (await tabs(2)) as [Page, Page];
    await signIn(one, "alice");
    await callAll([one, two]);
    const { pending, release } = await heldRefresh(one);
    pending.catch(() => {});
    await one.close();
    release();
    expect(await call(two)).toBe("200 alice");
    expect([server.refreshes, server.isAlive("alice")]).toEqual([["200", "200"], true]);
  });

  test("C18, C14: the browser freezes the tab that refreshes: the others wait for its end, and the session lives", async () => {
    const [one, two] = (await tabs(2)) as [Page, Page];
    await signIn(one, "alice");
    await callAll([one, two]);
    const { pending, release } = await heldRefresh(one);
    const devtools = await context.newCDPSession(one);
    await devtools.send("Page.setWebLifecycleState", { state: "frozen" });
    const other = call(two);
    release();
    await devtools.send("Page.setWebLifecycleState", { state: "active" });
    expect([await pending, await other]).toEqual(["200 alice", "200 alice"]);
    expect(server.isAlive("alice")).toBe(true);
  });

  test("C18, C9: the session is over at the server: one of five tabs asks, and the others believe it; a page that is loaded anew asks once", async () => {
    const pages = await tabs(5);
    expect(new Set(await callAll(pages))).toEqual(new Set(["401 "]));
    expect(server.refreshes).toEqual(["401"]);
    await callAll(pages);
    expect(server.refreshes).toEqual(["401"]);
    await pages[0]!.reload();
    await call(pages[0]!);
    expect(server.refreshes).toEqual(["401", "401"]);
  });

  test.each(["nobody has signed in", "the user has signed out"])(
    "C18, C16: %s, and another tab is opened and reloaded: a tab on the sign-in page is told of the next sign-in, and of nothing before",
    async (what) => {
      const [one, two] = (await tabs(2)) as [Page, Page];
      if (what === "nobody has signed in") await call(one);
      else {
        await signIn(one, "alice");
        await one.evaluate(() => tab.signOut());
      }
      const before = await events(one);
      // Each page that is loaded asks whether somebody is signed in.
      for (let times = 1; times <= 2; times++) {
        await two.reload();
        expect(await call(two)).toBe("401 ");
      }
      await signIn(two, "bob");
      await one.waitForFunction(() => tab.events.at(-1) === "session-replaced", undefined, soon);
      expect((await events(one)).slice(before.length)).toEqual(["session-replaced"]);
      expect(await call(one)).toBe("200 bob");
    },
  );

  test("C18, C16: the user signs in by leaving the page, and comes back with another cookie: the page that is loaded then has the session", async () => {
    const [one, two] = (await tabs(2)) as [Page, Page];
    await signIn(one, "alice");
    await call(two);
    await one.evaluate(() => tab.signOut());
    expect(await call(one)).toBe("ERR_SESSION 401");
    // The server sets the cookie by itself, and the page hears nothing of it.
    await one.evaluate(() => fetch("/auth/login?user=bob", { method: "POST" }));
    await one.reload();
    expect(await call(one)).toBe("200 bob");
    await two.waitForFunction(() => tab.events.at(-1) === "session-replaced", undefined, soon);
    expect(await call(two)).toBe("200 bob");
  });

  test.each(["?json", "?json&persist=local"])(
    "C18, C14: a refresh token in the answer (%s): five tabs rotate it once, and a reload keeps it",
    async (query) => {
      const pages = await tabs(5, query);
      await signIn(pages[0]!, "alice");
      server.revokeAccess();
      expect(await callAll(pages)).toEqual(pages.map(() => "200 alice"));
      await pages[1]!.reload();
      server.revokeAccess();
      expect(await callAll(pages)).toEqual(pages.map(() => "200 alice"));
      expect([server.refreshes, server.isAlive("alice")]).toEqual([["200", "200"], true]);
    },
  );

  test("C18, S5: no token is in the database or in the local storage, unless the page says so", async () => {
    const apart = await open("?json");
    await signIn(apart, "alice");
    const text = await stored(apart);
    expect(text).toContain('"gen"');
    expect(text).not.toMatch(/access-\d|\d+\.\d+"/);
    expect(await apart.evaluate(() => JSON.stringify(Object.entries(sessionStorage)))).toContain("access-");
    await apart.close();
    const local = await open("?json&persist=local");
    await signIn(local, "alice");
    expect(await stored(local)).toContain("access-");
  });

  test("C18, C14: two versions of the page, one of which keeps tokens in the database, share the session", async () => {
    const [one, two] = [await open("?json"), await open("?json&persist=local")];
    await signIn(one, "alice");
    expect(await callAll([one, two])).toEqual(["200 alice", "200 alice"]);
    server.revokeAccess();
    expect(await callAll([two, one])).toEqual(["200 alice", "200 alice"]);
    expect([server.refreshes, server.isAlive("alice")]).toEqual([["200"], true]);
  });

  test("C18, C14: the site's data are deleted while the page is open: the cookie still counts, and the session goes on", async () => {
    const [one, two] = (await tabs(2)) as [Page, Page];
    await signIn(one, "alice");
    await callAll([one, two]);
    await one.evaluate(async () => {
      sessionStorage.clear();
      await new Promise((resolve) => indexedDB.deleteDatabase("remint").addEventListener("success", resolve));
    });
    server.revokeAccess();
    expect(await callAll([one, two])).toEqual(["200 alice", "200 alice"]);
    expect(server.isAlive("alice")).toBe(true);
  });

  test.each([
    ["there is no IndexedDB", "Object.defineProperty(globalThis, 'indexedDB', { value: undefined })"],
    ["IndexedDB is forbidden", "IDBFactory.prototype.open = () => { throw new DOMException('no', 'SecurityError') }"],
    [
      "the session storage is full",
      "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }",
    ],
    [
      "the session storage is forbidden",
      "Object.defineProperty(globalThis, 'sessionStorage', { get() { throw new DOMException('no', 'SecurityError') } })",
    ],
    [
      "BroadcastChannel is forbidden",
      "globalThis.BroadcastChannel = class { constructor() { throw new DOMException('no', 'SecurityError') } }",
    ],
    ["there is no BroadcastChannel", "Object.defineProperty(globalThis, 'BroadcastChannel', { value: undefined })"],
    ["there are no Web Locks", "Object.defineProperty(navigator, 'locks', { value: undefined })"],
    ["there is no TextDecoder", "Object.defineProperty(globalThis, 'TextDecoder', { value: undefined })"],
    ["there is no crypto.subtle", "Object.defineProperty(crypto, 'subtle', { value: undefined })"],
  ])("C18, C14: %s: a tab still signs in, calls and refreshes", async (_, code) => {
    await context.addInitScript(code);
    const page = await open();
    await signIn(page, "alice");
    expect(await call(page)).toBe("200 alice");
    server.revokeAccess();
    expect(await call(page)).toBe("200 alice");
    expect(server.refreshes).toEqual(["200"]);
  });

  test("C18, C14: the disk is full from the first write on: a tab signs in, calls and refreshes", async () => {
    const page = await context.newPage();
    const devtools = await context.newCDPSession(page);
    await devtools.send("Storage.overrideQuotaForOrigin", { origin: server.origin, quotaSize: 1 });
    await page.goto(`${server.origin}/`);
    await page.waitForFunction(() => "tab" in globalThis);
    expect(await page.evaluate(isFull)).toBe(true);
    await signIn(page, "alice");
    server.revokeAccess();
    expect(await call(page)).toBe("200 alice");
    expect(server.refreshes).toEqual(["200"]);
  });

  test("C18, C14: the disk is full while a refresh is under way: its token is used, and the session goes on", async () => {
    const page = await open("?json");
    await signIn(page, "alice");
    await call(page);
    const { pending, release } = await heldRefresh(page);
    await page.evaluate(() => {
      IDBObjectStore.prototype.put = () => {
        throw new DOMException("full", "QuotaExceededError");
      };
    });
    release();
    expect(await pending).toBe("200 alice");
    for (let times = 0; times < 2; times++) {
      server.revokeAccess();
      expect(await call(page)).toBe("200 alice");
    }
    expect([server.refreshes, server.isAlive("alice")]).toEqual([["200", "200", "200"], true]);
  });

  test("C18, C14: all data of the site are cleared while a refresh is under way: its token is used, and the next sign-in counts", async () => {
    const [one, two] = (await tabs(2)) as [Page, Page];
    await signIn(one, "alice");
    await callAll([one, two]);
    const { pending, release } = await heldRefresh(one);
    const devtools = await context.newCDPSession(one);
    await devtools.send("Storage.clearDataForOrigin", { origin: server.origin, storageTypes: "all" });
    release();
    expect(await pending).toBe("200 alice");
    expect(await call(two)).toBe("200 alice");
    expect(server.isAlive("alice")).toBe(true);
    await signIn(two, "bob");
    expect(await call(two)).toBe("200 bob");
    await one.waitForFunction(() => tab.events.at(-1) === "session-replaced", undefined, soon);
    expect(await call(one)).toBe("200 bob");
  });

  test("C18, C14: the tab that refreshes crashes: another tab goes on, and the session lives", async () => {
    const [one, two] = (await tabs(2)) as [Page, Page];
    await signIn(one, "alice");
    await callAll([one, two]);
    const { pending, release } = await heldRefresh(one);
    pending.catch(() => {});
    const devtools = await context.newCDPSession(one);
    const crashed = one.waitForEvent("crash");
    void devtools.send("Page.crash").catch(() => {});
    await crashed;
    release();
    expect(await call(two)).toBe("200 alice");
    expect([server.refreshes, server.isAlive("alice")]).toEqual([["200", "200"], true]);
  });

  test.each(["a worker", "a service worker", "a frame"])(
    "C18, C14: %s of the page shares the session: one refresh for both, and a sign-out in the page holds in it",
    async (what) => {
      const page = await open();
      const other = await partOf(page, what);
      await signIn(page, "alice");
      expect(await other.evaluate(() => tab.call())).toBe("200 alice");
      server.revokeAccess();
      const both = await Promise.all([call(page), other.evaluate(() => tab.call())]);
      expect([both, server.refreshes]).toEqual([["200 alice", "200 alice"], ["200"]]);
      await page.evaluate(() => tab.signOut());
      await vi.waitUntil(() => other.evaluate(() => tab.events.includes("session-replaced (ended)")), soon);
      expect(await other.evaluate(() => tab.call())).toBe("ERR_SESSION 401");
    },
  );

  test("C18, C14: two caches of one page with stores of one name: one refresh for both", async () => {
    const page = await open();
    await page.evaluate(() => Object.assign(globalThis, { twin: tab }));
    await page.addScriptTag({ url: "/page.js?again", type: "module" });
    await page.waitForFunction(() => tab !== twin, undefined, soon);
    await page.evaluate(() => twin.signIn("alice"));
    server.revokeAccess();
    expect(await page.evaluate(() => Promise.all([twin.call(), tab.call()]))).toEqual(["200 alice", "200 alice"]);
    expect([server.refreshes, server.isAlive("alice")]).toEqual([["200"], true]);
    await page.reload();
    expect([await call(page), server.refreshes]).toEqual(["200 alice", ["200"]]);
  });

  test.each([
    ["forward", 1_800_000],
    ["back", -1_800_000],
  ])(
    "C18, C14: the clock is set half an hour %s while a tab refreshes: the other tab waits for the one refresh, and the session lives",
    async (_, ms) => {
      await context.addInitScript(`
        const { now } = Date;
        const { query } = LockManager.prototype;
        Object.assign(globalThis, { step: 0, looks: 0 });
        Date.now = () => now() + step;
        LockManager.prototype.query = function () {
          looks++;
          return query.call(this);
        };`);
      const [one, two] = (await tabs(2)) as [Page, Page];
      await signIn(one, "alice");
      await callAll([one, two]);
      const { pending, release } = await heldRefresh(one);
      for (const page of [one, two]) await page.evaluate((step) => Object.assign(globalThis, { step, looks: 0 }), ms);
      const other = call(two);
      // It looks at the record, again and again, and whether the first tab is there.
      await two.waitForFunction(() => (globalThis as unknown as { looks: number }).looks > 3, undefined, soon);
      release();
      expect([await pending, await other]).toEqual(["200 alice", "200 alice"]);
      expect([server.refreshes, server.isAlive("alice")]).toEqual([["200"], true]);
    },
  );

  test("C18, C14: messages between tabs come late, twice, or are not ours: nothing changes", async () => {
    const pages = await tabs(2);
    await signIn(pages[0]!, "alice");
    await callAll(pages);
    await pages[0]!.evaluate(() => {
      const channel = new BroadcastChannel("remint");
      const messages = [null, 7, {}, { changed: "other" }, { wanted: ["x"] }, { secrets: { x: "planted" } }];
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel has none
      for (const message of [...messages, ...messages]) channel.postMessage(message);
    });
    server.revokeAccess();
    expect(await callAll(pages)).toEqual(["200 alice", "200 alice"]);
    expect(server.refreshes).toEqual(["200"]);
  });

  test("C18, C14: Back shows the page as it was (bfcache): it learns of the sign-out that came meanwhile", async () => {
    const [one, two] = (await tabs(2)) as [Page, Page];
    await signIn(one, "alice");
    await callAll([one, two]);
    await one.goto("about:blank");
    await two.evaluate(() => tab.signOut());
    await one.goBack();
    await one.waitForFunction(() => "tab" in globalThis);
    // As it was, or loaded anew, as the browser likes: in no case as Alice.
    expect(["ERR_SESSION 401", "401 "]).toContain(await call(one));
  });
});
