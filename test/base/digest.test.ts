import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { digest } from "../../src/base/digest.ts";

const reference = (text: string): string => createHash("sha256").update(text, "utf8").digest("hex");

test("digest is the SHA-256 of the UTF-8 bytes: the examples of FIPS 180", () => {
  expect(digest("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  expect(digest("")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
});

test("digest equals node:crypto's for texts of every length from 0 to 199", () => {
  const texts = Array.from({ length: 200 }, (_, length) => "é".repeat(length % 3) + "x".repeat(length));
  expect(texts.map(digest)).toEqual(texts.map(reference));
});

test("digest equals node:crypto's for any text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 300 }), (text) => digest(text) === reference(text)),
    { numRuns: 200 },
  );
});
