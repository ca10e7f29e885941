/**
 * The page alone, in Chromium, with a server that says what the test tells it to say: what is drawn, counted, read out
 * and pressed. page-journey.test.ts has the real server.
 */
import { EventEmitter, once } from "node:events";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { ApiRequest, LaneMessage, LaneName, Message, Outcome, TokenMinted } from "../page/messages.ts";
import { executablePath, isCi, isThere, launch } from "./chromium.ts";
import { contrasts } from "./contrast.ts";
import { ScriptedServer } from "./scripted-server.ts";

const LANES: readonly LaneName[] = ["usual", "remint"];
const PATIENCE = { timeout: 20_000 };
const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 400, height: 860 };

let browser: Browser;
let server: ScriptedServer;
let page: Page;
/** What the page complained about: errors of scripts, of the console, and of its content security policy. */
let complaints: string[];

async function open(options: BrowserContextOptions = {}, inBrowser = browser): Promise<void> {
  const context = await inBrowser.newContext({ viewport: WIDE, ...options });
  page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  await page.goto(server.origin);
}

/** Opens the page of somebody who is signed in, and waits until it listens. */
async function openSignedIn(options: BrowserContextOptions = {}, inBrowser = browser): Promise<void> {
  await open(options, inBrowser);
  await vi.waitFor(() => expect(server.listeners).toBe(1), PATIENCE);
}

/** Leaves the page, and comes back. Resolves to what the browser had kept of it. */
async function leaveAndComeBack(meanwhile: () => void): Promise<string> {
  await page.evaluate(() => {
    addEventListener("pageshow", ({ persisted }) => {
      const { outerHTML } = document.documentElement;
      Object.assign(globalThis, { kept: persisted ? outerHTML : "nothing: the page was loaded anew" });
    });
  });
  await page.goto(`${server.origin}/icon.svg`);
  await vi.waitFor(() => expect(server.listeners).toBe(0), PATIENCE);
  meanwhile();
  await page.evaluate(() => history.back());
  // A page that comes out of memory fires no event "load".
  await page.waitForURL(`${server.origin}/`, { waitUntil: "commit" });
  const kept = await page.waitForFunction(() => (globalThis as { kept?: string }).kept);
  return String(await kept.jsonValue());
}

/** Sends messages, and waits until the page has taken them all. */
async function tell(...messages: readonly Message[]): Promise<void> {
  const end = `The end of ${Math.random()}.`;
  server.send(...messages, { type: "note", at: Date.now(), text: end });
  await page.waitForFunction((text) => document.querySelector("#log")?.textContent.includes(text), end);
  await frame();
}

/** Waits until what is due is drawn. */
const frame = (): Promise<unknown> =>
  page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));

function request(lane: LaneName, members: Partial<ApiRequest> = {}): ApiRequest {
  return {
    type: "request",
    lane,
    at: Date.now() - 1000,
    ms: 12,
    api: "orders",
    method: "GET",
    path: "/list",
    status: 200,
    outcome: "first-try",
    token: "aaaa",
    how: "cached",
    ...members,
  };
}

function token(lane: LaneName, id: string, at: number, members: Partial<TokenMinted> = {}): TokenMinted {
  const audience = "orders";
  return { type: "token", lane, id, audience, at, expiresAt: at + 30_000, refreshFrom: at + 24_000, ...members };
}

/** What "Revoke + 6 requests" does to both lanes. */
function moment(): LaneMessage[] {
  const at = Date.now() - 2000;
  const messages: LaneMessage[] = LANES.flatMap((lane) => [
    token(lane, `${lane[0]}001`, at - 5000),
    token(lane, `${lane[0]}002`, at - 4000, { audience: "billing" }),
    { type: "token-end", lane, id: `${lane[0]}001`, at, why: "revoked" },
  ]);
  for (let each = 0; each < 6; each += 1) {
    const refused = { at: at + each, ms: 90 + each, status: 401 };
    messages.push(
      { type: "token-request", lane: "usual", at: at + each, status: each === 0 ? 200 : 400, ok: each === 0 },
      request("usual", { ...refused, outcome: each < 4 ? "unauthorized" : "signed-out" }),
      request("remint", { at: at + each, ms: 70 + each, outcome: "after-renewal" }),
    );
  }
  messages.push(
    { type: "token-request", lane: "remint", at: at + 40, status: 200, ok: true },
    token("remint", "r003", at + 50),
    { type: "signed-out", lane: "usual", at: at + 60, reason: "One refresh token was presented twice." },
  );
  return messages;
}

/** Opens everything that is folded. */
async function unfold(): Promise<void> {
  const folded = page.locator("details:not([open]) > summary:visible");
  for (let left = await folded.count(); left > 0; left -= 1) await folded.first().click();
}

