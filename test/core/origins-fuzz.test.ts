/**
 * Compares where a token may go with what the platform's URL parser says, for URLs and lists made at random. The oracle
 * below knows nothing of the code: it decides by `new URL()` alone.
 *
 * `REMINT_RUNS` sets another number of URLs, `REMINT_SEED` another seed. A failure prints its seed.
 */
import { afterEach, describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { createTokenCache, type AccessToken, type Origins, type TokenCache } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { becomePage, pageAt, type PageGlobals } from "./page-globals.ts";

const RUNS = Number(process.env["REMINT_RUNS"] ?? 30_000);
const SEED = Number(process.env["REMINT_SEED"] ?? 20_240_229);
/** URLs that one cache is asked about in a row, so that what it remembers is tried too. */
const PER_CACHE = 25;

/** Random choices that a seed repeats (mulberry32). */
class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  /** True once in `odds` times. */
  once(odds: number): boolean {
    return this.below(odds) === 0;
  }
}

const HOSTS = [
  "api.example",
  "api.example.",
  "API.Example",
  "eu.api.example",
  "evil.example",
  "api.example.evil.example",
  "app.example",
  "bücher.example",
  "xn--bcher-kva.example",
  "faß.example",
  "ａpi.example",
  "api。example",
  "my_service",
  "localhost",
  "127.0.0.1",
  "127.1",
  "0x7f.1",
  "2130706433",
  "[::1]",
  "[0:0:0:0:0:0:0:1]",
  "[::ffff:127.0.0.1]",
  "[fe80::1%25eth0]",
  "[fe80::1]",
  "self",
  "self.invalid",
  "null",
  "undefined",
  "any",
];
const ODD_HOSTS = [
  "*",
  "*.example",
  "+",
  "a+b.example",
  "a(b.example",
  "(api|evil).example",
  "api.example,evil.example",
  "a$.example",
  "a..example",
  ".example",
  "..",
  "%2a",
  "%61pi.example",
  "api%2eexample",
  "api.example%00",
  "api.example%2f",
  "a b",
  "a\u00adpi.example",
  "xn--",
  "xn--.example",
  "api.xn--",
  "1.2.3.4.5",
  "api.256",
  "",
];
const SCHEMES = ["https://", "http://"];
const ODD_SCHEMES = [
  "HTTPS://",
  "hTTp://",
  "https:",
  "http:",
  "https:/",
  "http:/",
  "https:\\\\",
  "https:/\\",
  "https:////",
  "//",
  "\\\\",
  "/\\",
  "/\t/",
  "\t//",
  "",
  "/",
  "ftp://",
  "ftp:",
  "ws://",
  "wss://",
  "file://",
  "file:",
  "data:",
  "data:text/plain,",
  "blob:https://",
  "blob:",
  "javascript:",
  "about:",
  "mailto:",
  "app://",
  "ht\ttps://",
  "https:/\n/",
  " https://",
  "\u0000https://",
  "\u00a0https://",
];
const PORTS = ["", "", "", ":443", ":80", ":8443", ":0443", ":", ":99999", ":x", ":*"];
const USERS = ["user@", "user:pass@", ":pass@", "@", ":@", "api.example@", "https%3a@", "api.example:443@"];
const PATHS = [
  "",
  "/",
  "/v1/orders",
  "?page=1",
  "#top",
  "\\x",
  "/\\x",
  "//x",
  "/..//x",
  "/./",
  "/ä",
  "/%2e%2e/",
  ";x",
  ".",
  "@evil.example",
  "/https://api.example/",
  "?https://api.example/",
];
const INSERTS = ["\t", "\n", "\r", " ", "\\", "/", "@", ":", "*", "%", ".", "\u0000", "\u200b", "#", "?", "[", "]"];
const RELATIVE = [
  "",
  "/",
  "x",
  "/x",
  "./x",
  "../x",
  "?x",
  "#x",
  "/x:y",
  "x:y",
  "/api/orders?page=2",
  "%2f%2fevil.example",
  "api.example/x",
  "localhost:3000/x",
];

