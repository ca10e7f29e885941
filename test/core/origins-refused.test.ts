import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { clientCredentialsGrant, createTokenCache, RemintError, type Origins } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";

const cacheFor = (origins: unknown) => createTokenCache({ grant: fakeGrant(), origins: origins as Origins });
const allows = (url: string, origins: unknown): boolean => policyHalf(cacheFor(origins)).rules.allows(url);

/** Returns the message of the TypeError for a list. */
function refusal(origins: unknown): string {
  try {
    cacheFor(origins);
  } catch (error) {
    expect(error).toBeInstanceOf(TypeError);
    return (error as TypeError).message;
  }
  throw new Error("the list was accepted");
}

/** Returns the error for a function of the token that returns this. */
async function refusalOfFunction(returned: () => unknown): Promise<RemintError> {
  const cache = cacheFor(returned);
  const token = await cache.get();
  try {
    policyHalf(cache).rules.allows("https://api.example/", token);
  } catch (error) {
    expect(error).toBeInstanceOf(RemintError);
    expect(error).toMatchObject({
      code: "ERR_ORIGIN",
      message: 'the function given as "origins" did not return a list of absolute URLs',
    });
    return error as RemintError;
  }
  throw new Error("the list was accepted");
}

const PATTERN = /a host that no server can have as .*: wildcards and patterns do not work, list every host$/;

/** Entries that are no origin, and what is said of them. */
const WRONG: [string, unknown, RegExp][] = [
  ["https://*", "https://*", PATTERN],
  ["http://*", "http://*", PATTERN],
  ["https://*.example.com", "https://*.example.com", PATTERN],
  ["https://%2a.example, an escaped wildcard", "https://%2a.example", PATTERN],
  ["https://a+b.example", "https://a+b.example", PATTERN],
  ["https://a(b.example", "https://a(b.example", PATTERN],
  ["https://a$.example", "https://a$.example", PATTERN],
  ["https://.example.com, a leading dot", "https://.example.com", PATTERN],
  ["https://a..example, an empty label", "https://a..example", PATTERN],
  ["https://a.example,https://b.example, two in one text", "https://a.example,https://b.example", PATTERN],
  ["*", "*", /no http\(s\) URL as .*: wildcards and patterns do not work/],
  ["*.example.com", "*.example.com", /no http\(s\) URL as .*: wildcards and patterns do not work/],
  [
    "https://a.example:*",
    "https://a.example:*",
    /a string that is no http\(s\) URL as .*: wildcards and patterns do not work/,
  ],
  ["a RegExp", /^https:\/\/.*/, /got a RegExp as .*: wildcards and patterns do not work/],
  [
    "https://[fe80::1%25eth0], a zone id",
    "https://[fe80::1%25eth0]",
    /got a string that is no http\(s\) URL as origins\[1\]$/,
  ],
  ["https://a b", "https://a b", /got a string that is no http\(s\) URL as origins\[1\]$/],
  ["https://a.example:99999", "https://a.example:99999", /got a string that is no http\(s\) URL as origins\[1\]$/],
  ["https://", "https://", /got a string that is no http\(s\) URL as origins\[1\]$/],
  ["api.example, without a scheme", "api.example", /got a string that is no http\(s\) URL as origins\[1\]$/],
  ["localhost:3000, without a scheme", "localhost:3000", /got a string that is no http\(s\) URL as origins\[1\]$/],
  ["//api.example", "//api.example", /got a string that is no http\(s\) URL as origins\[1\]$/],
  ["any, in a list", "any", /got a string that is no http\(s\) URL as origins\[1\]$/],
  ["file:///x", "file:///x", /got a string that is no http\(s\) URL as origins\[1\]$/],
  ["data:text/plain,x", "data:text/plain,x", /got a string that is no http\(s\) URL as origins\[1\]$/],
  [
    "blob:https://api.example/x",
    "blob:https://api.example/x",
    /got a string that is no http\(s\) URL as origins\[1\]$/,
  ],
  ["javascript:alert(1)", "javascript:alert(1)", /got a string that is no http\(s\) URL as origins\[1\]$/],
  ["ftp://api.example", "ftp://api.example", /got a string that is no http\(s\) URL as origins\[1\]$/],
  ["wss://api.example", "wss://api.example", /got a string that is no http\(s\) URL as origins\[1\]$/],
  [
    "https://user:s3cret@api.example",
    "https://user:s3cret@api.example",
    /origins\[1\] has some: write "https:\/\/api\.example"$/,
  ],
  [
    "https://s3cret@api.example",
    "https://s3cret@api.example",
    /origins\[1\] has some: write "https:\/\/api\.example"$/,
  ],
  ["null", null, /got null as origins\[1\]$/],
  ["a number", 7, /got a number as origins\[1\]$/],
  ["an object", { host: "api.example" }, /got an object as origins\[1\]$/],
  ["an object whose href is no text", { href: 7 }, /got a number as origins\[1\]$/],
  ["a list", ["https://api.example"], /got an array as origins\[1\]$/],
  ["undefined", undefined, /got undefined as .*: /],
  ["an empty string", "", /got an empty string as .*: /],
  ["https://undefined", "https://undefined", /got the host "undefined" as .*: /],
  ["https://null:8443", "https://null:8443", /got the host "null" as .*: /],
];