const text = async (selector: string): Promise<string> => (await page.locator(selector).innerText()).trim();
const tally = (lane: LaneName): Promise<string> => text(`[data-lane=${lane}] [data-tally]`);
const picture = (lane: LaneName): string => `[data-lane=${lane}] [data-picture]`;
/** The value of a count in both lanes. */
const count = async (title: string): Promise<string[]> => {
  const group = page.locator("#counts > div", { has: page.locator(`dt:text-is("${title}")`) });
  return [
    await group.locator("[data-of=usual] span").innerText(),
    await group.locator("[data-of=remint] span").innerText(),
  ];
};
const marks = (lane: LaneName, kind: string): Promise<number> =>
  page.locator(`${picture(lane)} .plot .is-${kind}`).count();

const note = (sentence: string): Message => ({ type: "note", at: Date.now(), text: sentence });
const overflow = (): Promise<number> =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
const box = async (selector: string): Promise<{ x: number; y: number; width: number; height: number }> =>
  (await page.locator(selector).boundingBox()) ?? { x: -1, y: -1, width: -1, height: -1 };
/** Says to the page whether it is in sight. */
const see = (state: "hidden" | "visible"): Promise<void> =>
  page.evaluate((value) => {
    Object.defineProperty(document, "visibilityState", { configurable: true, get: () => value });
    document.dispatchEvent(new Event("visibilitychange"));
  }, state);

test.runIf(isCi)("in CI there is a Chromium", () => expect([executablePath, isThere]).toEqual([executablePath, true]));

