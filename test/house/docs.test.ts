/** The code in the documents: it compiles, and the first example of the README runs. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { beforeAll, describe, expect, test } from "vitest";
import { codeBlocks, DOCUMENTS, GUIDES, offlineExample, OFFLINE_OUTPUT, ROOT, typescriptBlocks } from "./markdown.ts";

/** Languages of blocks that cannot use this package. */
const OTHER_LANGUAGES = new Set(["sh", "json", "text", "http", "mermaid"]);
const blocks = typescriptBlocks().map((block) => ({ ...block, name: `${block.document}:${block.line}` }));

test("the README has code to check", () => {
  expect(blocks.filter(({ document }) => document === "README.md")).not.toEqual([]);
});

const checked = [...DOCUMENTS, ...GUIDES];

test.each(checked)("%s: every code block is in a language that is checked, or cannot use this package", (document) => {
  const unchecked = codeBlocks(document).filter(({ info, code }) => {
    if (info === "ts" || OTHER_LANGUAGES.has(info)) return false;
    // JavaScript is for code without this package: the configuration of a tool, or code that this package replaces.
    return info !== "js" || /(from|import|require\()\s*\(?["']remint/.test(code);
  });
  expect(unchecked.map(({ line, info }) => `${document}:${line}: \`\`\`${info}`)).toEqual([]);
});

describe("every TypeScript block compiles as it stands", () => {
  let complaints: readonly string[];
  beforeAll(() => {
    complaints = compile();
  }, 120_000);

  test.each(blocks)("$name", ({ name, document, line, code }) => {
    expect(code, "the block switches checks off").not.toMatch(/@ts-(ignore|nocheck|expect-error)/);
    const last = line + code.split("\n").length;
    const own = complaints.filter((complaint) => {
      const [, where, at] = /^(.*?):(\d+):/.exec(complaint) ?? [];
      return where === document && Number(at) > line && Number(at) < last;
    });
    expect(own, name).toEqual([]);
  });

  test("the compiler reports nothing outside the blocks", () => {
    expect(complaints.filter((complaint) => !checked.some((document) => complaint.startsWith(document)))).toEqual([]);
  });
});

test("the README's first example runs as pasted and prints what the README says", () => {
  const { code } = offlineExample();
  mkdirSync(join(ROOT, ".tmp"), { recursive: true });
  const folder = mkdtempSync(join(ROOT, ".tmp/readme-"));
  try {
    writeFileSync(join(folder, "first.mts"), code);
    const tsx = [join(ROOT, "node_modules/tsx/dist/cli.mjs"), join(folder, "first.mts")];
    const { stdout, stderr, status } = spawnSync(process.execPath, tsx, { cwd: ROOT, encoding: "utf8" });
    expect({ stdout, stderr, status }).toEqual({ stdout: `${OFFLINE_OUTPUT}\n`, stderr: "", status: 0 });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** Compiles all blocks, each as a module of its own. Returns one line per error, with the line of the document. */
function compile(): string[] {
  const config = ts.parseJsonConfigFileContent(
    ts.readConfigFile(join(ROOT, "tsconfig.json"), (path) => ts.sys.readFile(path)).config,
    ts.sys,
    ROOT,
  );
  // Examples declare names that they do not use, and write `process.env.NAME`.
  const reader = { noUnusedLocals: false, noUnusedParameters: false, noPropertyAccessFromIndexSignature: false };
  const options = { ...config.options, ...reader };
  const files = new Map(blocks.map((block) => [join(ROOT, `${block.document}.${block.line}.ts`), block]));
  const host = ts.createCompilerHost(options);
  host.fileExists = (path) => files.has(path) || ts.sys.fileExists(path);
  host.readFile = (path) => files.get(path)?.code ?? ts.sys.readFile(path);
  const program = ts.createProgram([...files.keys()], options, host);
  const diagnostics = [...program.getGlobalDiagnostics(), ...program.getOptionsDiagnostics()].concat(
    ...[...files.keys()].map((path) => ts.getPreEmitDiagnostics(program, program.getSourceFile(path))),
  );
  return diagnostics.map(({ file, start = 0, messageText }) => {
    const message = ts.flattenDiagnosticMessageText(messageText, "\n");
    const block = file === undefined ? undefined : files.get(file.fileName);
    if (file === undefined || block === undefined) return `${file?.fileName ?? "options"}: ${message}`;
    const { line } = file.getLineAndCharacterOfPosition(start);
    return `${block.document}:${block.line + line + 1}: ${message}`;
  });
}
