/**
 * Everything that reaches the browser, looked through for what must not be there: the network as the browser itself
 * reports it, the document, the console, cookies that scripts can read, the storages, the history. leak.test.ts looks
 * through what the servers print.
 */
import { randomBytes } from "node:crypto";
import type { Browser, CDPSession, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { isThere, launch } from "./chromium.ts";
import { openDemo, type WatchedDemo } from "./page-stage.ts";

const PATIENCE = { timeout: 30_000, interval: 100 };

/** A text that the browser has seen, and where. */
interface Straw {
  readonly where: string;
  readonly text: string;
}

/** What a secret looks like as it is, cut in two, in a URL, in JSON, and within a longer base64 text. */
function forms(secret: string): string[] {
  const half = Math.floor(secret.length / 2);
  const bytes = Buffer.from(secret);
  // A text in the middle of a base64 text begins at one of three places, and its ends depend on its neighbours.
  const inner = [0, 1, 2].map((offset) => {
    const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString("base64url");
    return encoded.slice(4, 4 * Math.floor(encoded.length / 4) - 4);
  });
  const texts = [
    secret.slice(0, half),
    secret.slice(half),
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
  ];
  return [...texts, ...inner, ...inner.map((text) => text.replaceAll("-", "+").replaceAll("_", "/"))];
}

/** A text that is nowhere yet. */
const needle = (): string => `${randomBytes(24).toString("base64url")}.${randomBytes(24).toString("base64url")}`;

/** Where a secret is. */
function places(haystack: readonly Straw[], secret: string): string[] {
  const wanted = forms(secret);
  const found = haystack.filter(({ text }) => wanted.some((form) => text.includes(form)));
  return [...new Set(found.map(({ where }) => where))].toSorted();
}

/** Collects what a page sees of the network, from the browser's own reports. */
async function watchNetwork(client: CDPSession, haystack: Straw[]): Promise<void> {
  const urls = new Map<string, string>();
  const place = (id: string): string => {
    const url = urls.get(id);
    return url === undefined ? "?" : new URL(url).pathname;
  };
  const add = (where: string, value: unknown): void => {
    haystack.push({ where, text: typeof value === "string" ? value : JSON.stringify(value) });
  };
  client.on("Network.requestWillBeSent", ({ requestId, request, redirectResponse }) => {
    if (redirectResponse !== undefined) add(`answer of ${place(requestId)}`, headersOf(redirectResponse.headers));
    urls.set(requestId, request.url);
    add(`URL of ${place(requestId)}`, request.url + (request.urlFragment ?? ""));
    add(`headers to ${place(requestId)}`, request.headers);
    if (request.postData !== undefined) add(`body to ${place(requestId)}`, request.postData);
  });
  client.on("Network.requestWillBeSentExtraInfo", ({ requestId, headers }) =>
    add(`headers to ${place(requestId)}`, headers),
  );
  client.on("Network.responseReceived", ({ requestId, response }) => {
    add(`answer of ${place(requestId)}`, headersOf(response.headers));
  });
  client.on("Network.eventSourceMessageReceived", ({ requestId, data }) => add(`events of ${place(requestId)}`, data));
  client.on("Runtime.consoleAPICalled", ({ args }) => add("console", args));
  client.on("Runtime.exceptionThrown", ({ exceptionDetails }) => add("console", exceptionDetails));
  client.on("Log.entryAdded", ({ entry }) => add("console", entry));
  // Bodies are read while the answer is held: later, another page has taken their place.
  client.on("Fetch.requestPaused", ({ requestId, request, responseHeaders = [], responseStatusCode = 0 }) => {
    const type = responseHeaders.find(({ name }) => name.toLowerCase() === "content-type")?.value ?? "";
    const { pathname } = new URL(request.url);
    add(
      `answer of ${pathname}`,
      responseHeaders.filter(({ name }) => name.toLowerCase() !== "location"),
    );
    const hasBody = !type.startsWith("text/event-stream") && !(responseStatusCode >= 300 && responseStatusCode < 400);
    const read = hasBody ? client.send("Fetch.getResponseBody", { requestId }) : Promise.resolve(undefined);
    void read
      .then((answer) => {
        if (answer === undefined) return;
        const { body, base64Encoded } = answer;
        add(`body of ${pathname}`, base64Encoded ? Buffer.from(body, "base64").toString() : body);
      })
      .catch(() => undefined)
      .then(() => client.send("Fetch.continueResponse", { requestId }).catch(() => undefined));
  });
  await client.send("Network.enable", { maxPostDataSize: 1_000_000 });
  await client.send("Runtime.enable");
  await client.send("Log.enable");
  await client.send("Fetch.enable", { patterns: [{ requestStage: "Response" }] });
}

/** Where a redirect leads is said as the URL of the next request. */
function headersOf(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== "location"));
}

