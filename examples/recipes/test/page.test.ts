/** The page of the recipes shows the code that the other tests run. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { codeBlocks, linksIn, ROOT } from "../../../test/house/markdown.ts";

const PAGE = "docs/recipes.md";
const text = readFileSync(join(ROOT, PAGE), "utf8");
const recipes = readdirSync(join(ROOT, "examples/recipes")).filter((file) => file.endsWith(".ts"));
const linked = linksIn(text).flatMap((link) => /^\.\.\/examples\/recipes\/(.+\.ts)$/.exec(link)?.[1] ?? []);

test("every recipe has a link", () => {
  expect(linked).toEqual(expect.arrayContaining(recipes.filter((file) => file !== "vitest.config.ts")));
});

test.each(codeBlocks(PAGE))("line $line: the code is that of a recipe", ({ code }) => {
  const files = linked.map((file) => readFileSync(join(ROOT, "examples/recipes", file), "utf8"));
  expect(files.some((file) => file.includes(code))).toBe(true);
});
