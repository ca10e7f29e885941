/** The nonces of DPoP proofs: one per origin, bounded, and which values are nonces. */
import { describe, expect, test } from "vitest";
import { isNonce, nonceMap } from "../../src/dpop/dpop-key.ts";

describe("nonceMap", () => {
  test("two nonces of one origin: the last one is used (RFC 9449 section 8.2)", () => {
    const nonces = nonceMap();
    nonces.set("https://a.example", "1");
    nonces.set("https://b.example", "2");
    nonces.set("https://a.example", "3");
    expect(["a", "b", "c"].map((name) => nonces.use(`https://${name}.example`))).toEqual(["3", "2", undefined]);
  });

  test("257 origins: the least recently used one is dropped", () => {
    const nonces = nonceMap();
    for (let i = 0; i < 256; i++) nonces.set(`https://${i}.example`, String(i));
    expect(nonces.use("https://0.example")).toBe("0");
    nonces.set("https://one-more.example", "x");
    expect(nonces.use("https://1.example")).toBeUndefined();
    expect([nonces.use("https://0.example"), nonces.use("https://2.example")]).toEqual(["0", "2"]);
  });
});

describe("isNonce", () => {
  const cases: [value: string | null, expected: boolean][] = [
    ["eyJ7S_zG.eyJH0-Z.HX4w-7v", true],
    ["!#[]~", true],
    ["", false],
    [null, false],
    ["one, two", false],
    ['a"b', false],
    ["a\\b", false],
    ["gr\u{fc}n", false],
    ["x".repeat(4096), true],
    ["x".repeat(4097), false],
  ];
  test.each(cases)("%j: %j (RFC 9449 section 8.1)", (value, expected) => {
    expect(isNonce(value)).toBe(expected);
  });
});
