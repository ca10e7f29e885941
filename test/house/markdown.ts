import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** A fenced code block of a document. */
export interface CodeBlock {
  readonly document: string;
  /** The line of the opening fence, counted from 1. */
  readonly line: number;
  /** Everything behind the fence. */
  readonly info: string;
  readonly code: string;
}

/** The documents that are published. */
export const DOCUMENTS: readonly string[] = ["README.md", "CHANGELOG.md"];

/** The code blocks of a document; none when there is no such document. */
export function codeBlocks(document: string): CodeBlock[] {
  const file = join(ROOT, document);
  if (!existsSync(file)) return [];
  const blocks: CodeBlock[] = [];
  let open: { line: number; info: string; indent: string; code: string[] } | undefined;
  for (const [index, text] of readFileSync(file, "utf8").split("\n").entries()) {
    const fence = /^(\s*)(?:```|~~~)(.*)$/.exec(text);
    if (fence === null) open?.code.push(text.startsWith(open.indent) ? text.slice(open.indent.length) : text);
    else if (open === undefined) open = { line: index + 1, info: fence[2]!.trim(), indent: fence[1]!, code: [] };
    else {
      blocks.push({ document, line: open.line, info: open.info, code: `${open.code.join("\n")}\n` });
      open = undefined;
    }
  }
  if (open !== undefined) throw new Error(`${document}:${open.line}: the code block does not end`);
  return blocks;
}

/** Every block that is TypeScript, of all documents. */
export function typescriptBlocks(): CodeBlock[] {
  return DOCUMENTS.flatMap(codeBlocks).filter(({ info }) => info.split(/\s/)[0] === "ts");
}

/** The README's first minute: what a reader pastes and runs without a network. */
export function offlineExample(): CodeBlock {
  const example = codeBlocks("README.md").find(({ info, code }) => info === "ts" && code.includes('"remint/testing"'));
  if (example === undefined) throw new Error("README.md has no ts block that uses remint/testing");
  return example;
}

/** What the offline example prints, as the README says. */
export const OFFLINE_OUTPUT = "200, 401 -> re-mint -> 200, mints: 2";
