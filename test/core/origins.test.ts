import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { leftOrigin, printableUrl, targetOf } from "../../src/base/url.ts";
import { createTokenCache } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import type { Origins, TokenCache } from "../../src/index.ts";

const cacheFor = (origins: Origins, options: { allowHttp?: boolean } = {}): TokenCache =>
  createTokenCache({ grant: fakeGrant(), origins, ...options });
const allows = (url: string, origins: Origins, options: { allowHttp?: boolean } = {}): boolean =>
  policyHalf(cacheFor(origins, options)).rules.allows(url);

describe("Q2: a list of origins", () => {
  const list = ["https://api.example", "https://eu.api.example:8443", "http://localhost:3000", "http://mesh.internal"];

  test.each([
    "https://api.example",
    "https://api.example/",
    "https://api.example/orders?x=1#y",
    "https://api.example?x",
    "https://api.example#x",
    "https://api.example:443/orders",
    "HTTPS://API.EXAMPLE/orders",
    "https://eu.api.example:8443/",
    "http://localhost:3000/x",
    "http://mesh.internal/x",
    "  https://api.example/x",
    "https:api.example/x",
    "https:\\\\api.example\\x",
  ])("Q2: %j is allowed", (url) => {
    expect(allows(url, list)).toBe(true);
  });

  test.each([
    "https://api.example.evil.example/",
    "https://api.example@evil.example/",
    "https://api.example:443@evil.example/",
    "https://api.example%2eevil.example/",
    "https://evil.example/https://api.example/",
    "https://evl.example/?https://api.example/",
    "blob:https://api.example/0b7f",
    "https://evil.example?https://api.example/",
    "https://evil.example\\@api.example/x",
    "https://api.example:8443/",
    "https://api.example:4433/",
    "https://api.examples/",
    "https://api.exampl/",
    "https://sub.api.example/",
    "http://api.example/",
    "https://mesh.internal/",
    "http://localhost:3001/",
    "http://localhost/",
    "https://user:pass@api.example/",
    "https://user@api.example/",
    "ftp://api.example/",
    "wss://api.example/",
    "//api.example/x",
    "/orders",
    "orders",
    "",
    "https://",
    "https://api.example:99999/",
    "javascript:alert(1)",
    "data:text/plain,https://api.example",
  ])("Q2: %j is not allowed", (url) => {
    expect(allows(url, list)).toBe(false);
  });

  test("Q2: a URL that was allowed does not make other URLs allowed", () => {
    const { rules } = policyHalf(cacheFor(list));
    expect(rules.allows("https://api.example/a")).toBe(true);
    expect(rules.allows("https://evil.example/a")).toBe(false);
    expect(rules.allows("https://api.example/a")).toBe(true);
    expect(rules.allows("https://api.example.evil.example/a")).toBe(false);
  });

  test("Q2: the list is copied: changing it later changes nothing", () => {
    const mine = ["https://api.example"];
    const { rules } = policyHalf(cacheFor(mine));
    mine.push("https://evil.example");
    expect(rules.allows("https://evil.example/")).toBe(false);
  });

  test("Q2: default ports, case and trailing slashes do not matter", () => {
    const written = ["HTTPS://API.example:443/", "http://[::1]:80"];
    expect(["https://api.example/x", "http://[::1]/x"].every((url) => allows(url, written))).toBe(true);
  });

  test("Q2: international host names are compared in their ASCII form", () => {
    expect(allows("https://xn--bcher-kva.example/x", ["https://bücher.example"])).toBe(true);
    expect(allows("https://BÜCHER.example/x", ["https://bücher.example"])).toBe(true);
  });
});

describe("Q3: whether a request left its origin", () => {
  test.each([
    ["https://a.example/x", "https://b.example/x", true],
    ["https://a.example/x", "https://sub.a.example/x", true],
    ["https://a.example/x", "http://a.example/x", true],
    ["https://a.example/x", "https://a.example:8443/x", true],
    ["https://a.example/x", "https://a.example/y", false],
    ["https://a.example/x", "https://a.example:443/", false],
    ["https://a.example/x", undefined, false],
    ["https://a.example/x", "", false],
    ["/x", "http://localhost:3000/x", false],
  ])("Q3: from %j to %j: it left its origin: %s", (from, to, elsewhere) => {
    expect(leftOrigin(from, to)).toBe(elsewhere);
  });
});

describe("C8, S5: request targets and printable URLs", () => {
  test("C8: a request target is the origin and the path, without the query", () => {
    expect(targetOf("https://api.example/a/b?secret=1#x")).toEqual({ origin: "https://api.example", path: "/a/b" });
    expect(targetOf("https://api.example")).toEqual({ origin: "https://api.example", path: "/" });
    expect(targetOf("/a?x")).toEqual({ origin: "self", path: "/a" });
  });

  test("S5: a printable URL has no query, no fragment and no credentials", () => {
    expect(printableUrl("https://u:s3cret@api.example/a?code=s3cret#s3cret")).toBe("https://api.example/a");
    expect(printableUrl("/a?code=s3cret")).toBe("/a");
  });

  test.each(["https://?code=s3cret", "https://u:s3cret@", "http://[s3cret?x=s3cret"])(
    "S5: an invalid URL is not printed in full: %j",
    (url) => {
      expect(printableUrl(url)).not.toContain("s3cret");
    },
  );
});
