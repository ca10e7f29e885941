/**
 * docs/testing.md: its code runs as it stands, in vitest, in Jest with ES modules and with CommonJS, in node:test, and with
 * Chromium. Types are taken out, as the transform of a project does.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { transform } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { codeBlocks, type CodeBlock, ROOT } from "../house/markdown.ts";

const DOCUMENT = "docs/testing.md";
const HERE = fileURLToPath(new URL(".", import.meta.url));
const VITEST = join(ROOT, "node_modules/vitest/vitest.mjs");
const JEST = join(HERE, "node_modules/jest/bin/jest.js");

const executablePath = process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium";
/** In CI a missing Chromium is a failure. */
const isWithoutBrowser = !existsSync(executablePath) && process.env["CI"] !== "true";
if (isWithoutBrowser) console.warn(`the Playwright code of ${DOCUMENT} is skipped: no Chromium at ${executablePath}`);

const blocks = codeBlocks(DOCUMENT);
const importing = (name: string): CodeBlock[] =>
  blocks.filter(({ info, code }) => info === "ts" && code.includes(`from "${name}"`));
const browserBlocks = importing("playwright-core");
const nodeBlocks = importing("node:test").filter((block) => !browserBlocks.includes(block));
const runnerBlocks = importing("vitest");

let base = "";
beforeAll(() => {
  mkdirSync(join(HERE, ".tmp"), { recursive: true });
  base = mkdtempSync(join(HERE, ".tmp/testing-"));
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** The configuration of Jest that stands in the document. */
function configuration(name: string): string {
  const found = blocks.filter(({ info, code }) => info === "js" && code.includes(name));
  expect(found, `${DOCUMENT} has one js block with ${name}`).toHaveLength(1);
  return found[0]!.code;
}

interface Project {
  readonly format: "esm" | "cjs";
  /** What stands in the place of `"vitest"` in the imports. */
  readonly runner: string;
  readonly files?: Readonly<Record<string, string>>;
}

/** Writes each block as a file of tests into a new folder. */
async function project(
  name: string,
  tests: readonly CodeBlock[],
  { format, runner, files = {} }: Project,
): Promise<string> {
  const folder = join(base, name);
  mkdirSync(folder);
  const type = format === "esm" ? "module" : "commonjs";
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type }));
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  for (const { line, code } of tests) {
    const source = code.replace(/from "vitest"/, `from "${runner}"`);
    const { code: text } = await transform(source, { loader: "ts", format, target: "node20" });
    writeFileSync(join(folder, `line-${line}.test.js`), text);
  }
  return folder;
}

function run(args: readonly string[], cwd: string): Promise<{ status: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const env = {
      ...process.env,
      NO_COLOR: "1",
      FORCE_COLOR: undefined,
      NODE_OPTIONS: undefined,
      CHROMIUM_PATH: executablePath,
    };
    const child = spawn(process.execPath, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, output }));
  });
}

/** How many tests the blocks have: `test.each` counts one for each case of its table. */
const TESTS = 13;

test("the document has the code that the tests below run", () => {
  expect([runnerBlocks.length, nodeBlocks.length, browserBlocks.length]).toEqual([6, 1, 1]);
});

test("vitest: every test passes", async () => {
  // The configuration of the folder above is not that of a reader.
  const files = { "vitest.config.js": "export default {};" };
  const folder = await project("vitest", runnerBlocks, { format: "esm", runner: "vitest", files });
  const { status, output } = await run([VITEST, "run", "--root", folder, "--reporter=verbose"], folder);
  expect(output).toMatch(new RegExp(`Tests +${TESTS} passed`));
  expect(status, output).toBe(0);
});

test("Jest with ES modules, with the configuration of the document: every test passes", async () => {
  const files = { "jest.config.mjs": configuration("transform: {}") };
  const folder = await project("jest-esm", runnerBlocks, { format: "esm", runner: "@jest/globals", files });
  const { status, output } = await run(["--experimental-vm-modules", JEST, "--ci", "--no-cache"], folder);
  expect(output).toContain(`${TESTS} passed, ${TESTS} total`);
  expect(status, output).toBe(0);
});

test("Jest with CommonJS, with the configuration of the document: every test passes", async () => {
  const files = { "jest.config.cjs": configuration("transformIgnorePatterns") };
  const folder = await project("jest-cjs", runnerBlocks, { format: "cjs", runner: "@jest/globals", files });
  const { status, output } = await run([JEST, "--ci", "--no-cache"], folder);
  expect(output).toContain(`${TESTS} passed, ${TESTS} total`);
  expect(status, output).toBe(0);
});

test("node:test: the test passes", async () => {
  const folder = await project("node-test", nodeBlocks, { format: "esm", runner: "node:test" });
  const { status, output } = await run(["--test", "--test-reporter=tap"], folder);
  expect(output).toContain("# pass 1");
  expect(status, output).toBe(0);
});

test.skipIf(isWithoutBrowser)("Playwright: the page of the document in Chromium passes", async () => {
  const folder = await project("playwright", browserBlocks, { format: "esm", runner: "node:test" });
  const { status, output } = await run(["--test", "--test-reporter=tap"], folder);
  expect(output).toContain("# pass 1");
  expect(status, output).toBe(0);
});