const PAGES: readonly (PageGlobals | undefined)[] = [
  undefined,
  undefined,
  undefined,
  pageAt("https://app.example/shop/cart"),
  pageAt("https://api.example/"),
  pageAt("http://localhost:3000/"),
  pageAt("https://app.example/", "https://evil.example/assets/"),
  pageAt("https://app.example/", "https://api.example/v1/"),
  pageAt("http://app.example/", "https://app.example/"),
  { href: "https://app.example/worker.js", origin: "https://app.example" },
  { ...pageAt("https://app.example/"), ownOrigin: "null" },
  pageAt("about:srcdoc", "https://app.example/"),
];

function anyUrl(dice: Dice): string {
  if (dice.once(8)) return dice.of(RELATIVE);
  const scheme = dice.once(3) ? dice.of(ODD_SCHEMES) : dice.of(SCHEMES);
  const user = dice.once(12) ? dice.of(USERS) : "";
  const host = dice.once(6) ? dice.of(ODD_HOSTS) : dice.of(HOSTS);
  let url = scheme + user + host + dice.of(PORTS) + dice.of(PATHS);
  while (dice.once(5)) {
    const at = dice.below(url.length + 1);
    url = url.slice(0, at) + (dice.once(3) ? "" : dice.of(INSERTS)) + url.slice(at + dice.below(2));
  }
  return url;
}

function anyEntry(dice: Dice): unknown {
  if (dice.once(5)) return "self";
  if (dice.once(60)) return dice.of([undefined, null, 7, {}, ["https://api.example"]]);
  const scheme = dice.once(40) ? dice.of(ODD_SCHEMES) : dice.of(SCHEMES);
  const host = dice.once(30) ? dice.of(ODD_HOSTS) : dice.of(HOSTS.slice(0, dice.once(3) ? HOSTS.length : 8));
  const text = scheme + host + (dice.once(3) ? dice.of(PORTS) : "") + (dice.once(20) ? dice.of(PATHS) : "");
  if (!dice.once(4)) return text;
  try {
    return new URL(text);
  } catch {
    return text;
  }
}

function parsed(url: string, base?: string): URL | undefined {
  try {
    return new URL(url, base);
  } catch {
    return undefined;
  }
}

const isHttp = (url: URL): boolean => url.protocol === "https:" || url.protocol === "http:";
const isNamed = (url: URL): boolean => url.username !== "" || url.password !== "";

/** Whether a server can have this host: no character and no label that a name cannot have. */
function canBeHost(host: string): boolean {
  if (host.startsWith("[")) return true;
  const letters = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
  if (Array.from(host).some((character) => !letters.includes(character))) return false;
  const labels = host.split(".");
  if (labels.length > 1 && labels.at(-1) === "") labels.pop();
  return labels.every((label) => label !== "");
}

/** Returns the origin that an entry means, or `undefined` if it is to be refused. */
function originMeant(entry: unknown, mayHavePath: boolean): string | undefined {
  if (entry === "self") return "self";
  const text = entry instanceof URL ? entry.href : entry;
  const url = typeof text === "string" ? parsed(text) : undefined;
  if (url === undefined || !isHttp(url) || isNamed(url) || !canBeHost(url.hostname)) return undefined;
  if (url.hostname === "undefined" || url.hostname === "null") return undefined;
  return mayHavePath || url.pathname + url.search + url.hash === "/" ? url.origin : undefined;
}

/** Where the oracle says that a URL leads: an origin, "self" for the application itself, or nowhere that a token may go. */
function placeOf(url: string, page: PageGlobals | undefined): { origin: string; protocol: string } | undefined {
  const base = page === undefined ? undefined : ((page.baseURI ?? page.href) as string);
  const target = parsed(url, base);
  if (target !== undefined) return isHttp(target) && !isNamed(target) ? target : undefined;
  if (base !== undefined) return undefined;
  // It is relative if where it leads changes with the base, whatever the base is.
  const servers = ["http://one.invalid", "https://two.invalid"];
  const isRelative = servers.every((server) => parsed(url, `${server}/a/b`)?.origin === server);
  return isRelative ? { origin: "self", protocol: "" } : undefined;
}

