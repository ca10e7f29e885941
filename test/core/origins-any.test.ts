import { describe, expect, test, vi } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { createTokenCache, type Origins, type TokenCache } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";

const cacheFor = (origins: Origins, options: { allowHttp?: boolean } = {}): TokenCache =>
  createTokenCache({ grant: fakeGrant(), origins, ...options });
const allows = (url: string, origins: Origins, options: { allowHttp?: boolean } = {}): boolean =>
  policyHalf(cacheFor(origins, options)).rules.allows(url);

describe('Q2: origins: "any"', () => {
  test.each([
    "https://a.example",
    "https://a.example/x",
    "https://A.example:8443/x?y",
    "https://[::1]/",
    "https://bücher.example/",
  ])("Q2: %j is allowed", (url) => {
    expect(allows(url, "any")).toBe(true);
  });

  test.each([
    "http://a.example/",
    "https://u:p@a.example/",
    "https://u@a.example/",
    "/x",
    "x",
    "",
    "https://",
    "https://xn--.example/",
    "https://a.xn--/",
    "https://1.2.3.4.5/",
    "https://a.example:99999/",
    "https://a..b:x/",
    "ftp://a.example/",
    "file:///etc/passwd",
  ])("Q2: %j is not allowed", (url) => {
    expect(allows(url, "any")).toBe(false);
  });

  test("Q2: allowHttp adds http, but neither URLs with credentials nor relative URLs", () => {
    const options = { allowHttp: true };
    expect(allows("http://a.example/", "any", options)).toBe(true);
    expect(["http://u:p@a.example/", "/x", "ftp://a.example/"].some((url) => allows(url, "any", options))).toBe(false);
  });
});

describe("Q2: origins that depend on the token", () => {
  test("Q2: a function of the token judges URLs once there is a token; before that every URL may pass", async () => {
    const cache = createTokenCache({
      grant: fakeGrant({ response: { instance_url: "https://eu1.example/services" } }),
      origins: (token) => [String(token.response["instance_url"])],
    });
    const token = await cache.get();
    expect(policyHalf(cache).rules.originsFromToken).toBe(true);
    expect(policyHalf(cache).rules.allows("https://evil.example/")).toBe(true);
    expect(policyHalf(cache).rules.allows("https://eu1.example/x", token)).toBe(true);
    expect(policyHalf(cache).rules.allows("https://eu2.example/x", token)).toBe(false);
  });

  test("Q2: the function is called once per token", async () => {
    let asked = 0;
    const cache = createTokenCache({ grant: fakeGrant(), origins: () => (asked++, ["https://api.example"]) });
    const token = await cache.get();
    for (let time = 0; time < 5; time++) policyHalf(cache).rules.allows("https://api.example/", token);
    await cache.invalidate(token.value);
    policyHalf(cache).rules.allows("https://api.example/", await cache.get());
    expect(asked).toBe(2);
  });

  test.each([
    [
      "throws",
      () => {
        throw new Error("s3cret");
      },
    ],
    ["returns nothing", () => undefined as never],
    ["returns a text that is no URL", () => ["nowhere"]],
    ["returns a string", () => "https://api.example" as never],
  ])("Q2: a function that %s leads to ERR_ORIGIN, without its own message", async (_, origins) => {
    const cache = createTokenCache({ grant: fakeGrant(), origins });
    const token = await cache.get();
    const judge = (): boolean => policyHalf(cache).rules.allows("https://api.example/", token);
    expect(judge).toThrow(
      expect.objectContaining({ code: "ERR_ORIGIN", message: expect.not.stringContaining("s3cret") }),
    );
  });
});

describe("Q2: origins of the grant and of the cache", () => {
  test("Q2: the grant's origins count unless the cache has its own", () => {
    const grant = fakeGrant({ origins: ["https://grant.example"] });
    expect(policyHalf(createTokenCache({ grant })).rules.allows("https://grant.example/")).toBe(true);
    const own = createTokenCache({ grant, origins: ["https://own.example"] });
    expect([
      policyHalf(own).rules.allows("https://own.example/"),
      policyHalf(own).rules.allows("https://grant.example/"),
    ]).toEqual([true, false]);
  });
});

describe("Q2: relative URLs", () => {
  test('Q2: outside browsers a relative URL is not allowed unless "self" is on the list', () => {
    expect(["/api/x", "api", "?q"].some((url) => allows(url, ["https://api.example"]))).toBe(false);
    expect(["/api/x", "api", "?q"].every((url) => allows(url, ["self"]))).toBe(true);
  });

  test('Q2: "self" does not allow URLs that only look relative, nor a host named self', () => {
    const tricks = [
      "//evil.example/x",
      "\\\\evil.example/x",
      "/\\evil.example",
      "https://evil.example/",
      "http://self/",
      "https://self/",
    ];
    expect(tricks.filter((url) => allows(url, ["self"]))).toEqual([]);
  });

  test("Q2: in browsers a relative URL belongs to the page's origin, which has to be on the list", () => {
    vi.stubGlobal("location", { href: "https://app.example/shop/cart" });
    expect(allows("/api/x", ["https://app.example"])).toBe(true);
    expect(allows("../x", ["https://app.example"])).toBe(true);
    expect(allows("/api/x", ["https://api.example"])).toBe(false);
    expect(allows("//api.example/x", ["https://api.example"])).toBe(true);
    expect(allows("//evil.example/x", ["https://app.example", "self"])).toBe(false);
  });

  test.each([{}, { href: "about:blank" }, { href: "file:///index.html" }, { href: 7 }])(
    "Q2: a location of %j is no page: relative URLs are judged as outside browsers",
    (location) => {
      vi.stubGlobal("location", location);
      expect(allows("/api/x", ["self"])).toBe(true);
      expect(allows("/api/x", ["https://app.example"])).toBe(false);
    },
  );

  test('Q2: outside browsers "self" allows what leads to the server itself whatever its address is, and nothing else', () => {
    const relative = ["/a", "a/b", "./a", "?a", "#a", "", "/ä", "/a\\b", " /a", "/.//a", "/\ta"];
    expect(relative.filter((url) => !allows(url, ["self"]))).toEqual([]);
    const absolute = [
      "ftp:/a",
      "ftp:a",
      "ftp://self.invalid/a",
      "//self.invalid/a",
      "https:a",
      "http:/a",
      "/\t/evil.example",
      "\t//evil.example",
      "data:,a",
      "blob:https://a.example/b",
      "javascript:a",
      "file:a",
    ];
    expect(absolute.filter((url) => allows(url, ["self"]))).toEqual([]);
  });
});
