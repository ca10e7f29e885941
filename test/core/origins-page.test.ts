import { afterEach, describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { createTokenCache, type Origins } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { becomePage, pageAt } from "./page-globals.ts";

const allowed = (origins: Origins): ((url: string) => boolean) => {
  const { rules } = policyHalf(createTokenCache({ grant: fakeGrant(), origins }));
  return (url) => rules.allows(url);
};

afterEach(() => becomePage(undefined));

describe('Q2: "self" in a page', () => {
  test('Q2: "self" is the origin of the page: its relative and its absolute URLs are allowed, those of others are not', () => {
    becomePage(pageAt("https://app.example/shop/cart"));
    const allows = allowed(["self"]);
    expect(
      ["/api/x", "x", "?q", "https://app.example/api", "//app.example/x", "HTTPS://APP.example"].map(allows),
    ).toEqual(Array(6).fill(true));
    expect(
      [
        "https://api.example/x",
        "//evil.example/x",
        "/\\evil.example",
        "http://app.example/x",
        "https://app.example:8443/",
      ].filter(allows),
    ).toEqual([]);
  });

  test('Q2: "self" beside a listed origin: both are allowed', () => {
    becomePage(pageAt("https://app.example/"));
    expect(["/x", "https://api.example/x"].map(allowed(["self", "https://api.example"]))).toEqual([true, true]);
  });

  test('Q2: "self" is not allowed by the text "self": a host of that name gets no token', () => {
    becomePage(pageAt("https://app.example/"));
    expect(["https://self/", "http://self/x"].filter(allowed(["self"]))).toEqual([]);
  });

  test('Q2: "self" in a worker is the origin of its script', () => {
    becomePage({ href: "https://app.example/worker.js", origin: "https://app.example" });
    expect(["/x", "https://app.example/x", "https://evil.example/x"].map(allowed(["self"]))).toEqual([
      true,
      true,
      false,
    ]);
  });

  test('Q2: "self" in a worker made from a blob is the origin of the page; a relative URL leads nowhere', () => {
    becomePage({ href: "blob:https://app.example/0b7f", origin: "https://app.example" });
    expect(["https://app.example/x", "/x"].map(allowed(["self"]))).toEqual([true, false]);
    expect(allowed(["https://app.example"])("/x")).toBe(false);
  });

  test.each([
    ["a sandboxed page", { ...pageAt("https://app.example/"), ownOrigin: "null" }],
    ["about:srcdoc, with the base of the page around it", { ...pageAt("about:srcdoc", "https://app.example/") }],
    ["about:blank", { ...pageAt("about:blank") }],
    [
      "a file",
      { href: "file:///app/index.html", origin: "file://", baseURI: "file:///app/index.html", ownOrigin: "null" },
    ],
    ["a data: URL", { ...pageAt("data:text/html,x") }],
  ])('Q2: "self" on %s matches nothing', (_, page) => {
    becomePage(page);
    const urls = [
      "/x",
      "x",
      "https://app.example/x",
      "file:///app/x",
      "null",
      "null/x",
      "data:text/html,x",
      "about:blank",
    ];
    expect(urls.filter(allowed(["self"]))).toEqual([]);
  });

  test("Q2: a relative URL of a page in about:srcdoc belongs to the base of the page around it, which has to be listed", () => {
    becomePage(pageAt("about:srcdoc", "https://app.example/shop/"));
    expect(allowed(["https://app.example"])("/x")).toBe(true);
  });

  test('Q2: "self" in an app with a scheme of its own allows its relative URLs, and no absolute ones', () => {
    becomePage({ href: "capacitor://localhost/", origin: "capacitor://localhost", baseURI: "capacitor://localhost/" });
    expect(
      ["/api/x", "capacitor://localhost/x", "//evil.example/x", "https://localhost/"].map(allowed(["self"])),
    ).toEqual([true, false, false, false]);
  });
});

describe("Q2: relative URLs in a page", () => {
  const relative = ["/x", "x", "?q", "", "#a", "../x"];

  test("Q2: <base href> of another origin: a relative URL belongs to that origin, not to the page's", () => {
    becomePage(pageAt("https://app.example/shop/", "https://cdn.example/assets/"));
    expect(relative.filter(allowed(["self"]))).toEqual([]);
    expect(relative.filter(allowed(["https://app.example"]))).toEqual([]);
    expect(relative.filter(allowed(["https://cdn.example"]))).toEqual(relative);
    expect(allowed(["self"])("https://app.example/x")).toBe(true);
  });

  test("Q2: <base href> that comes after an allowed request: the same relative URL is not allowed any more", () => {
    becomePage(pageAt("https://app.example/"));
    const [own, listed] = [allowed(["self"]), allowed(["https://app.example"])];
    expect([own("/x"), listed("/x")]).toEqual([true, true]);
    becomePage(pageAt("https://app.example/", "https://evil.example/"));
    expect([own("/x"), listed("/x")]).toEqual([false, false]);
  });

  test.each([["an element"], ["an element that can be called"]])(
    "Q2: document.baseURI is hidden by %s of that name: no relative URL is allowed, absolute ones are",
    (kind) => {
      const element: unknown = kind.endsWith("called") ? () => {} : { tagName: "IMG" };
      becomePage(pageAt("https://app.example/", element));
      const allows = allowed(["self", "https://api.example"]);
      expect(relative.filter(allows)).toEqual([]);
      expect(["https://app.example/x", "https://api.example/x", "HTTPS://api.example"].map(allows)).toEqual([
        true,
        true,
        true,
      ]);
    },
  );

  test('Q2: "https:x" is relative on an https page and absolute elsewhere', () => {
    becomePage(pageAt("https://app.example/a/"));
    expect([allowed(["https://app.example"])("https:x"), allowed(["https://x"])("https:x")]).toEqual([true, false]);
    becomePage(undefined);
    expect([allowed(["self"])("https:x"), allowed(["https://x"])("https:x")]).toEqual([false, true]);
  });

  test('Q2: origins: "any" allows a relative URL on an https page, and with a base of http it does not', () => {
    becomePage(pageAt("https://app.example/"));
    expect(allowed("any")("/x")).toBe(true);
    becomePage(pageAt("https://app.example/", "http://cdn.example/"));
    expect(allowed("any")("/x")).toBe(false);
  });
});
