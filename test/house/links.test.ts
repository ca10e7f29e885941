import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path/posix";
import { describe, expect, test } from "vitest";
import { anchorsIn, linksIn, ROOT } from "./markdown.ts";

/**
 * Relative links in the repository's Markdown, and in the doc comments of src/: each leads to a file that is part of the
 * repository, and to an anchor in it. Links to other sites are not followed.
 */

/** Every file that is tracked, or would be if it were added. */
const files = repositoryFiles();
const folders = new Set(files.flatMap(foldersAbove));
const documents = files.filter((file) => file.endsWith(".md"));

test("there are documents with links to check", () => {
  expect(documents).toEqual(expect.arrayContaining(["CONTRIBUTING.md", "README.md", "SECURITY.md", "docs/rules.md"]));
  expect(linksIn(read("docs/rules.md")).length).toBeGreaterThan(50);
});

test.each(documents)("%s: every relative link leads to a file and to an anchor in it", (document) => {
  expect(brokenLinks(document, read(document))).toEqual([]);
});

test("every link in a doc comment leads to a file and to an anchor in it, and says where it leads", () => {
  const links = files
    .filter((file) => /^src\/.*\.ts$/.test(file))
    .flatMap((file) => docLinksIn(read(file)).map((link) => ({ file, ...link })));
  expect(links.length).toBeGreaterThan(10);
  expect(links.flatMap(({ file, text, target }) => brokenLinks(file, `[${text}](${target})`))).toEqual([]);
  // Whoever sees the text alone finds the place in the package.
  expect(links.filter(({ text, target }) => target.replace(/^[./]*/, "") !== text)).toEqual([]);
});

test("every code of an error has a place in docs/errors.md, and its doc comment links to it", () => {
  const errors = read("src/base/errors.ts");
  const [, union = ""] = /export type RemintErrorCode =(.*?);\n/s.exec(errors) ?? [];
  const members = [...union.matchAll(/\/\*\*(.*?)\*\/\s*\| "(\w+)"/gs)].map(([, comment, code]) => ({ comment, code }));
  expect(members).toHaveLength(union.split("| ").length - 1);
  for (const { comment, code } of members) expect(comment).toContain(`(../../docs/errors.md#${code!.toLowerCase()})`);
  for (const name of errors.matchAll(/export class (\w+)/g)) {
    expect(errors).toContain(`(../../docs/errors.md#${name[1]!.toLowerCase()})`);
  }
});

describe("the check itself tells", () => {
  test.each([
    ["a file that does not exist", "See [x](nowhere.md).", "docs/x.md: nowhere.md is no file of the repository"],
    ["a file that is elsewhere", "[x](SECURITY.md)", "docs/x.md: SECURITY.md is no file of the repository"],
    ["an anchor that does not exist", "[x](rules.md#c99)", "docs/x.md: rules.md#c99 names no anchor"],
    ["an anchor of the document itself", "# A\n\n[x](#b)", "docs/x.md: #b names no anchor"],
    [
      "an anchor in a file without anchors",
      "[x](../src/index.ts#top)",
      "docs/x.md: ../src/index.ts#top names no anchor",
    ],
    ["a path outside of the repository", "[x](../../x.md)", "docs/x.md: ../../x.md is no file of the repository"],
    ["an absolute path", "[x](/README.md)", "docs/x.md: /README.md is no file of the repository"],
    ["an ignored file", "[x](../node_modules/vitest/README.md)", "is no file of the repository"],
    ["a link that is defined elsewhere", "[x][1]\n\n[1]: nowhere.md", "docs/x.md: nowhere.md"],
    ["a link in HTML", '<a href="nowhere.md">x</a>', "docs/x.md: nowhere.md"],
    ["an image", "![x](nowhere.png)", "docs/x.md: nowhere.png"],
  ])("%s", (_, text, complaint) => {
    expect(brokenLinks("docs/x.md", text)).toEqual([expect.stringContaining(complaint)]);
  });

  test("nothing about links that are good, of other sites, or code", () => {
    const good =
      '# A & b: `c`\n\n<a id="d"></a>\n[x](#a--b-c) [y](#d) [z](../CONTRIBUTING.md#the-seven-floors) [f](../examples/)';
    const others = "[x](https://nowhere.example/a.md#b) <mailto:a@b.example>";
    const code = "`[x](nowhere.md)`\n\n```md\n[x](nowhere.md)\n```\n";
    expect(brokenLinks("docs/x.md", `${good}\n${others}\n${code}`)).toEqual([]);
  });
});

/** What is wrong with the links of a document: one line each. */
function brokenLinks(document: string, text: string): string[] {
  return linksIn(text).flatMap((link) => {
    if (/^[a-z][a-z\d+.-]*:/i.test(link)) return [];
    const [path = "", anchor] = link.split("#");
    const target = path === "" ? document : join(dirname(document), decodeURIComponent(path)).replace(/\/$/, "");
    const isThere = path === "" || files.includes(target) || folders.has(target);
    if (path.startsWith("/") || !isThere) return [`${document}: ${link} is no file of the repository`];
    if (anchor === undefined) return [];
    const anchors = path === "" ? anchorsIn(text) : target.endsWith(".md") ? anchorsIn(read(target)) : [];
    return anchors.includes(anchor) ? [] : [`${document}: ${link} names no anchor`];
  });
}

/** The relative links of Markdown in the doc comments of a program. */
function docLinksIn(text: string): { text: string; target: string }[] {
  const comments = [...text.matchAll(/\/\*\*.*?\*\//gs)].map(([comment]) => comment.replace(/\n\s*\* ?/g, " "));
  const links = comments.flatMap((comment) => [...comment.matchAll(/\[([^\]]+)\]\((\.[^()\s]*)\)/g)]);
  return links.map(([, shown, target]) => ({ text: shown!, target: target! }));
}

function repositoryFiles(): string[] {
  const listAll = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const { stdout, status, stderr } = spawnSync("git", listAll, { cwd: ROOT, encoding: "utf8" });
  if (status !== 0) throw new Error(`git ls-files failed: ${stderr}`);
  return [...new Set(stdout.split("\0"))].filter((file) => file !== "" && existsSync(join(ROOT, file)));
}

function foldersAbove(file: string): string[] {
  const folder = dirname(file);
  return folder === "." ? ["."] : [folder, ...foldersAbove(folder)];
}

function read(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}
