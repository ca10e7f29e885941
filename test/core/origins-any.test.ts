import { policyHalf } from "../../src/core/types.ts";
import { describe, expect, test, vi } from "vitest";
import { createTokenCache, type Origins, type TokenCache } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";

const cacheFor = (origins: Origins, options: { allowHttp?: boolean } = {}): TokenCache =>
  createTokenCache({ grant: fakeGrant(), origins, ...options });
const allows = (url: string, origins: Origins, options: { allowHttp?: boolean } = {}): boolean =>
  policyHalf(cacheFor(origins, options)).rules.allows(url);

describe("Q2: any", () => {
  test.each([
    "https://a.example",
    "https://a.example/x",
    "https://A.example:8443/x?y",
    "https://[::1]/",
    "https://bücher.example/",
  ])("Q2: %j is an https origin", (url) => {
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
    "ftp://a.example/",
    "file:///etc/passwd",
  ])("Q2: %j is none", (url) => {
    expect(allows(url, "any")).toBe(false);
  });

  test("Q2: with allowHttp http is meant too, credentials and relative URLs are not", () => {
    const options = { allowHttp: true };
    expect(allows("http://a.example/", "any", options)).toBe(true);
    expect(["http://u:p@a.example/", "/x", "ftp://a.example/"].some((url) => allows(url, "any", options))).toBe(false);
  });
});

describe("Q2: origins that depend on the token", () => {
  test("Q2: judged with the token, after it is there; without it everything may be", async () => {
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

  test("Q2: the function is asked once per token", async () => {
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
    ["returns what is no URL", () => ["nowhere"]],
    ["returns a string", () => "https://api.example" as never],
  ])("Q2: a function that %s is ERR_ORIGIN, without what it said", async (_, origins) => {
    const cache = createTokenCache({ grant: fakeGrant(), origins });
    const token = await cache.get();
    const judge = (): boolean => policyHalf(cache).rules.allows("https://api.example/", token);
    expect(judge).toThrow(
      expect.objectContaining({ code: "ERR_ORIGIN", message: expect.not.stringContaining("s3cret") }),
    );
  });
});

describe("Q2: whose origins", () => {
  test("Q2: the grant's, if it brings them; the cache's own come instead", () => {
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
  test("Q2: outside browsers they are bare, unless self is on the list", () => {
    expect(["/api/x", "api", "?q"].some((url) => allows(url, ["https://api.example"]))).toBe(false);
    expect(["/api/x", "api", "?q"].every((url) => allows(url, ["self"]))).toBe(true);
  });

  test("Q2: self is no host: what looks relative and is not is not allowed", () => {
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

  test("Q2: in browsers they go to the page's origin, and that has to be on the list", () => {
    vi.stubGlobal("location", { href: "https://app.example/shop/cart" });
    expect(allows("/api/x", ["https://app.example"])).toBe(true);
    expect(allows("../x", ["https://app.example"])).toBe(true);
    expect(allows("/api/x", ["https://api.example"])).toBe(false);
    expect(allows("//api.example/x", ["https://api.example"])).toBe(true);
    expect(allows("//evil.example/x", ["https://app.example", "self"])).toBe(false);
  });

  test.each([{}, { href: "about:blank" }, { href: "file:///index.html" }, { href: 7 }])(
    "Q2: a location of %j is no page",
    (location) => {
      vi.stubGlobal("location", location);
      expect(allows("/api/x", ["self"])).toBe(true);
      expect(allows("/api/x", ["https://app.example"])).toBe(false);
    },
  );
});