describe("Q2: entries that are no origin", () => {
  test.each(WRONG)("Q2: %s in a list is a TypeError that names the entry and not its value", (_, entry, what) => {
    const message = refusal(["https://api.example", entry]);
    expect(message).toMatch(/^"origins" must list .*origins\[1\]/);
    expect(message).toMatch(what);
    expect(message).not.toContain("s3cret");
  });

  test.each(WRONG)("Q2, S5: %s from a function of the token is ERR_ORIGIN, with a hint", async (_, entry, what) => {
    const error = await refusalOfFunction(() => ["https://api.example", entry]);
    expect(error.hint).toMatch(/^"origins" must list .*origins\[1\]/);
    expect(error.hint).toMatch(what);
    expect(String(error.stack)).not.toMatch(/s3cret|fake-1/);
  });

  test.each(["undefined", "an empty string", "https://undefined", "https://null:8443"])(
    "Q2: %s in a list: the message says that an environment variable may be unset; from a function it says something else",
    async (name) => {
      const [, entry] = WRONG.find(([each]) => each === name)!;
      expect(refusal([entry])).toContain("an environment variable (process.env) may be unset");
      const { hint } = await refusalOfFunction(() => [entry]);
      expect(hint).not.toContain("process.env");
      expect(hint).toContain("the token response may not have what the function reads");
    },
  );

  test("Q2: a gap in a list is an entry that is undefined", () => {
    // oxlint-disable-next-line no-sparse-arrays -- the case
    expect(refusal(["https://api.example", , "https://b.example"])).toContain("origins[1]");
  });

  test.each([
    ["https://api.example/v1", "https://api.example"],
    ["https://api.example/v1/", "https://api.example"],
    ["https://api.example?x=1", "https://api.example"],
    ["https://API.example:443/#x", "https://api.example"],
    ["https://api.example\\v1", "https://api.example"],
    [new URL("http://localhost:3000/api"), "http://localhost:3000"],
  ])('Q2: %s in a list has a path or a query: a TypeError that says to write "%s"', (entry, origin) => {
    expect(refusal([entry])).toBe(
      `"origins" must list origins without path, query or credentials, origins[0] has some: write "${origin}"`,
    );
  });

  test.each([
    ["nothing", undefined, /got undefined/],
    ["a single string", "https://api.example", /got a string/],
    ["an empty list", [], /got an empty array/],
    ["a set", new Set(["https://api.example"]), /got a Set/],
    ["a URL", new URL("https://api.example"), /got a URL/],
  ])("Q2: %s in place of a list is a TypeError that shows a list", (_, origins, got) => {
    expect(refusal(origins)).toMatch(/^"origins" must list the origins .* such as \["https:\/\/api\.example"\]/);
    expect(refusal(origins)).toMatch(got);
  });

  test.each<[string, () => unknown, RegExp]>([
    ["a promise", async () => ["https://api.example"], /^it returned a promise that was not awaited$/],
    [
      "a promise that rejects",
      () => Promise.reject(new Error("s3cret")),
      /^it returned a promise that was not awaited$/,
    ],
    ["nothing", () => undefined, /^it returned undefined$/],
    ["a single string", () => "https://api.example", /^it returned a string$/],
    ["the string any", () => "any", /^it returned a string$/],
  ])("Q2: a function of the token that returns %s is ERR_ORIGIN, with a hint", async (_, returned, hint) => {
    expect((await refusalOfFunction(returned)).hint).toMatch(hint);
  });

  test("Q2: a function of the token that throws, also an error of this package: ERR_ORIGIN, without what it threw", async () => {
    for (const thrown of [new Error("s3cret"), new RemintError("ERR_SESSION", "s3cret"), "s3cret"]) {
      const error = await refusalOfFunction(() => {
        throw thrown;
      });
      expect(error.hint).toBe("it threw an error, or returned a list that cannot be read");
      expect([String(error.stack).includes("s3cret"), error.cause]).toEqual([false, undefined]);
    }
  });

  test("Q2: a function of the token that returns an empty list allows nothing", async () => {
    const cache = cacheFor(() => []);
    expect(policyHalf(cache).rules.allows("https://api.example/", await cache.get())).toBe(false);
  });
});