/** Collects what a page holds now. */
async function look(page: Page, client: CDPSession, haystack: Straw[]): Promise<void> {
  haystack.push({ where: "document", text: await page.content() });
  haystack.push({ where: "text of the document", text: await page.evaluate(() => document.documentElement.innerText) });
  haystack.push({ where: "document.cookie", text: await page.evaluate(() => document.cookie) });
  const storages = await page.evaluate(async () =>
    JSON.stringify([
      Object.entries(localStorage),
      Object.entries(sessionStorage),
      await indexedDB.databases(),
      await caches.keys(),
      window.name,
      document.referrer,
    ]),
  );
  haystack.push({ where: "storages", text: storages });
  const { entries } = await client.send("Page.getNavigationHistory");
  for (const { url, userTypedURL, title } of entries) {
    haystack.push({ where: "history", text: `${url} ${userTypedURL} ${title}` });
  }
}

// Skipped where there is no Chromium.
describe.skipIf(!isThere)("what reaches the browser", () => {
  let haystack: Straw[];
  let browser: Browser;
  let demo: WatchedDemo;
  let page: Page;
  let client: CDPSession;

  beforeAll(async () => {
    [browser, demo] = await Promise.all([launch(), openDemo()]);
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await demo?.close();
  });

  /** Signs in with a new browser, and waits for the first request of the demo. */
  async function signIn(): Promise<void> {
    haystack = [];
    page = await (await browser.newContext()).newPage();
    client = await page.context().newCDPSession(page);
    await watchNetwork(client, haystack);
    await page.goto(demo.origin);
    await page.click("#sign-in");
    await page.click('button:text-is("Alice")');
    await page.waitForURL(`${demo.origin}/`);
    await listening();
  }

  const listening = (): Promise<unknown> =>
    vi.waitFor(
      async () => expect(await page.locator("#counts [data-of=remint] span").first().innerText()).not.toBe("0"),
      PATIENCE,
    );

  test("a needle that is planted in each place is found in each, in whatever form", async () => {
    await signIn();
    const planted = {
      url: needle(),
      half: needle(),
      header: needle(),
      body: needle(),
      json: `${needle()}"\n`,
      base64: needle(),
      event: needle(),
      dom: needle(),
      console: needle(),
      cookie: needle(),
      storage: needle(),
      history: needle(),
    };
    await page.evaluate(async (plant) => {
      await fetch(`/page.css?${encodeURIComponent(plant.url)}&${plant.half.slice(0, plant.half.length / 2)}`);
      await fetch("/bff/user", { headers: { "x-bff": "1", "x-planted": plant.header } });
      await fetch("/nothing", { method: "POST", headers: { "x-bff": "1" }, body: plant.body });
      await fetch("/nothing", {
        method: "POST",
        headers: { "x-bff": "1" },
        body: JSON.stringify({ plant: plant.json }),
      });
      await fetch("/nothing", { method: "POST", headers: { "x-bff": "1" }, body: btoa(`around:${plant.base64}:it`) });
      document.body.dataset["planted"] = plant.dom;
      console.log("planted", plant.console);
      document.cookie = `planted=${plant.cookie}`;
      localStorage.setItem("planted", plant.storage);
      history.pushState(null, "", `/#${plant.history}`);
    }, planted);
    await vi.waitFor(() => {
      // Again and again, because the page may not be listening yet.
      demo.feed.send({ type: "note", at: Date.now(), text: planted.event });
      expect(places(haystack, planted.event)).toContain("events of /demo/events");
    }, PATIENCE);
    await look(page, client, haystack);
    const found = Object.fromEntries(Object.entries(planted).map(([name, secret]) => [name, places(haystack, secret)]));
    expect(found).toMatchObject({
      url: ["URL of /page.css"],
      half: ["URL of /page.css"],
      header: ["headers to /bff/user"],
      body: ["body to /nothing"],
      json: ["body to /nothing"],
      base64: ["body to /nothing"],
      event: ["document", "events of /demo/events", "text of the document"],
      dom: ["document"],
      console: ["console"],
      storage: ["storages"],
      history: ["history"],
    });
    expect(found["cookie"]).toContain("document.cookie");
    await page.context().close();
  });

  test("sign-in, every button, a step-up and a sign-out: two hits, the code on its way and the hint of the sign-out", async ({
    skip,
  }) => {
    // Chromium 156 itself ends with SIGSEGV now and then, when a page with open streams is left under its debugger.
    try {
      await everyButton();
    } catch (error) {
      if (browser.isConnected()) throw error;
      skip("Chromium itself has crashed");
    }
  });

  async function everyButton(): Promise<void> {
    await signIn();
    for (const [action, outcome] of [
      ["revoke", "After “Revoke my token”"],
      ["burst", "After “50 requests at once”"],
      ["expire", "After “Expire now”"],
      ["stream", "You pressed “Open a stream”"],
      ["upload", "After “Upload 20 MB”"],
      ["revoke-burst", "After “Revoke \\+ 6 requests”"],
      ["api-401", "You pressed “API says 401 to everything”"],
      ["burst", "After “50 requests at once”.*502"],
      ["api-401", "You pressed “API says 401"],
    ] as const) {
      await page.click(`[data-action=${action}]`);
      await vi.waitFor(
        async () => expect(await page.locator("#log").innerText()).toMatch(new RegExp(outcome, "s")),
        PATIENCE,
      );
    }
    await page.click("#show-table");
    await look(page, client, haystack);

    await page.click("[data-action=pay]");
    await page.click('button:text-is("Alice with MFA")');
    await page.waitForURL(`${demo.origin}/`);
    await listening();
    await look(page, client, haystack);
    await page.goto(`${demo.origin}/bff/callback?code=wrong&state=wrong`);
    await page.goto(demo.origin);
    await listening();
    await page.click("#sign-out");
    await page.waitForSelector("#intro:visible");
    await look(page, client, haystack);

    const kinds = [...new Set(demo.secrets.map(({ kind }) => kind))].toSorted();
    expect(kinds).toEqual([
      "access_token",
      "client_secret",
      "code",
      "code_verifier",
      "cookie key",
      "id_token",
      "refresh_token",
    ]);
    const hits = demo.secrets.flatMap(({ kind, value }) => places(haystack, value).map((where) => `${kind}: ${where}`));
    expect([...new Set(hits)].toSorted()).toEqual([
      "code: URL of /bff/callback",
      // The code of the other client, on its way to the backend that is here to be compared with.
      "code: URL of /usual/callback",
      "id_token: URL of /session/end",
    ]);
    const searched = new Set(haystack.map(({ where }) => where));
    for (const where of [
      "URL of /bff/callback",
      "answer of /bff/callback",
      "headers to /demo/actions/pay",
      "body of /",
      "body of /bff/user",
      "body of /demo/cookies",
      "body of /demo/actions/pay",
      "events of /demo/events",
      "events of /api/orders/events",
      "document",
      "document.cookie",
      "storages",
      "history",
    ]) {
      expect(searched).toContain(where);
    }
  }

  test("no address that the authorization server or an API got as a referrer holds a secret", () => {
    const referrers = [...demo.auth.seenHeaders, ...demo.received.map(({ headers }) => headers)].flatMap(
      ({ referer }) => (referer === undefined ? [] : [{ where: "referrer", text: referer }]),
    );
    expect(demo.secrets.flatMap(({ value }) => places(referrers, value))).toEqual([]);
    expect(demo.auth.seenHeaders.length).toBeGreaterThan(5);
  });

  test("no API got a cookie, or the token of the other API", () => {
    expect(demo.received.length).toBeGreaterThan(100);
    expect(demo.received.filter(({ headers }) => headers.cookie !== undefined)).toEqual([]);
    const audiences = new Set(demo.received.map(({ api, audience }) => `${api} ${audience}`));
    expect([...audiences].toSorted()).toEqual(["billing urn:demo:billing", "orders urn:demo:orders"]);
  });
});
