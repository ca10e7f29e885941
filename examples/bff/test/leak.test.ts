/**
 * No token, verifier, secret or id of a session leaves the server: not in what the processes print, not in an error page, not
 * in a header, not in the feed of the page. What the browser itself holds is looked at in the page's tests, and Redis in
 * fleet.test.ts.
 */
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { Browser, signIn, signOut } from "../browser.ts";
import { type Demo, startDemo } from "../demo.ts";
import { call } from "./stage.ts";

const LONG = { timeout: 20_000, interval: 100 };

let demo: Demo;
let printed = "";
const secrets: string[] = [];
/** What left the server, and where it was seen. */
const seen: [where: string, text: string][] = [];

beforeAll(async () => {
  for (const stream of [process.stdout, process.stderr]) {
    vi.spyOn(stream, "write").mockImplementation((chunk: unknown) => {
      printed += String(chunk);
      return true;
    });
  }
  for (const name of ["log", "info", "warn", "error", "debug"] as const) {
    vi.spyOn(console, name).mockImplementation((...values: unknown[]) => {
      printed += values.map((value) => inspect(value, { depth: 10, showHidden: true })).join(" ");
    });
  }
  demo = await startDemo({ port: 0, auth: { record: (_kind, secret) => secrets.push(secret) } });
});
afterAll(async () => {
  vi.restoreAllMocks();
  await demo.close();
});

/** A secret, and what it looks like in a URL, in JSON and in base64. */
function forms(secret: string): string[] {
  const whole = Buffer.from(secret);
  // A secret within a longer base64 text begins at one of three places.
  const inner = [0, 1, 2].map((offset) => whole.subarray(offset).toString("base64url").slice(2, 40));
  return [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1), ...inner].filter(
    (form) => form.length > 8,
  );
}

function hits(needles: readonly string[], where: readonly (readonly [string, string])[]): string[] {
  const found = needles.flatMap((needle) =>
    forms(needle).flatMap((form) => where.filter(([, text]) => text.includes(form)).map(([place]) => place)),
  );
  return [...new Set(found)].toSorted();
}

async function note(where: string, response: Response): Promise<void> {
  const headers = [...response.headers].filter(([name]) => name !== "set-cookie");
  seen.push([where, `${inspect(headers, { breakLength: Infinity })}\n${await response.text()}`]);
}

describe("a sign-in, every button, errors of every kind, and a sign-out", () => {
  let browser: Browser;
  let id: string;

  beforeAll(async () => {
    const { origin, auth, apis } = demo;
    browser = new Browser();
    const landed = await signIn(browser, origin);
    seen.push(["the page", landed.body]);
    id = browser.cookie("localhost", "__Host-Http-bff") ?? "";
    const feed = await browser.request(`${origin}/demo/events`, { headers: { accept: "text/event-stream" } });
    const entry: [string, string] = ["/demo/events", ""];
    seen.push(entry);
    void (async () => {
      for await (const chunk of feed.body as unknown as AsyncIterable<Uint8Array>)
        entry[1] += Buffer.from(chunk).toString();
    })().catch(() => {});
    await vi.waitFor(() => expect(entry[1]).toContain('"hello"'), LONG);

    for (const path of [
      "/bff/user",
      "/demo/state",
      "/demo/cookies",
      "/api/orders/list?x=1",
      "/api/billing/list",
      "/nothing",
    ]) {
      await note(path, await call(browser, origin + path));
    }
    const buttons = [
      "revoke",
      "burst",
      "expire",
      "revoke-burst",
      "pay",
      "upload",
      "stream",
      "replay-refresh",
      "nonsense",
    ];
    for (const name of buttons)
      await note(name, await call(browser, `${origin}/demo/actions/${name}`, { method: "POST" }));
    await vi.waitFor(() => expect(entry[1]).toContain('"signed-out"'), LONG);
    // Errors: the token endpoint repeats what it got, and an API that is gone.
    await signIn(browser, origin);
    auth.tokenFault = (request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += String(chunk)));
      request.on("end", () => {
        const echo = { error: "invalid_request", error_description: body, hint: request.headers.authorization };
        response.writeHead(400, { "content-type": "application/json" }).end(JSON.stringify(echo));
      });
      return true;
    };
    auth.kill(auth.alive());
    await note("a refusal that repeats the request", await call(browser, `${origin}/api/orders/list`));
    const other = new Browser();
    seen.push(["the page of a sign-in that fails", (await signIn(other, origin)).body]);
    auth.tokenFault = undefined;
    apis.fault = (request) => {
      request.socket.destroy();
      return true;
    };
    await note("an API that is gone", await call(browser, `${origin}/api/billing/list`));
    apis.fault = undefined;
    await signOut(browser, origin);
  }, 120_000);

  test("a needle that was planted is found, in every form and in every place", () => {
    const needle = 'a"planted/needle+of%20some.length';
    const [json, uri] = [JSON.stringify(needle), encodeURIComponent(needle)];
    const places: [string, string][] = [
      ["raw", `x${needle}x`],
      ["json", json],
      ["uri", uri],
      ["base64 0", Buffer.from(needle).toString("base64url")],
      ["base64 1", Buffer.from(`x${needle}`).toString("base64url")],
      ["base64 2", Buffer.from(`xx${needle}`).toString("base64url")],
    ];
    expect(hits([needle], places)).toEqual(places.map(([place]) => place).toSorted());
    console.log(`planted: ${needle}`);
    expect(hits([needle], [["printed", printed]])).toEqual(["printed"]);
  });

  test("there were secrets to find: tokens of every kind, and verifiers", () => {
    expect(secrets.length).toBeGreaterThan(10);
    expect(secrets.some((secret) => secret.startsWith("eyJ"))).toBe(true);
    expect(seen.map(([, text]) => text.length).every((length) => length > 0)).toBe(true);
  });

  test("none of them is in an answer, a header, an error page, the feed, or what the process printed", () => {
    const needles = [...secrets, demo.auth.secrets.bff, demo.auth.secrets.usual, id];
    expect(hits(needles, [...seen, ["printed", printed]])).toEqual([]);
  });

  test("no API got a cookie, and the authorization server got no Referer and none of our cookies", () => {
    for (const headers of demo.auth.seenHeaders) {
      expect(headers.referer).toBeUndefined();
      expect(headers.cookie ?? "").not.toMatch(/bff|usual/);
    }
  });
});
