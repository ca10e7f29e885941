/** The page in Chromium with the real servers: sign-in to sign-out, every button, and what a browser can do wrong. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { LaneName } from "../page/messages.ts";
import { executablePath, isCi, isThere, launch } from "./chromium.ts";
import { openDemo, type WatchedDemo } from "./page-stage.ts";

const PATIENCE = { timeout: 20_000, interval: 100 };
/** For 400 requests, and for 10 seconds without an authorization server. */
const MUCH_PATIENCE = { timeout: 50_000, interval: 200 };

const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;

let browser: Browser;
let demo: WatchedDemo;
let context: BrowserContext;
let page: Page;
let errors: string[];

test.runIf(isCi)("in CI there is a Chromium", () => expect([executablePath, isThere]).toEqual([executablePath, true]));

async function newPage(): Promise<Page> {
  const opened = await context.newPage();
  opened.on("pageerror", (error) => errors.push(error.message));
  return opened;
}

async function signIn(as = "Alice", on = page, origin = demo.origin): Promise<void> {
  await on.goto(origin);
  await on.click("#sign-in");
  await on.click(`button:text-is("${as}")`);
  await isSignedIn(on);
}

/** Waits until the page knows its user, and listens. */
async function isSignedIn(on = page, name = "Alice"): Promise<void> {
  await vi.waitFor(async () => expect(await on.locator("#user-name").textContent()).toBe(name), PATIENCE);
  await vi.waitFor(
    async () => expect(await on.locator("#counts [data-of=remint] span").first().innerText()).not.toBe("0"),
    PATIENCE,
  );
}

const press = (action: string): Promise<void> => page.click(`[data-action=${action}]`);
const tally = (lane: LaneName): Promise<string> => page.locator(`[data-lane=${lane}] [data-tally]`).innerText();
const logged = (): Promise<string> => page.locator("#log").innerText();
const count = (title: string, lane: LaneName): Promise<string> =>
  page
    .locator("#counts > div", { has: page.locator(`dt:text-is("${title}")`) })
    .locator(`[data-of=${lane}] span`)
    .innerText();
const log = (text: string | RegExp, patience = PATIENCE): Promise<void> =>
  vi.waitFor(async () => expect(await logged()).toMatch(text), patience);

