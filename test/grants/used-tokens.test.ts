import { expect, test } from "vitest";
import { UsedTokens } from "../../src/grants/used-tokens.ts";

test("knows the last 1,000 again, and the first, with which every cache of the grant begins", () => {
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
