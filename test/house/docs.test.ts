/** The code in the documents compiles. That the README's also runs is in readme.test.ts. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { beforeAll, describe, expect, test } from "vitest";
import { codeBlocks, DOCUMENTS, GUIDES, OTHER_PAGES, ROOT, typescriptBlocks } from "./markdown.ts";

/** Languages of blocks that cannot use this package. */
const OTHER_LANGUAGES = new Set(["sh", "json", "text", "http", "mermaid"]);
const blocks = typescriptBlocks().map((block) => ({ ...block, name: `${block.document}:${block.line}` }));

test("the README has code to check", () => {
  expect(blocks.filter(({ document }) => document === "README.md")).not.toEqual([]);
});

const checked = [...DOCUMENTS, ...GUIDES];

test("every page in docs is listed: as one of the guide, or as one whose code is not checked here", () => {
  const pages = readdirSync(join(ROOT, "docs")).filter((file) => file.endsWith(".md"));
  const unlisted = pages.map((file) => `docs/${file}`).filter((file) => !checked.includes(file));
  expect(unlisted.toSorted()).toEqual(OTHER_PAGES);
});

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
