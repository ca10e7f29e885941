import { afterEach, describe, expect, test } from "vitest";
import { endpointName, isRelative, leftOrigin, printableUrl, targetOf } from "../../src/base/url.ts";
import { becomePage, pageAt } from "../core/page-globals.ts";

afterEach(() => becomePage(undefined));

describe("Q3: the URL that an answer came from", () => {
  test.each<[string, string, string, boolean]>([
    ["a path, as mock adapters report it", "https://a.example/x/y", "/z", false],
    ["a relative path", "https://a.example/x/y", "z?q", false],
    ["a query", "https://a.example/x", "?q", false],
    ["a URL without a scheme", "https://a.example/x", "//b.example/x", true],
    ["a URL without a scheme, of the same host", "https://a.example/x", "//a.example/x", false],
    ["a backslash", "https://a.example/x", "\\\\b.example", true],
    ["user:password@ of the same origin", "https://a.example/x", "https://u:p@a.example/x", false],
    ["upper case and a default port", "https://a.example/x", "HTTPS://A.EXAMPLE:443/", false],
    ["no URL", "https://a.example/x", "https://", false],
    ["no URL, with a space in the host", "https://a.example/x", "https://b c/", false],
    ["a port that is none", "https://a.example/x", "https://b.example:99999/", false],
    ["data:", "https://a.example/x", "data:,x", false],
    ["about:blank", "https://a.example/x", "about:blank", false],
    ["blob: of another origin", "https://a.example/x", "blob:https://b.example/x", false],
    ["a request whose own URL is none", "https://", "https://b.example/", false],
    ["a relative request where there is no page", "/x", "/y", false],
  ])("Q3: %s: from %j to %j: it left its origin: %s", (_, from, to, elsewhere) => {
    expect(leftOrigin(from, to)).toBe(elsewhere);
  });

  test("Q3: a relative request of a page is resolved against the base of the page, its final URL against the request", () => {
    becomePage(pageAt("https://app.example/", "https://cdn.example/assets/"));
    expect([
      leftOrigin("/x", "/y"),
      leftOrigin("x", "https://cdn.example/x"),
      leftOrigin("x", "https://app.example/x"),
    ]).toEqual([false, false, true]);
  });
});

describe("S5: what is printed of URLs", () => {
  test.each([
    "data:text/plain,s3cret",
    "blob:https://api.example/s3cret",
    "javascript:s3cret",
    "mailto:s3cret@api.example",
    "s3cret:api",
    "file:///home/s3cret",
  ])("S5: %j is no http URL: nothing of it is printed", (url) => {
    expect(printableUrl(url)).toBe("[not an http URL]");
    expect(targetOf(url).origin).not.toBe("null");
  });
});

describe("Q2: whether a URL is relative and there is no page", () => {
  test("Q2: in a page no URL is", () => {
    const urls = ["/x", "x", "https://a.example/", "//a.example", "data:,x"];
    expect(urls.map((url) => isRelative(url))).toEqual([true, true, false, false, false]);
    becomePage(pageAt("https://app.example/"));
    expect(urls.filter((url) => isRelative(url))).toEqual([]);
  });
});

describe("Q2: the name of an endpoint", () => {
  test.each([
    ["https://A.example:443", "https://a.example/"],
    ["https://u:p@a.example/x?y#z", "https://a.example/x"],
    ["https://a.example/%41%7a%30%2D%2e%5F%7E%2fx", "https://a.example/Az0-._~%2Fx"],
    ["https://a.example/%25%34%31", "https://a.example/%2541"],
    ["https://a.example/%zz%4", "https://a.example/%zz%4"],
    ["https://a.example/ä b", "https://a.example/%C3%A4%20b"],
  ])("Q2: of %j it is %j", (url, name) => {
    expect(endpointName(new URL(url))).toBe(name);
    expect(endpointName(new URL(name))).toBe(name);
  });
});
