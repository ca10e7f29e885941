/**
 * What `npm pack` puts into the package, beside the build: pages that lead on, and examples that run from node_modules. That
 * they do is tested in test/dist.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path/posix";
import { expect, test } from "vitest";
import { GUIDES, linksIn, OTHER_PAGES, ROOT } from "./markdown.ts";

/** What is in the repository and not in the package: what the pages say of it is for readers of the repository. */
const REPOSITORY_ONLY = [
  "CONTRIBUTING.md",
  "examples/apps",
  "examples/bff",
  "examples/demo",
  "examples/recipes",
  "examples/spa",
  "src",
  "test",
];

const files = packedFiles();

test("the package holds the README, the licence and every page of the guide, and the picture, and no generated page", () => {
  const pages = files.filter((file) => !/^(dist|examples)\//.test(file)).toSorted();
  const guide = [...GUIDES, ...OTHER_PAGES];
  const beside = ["CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", "docs/two-lanes.svg", "package.json"];
  expect(pages).toEqual([...beside, ...guide].toSorted());
});

test("the package holds the examples of one file and the small folders, without packages, tests and build output", () => {
  const examples = files.filter((file) => file.startsWith("examples/")).map((file) => file.slice("examples/".length));
  const single = readdirSync(join(ROOT, "examples")).filter((file) => /\.m?[jt]s$/.test(file));
  expect(examples.filter((file) => !file.includes("/")).toSorted()).toEqual(single.toSorted());
  const folders = new Set(examples.filter((file) => file.includes("/")).map((file) => file.split("/")[0]));
  expect(folders).toEqual(new Set(["fleet", "proxy"]));
  expect(examples.filter((file) => /(^|\/)(node_modules|test|dist|\.\w+)\/|\.test\.|package-lock/.test(file))).toEqual(
    [],
  );
});

test.each(["README.md", ...GUIDES, "docs/recipes.md"])(
  "%s: its links lead to files of the package, or of the repository only",
  (page) => {
    const missing = linksIn(readFileSync(join(ROOT, page), "utf8")).filter((link) => {
      if (/^([a-z][a-z\d+.-]*:|#)/i.test(link)) return false;
      const target = join(dirname(page), link.split("#")[0]!).replace(/\/$/, "");
      if (REPOSITORY_ONLY.some((place) => target === place || target.startsWith(`${place}/`))) return false;
      return !files.some((file) => file === target || file.startsWith(`${target}/`));
    });
    expect(missing).toEqual([]);
  },
);

/** The files that `npm pack` takes. No script runs, so the build may be missing. */
function packedFiles(): string[] {
  const args = ["pack", "--dry-run", "--json", "--ignore-scripts", "--loglevel=error"];
  const [packed] = JSON.parse(execFileSync("npm", args, { cwd: ROOT, encoding: "utf8" })) as [{ files: Packed[] }];
  return packed.files.map(({ path }) => path);
}

interface Packed {
  readonly path: string;
}
