/** The code blocks of the documents for users. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of the repository. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** A fenced code block of a document. */
export interface CodeBlock {
  readonly document: string;
  /** The line of the opening fence, counted from 1. */
  readonly line: number;
  /** The rest of the line after the opening fence, such as the language. */
  readonly info: string;
  readonly code: string;
}

/** The documents whose code is checked. */
export const DOCUMENTS: readonly string[] = ["README.md", "CHANGELOG.md", "docs/fleet.md"];

/** The guides of single subpaths. Their code is checked too. */
export const GUIDES: readonly string[] = [
  "docs/bff.md",
  "docs/browser.md",
  "docs/chalk.md",
  "docs/salesforce.md",
  "docs/servers.md",
  "docs/undici.md",
];

/** Returns the code blocks of a document; an empty list if the document does not exist. */
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

/** Returns the TypeScript blocks of all documents and guides. */
export function typescriptBlocks(): CodeBlock[] {
  return [...DOCUMENTS, ...GUIDES].flatMap(codeBlocks).filter(({ info }) => info.split(/\s/)[0] === "ts");
}

/** Returns the first example of the README, which readers can paste and run without a network. */
export function offlineExample(): CodeBlock {
  const example = codeBlocks("README.md").find(({ info, code }) => info === "ts" && code.includes('"remint/testing"'));
  if (example === undefined) throw new Error("README.md has no ts block that uses remint/testing");
  return example;
}

/** The output of the offline example, as the README states it. */
export const OFFLINE_OUTPUT = "200, 401 -> re-mint -> 200, mints: 2";

/** The targets of all links of a Markdown text, as they are written. Code is left out. */
export function linksIn(text: string): string[] {
  const prose = withoutCode(text);
  const inline = prose.matchAll(/\]\(\s*<?([^()\s>]+)>?(?:\s+"[^"]*")?\s*\)/g);
  const defined = prose.matchAll(/^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)/gm);
  const html = prose.matchAll(/<[a-z][^>]*\s(?:href|src)="([^"]*)"/gi);
  return [...inline, ...defined, ...html].map(([, target]) => target!);
}

/** The anchors of a Markdown text: those that are written, and those that GitHub makes of headings. */
export function anchorsIn(text: string): string[] {
  const written = [...withoutCode(text).matchAll(/<[a-z][^>]*\s(?:id|name)="([^"]*)"/gi)].map(([, id]) => id!);
  const seen = new Map<string, number>();
  const headings = [...withoutFences(text).matchAll(/^ {0,3}#{1,6}\s+(.*?)\s*#*$/gm)].map(([, heading]) => {
    const slug = slugOf(heading!);
    const before = seen.get(slug) ?? 0;
    seen.set(slug, before + 1);
    return before === 0 ? slug : `${slug}-${before}`;
  });
  return [...written, ...headings];
}

function slugOf(heading: string): string {
  const shown = heading.replace(/<[^>]*>/g, "").replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1");
  return shown
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .replace(/\s/g, "-");
}

function withoutCode(text: string): string {
  return withoutFences(text).replace(/(`+)[^`](?:.*?[^`])??\1(?!`)/gs, "");
}

function withoutFences(text: string): string {
  return text.replace(/^\s*(```+|~~~+)[^\n]*\n[^]*?^\s*\1[^\n]*$/gm, "");
}
