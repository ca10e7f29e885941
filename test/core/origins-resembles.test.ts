import { afterEach, describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { createTokenCache, type Origins } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { becomePage, pageAt } from "./page-globals.ts";

const rulesOf = (origins: Origins, allowHttp = false) =>
  policyHalf(createTokenCache({ grant: fakeGrant(), origins, allowHttp })).rules;
const resembling = (origins: Origins, urls: readonly string[]): string[] => {
  const rules = rulesOf(origins);
  expect(urls.filter((url) => rules.allows(url))).toEqual([]);
  return urls.filter((url) => rules.resembles(url));
};

afterEach(() => becomePage(undefined));

describe("Q16: URLs that look as if a token was meant for them", () => {
  test.each<[string, string, string]>([
    ["another port", "https://api.example", "https://api.example:8443/x"],
    ["no port", "http://api.example:3000", "http://api.example/x"],
    ["http in place of https", "https://api.example", "http://api.example/x"],
    ["localhost and 127.0.0.1", "http://localhost:3000", "http://127.0.0.1:3000/x"],
    ["127.0.0.1 and localhost at another port", "http://127.0.0.1:3000", "https://localhost:3001/x"],
    ["[::1] and localhost", "http://[::1]:3000", "http://localhost:3000/x"],
    ["a name under localhost", "http://app.localhost", "http://localhost/x"],
    ["a subdomain of what is listed", "https://example.com", "https://www.example.com/x"],
    ["the parent of what is listed", "https://api.example.com", "https://example.com/x"],
    ["a subdomain of a subdomain, at another port", "https://example.com", "https://a.b.example.com:8443/x"],
    ["a dot at the end", "https://api.example", "https://api.example./x"],
    ["a relative URL where there is no page", "https://api.example", "/x"],
    ["a relative URL without a slash", "https://api.example", "x?y"],
  ])("Q16: %s: %s is listed, %s resembles it", (_, origin, url) => {
    expect(resembling(["https://other.test", origin], [url])).toEqual([url]);
  });

  test.each<[string, string, string]>([
    ["another host", "https://api.example", "https://evil.test/x"],
    ["a sibling", "https://api.example.com", "https://www.example.com/x"],
    ["a host that ends with the same letters", "https://example.com", "https://badexample.com/x"],
    ["a host that begins with the same letters", "https://api.example", "https://api.example.evil.test/x"],
    ["user:password@", "https://api.example", "https://u:p@api.example/x"],
    ["a user", "https://api.example", "https://u@api.example:8443/x"],
    ["no URL", "https://api.example", "https://"],
    ["data:", "https://api.example", "data:,https://api.example"],
    ["file:", "http://localhost", "file:///localhost/x"],
    ["127.0.0.1 and another private address", "http://localhost", "http://10.0.0.1/x"],
  ])("Q16: %s: %s is listed, %s does not resemble it", (_, origin, url) => {
    expect(resembling([origin], [url])).toEqual([]);
  });

  test('Q16: origins: "any": http resembles https, and nothing else resembles anything', () => {
    expect(
      resembling("any", ["http://api.example/x", "/x", "ftp://api.example", "http://u:p@api.example/", "x:"]),
    ).toEqual(["http://api.example/x"]);
  });

  test('Q16: in a page "self" is listed by the page\'s host, and a relative URL is judged by where it leads', () => {
    becomePage(pageAt("https://app.example/", "https://cdn.test/"));
    expect(resembling(["self"], ["/x", "http://app.example/x", "https://api.app.example/x"])).toEqual([
      "http://app.example/x",
      "https://api.app.example/x",
    ]);
    becomePage(pageAt("https://app.example/"));
    expect(resembling(["https://api.app.example"], ["/x"])).toEqual(["/x"]);
  });

  test("Q16: origins that depend on the token: the list of the token that was asked about last counts", async () => {
    const cache = createTokenCache({ grant: fakeGrant(), origins: ({ value }) => [`https://${value}.example`] });
    const { rules } = policyHalf(cache);
    const urls = ["http://fake-1.example/", "http://fake-2.example/", "/x"];
    const judged = (): boolean[] => urls.map((url) => rules.resembles(url));
    expect(judged()).toEqual([false, false, true]);
    const first = await cache.get();
    rules.allows("https://x.example/", first);
    expect(judged()).toEqual([true, false, true]);
    await cache.invalidate(first.value);
    rules.allows("https://x.example/", await cache.get());
    expect(judged()).toEqual([false, true, true]);
  });
});
