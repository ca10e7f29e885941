import { describe, expect, test } from "vitest";
import { kindOf } from "../../src/base/options.ts";
import { endpointUrl, isLoopback } from "../../src/base/url.ts";

/** Returns the message of what a call throws, which must be a TypeError. */
function typeErrorOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(TypeError);
    return (error as Error).message;
  }
  throw new Error("the call did not throw");
}

describe("S1: URLs of endpoints that receive secrets", () => {
  test.each([
    "https://auth.example/token",
    "http://localhost:8080/token",
    "http://127.0.0.1/t",
    "http://127.9.9.9/t",
    "http://[::1]:1/t",
    "http://a.localhost/t",
  ])("S1: %s is accepted", (url) => {
    expect(endpointUrl("tokenEndpoint", url, false).href).toBe(new URL(url).href);
  });

  test.each([
    "http://auth.example/token",
    "http://10.0.0.1/t",
    "http://localhost.evil.example/t",
    "http://127.0.0.1.evil.example/",
    "http://evil.example/localhost",
  ])("S1: %s is plain http, and accepted only with allowHttp", (url) => {
    expect(typeErrorOf(() => endpointUrl("tokenEndpoint", url, false))).toMatch(
      /^"tokenEndpoint" must be an https URL/,
    );
    expect(endpointUrl("tokenEndpoint", url, true).protocol).toBe("http:");
  });

  test.each([
    "",
    "nowhere",
    "/token",
    "ftp://auth.example",
    "file:///etc/passwd",
    "https://u:s3cret@auth.example/",
    7,
    null,
    undefined,
  ])("S1: %j is refused, even with allowHttp", (url) => {
    expect(typeErrorOf(() => endpointUrl("tokenEndpoint", url, true))).toMatch(/^"tokenEndpoint" must/);
    expect(typeErrorOf(() => endpointUrl("tokenEndpoint", url, true))).not.toContain("s3cret");
  });

  test("S1: a host is loopback by its whole name, not by a part of it", () => {
    expect(["localhost", "x.localhost", "127.0.0.1", "[::1]"].every(isLoopback)).toBe(true);
    expect(["localhost.example", "127.0.0.1.example", "1127.0.0.1", "[::2]", "", "0.0.0.0"].some(isLoopback)).toBe(
      false,
    );
  });
});

describe("S5: messages describe the kind of a value, never the value", () => {
  test.each([
    [null, "null"],
    [undefined, "undefined"],
    ["", "an empty string"],
    ["s3cret", "a string"],
    [[], "an empty array"],
    [["s3cret"], "an array"],
    [{ s3cret: 1 }, "an object"],
    [1, "a number"],
    [-1, "a negative number"],
    [Number.NaN, "NaN"],
    [-Infinity, "-Infinity"],
    [true, "a boolean"],
    [() => {}, "a function"],
    [Symbol("s3cret"), "a symbol"],
    [1n, "a bigint"],
  ])("%o is described as %s", (value, kind) => {
    expect(kindOf(value)).toBe(kind);
  });
});
