import { describe, expect, test } from "vitest";
import { isNonce, nonceMap } from "../../src/dpop/dpop-key.ts";

describe("nonceMap", () => {
  test("T24: of each origin the last one", () => {
    const nonces = nonceMap();
    nonces.set("https://a.example", "1");
    nonces.set("https://b.example", "2");
    nonces.set("https://a.example", "3");
    expect(["a", "b", "c"].map((name) => nonces.use(`https://${name}.example`))).toEqual(["3", "2", undefined]);
  });

  test("256 origins are kept; the least recently used goes", () => {
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
  test.each(cases)("section 8.1: %j: %j", (value, expected) => {
    expect(isNonce(value)).toBe(expected);
  });
});