describe.skipIf(!isThere)("the page in Chromium", () => {
  beforeAll(async () => {
    browser = await launch();
  }, 60_000);
  afterAll(() => browser?.close());
  beforeEach(async () => {
    complaints = [];
    server = await ScriptedServer.start();
  });
  afterEach(async () => {
    await page.context().close();
    await server.close();
    expect(complaints).toEqual([]);
  });

  describe("signed out", () => {
    beforeEach(() => {
      server.signedIn = false;
    });

    test("one paragraph and one way to sign in are seen, and the lanes are grey and empty without a recording", async () => {
      await open();
      await page.waitForSelector("#intro");
      expect(await page.locator("#intro p:visible").count()).toBe(1);
      expect(await page.locator("#intro .button:visible, #actions button:visible").allInnerTexts()).toEqual([
        "Sign in",
      ]);
      expect(await page.locator("#lanes").evaluate((lanes) => getComputedStyle(lanes).filter)).toBe("grayscale(1)");
      expect(await page.locator(".plot path").count()).toBe(0);
      expect(await page.locator("#recorded").isVisible()).toBe(false);
      expect(server.listeners).toBe(0);
      await page.click("#sign-in");
      await vi.waitFor(() => expect(server.navigations).toEqual(["/bff/login?returnTo=/"]), PATIENCE);
    });

    test("a recorded run is played as if it happened now, again and again, and reads nothing out", async () => {
      const at = Date.parse("2026-01-02T03:04:05Z");
      server.recording = {
        messages: [
          request("remint", { at }),
          { type: "pressed", at: at + 10_000, name: "Expire now" },
          { type: "signed-out", lane: "usual", at: at + 20_000, reason: "Nobody is to hear this." },
          request("usual", { at: at + 20_000 }),
        ],
      };
      const context = await browser.newContext({ viewport: WIDE });
      page = await context.newPage();
      await page.clock.install();
      await page.goto(server.origin);
      await page.waitForSelector("#recorded:visible");
      await page.clock.runFor(100);
      const first = [await count("Requests"), await text("#recorded")];
      await page.clock.runFor(20_000);
      const second = [await count("Requests"), await text("#recorded"), await tally("usual")];
      await page.clock.runFor(9000);
      await page.clock.runFor(100);
      expect([first, second, await count("Requests")]).toEqual([
        [["0", "1"], "A recorded run of this page"],
        [["1", "1"], "A recorded run of this page. The last button was “Expire now”.", "1 × 200, signed out"],
        ["0", "1"],
      ]);
      expect(await page.locator("#live, #log").allInnerTexts()).toEqual(["", ""]);
    });

    test("a sign-in that was denied is said in one sentence, and the address is clean again", async () => {
      await open();
      await page.goto(`${server.origin}/?signin=denied`);
      await page.waitForSelector("#sign-in-failed:visible");
      expect(await text("#sign-in-failed")).toMatch(/^You are not signed in: .*denied\.$/);
      expect(new URL(page.url()).search).toBe("");
    });
  });

  describe("the moment", () => {
    test("revoke and 6 requests: the usual lane is signed out, the other one shows 6 × 200 and 1 token request", async () => {
      await openSignedIn();
      await page.click("[data-action=revoke-burst]");
      await tell(...moment());
      expect(await tally("usual")).toBe("6 × 401, 6 token requests (5 failed), signed out");
      expect(await tally("remint")).toBe("6 × 200, 1 token request");
      expect(await page.locator("[data-lane=usual] [data-chip]").isVisible()).toBe(true);
      expect(await page.locator("[data-lane=remint] [data-chip]").isVisible()).toBe(false);
      expect(await page.locator("[data-lane=usual] .absence").count()).toBe(1);
      // Both tokens ended with the session: the one that was revoked, and the other one.
      expect(await page.locator("[data-lane=usual] .plot .died").count()).toBe(2);
      expect(await page.locator("[data-lane=remint] .plot .died").count()).toBe(1);
      expect([await marks("usual", "unauthorized"), await marks("usual", "signed-out")]).toEqual([4, 2]);
      expect([await marks("usual", "token"), await marks("usual", "token-failed")]).toEqual([1, 5]);
      expect([await marks("remint", "after-renewal"), await marks("remint", "token")]).toEqual([6, 1]);
      await vi.waitFor(
        async () =>
          expect(await text("#log")).toContain(
            "After “Revoke + 6 requests”, the usual BFF: 6 × 401, 6 token requests (5 failed), signed out. " +
              "With remint: 6 × 200, 1 token request.",
          ),
        PATIENCE,
      );
      expect(server.actions).toEqual(["revoke-burst"]);
    });

    test("the counts of both lanes stand beside each other", async () => {
      await openSignedIn();
      await tell(...moment());
      expect(await count("Requests")).toEqual(["6", "6"]);
      expect(await count("Token requests")).toEqual(["6", "1"]);
      expect(await count("401s you saw")).toEqual(["6", "0"]);
      expect(await count("Times signed out")).toEqual(["1", "0"]);
      // The usual lane had nothing but 401s, which say nothing of how fast it is.
      expect(await count("Median")).toEqual(["–", "72 ms"]);
      expect(await count("p95")).toEqual(["–", "75 ms"]);
    });

    test("the next button begins the sums anew, and a beat is in no sum", async () => {
      await openSignedIn();
      await page.click("[data-action=burst]");
      await tell(request("remint"), request("remint", { beat: true }));
      expect(await tally("remint")).toBe("1 × 200");
      await page.click("[data-action=expire]");
      await vi.waitFor(async () => expect(await tally("remint")).toBe("…"), PATIENCE);
    });
  });

  describe("the lanes", () => {
    test("each outcome has a shape and a colour of its own, and the legend has them all", async () => {
      await openSignedIn();
      const outcomes: Outcome[] = ["first-try", "after-renewal", "unavailable", "unauthorized", "signed-out"];
      await tell(...outcomes.map((outcome, at) => request("remint", { outcome, at: Date.now() - 8000 + at * 1000 })));
      const found = await page.locator(`${picture("remint")} .plot path[class^=is-]`).evaluateAll((paths) =>
        paths.map((path) => {
          const { fill, stroke } = getComputedStyle(path);
          return { shape: path.getAttribute("d"), look: `${fill} ${stroke}`, kind: path.getAttribute("class") };
        }),
      );
      expect(found.length).toBe(5);
      expect(new Set(found.map(({ shape }) => shape)).size).toBe(5);
      expect(new Set(found.slice(0, 4).map(({ look }) => look)).size).toBe(4);
      const legend = await page.locator("#legend path").evaluateAll((all) => all.map((path) => path.getAttribute("d")));
      for (const { shape } of found) expect(legend).toContain(shape);
    });

    test("200 requests at once with one failure: one column, its number, and a mark for the failure", async () => {
      await openSignedIn();
      const at = Date.now() - 2000;
      await tell(
        ...Array.from({ length: 199 }, () => request("remint", { at })),
        request("remint", { at, status: 503, outcome: "unavailable" }),
      );
      expect([await marks("remint", "first-try"), await marks("remint", "unavailable")]).toEqual([6, 1]);
      expect(await page.locator(`${picture("remint")} .count`).allTextContents()).toEqual(["200"]);
    });

    test("a token is a bar from mint to expiry, its refresh window is hatched, and a cross stands where it died", async () => {
      await openSignedIn();
      const at = Date.now() - 12_000;
      const bar = async (): Promise<{ x: number; width: number; hatched: number }[]> =>
        page.locator(`${picture("remint")} .plot g:has(> .bar)`).evaluateAll((groups) =>
          groups.map((group) => ({
            x: Number(/translate\(([-\d.]+)/.exec(group.getAttribute("transform") ?? "")?.[1]),
            width: Number(group.querySelector(".bar")?.getAttribute("width")),
            hatched: Number(group.querySelector("[fill^=url]")?.getAttribute("width") ?? 0),
          })),
        );
      await tell(token("remint", "aaaa", at), token("remint", "bbbb", at + 10_000, { audience: "billing" }));
      const [first, second] = await bar();
      const second1000 = (first?.width ?? 0) / 30;
      expect(first?.hatched).toBeCloseTo(second1000 * 6, 1);
      expect((second?.x ?? 0) - (first?.x ?? 0)).toBeCloseTo(second1000 * 10, 1);
      expect(await page.locator(`${picture("remint")} .died`).count()).toBe(0);

      await tell({ type: "token-end", lane: "remint", id: "aaaa", at: at + 5000, why: "revoked" });
      await tell({ type: "token-end", lane: "remint", id: "bbbb", at: at + 11_000, why: "replaced" });
      const [dead, replaced] = await bar();
      expect(dead?.width).toBeCloseTo(second1000 * 5, 1);
      expect(dead?.hatched).toBe(0);
      expect(replaced?.width).toBeCloseTo(second1000, 1);
      expect(await page.locator(`${picture("remint")} .died`).count()).toBe(1);
    });

    test("frames without news set one transform for each lane, and nothing else in the document", async () => {
      await openSignedIn();
      await tell(...moment());
      const changes = await page.evaluate(async () => {
        const seen: string[] = [];
        const observer = new MutationObserver((records) => {
          for (const { type, attributeName, target } of records) {
            // The summaries are written once a second.
            if (attributeName !== "aria-label") seen.push(`${type} ${attributeName} ${(target as Element).tagName}`);
          }
        });
        // What is said about the last button comes first.
        while (!document.querySelector("#log")?.textContent.includes("The end"))
          await new Promise(requestAnimationFrame);
        observer.observe(document.querySelector("#lanes") as Element, {
          subtree: true,
          attributes: true,
          childList: true,
        });
        for (let at = 0; at < 10; at += 1) await new Promise(requestAnimationFrame);
        const targets = new Set(observer.takeRecords().map(({ target }) => target));
        observer.disconnect();
        return { seen: [...new Set(seen)], targets: targets.size };
      });
      expect(changes.seen.filter((change) => change !== "attributes transform g")).toEqual([]);
      expect(changes.targets).toBeLessThanOrEqual(2);
    });

    test("what has left the picture is removed", async () => {
      await open();
      await page.clock.install();
      await page.reload();
      await vi.waitFor(() => expect(server.listeners).toBe(1), PATIENCE);
      server.send(request("remint", { at: Date.now() }), token("remint", "aaaa", Date.now()), note("Taken."));
      await page.waitForFunction(() => document.querySelector("#log")?.textContent.includes("Taken."));
      await page.clock.runFor(1500);
      expect(await page.locator(`${picture("remint")} .plot :is(.bar, .is-first-try)`).count()).toBe(2);
      await page.clock.runFor(90_000);
      expect(await page.locator(`${picture("remint")} .plot :is(.bar, .is-first-try)`).count()).toBe(0);
      expect(await count("Requests")).toEqual(["0", "1"]);
    });

    test("a lane is an image with a summary; the arrow keys walk its events, and Escape leaves them", async () => {
      await openSignedIn();
      await tell(...moment());
      const lane = page.locator(picture("remint"));
      expect([await lane.getAttribute("role"), await lane.getAttribute("tabindex")]).toEqual(["img", "0"]);
      await vi.waitFor(
        async () =>
          expect(await lane.getAttribute("aria-label")).toBe(
            "With remint, signed in: 6 requests, 1 token request, 0 answers 401, signed out 0 times. The arrow keys walk the events.",
          ),
        PATIENCE,
      );
      await lane.focus();
      const walked: string[] = [];
      for (const key of ["Home", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight"]) {
        await page.keyboard.press(key);
        walked.push((await text("#chosen")).replace(/^.*?\d: /, ""));
      }
      expect(walked).toEqual([
        "token r001 for orders begins, for 30.0 s",
        "token r002 for billing begins, for 30.0 s",
        "6 requests to orders, 70 to 75 ms: 6 after a renewal",
        "token r001 for orders was revoked",
        "1 token request: 200",
        "token r003 for orders begins, for 30.0 s",
        "token r003 for orders begins, for 30.0 s",
      ]);
      expect(await page.locator(`${picture("remint")} .cursor`).count()).toBe(1);
      await page.keyboard.press("Escape");
      expect(await page.locator(".cursor").count()).toBe(0);
    });

    test("the pointer reads the mark that is under it", async () => {
      await openSignedIn();
      await tell(...moment());
      await page.hover(`${picture("usual")} .is-unauthorized >> nth=0`, { force: true });
      await vi.waitFor(
        async () =>
          expect(await text("#chosen")).toMatch(
            /^The usual BFF, [\d:.]+: 6 requests to orders, 90 to 95 ms: 4 401 shown, 2 signed out$/,
          ),
        PATIENCE,
      );
    });

    test("with reduced motion the axis jumps once a second, and not between", async () => {
      const context = await browser.newContext({ viewport: WIDE, reducedMotion: "reduce" });
      page = await context.newPage();
      await page.clock.install();
      await page.goto(server.origin);
      await vi.waitFor(() => expect(server.listeners).toBe(1), PATIENCE);
      await page.clock.pauseAt(Date.now() + 60_000);
      const moves = async (ms: number): Promise<number> => {
        await page.evaluate((selector) => {
          const moving = document.querySelector(`${selector} .plot > g`) as Element;
          const seen = globalThis as unknown as { moves: number };
          seen.moves = 0;
          new MutationObserver((records) => {
            seen.moves += records.length;
          }).observe(moving, { attributes: true, attributeFilter: ["transform"] });
        }, picture("remint"));
        await page.clock.runFor(ms);
        return page.evaluate(() => (globalThis as unknown as { moves: number }).moves);
      };
      expect(await moves(3000)).toBe(3);
      await page.emulateMedia({ reducedMotion: "no-preference" });
      expect(await moves(1000)).toBeGreaterThan(30);
    });

    test("shown as a table: the same events, newest first; hidden again", async () => {
      await openSignedIn();
      await tell(...moment());
      await page.click("#show-table");
      const rows = await page.locator("#table tbody tr").allInnerTexts();
      expect(rows.length).toBe(moment().length);
      expect(rows[0]).toMatch(/^[\d:.]+\s+usual\s+session\s+signed out\. One refresh token was presented twice\.$/);
      expect(await page.locator("#table thead th").allInnerTexts()).toEqual(["Time", "Backend", "What", "Answer"]);
      expect(await page.getAttribute("#show-table", "aria-expanded")).toBe("true");
      await page.click("#show-table");
      expect(await page.locator("#table").isVisible()).toBe(false);
    });
  });

  describe("the live line", () => {
    test("five sentences at once: one is said each second, and the alarm is not the one that is left out", async () => {
      const context = await browser.newContext({ viewport: WIDE });
      page = await context.newPage();
      await page.clock.install();
      await page.goto(server.origin);
      await vi.waitFor(() => expect(server.listeners).toBe(1), PATIENCE);
      await page.clock.pauseAt(Date.now() + 60_000);
      await page.evaluate(() => {
        const live = document.querySelector("#live") as Element;
        const said: string[] = [];
        (globalThis as unknown as { said: string[] }).said = said;
        new MutationObserver(() => said.push(live.textContent)).observe(live, { childList: true });
      });
      const said = (): Promise<string[]> => page.evaluate(() => (globalThis as unknown as { said: string[] }).said);
      const over: Message = { type: "signed-out", lane: "usual", at: Date.now(), reason: "An alarm." };
      server.send(note("1"), over, note("2"), note("3"), note("4"), note("5"), note("6"));
      await page.waitForFunction(() => document.querySelector("#log li")?.textContent.endsWith("6"));
      expect(await said()).toEqual(["1"]);
      await page.clock.runFor(999);
      expect((await said()).length).toBe(1);
      await page.clock.runFor(1);
      expect(await said()).toEqual(["1", "The usual BFF: signed out. An alarm."]);
      await page.clock.runFor(1000);
      expect((await said()).length).toBe(3);
      await page.clock.runFor(10_000);
      expect((await said()).at(-1)).toBe("6");
      expect(await page.getAttribute("#live", "aria-live")).toBe("polite");
    });

    test("texts of the server are texts, whatever they look like", async () => {
      await openSignedIn();
      const evil = "<img src=x onerror=alert(1)><script>alert(2)</script>";
      await tell(
        { type: "note", at: Date.now(), text: evil },
        { type: "signed-out", lane: "usual", at: Date.now(), reason: evil },
        token("remint", evil, Date.now() - 1000),
        request("remint", { path: evil, token: evil }),
        {
          type: "received",
          at: Date.now(),
          api: "orders",
          method: evil,
          path: evil,
          audience: evil,
          headers: [evil],
          cookie: false,
        },
      );
      await page.click("#show-table");
      expect(await page.locator("main img, main script").count()).toBe(0);
      expect(await text("#log")).toContain(evil);
    });
  });

  describe("the buttons", () => {
    const NAMES: Readonly<Record<string, string>> = {
      "revoke-burst": "Revoke + 6 requests",
      revoke: "Revoke my token",
      expire: "Expire now",
      "replay-refresh": "Present a used refresh token",
      burst: "50 requests at once",
      users: "200 users",
      stream: "Open a stream",
      upload: "Upload 20 MB",
      "as-down": "AS down 10 s",
      "kill-2": "Kill process 2",
      "api-401": "API says 401 to everything",
      pay: "Pay (needs MFA)",
      "end-session": "End my session at the AS",
    };

    test("the keyboard alone reaches every button, in order, and presses it", async () => {
      server.processes = [
        { id: 1, alive: true },
        { id: 2, alive: true },
      ];
      await openSignedIn();
      await page.waitForSelector("[data-action=kill-2]:enabled");
      const reached: string[] = [];
      for (let step = 0; step < 40 && reached.length < 13; step += 1) {
        await page.keyboard.press("Tab");
        const action = await page.evaluate(() => (document.activeElement as HTMLElement).dataset["action"]);
        if (action === undefined) continue;
        reached.push(action);
        await page.keyboard.press(reached.length % 2 === 0 ? "Enter" : "Space");
        await vi.waitFor(() => expect(server.actions.at(-1)).toBe(action), PATIENCE);
      }
      expect(new Set(reached)).toEqual(new Set(Object.keys(NAMES)));
      expect(server.actions).toEqual(reached);
      await vi.waitFor(async () => {
        for (const name of Object.values(NAMES)) expect(await text("#log")).toContain(`You pressed “${name}”.`);
      }, PATIENCE);
    });

    test("the first Tab leads to a link that skips the lanes", async () => {
      await openSignedIn();
      await page.keyboard.press("Tab");
      await page.keyboard.press("Enter");
      expect(await page.evaluate(() => document.activeElement?.id)).toBe("actions");
    });

    test("a button that waits for its answer is not pressed twice", async () => {
      await openSignedIn();
      const events = new EventEmitter();
      await page.route("**/demo/actions/burst", async (route) => {
        await once(events, "release");
        await route.continue();
      });
      await page.click("[data-action=burst]");
      await page.waitForSelector("[data-action=burst][aria-busy=true]");
      await page.click("[data-action=burst]");
      events.emit("release");
      await page.waitForSelector("[data-action=burst]:not([aria-busy])");
      expect(server.actions).toEqual(["burst"]);
    });

    test("one process: process 2 cannot be killed, and the page says how to get three", async () => {
      await openSignedIn();
      await page.waitForSelector("#processes code");
      expect(await page.locator("[data-action=kill-2]").isDisabled()).toBe(true);
      expect(await text("#processes")).toBe("One process. For three: npm start -- --replicas 3");
    });

    test("three processes: one that is gone, and is back, is told", async () => {
      server.processes = [1, 2, 3].map((id) => ({ id, alive: true }));
      await openSignedIn();
      await page.waitForSelector("[data-process='3']");
      await tell({ type: "process", id: 2, alive: false, at: Date.now() });
      expect(await text("#processes")).toMatch(/● process 1\s*○ process 2 is gone\s*● process 3/);
      await tell({ type: "process", id: 2, alive: true, at: Date.now() });
      expect(await text("#processes")).toMatch(/● process 1\s*● process 2\s*● process 3/);
    });

    test("an API asks for a stronger sign-in: the page goes to the sign-in with what the API asked for", async () => {
      server.answer = () => ({ status: 401, body: { code: "step-up", acr_values: "mfa", max_age: 300 } });
      await openSignedIn();
      await page.click("[data-action=pay]");
      await vi.waitFor(
        () => expect(server.navigations).toEqual(["/bff/login?returnTo=%2F&acr_values=mfa&max_age=300"]),
        PATIENCE,
      );
      complaints = complaints.filter((complaint) => !complaint.includes("status of 401"));
    });

    test("a problem of the server is said in its words, and an answer without words by its status", async () => {
      await openSignedIn();
      server.answer = () => ({ status: 409, body: { detail: "There is one process only." } });
      await page.click("[data-action=users]");
      await vi.waitFor(
        async () => expect(await text("#log")).toContain("“200 users”: There is one process only."),
        PATIENCE,
      );
      server.answer = () => ({ status: 500 });
      await page.click("[data-action=burst]");
      await vi.waitFor(
        async () => expect(await text("#log")).toContain("“50 requests at once”: the server answered 500"),
        PATIENCE,
      );
      complaints = complaints.filter((complaint) => !/status of (409|500)/.test(complaint));
    });

    test("the server is gone: the page says that the button did not reach it", async () => {
      await openSignedIn();
      await page.route("**/demo/actions/**", (route) => route.abort());
      await page.click("[data-action=burst]");
      await vi.waitFor(
        async () => expect(await text("#log")).toContain("“50 requests at once” did not reach the server"),
        PATIENCE,
      );
      complaints = complaints.filter((complaint) => !complaint.includes("ERR_FAILED"));
    });

    test("faults: the toggle shows whether it is on, and the outage counts down", async () => {
      await openSignedIn();
      const until = Date.now() + 9500;
      await tell(
        { type: "fault", name: "api-401", on: true, until: null },
        { type: "fault", name: "as-down", on: true, until },
      );
      expect(await page.getAttribute("[data-action=api-401]", "aria-pressed")).toBe("true");
      expect(await text("[data-action=as-down]")).toMatch(/^AS is down: \d+ s$/);
      await tell(
        { type: "fault", name: "api-401", on: false, until: null },
        { type: "fault", name: "as-down", on: false, until: null },
      );
      expect(await page.getAttribute("[data-action=api-401]", "aria-pressed")).toBe("false");
      expect(await text("[data-action=as-down]")).toBe("AS down 10 s");
    });

    test("a stream: the page opens its own for the lane with remint, counts the events of both, and closes it", async () => {
      await openSignedIn();
      await page.click("[data-action=stream]");
      await vi.waitFor(() => expect(server.streams).toBe(1), PATIENCE);
      expect(await page.getAttribute("[data-action=stream]", "aria-pressed")).toBe("true");
      server.stream("1");
      await tell({ type: "stream", lane: "usual", at: Date.now(), text: "1" });
      await vi.waitFor(
        async () => expect(await text("#stream-text")).toBe("Events so far: 1 the usual way, 2 with remint"),
        PATIENCE,
      );
      await page.click("[data-action=stream]");
      await vi.waitFor(() => expect(server.streams).toBe(0), PATIENCE);
      expect(await page.getAttribute("[data-action=stream]", "aria-pressed")).toBe("false");
    });
  });

  describe("the feed and the session", () => {
    test("a page out of sight holds no connection, neither of the feed nor of a stream; in sight it listens again", async () => {
      await openSignedIn();
      await page.click("[data-action=stream]");
      await vi.waitFor(() => expect([server.listeners, server.streams]).toEqual([1, 1]), PATIENCE);
      await see("hidden");
      await vi.waitFor(() => expect([server.listeners, server.streams]).toEqual([0, 0]), PATIENCE);
      await see("visible");
      await vi.waitFor(() => expect([server.listeners, server.streams]).toEqual([1, 1]), PATIENCE);
    });

    test("the feed breaks off: the page connects again, and the counts stay", async () => {
      await openSignedIn();
      await tell(request("remint"));
      server.hangUp();
      await vi.waitFor(() => expect(server.listeners).toBe(1), PATIENCE);
      await tell(request("remint"));
      expect(await count("Requests")).toEqual(["0", "2"]);
      complaints = complaints.filter((complaint) => !complaint.includes("ERR_INCOMPLETE_CHUNKED_ENCODING"));
    });

    test("signed out in another tab: the name goes, the lanes stay, the buttons do nothing, one link signs in", async () => {
      await openSignedIn();
      await tell(...moment());
      server.signedIn = false;
      server.hangUp();
      await page.waitForSelector("#ended:visible");
      expect(await page.content()).not.toContain("Alice");
      expect(await page.locator("button[data-action]:enabled").count()).toBe(0);
      expect(await marks("remint", "after-renewal")).toBe(6);
      expect(await page.locator("#ended a").innerText()).toBe("Sign in again");
      await vi.waitFor(() => expect(server.listeners).toBe(0), PATIENCE);
      complaints = complaints.filter((complaint) => !complaint.includes("ERR_INCOMPLETE_CHUNKED_ENCODING"));
    });

    test("the session of the lane with remint ends: its reason is shown", async () => {
      await openSignedIn();
      server.send({ type: "signed-out", lane: "remint", at: Date.now(), reason: "The server has ended the session." });
      await page.waitForSelector("#ended:visible");
      expect(await text("#ended-reason")).toBe("Your session has ended. The server has ended the session.");
    });

    describe("left, and shown again by Back out of the memory of the browser", () => {
      let keeping: Browser;

      beforeAll(async () => {
        keeping = await launch({ keepsPages: true });
      }, 60_000);
      afterAll(() => keeping.close());

      test("signed out meanwhile: nothing of the user was kept, and the page is the signed-out one", async () => {
        await openSignedIn({}, keeping);
        await tell(...moment());
        const kept = await leaveAndComeBack(() => (server.signedIn = false));
        expect(kept).toContain("<main");
        expect(["Alice", "__Host-Http-bff", "r001"].filter((each) => kept.includes(each))).toEqual([]);
        await page.waitForSelector("#intro:visible");
        expect(await page.locator("#log li, #table tbody tr").count()).toBe(0);
        expect(await page.locator("#actions, #who").filter({ visible: true }).count()).toBe(0);
      });

      test("while the session lasts: the page listens again", async () => {
        await openSignedIn({}, keeping);
        expect(await leaveAndComeBack(() => {})).toContain("<main");
        await vi.waitFor(() => expect(server.listeners).toBe(1), PATIENCE);
        expect(await page.locator("#user-name").innerText()).toBe("Alice");
      });
    });

    test("what the browser holds, what the APIs got: names and flags, no cookie", async () => {
      await openSignedIn();
      await tell({
        type: "received",
        at: Date.now(),
        api: "orders",
        method: "GET",
        path: "/v1/list",
        audience: "urn:orders",
        headers: ["x-request-id", "accept", "authorization"],
        cookie: false,
      });
      expect(await text("#holds")).toContain("__Host-Http-bff\nHttpOnly, Secure, SameSite=Strict, Path=/");
      expect(await text("#holds")).toContain('document.cookie\n""');
      expect(await text("#holds")).toContain("localStorage 0, sessionStorage 0, IndexedDB 0, Cache API 0");
      expect(await text("#received")).toMatch(
        /1 request, none with a cookie\.\s+GET \/v1\/list\s+token for urn:orders\s+headers accept authorization x-request-id\s+cookie: none/,
      );
    });
  });

  describe("the layout", () => {
    test.each(["in", "out", "ended"])("400 px, %s: one column, no horizontal scroll", async (view) => {
      if (view === "out") server.signedIn = false;
      await open({ viewport: NARROW });
      await page.waitForSelector("#lanes:visible");
      if (view !== "out") {
        await vi.waitFor(() => expect(server.listeners).toBe(1), PATIENCE);
        await page.click("[data-action=revoke-burst]");
        await tell(...moment(), ...Array.from({ length: 60 }, () => request("remint", { ms: 4321 })));
        await page.click("#show-table");
        await unfold();
      }
      if (view === "ended") {
        server.send({
          type: "signed-out",
          lane: "remint",
          at: Date.now(),
          reason: "The server has ended the session.",
        });
        await page.waitForSelector("#ended:visible");
      }
      expect(await overflow()).toBe(0);
      const blocks = await page.locator("main > section:visible").evaluateAll((sections) =>
        sections.map((section) => {
          const { left, right } = section.getBoundingClientRect();
          return left < 17 && right > innerWidth - 17;
        }),
      );
      expect(blocks.every((isWhole) => isWhole)).toBe(true);
    });

    test("400 px: buttons stand two in a row, none is lower than 44 px, and the lanes show 20 seconds", async () => {
      await openSignedIn({ viewport: NARROW });
      const heights = await page
        .locator("button:visible, .button:visible, summary:visible")
        .evaluateAll((all) => all.map((each) => each.getBoundingClientRect().height));
      expect(Math.min(...heights)).toBeGreaterThanOrEqual(44);
      const [left, right] = [await box("[data-action=revoke]"), await box("[data-action=expire]")];
      expect([right.y, right.x > left.x + left.width]).toEqual([left.y, true]);
      expect(await page.locator("#axis text").allTextContents()).toEqual(["−10 s", "−5 s", "now", "+5 s"]);
      expect(await page.locator("#below details[open]").count()).toBe(0);
    });

    test("400 px: the live line stays in sight above the buttons", async () => {
      await openSignedIn({ viewport: NARROW });
      await page.locator("[data-action=end-session]").scrollIntoViewIfNeeded();
      await page.click("[data-action=end-session]");
      expect((await box("#live")).y).toBe(0);
    });

    test("1280 px: the lanes take two thirds on one time axis, the buttons one, and three columns stand below", async () => {
      await openSignedIn();
      await tell(...moment());
      expect(await overflow()).toBe(0);
      const [lanes, actions] = [await box("#lanes"), await box("#actions")];
      expect(actions.y).toBe(lanes.y);
      expect(lanes.width / actions.width).toBeGreaterThan(1.8);
      expect(lanes.width / actions.width).toBeLessThan(2.2);
      expect(await page.locator("#axis text").allTextContents()).toEqual([
        "−40 s",
        "−30 s",
        "−20 s",
        "−10 s",
        "now",
        "+10 s",
      ]);
      const nows = await page.locator(".now").evaluateAll((all) => all.map((each) => each.getBoundingClientRect().x));
      expect([nows.length, new Set(nows).size]).toEqual([2, 1]);
      const columns = await page
        .locator("#below details")
        .evaluateAll((all) => all.map((each) => each.getBoundingClientRect()));
      expect([columns.length, new Set(columns.map(({ y }) => y)).size]).toEqual([3, 1]);
      expect(await page.locator("#below details[open]").count()).toBe(3);
    });

    test("the window is made narrow: the lanes are drawn again for it", async () => {
      await openSignedIn();
      await tell(...moment());
      await page.setViewportSize(NARROW);
      await vi.waitFor(
        async () => expect(await page.locator("#axis text").first().textContent()).toBe("−10 s"),
        PATIENCE,
      );
      expect(await marks("remint", "after-renewal")).toBe(6);
      expect(await overflow()).toBe(0);
    });

    describe.each(["light", "dark"] as const)("%s", (colorScheme) => {
      test.each([
        ["in", WIDE],
        ["in", NARROW],
        ["out", WIDE],
        ["ended", NARROW],
      ] as const)("%s at %o: every text has a contrast of 4.5:1, every mark one of 3:1", async (view, viewport) => {
        if (view === "out") server.signedIn = false;
        await open({ viewport, colorScheme });
        await page.waitForSelector("#lanes:visible");
        if (view !== "out") {
          await vi.waitFor(() => expect(server.listeners).toBe(1), PATIENCE);
          await page.click("[data-action=revoke-burst]");
          await tell(...moment(), ...Array.from({ length: 60 }, () => request("remint", { at: Date.now() - 9000 })));
          await tell({ type: "fault", name: "api-401", on: true, until: null });
          await page.click("#show-table");
          await unfold();
        }
        if (view === "ended") {
          server.send({
            type: "signed-out",
            lane: "remint",
            at: Date.now(),
            reason: "The server has ended the session.",
          });
          await page.waitForSelector("#ended:visible");
        }
        // Colours that are on their way are none that one reads.
        await page.waitForFunction(() => document.getAnimations().every(({ playState }) => playState !== "running"));
        const { texts, marks: drawn } = await page.evaluate(contrasts);
        expect(texts.length).toBeGreaterThan(view === "out" ? 20 : 80);
        expect(texts.filter(({ ratio }) => ratio < 4.5)).toEqual([]);
        expect(drawn.filter(({ ratio }) => ratio < 3)).toEqual([]);
        expect(drawn.length).toBeGreaterThan(view === "out" ? 1 : 15);
      });
    });
  });
});