/** The oracle: whether a token may go there. */
function mayGo(url: string, allowed: "any" | readonly string[], page: PageGlobals | undefined): boolean {
  const place = placeOf(url, page);
  if (place === undefined) return false;
  if (allowed === "any") return place.protocol === "https:";
  if (allowed.includes(place.origin)) return true;
  return page !== undefined && allowed.includes("self") && page.ownOrigin !== "null" && place.origin === page.origin;
}

interface Subject {
  readonly what: string;
  readonly allowed: "any" | readonly string[];
  allows(url: string): boolean;
}

const grant = fakeGrant();
const cacheOf = (origins: Origins): TokenCache => createTokenCache({ grant, origins });

/** Makes a cache with random origins. `undefined` when they are refused, as the oracle says they have to be. */
function anySubject(dice: Dice, token: AccessToken): Subject | undefined {
  if (dice.once(12)) {
    const { rules } = policyHalf(cacheOf("any"));
    return { what: '"any"', allowed: "any", allows: (url) => rules.allows(url) };
  }
  const fromToken = dice.once(3);
  const entries = Array.from({ length: dice.below(6) }, () => anyEntry(dice));
  const meant = entries.map((entry) => originMeant(entry, fromToken));
  const isRefused = meant.includes(undefined) || (!fromToken && entries.length === 0);
  const what = `${fromToken ? "a function that returns " : ""}${JSON.stringify(entries.map(String))}`;
  const make = (): Subject => {
    const { rules } = policyHalf(cacheOf((fromToken ? () => entries : entries) as Origins));
    if (fromToken) rules.allows("https://api.example/", token);
    return { what, allowed: meant as string[], allows: (url) => rules.allows(url, fromToken ? token : undefined) };
  };
  if (!isRefused) return make();
  const refusal = fromToken ? expect.objectContaining({ code: "ERR_ORIGIN" }) : TypeError;
  expect(make, what).toThrow(refusal as Error);
  return undefined;
}

afterEach(() => becomePage(undefined));

describe("Q2: compared with the platform's URL parser", () => {
  test(`Q2: ${RUNS} URLs: a token goes where the parser says that the URL leads to an allowed origin, and nowhere else`, async () => {
    const dice = new Dice(SEED);
    const token = await cacheOf("any").get();
    const count = { allowed: 0, denied: 0, refusedLists: 0 };
    while (count.allowed + count.denied < RUNS) {
      becomePage(undefined);
      const subject = anySubject(dice, token);
      if (subject === undefined) {
        count.refusedLists++;
        continue;
      }
      let url = "";
      for (let time = 0; time < PER_CACHE; time++) {
        // The same URL again now and then, perhaps on a page whose base has changed.
        if (!dice.once(4)) url = anyUrl(dice);
        const page = dice.once(3) ? dice.of(PAGES) : undefined;
        becomePage(page);
        const expected = mayGo(url, subject.allowed, page);
        if (subject.allows(url) !== expected) {
          const where: string = `${JSON.stringify(url)} with ${subject.what} on ${JSON.stringify(page ?? "no page")}`;
          expect.fail(
            `seed ${SEED}: ${where} ${expected ? "gets no token and should" : "gets a token and should not"}`,
          );
        }
        count[expected ? "allowed" : "denied"]++;
      }
    }
    // Each kind comes often enough to mean something.
    expect(count.allowed).toBeGreaterThan(RUNS / 20);
    expect(count.denied).toBeGreaterThan(RUNS / 3);
    expect(count.refusedLists).toBeGreaterThan(RUNS / 500);
    if (process.env["REMINT_RUNS"] !== undefined) console.log(count);
  }, 600_000);
});