describe("Q2: entries that are an origin", () => {
  test.each<[unknown, string]>([
    [new URL("https://api.example"), "https://api.example"],
    [new URL("http://[::1]:3000/"), "http://[::1]:3000"],
    [{ href: "https://api.example/" }, "https://api.example"],
    ["https://BÜCHER.example", "https://xn--bcher-kva.example"],
    ["https://my_service", "https://my_service"],
    ["https://127.1:8443", "https://127.0.0.1:8443"],
    ["https://%61pi.example", "https://api.example"],
    [" https://api.example\n", "https://api.example"],
    ["https:api.example", "https://api.example"],
    ["https://api.example.", "https://api.example."],
    ["https://undefined.example", "https://undefined.example"],
  ])("Q2: %j in a list allows %j", (entry, origin) => {
    expect([allows(`${origin}/x`, [entry]), allows("https://evil.example/", [entry])]).toEqual([true, false]);
  });

  test("Q2: a host with a dot at its end is another host than the one without", () => {
    expect(allows("https://api.example/", ["https://api.example."])).toBe(false);
    expect(allows("https://api.example./", ["https://api.example"])).toBe(false);
  });

  test("Q2: a URL of a service with a path, from a function of the token, allows the origin of the service", async () => {
    const cache = cacheFor(() => [new URL("https://eu1.example/services?x#y"), "http://eu2.example/v1"]);
    const token = await cache.get();
    const { rules } = policyHalf(cache);
    expect(["https://eu1.example/", "http://eu2.example/x"].map((url) => rules.allows(url, token))).toEqual([
      true,
      true,
    ]);
  });
});

describe("Q2: a list is taken when it is given", () => {
  test("Q2: a URL object in a list that is changed later changes nothing", () => {
    const url = new URL("https://api.example");
    const { rules } = policyHalf(cacheFor([url]));
    url.host = "evil.example";
    expect([rules.allows("https://evil.example/"), rules.allows("https://api.example/")]).toEqual([false, true]);
  });

  test("Q2: the list of a grant is taken when the grant is made, not when the cache is", () => {
    const url = new URL("https://api.example");
    const origins: (string | URL)[] = [url];
    const grants = [
      fakeGrant({ origins }),
      clientCredentialsGrant({
        tokenEndpoint: "https://auth.example/token",
        clientId: "a",
        clientSecret: "b",
        origins,
      }),
    ];
    url.host = "evil.example";
    origins.push("https://other.example");
    for (const grant of grants) {
      const { rules } = policyHalf(createTokenCache({ grant }));
      const urls = ["https://api.example/", "https://evil.example/", "https://other.example/"];
      expect(urls.map((each) => rules.allows(each))).toEqual([true, false, false]);
    }
  });

  test("Q2: the list that a function of the token returned may be changed later", async () => {
    const list = ["https://api.example"];
    const cache = cacheFor(() => list);
    const { rules } = policyHalf(cache);
    const token = await cache.get();
    expect(rules.allows("https://api.example/", token)).toBe(true);
    list[0] = "https://evil.example";
    expect(rules.allows("https://evil.example/", token)).toBe(false);
  });
});
