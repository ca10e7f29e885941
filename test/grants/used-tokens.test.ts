/** The refresh tokens that a process remembers as used up. */
import { expect, test } from "vitest";
import { UsedTokens } from "../../src/grants/used-tokens.ts";

test("after 1,002 tokens: the last 1,000 are known, and the first, with which every cache of the grant starts", () => {
  const used = new UsedTokens();
  expect(used.has("rt-0")).toBe(false);
  for (let i = 0; i <= 1001; i++) used.add(`rt-${i}`);
  expect(["rt-0", "rt-1", "rt-2", "rt-1001", "rt-1002"].map((token) => used.has(token))).toEqual([
    true,
    false,
    true,
    true,
    false,
  ]);
});