describe.skipIf(!isThere)("the page and the real servers", () => {
  beforeAll(async () => {
    browser = await launch();
    demo = await openDemo();
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await demo?.close();
  });
  beforeEach(async () => {
    errors = [];
    demo.auth.downUntil = 0;
    context = await browser.newContext();
    page = await newPage();
  });
  afterEach(async () => {
    await context.close();
    expect(errors).toEqual([]);
  });

  describe("from sign-in to sign-out", () => {
    test("with the keyboard alone: sign in, revoke and 6 requests, sign out", async () => {
      await page.goto(demo.origin);
      await page.waitForSelector("#sign-in");
      const tabTo = async (selector: string): Promise<void> => {
        for (let step = 0; step < 30; step += 1) {
          await page.keyboard.press("Tab");
          if (await page.evaluate((wanted) => document.activeElement?.matches(wanted) === true, selector)) return;
        }
        throw new Error(`Tab does not reach ${selector}`);
      };
      await tabTo("#sign-in");
      await page.keyboard.press("Enter");
      await page.waitForURL(/\/interaction\//);
      await tabTo("button[value=alice]");
      await page.keyboard.press("Enter");
      await page.waitForURL(`${demo.origin}/`);
      await isSignedIn();
      await tabTo("[data-action=revoke-burst]");
      await page.keyboard.press("Enter");
      await vi.waitFor(async () => expect(await tally("remint")).toBe("6 × 200, 1 token request"), PATIENCE);
      await page.evaluate(() => (document.activeElement as HTMLElement).blur());
      await page.locator("body").press("Home");
      await page.focus(".skip");
      await tabTo("#sign-out");
      await page.keyboard.press("Enter");
      await page.waitForURL(`${demo.origin}/`);
      await page.waitForSelector("#intro:visible");
      expect(await page.locator("#user-name").textContent()).toBe("");
    });

    test("revoke and 6 requests: no 401 is surfaced in the lane with remint, the usual lane is signed out", async () => {
      await signIn();
      await press("revoke-burst");
      await log(
        /After “Revoke \+ 6 requests”, the usual BFF: .*signed out\. With remint: 6 × 200, [12] token requests?\./,
      );
      expect([await count("401s you saw", "remint"), await count("Times signed out", "remint")]).toEqual(["0", "0"]);
      expect(Number(await count("401s you saw", "usual"))).toBeGreaterThan(0);
      expect(await count("Times signed out", "usual")).toBe("1");
      expect(await logged()).toContain(
        "The usual BFF: signed out. One refresh token was presented twice. The authorization server took that for theft",
      );
      expect(await page.locator("[data-lane=remint] [data-picture] .is-after-renewal").count()).toBeGreaterThan(0);
      expect(await page.locator("[data-lane=usual] .absence").count()).toBe(1);
      await page.click("[data-lane=usual] [data-again]");
      await page.click('button:text-is("Alice")');
      await isSignedIn();
      expect(await page.locator("[data-lane=usual] [data-chip]").isVisible()).toBe(false);
    });

    test("signed out, then Back: the signed-out page, and nothing of the user", async () => {
      await signIn();
      await page.click("#sign-out");
      await page.waitForSelector("#intro:visible");
      const seen: string[] = [];
      await page.exposeFunction("tell", (text: string) => seen.push(text));
      await page.addInitScript(() => {
        new MutationObserver(() => {
          (globalThis as unknown as { tell(text: string): void }).tell(document.body?.textContent ?? "");
        }).observe(document, { subtree: true, childList: true, characterData: true });
      });
      for (let step = 0; step < 4; step += 1) {
        await page.goBack({ waitUntil: "commit", timeout: 5000 }).catch(() => undefined);
        if (page.url() === `${demo.origin}/`) break;
      }
      expect(page.url()).toBe(`${demo.origin}/`);
      await page.waitForSelector("#intro:visible");
      expect(await page.locator("#actions").isVisible()).toBe(false);
      expect(seen.length).toBeGreaterThan(0);
      expect(seen.filter((text) => text.includes("Alice"))).toEqual([]);
    });

    test("signed out elsewhere, then Back in a browser that keeps pages in memory: the page is loaded anew, and signed out", async () => {
      const keeping = await launch({ keepsPages: true });
      try {
        const own = await keeping.newContext();
        const tab = await own.newPage();
        await signIn("Alice", tab);
        const other = await own.newPage();
        await other.goto(demo.origin);
        await isSignedIn(other);
        await tab.goto(`${demo.origin}/elsewhere`);
        await other.click("#sign-out");
        await other.waitForSelector("#intro:visible");
        await tab.bringToFront();
        await tab.evaluate(() => history.back());
        await tab.waitForSelector("#intro:visible");
        expect(tab.url()).toBe(`${demo.origin}/`);
        expect(await tab.content()).not.toContain("Alice");
        // Why the browser did not keep the page. Without the header it would, and the page would have to hide the user itself.
        const reasons = await tab.evaluate(() => JSON.stringify(performance.getEntriesByType("navigation")[0]));
        expect(reasons).toContain("response-cache-control-no-store");
      } finally {
        await keeping.close();
      }
    });

    test("signed out in one tab: the other tab says so, and shows no name", async () => {
      await signIn();
      const other = await newPage();
      await other.goto(demo.origin);
      await isSignedIn(other);
      await other.bringToFront();
      await page.click("#sign-out");
      await page.waitForSelector("#intro:visible");
      await other.waitForSelector("#ended:visible");
      expect(await other.locator("#ended").innerText()).toMatch(/Your session has ended\. .*Sign in again/s);
      expect(await other.locator("#user-name").textContent()).toBe("");
    });

    test.each([
      ["the first one first", 0],
      ["the last one first", 1],
    ])("two tabs start a sign-in, %s is finished: both land in the app", async (_, first) => {
      const tabs = [page, await newPage()];
      for (const tab of tabs) {
        await tab.goto(demo.origin);
        await tab.click("#sign-in");
        await tab.waitForURL(/\/interaction\//);
      }
      for (const tab of first === 0 ? tabs : tabs.toReversed()) {
        await tab.bringToFront();
        await tab.click('button:text-is("Alice")');
        await tab.waitForURL(`${demo.origin}/`);
        await isSignedIn(tab);
      }
    });

    test("a browser that stores no cookies of the app sees one page that says so, and goes on nowhere", async () => {
      await page.goto(demo.origin);
      await page.click("#sign-in");
      await page.waitForURL(/\/interaction\//);
      const visits: string[] = [];
      page.on("framenavigated", (frame) => visits.push(new URL(frame.url()).pathname));
      await context.clearCookies({ domain: "localhost" });
      const [answer] = await Promise.all([
        page.waitForResponse(/\/bff\/callback/),
        page.click('button:text-is("Alice")'),
      ]);
      expect(answer.status()).toBe(400);
      await page.waitForSelector("h1");
      expect(await page.locator("main").innerText()).toMatch(/cookie/i);
      expect(await page.locator("main a, main button").count()).toBe(1);
      expect(visits).toEqual(["/bff/callback"]);
    });

    test("Cancel on the sign-in page: back in the app, which says so", async () => {
      await page.goto(demo.origin);
      await page.click("#sign-in");
      await page.click('button:text-is("Cancel")');
      await page.waitForSelector("#sign-in-failed:visible");
      expect(page.url()).toBe(`${demo.origin}/`);
    });
  });

  describe("the buttons", () => {
    test("Revoke my token, Expire now: the next requests succeed with a new token", async () => {
      await signIn();
      for (const [action, name] of [
        ["revoke", "Revoke my token"],
        ["expire", "Expire now"],
      ] as const) {
        await press(action);
        await log(new RegExp(`After “${name}”, .*With remint: .*\\d token request`));
      }
      expect(await count("401s you saw", "remint")).toBe("0");
      expect(await page.locator("[data-lane=remint] .died").count()).toBeGreaterThanOrEqual(2);
    });

    test("50 requests at once: 50 × 200 in both lanes", async () => {
      await signIn();
      await press("burst");
      // The token for billing may be fetched meanwhile.
      await log(
        /After “50 requests at once”, the usual BFF: 50 × 200(?:, 1 token request)?\. With remint: 50 × 200(?:,|\.)/,
      );
      const received = demo.received.filter(({ headers }) => headers.cookie !== undefined);
      expect(received).toEqual([]);
    });

    test("200 users: 400 × 200 in the lane with remint, and no 401", { timeout: 120_000 }, async () => {
      await signIn();
      await press("users");
      await vi.waitFor(async () => expect(await tally("remint")).toMatch(/^400 × 200, \d+ token requests$/), {
        ...MUCH_PATIENCE,
        timeout: 100_000,
      });
      expect(await count("401s you saw", "remint")).toBe("0");
    });

    test("Open a stream: both lanes count its events, and pressed again it ends", async () => {
      await signIn();
      await press("stream");
      await vi.waitFor(
        async () =>
          expect(await page.locator("#stream-text").innerText()).toMatch(
            /^Events so far: [1-9]\d* the usual way, [1-9]\d* with remint$/,
          ),
        PATIENCE,
      );
      await press("stream");
      await vi.waitFor(
        async () => expect(await page.getAttribute("[data-action=stream]", "aria-pressed")).toBe("false"),
        PATIENCE,
      );
    });

    test("Upload 20 MB: it arrives through both lanes", async () => {
      await signIn();
      await press("upload");
      await vi.waitFor(async () => {
        expect(await tally("remint")).toBe("1 × 200");
        expect(await tally("usual")).toBe("1 × 200");
      }, MUCH_PATIENCE);
    });

    test(
      "AS down, and the token dies: 503, nobody is signed out, and it ends by itself",
      { timeout: 90_000 },
      async () => {
        await signIn();
        await press("as-down");
        await vi.waitFor(
          async () => expect(await page.locator("[data-action=as-down]").innerText()).toMatch(/^AS is down/),
          PATIENCE,
        );
        await press("expire");
        await press("burst");
        await vi.waitFor(async () => expect(await tally("remint")).toMatch(/\d+ × 503/), PATIENCE);
        await vi.waitFor(
          async () => expect(await page.locator("[data-action=as-down]").innerText()).toBe("AS down 10 s"),
          MUCH_PATIENCE,
        );
        await vi.waitFor(async () => {
          await press("burst");
          await vi.waitFor(async () => expect(await tally("remint")).toMatch(/^50 × 200/), { timeout: 3000 });
        }, MUCH_PATIENCE);
        expect(await count("Times signed out", "remint")).toBe("0");
        expect(await count("401s you saw", "remint")).toBe("0");
      },
    );

    test("API says 401 to everything: 502 with remint, and nobody is signed out there", async () => {
      await signIn();
      await press("api-401");
      await vi.waitFor(
        async () => expect(await page.getAttribute("[data-action=api-401]", "aria-pressed")).toBe("true"),
        PATIENCE,
      );
      await press("burst");
      await vi.waitFor(async () => expect(await tally("remint")).toMatch(/^50 × 502/), PATIENCE);
      await press("api-401");
      await vi.waitFor(
        async () => expect(await page.getAttribute("[data-action=api-401]", "aria-pressed")).toBe("false"),
        PATIENCE,
      );
      expect(await count("Times signed out", "remint")).toBe("0");
      expect(await count("401s you saw", "remint")).toBe("0");
    });

    test("Pay: the sign-in page asks for a second factor, and then the payment is made", async () => {
      await signIn();
      await press("pay");
      await page.waitForURL(/\/interaction\//);
      expect(await page.locator("main").innerText()).toContain("second factor");
      await page.click('button:text-is("Alice with MFA")');
      await page.waitForURL(`${demo.origin}/`);
      await isSignedIn();
      expect(await page.locator("#holds").innerText()).toContain("signed in with mfa");
      await press("pay");
      await vi.waitFor(async () => expect(await tally("remint")).toMatch(/^1 × 200/), PATIENCE);
    });

    test("Present a used refresh token: the authorization server revokes the family, and the page says why", async () => {
      await signIn();
      await press("expire");
      await log(/After “Expire now”/);
      await press("replay-refresh");
      await page.waitForSelector("#ended:visible");
      expect(await page.locator("#ended").innerText()).toContain("presented twice");
    });

    test("End my session at the AS: back-channel logout ends the session here, and its reason is shown", async () => {
      await signIn();
      await press("end-session");
      await page.waitForSelector("#ended:visible");
      expect(await page.locator("#ended").innerText()).toContain("back-channel logout");
      await page.click("#ended a");
      await page.waitForURL(/\/interaction\//);
    });
  });

  test("what the browser holds and what the APIs got: names and flags, and no cookie", async () => {
    await signIn();
    await press("burst");
    await log(/After “50 requests/);
    const holds = await page.locator("#holds").innerText();
    expect(holds).toMatch(/__Host-Http-bff\n(?:Path=\/|HttpOnly|Secure|SameSite=Strict|, )+\n/);
    expect(holds).toContain('document.cookie\n""');
    expect(holds).toContain("localStorage 0, sessionStorage 0, IndexedDB 0, Cache API 0");
    expect(await page.locator("#received").innerText()).toMatch(
      /none with a cookie.*token for urn:demo:orders.*cookie: none/s,
    );
  });
});

// Skipped where there is no Chromium, or no redis-server to start.
describe.skipIf(!isThere || !hasRedis)("three processes", () => {
  let child: ChildProcess;
  let origin: string;

  beforeAll(async () => {
    browser = await launch();
    const main = fileURLToPath(new URL("../main.ts", import.meta.url));
    child = spawn(process.execPath, ["--import", "tsx", main, "--replicas", "3"], {
      env: { ...process.env, PORT: "0" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout?.on("data", (text: Buffer) => (output += text.toString()));
    await vi.waitFor(() => expect(output).toMatch(/Open http/), { timeout: 60_000 });
    origin = /Open (\S+)/.exec(output)?.[1] ?? "";
  }, 90_000);
  afterAll(async () => {
    await browser?.close();
    if (child === undefined) return;
    const exited = once(child, "exit");
    child.kill("SIGINT");
    await exited;
  });

  test("Kill process 2: the page says that it is gone and back, and every request succeeds", async () => {
    errors = [];
    context = await browser.newContext();
    page = await newPage();
    await signIn("Alice", page, origin);
    await press("kill-2");
    await log("Process 2 is gone.");
    await press("burst");
    await vi.waitFor(async () => expect(await tally("remint")).toMatch(/^50 × 200/), PATIENCE);
    await log("Process 2 is back.", MUCH_PATIENCE);
    expect(await count("401s you saw", "remint")).toBe("0");
    expect(errors).toEqual([]);
    await context.close();
  });
});
