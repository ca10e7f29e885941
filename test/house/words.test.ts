/**
 * The words of the house: names of pages that are not in the repository, rule codes where users read, misspellings and
 * names that say nothing. Every hit is one line with its file and line. Rule codes may stand in internal comments, in
 * docs/rules.md and in the names of tests.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { beforeAll, describe, expect, test } from "vitest";
import { ROOT, withoutCode } from "./markdown.ts";
import { publicDocs, type PublicDoc } from "./public-docs.ts";

/** What is read. This file is left out, because it holds the words that it looks for. */
const READ = ["src", "test", "docs", "examples", "bench", "scripts"];
const PAGES = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"];
const LEFT_OUT = new Set(["test/house/words.test.ts"]);

/** A rule of docs/rules.md. Not `ES256` or `S256`: a code has at most two digits. */
const RULE_CODE = /\b[ECQS]\d{1,2}[ab]?\b/;
/** Names that fit any code, so that they say nothing. */
const EMPTY_WORDS = new Set(["util", "utils", "common", "helper", "helpers", "manager", "managers"]);

/** A token of a program, and where it begins. */
interface Token {
  readonly node: ts.Node;
  readonly start: number;
}

/** A rule about one file: returns what is wrong, as `<line>: <what>`. */
type WordRule = (file: string, text: string) => string[];

const isSource = (file: string): boolean => file.startsWith("src/");
const isCode = (file: string): boolean => /\.[cm]?[jt]s$/.test(file);

/** Nothing names the design page, or a code of it that docs/rules.md does not define. */
const namesNoMissingPage: WordRule = (file, text) => {
  const hits = linesWith(text, /\bDESIGN\b/g);
  if (file.startsWith("test/")) hits.push(...linesWith(text, /(?<=["'`](?:[A-Z]\d{1,2}, )*)[TA]\d{1,2}(?=[,:])/g));
  if (!isSource(file) || !isCode(file)) return hits;
  return [
    ...hits,
    ...commentsOf(text).flatMap(({ start, comment }) => linesWith(text, /\bT\d{1,2}\b/g, start, comment)),
  ];
};

/** "cannot" is one word, also at the end of a line of a comment. */
const spellsCannot: WordRule = (_file, text) => linesWith(text, /\bcan(?:[^\S\n]|\n\s*(?:\*|\/\/)?[^\S\n]*)+not\b/gi);

/** No text of a program in src/, such as the message of an error, holds a rule code. */
const hasNoCodeInTexts: WordRule = (file, text) => {
  if (!isSource(file) || !isCode(file)) return [];
  return tokensOf(text).flatMap(({ node, start }) => {
    const isText = ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node);
    return isText && RULE_CODE.test(node.text) ? [`${lineOf(text, start)}: ${node.text}`] : [];
  });
};

/** The numbers that docs/rules.md defines. */
const RULES = new Set(
  [...readFileSync(join(ROOT, "docs/rules.md"), "utf8").matchAll(/^### <a id="[a-z]\d+"><\/a>([A-Z]\d+) /gm)].map(
    ([, number]) => number!,
  ),
);
/** Pages for those who work on the library. */
const FOR_CONTRIBUTORS = new Set(["CONTRIBUTING.md", "docs/rules.md"]);

/**
 * The pages that users read say the rules in words. A code is the number of a rule as a word of its own. Amazon's S3 is
 * none, and in a block of code a name such as `C1` may be anything: there only a number in parentheses is one.
 */
const hasNoCodeOnPages: WordRule = (file, text) => {
  if (!file.endsWith(".md") || FOR_CONTRIBUTORS.has(file)) return [];
  const prose = [...withoutCode(text).matchAll(/(?<![\w.#/-]|Amazon |AWS )[ECQS]\d{1,2}(?![\w-])/g)];
  const inParentheses = [...text.matchAll(/(?<=\((?:[ECQS]\d{1,2}, )*)[ECQS]\d{1,2}(?=(?:, [ECQS]\d{1,2})*\))/g)];
  const places = new Map([...prose, ...inParentheses].map(({ index, 0: code }) => [index, code]));
  return [...places]
    .filter(([, code]) => RULES.has(code))
    .toSorted(([one], [other]) => one - other)
    .map(([index, code]) => `${lineOf(text, index)}: ${code}`);
};

/** Words of this project that mean nothing to a new reader, by their anchors in docs/glossary.md. */
const HOUSE_WORDS: Readonly<Record<string, RegExp>> = {
  adopt: /(?<!["-])\badopt(s|ed)?\b/i,
  "hard-window": /\bhard window\b/i,
  mint: /\b(re-)?mint(s|ed|ing)?\b/i,
  "soft-window": /\bsoft window\b/i,
  "storm-guard": /\bstorm guard\b/i,
};
/** The glossary itself, and the rule book, whose head links to it. */
const EXPLAINS_WORDS = new Set(["docs/glossary.md", "docs/rules.md"]);

/** A page of the guide that uses a word of this project links to its place in the glossary. */
const linksItsWords: WordRule = (file, text) => {
  if (!/^docs\/[^/]+\.md$|^README\.md$/.test(file) || EXPLAINS_WORDS.has(file)) return [];
  const prose = withoutCode(text);
  return Object.entries(HOUSE_WORDS).flatMap(([anchor, word]) => {
    const at = prose.search(word);
    const isLinked = at < 0 || text.includes(`glossary.md#${anchor})`);
    return isLinked ? [] : [`${lineOf(text, at)}: "${anchor}" has no link to the glossary`];
  });
};

/** The header of a file that was merged into another is part of the new header. */
const keepsNoOldHeader: WordRule = (_file, text) => linesWith(text, /^\s*\/\/ MERGED\b.*$/gm);

/** Files and declarations of src/ have names that say what they are. */
const hasTellingNames: WordRule = (file, text) => {
  if (!isSource(file)) return [];
  const hits = file.split(/[/.]/).some(saysNothing) ? [`1: the file is named ${file}`] : [];
  if (!isCode(file)) return hits;
  for (const { node, start } of tokensOf(text)) {
    if (ts.isIdentifier(node) && isDeclared(node) && saysNothing(node.text))
      hits.push(`${lineOf(text, start)}: ${node.text}`);
  }
  return hits;
};

/** Whether this is the place where a name is declared, not where it is used. */
function isDeclared(node: ts.Identifier): boolean {
  const parent = node.parent as ts.Node & { readonly name?: ts.Node };
  return parent.name === node && !ts.isPropertyAccessExpression(parent);
}

function saysNothing(name: string): boolean {
  const words = name.split(/(?<=[a-z0-9])(?=[A-Z])|[^a-zA-Z0-9]+/);
  return words.some((word) => EMPTY_WORDS.has(word.toLowerCase()));
}

/** What is wrong with the doc comments of public names: none, or one that holds a rule code. */
function docFaults(docs: readonly PublicDoc[]): string[] {
  return docs.flatMap(({ place, name, text, more }) => {
    if (text.trim() === "") return [`${place}: ${name} has no doc comment`];
    const [code] = RULE_CODE.exec(`${text}\n${more}`) ?? [];
    return code === undefined ? [] : [`${place}: the doc comment of ${name} says ${code}`];
  });
}

describe("the words of the repository", () => {
  const files = textFiles();
  const hitsOf = (rule: WordRule): string[] =>
    [...files].flatMap(([file, text]) => rule(file, text).map((hit) => `${file}:${hit}`));

  test("nothing names the design page, or a code that docs/rules.md does not define", () => {
    expect(hitsOf(namesNoMissingPage)).toEqual([]);
  });

  test('"cannot" is one word', () => {
    expect(hitsOf(spellsCannot)).toEqual([]);
  });

  test("no text in the code of src/ holds a rule code", () => {
    expect(hitsOf(hasNoCodeInTexts)).toEqual([]);
  });

  test("README, CHANGELOG, SECURITY and the guide hold no rule code; the rule book has all of them", () => {
    expect(hitsOf(hasNoCodeOnPages)).toEqual([]);
    expect(RULES.size).toBeGreaterThan(50);
  });

  test("a page of the guide links the words of this project that it uses to the glossary", () => {
    expect(hitsOf(linksItsWords)).toEqual([]);
  });

  test("no line is left of the header of a merged file", () => {
    expect(hitsOf(keepsNoOldHeader)).toEqual([]);
  });

  test("no file and no declaration in src/ is named utils, common, helper or manager", () => {
    expect(hitsOf(hasTellingNames)).toEqual([]);
  });
});

describe("the doc comments of the public surface", () => {
  let docs: readonly PublicDoc[];
  beforeAll(() => {
    const entries = entryPoints();
    docs = publicDocs(ts.createProgram(entries, compilerOptions()), entries, join(ROOT, "src/"));
  }, 120_000);

  test("every exported name and every member has one, and none holds a rule code", () => {
    expect(docs.length).toBeGreaterThan(100);
    expect(docFaults(docs)).toEqual([]);
  });
});

describe("the rules themselves", () => {
  test.each([
    ["docs/a.md", "as in\nDESIGN section 6", ["2: DESIGN"]],
    ["src/a.ts", "/** Reads it\n * (T26). */\nconst T1 = 'T2';", ["2: T26"]],
    ["test/a.test.ts", 'test("Q4, T24: a", run);\ntest("A3: b", run);\nconst c = ["T1"];', ["1: T24", "2: A3"]],
    ["src/a.ts", "// RFC 9449 section 4.2\nconst DESIGNED = 1;", []],
  ])("names of missing pages: %s: %j", (file, text, hits) => {
    expect(namesNoMissingPage(file, text)).toEqual(hits);
  });

  test.each([
    ["This can not be.", ["1: can not"]],
    ["/**\n * It can\n * not be.\n */", ["2: can * not"]],
    ["// Can\n// not", ["1: Can // not"]],
    ["This cannot be, and can be nothing.", []],
  ])('"cannot": %j', (text, hits) => {
    expect(spellsCannot("README.md", text)).toEqual(hits);
  });

  test.each([
    ["src/a.ts", 'const a = 1;\nthrow new Error("not again (C8)");', ["2: not again (C8)"]],
    ["src/a.ts", "throw new Error(`${a} is closed, Q13a`);", ["1:  is closed, Q13a"]],
    ["src/a.ts", 'const algorithms = ["ES256", "S256"]; // C8', []],
    ["test/a.test.ts", 'test("C8: a", run);', []],
  ])("rule codes in texts: %s: %j", (file, text, hits) => {
    expect(hasNoCodeInTexts(file, text)).toEqual(hits);
  });

  test.each([
    ["README.md", "see\nE4", ["2: E4"]],
    ["docs/a.md", "as said (C9, Q2), and\nby S6: E1", ["1: C9", "1: Q2", "2: S6", "2: E1"]],
    ["docs/a.md", "```ts\n// not again (C8)\n```", ["2: C8"]],
    [
      "docs/a.md",
      "a bucket of Amazon S3, ES256, S256, E99, C0, `C9`, [a](#c9), 1C9, C9-x\n```ts\nconst C9 = E1;\n```",
      [],
    ],
    ["docs/rules.md", "see E4", []],
    ["CONTRIBUTING.md", "see E4", []],
  ])("rule codes on pages: %s: %j", (file, text, hits) => {
    expect(hasNoCodeOnPages(file, text)).toEqual(hits);
  });

  test.each([
    ["docs/a.md", "One\nmint, in the soft window", ['2: "mint"', '2: "soft-window"']],
    ["docs/a.md", "One [mint](glossary.md#mint), two mints, `minted`\n```ts\nadopt();\n```", []],
    ["docs/glossary.md", "One mint", []],
    ["SECURITY.md", "One mint", []],
  ])("words of this project: %s: %j", (file, text, hits) => {
    expect(linksItsWords(file, text).toSorted()).toEqual(hits.map((hit) => `${hit} has no link to the glossary`));
  });

  test("lines of merged files", () => {
    expect(keepsNoOldHeader("src/a.ts", "a;\n// MERGED from b.ts\n  // MERGED c")).toHaveLength(2);
    expect(keepsNoOldHeader("src/a.ts", "// It was merged.")).toEqual([]);
  });

  test.each([
    ["src/base/utils.ts", "", ["1: the file is named src/base/utils.ts"]],
    ["src/helpers/a.ts", "", ["1: the file is named src/helpers/a.ts"]],
    ["src/a.ts", "a();\nclass TokenManager {}", ["2: TokenManager"]],
    ["src/a.ts", "function f(urlHelper: string): void {}", ["1: urlHelper"]],
    ["src/a.ts", "const commonly = axios.defaults.headers.common;", []],
    ["test/a.ts", "const helper = 1;", []],
  ])("names: %s: %j", (file, text, hits) => {
    expect(hasTellingNames(file, text)).toEqual(hits);
  });

  test("doc comments: those that are missing, also of members and of what is exported again", () => {
    const hits = docFaultsIn({
      "index.ts": 'export { inner as outer, type Shape, Box } from "./inner.ts";',
      "inner.ts": [
        "export function inner(): void {}",
        "/** A shape. */",
        "export interface Shape extends Base {",
        "  size: number;",
        "  /** Its color. */",
        "  color: string;",
        "}",
        "interface Base { [hidden]: 1; inherited: 1 }",
        "declare const hidden: unique symbol;",
        "/** A box. */",
        "export class Box {",
        "  /** Its lid. */",
        "  lid = 1;",
        "  static count = 0;",
        "  #hidden = 1;",
        "  private own = 2;",
        "  open(): void {}",
        "}",
        "export const notExportedByTheEntry = 1;",
      ].join("\n"),
    });
    expect(hits).toEqual([
      "inner.ts:1: outer has no doc comment",
      "inner.ts:4: Shape.size has no doc comment",
      "inner.ts:8: Shape.inherited has no doc comment",
      "inner.ts:17: Box.open has no doc comment",
      "inner.ts:14: Box.count has no doc comment",
    ]);
  });

  test("doc comments: those with a rule code, in the text or in a tag", () => {
    const hits = docFaultsIn({
      "index.ts": [
        "/** Invalidates by value (C5). */",
        "export const a = 1;",
        "/** Reads.\n * @throws TypeError by S4. */",
        "export const b = 1;",
        "/** Signs with ES256 and S256. */",
        "export const c = 1; // C5",
        "/** One or two. */",
        "export type D =",
        "  /** Not by Q2. */",
        "  1 | 2;",
      ].join("\n"),
    });
    expect(hits).toEqual([
      "index.ts:2: the doc comment of a says C5",
      "index.ts:5: the doc comment of b says S4",
      "index.ts:9: the doc comment of D says Q2",
    ]);
  });
});

/** The text files of the repository that are read, by their path. Files that git ignores are left out. */
function textFiles(): Map<string, string> {
  const list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ...READ, ...PAGES];
  const { stdout, status, stderr } = spawnSync("git", list, { cwd: ROOT, encoding: "utf8", maxBuffer: 2 ** 26 });
  if (status !== 0) throw new Error(`git ls-files failed: ${stderr}`);
  const names = stdout.split("\0").filter((file) => file !== "" && !LEFT_OUT.has(file) && existsSync(join(ROOT, file)));
  const texts = names.map((file): [string, string] => [file, readFileSync(join(ROOT, file), "utf8")]);
  return new Map(texts.filter(([, text]) => !text.includes("\0")));
}

/** The sources of the entry points that `exports` of package.json lists. */
function entryPoints(): string[] {
  const { exports } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    exports: Record<string, string | { readonly types: string }>;
  };
  return Object.values(exports)
    .filter((entry) => typeof entry !== "string")
    .map(({ types }) => join(ROOT, types.replace(/^\.\/dist\//, "src/").replace(/\.d\.ts$/, ".ts")));
}

function compilerOptions(): ts.CompilerOptions {
  const { config } = ts.readConfigFile(join(ROOT, "tsconfig.json"), (path) => ts.sys.readFile(path)) as {
    config: object;
  };
  return ts.parseJsonConfigFileContent({ ...config, files: [], include: [] }, ts.sys, ROOT).options;
}

/** {@link docFaults} of a package that is given by its files, with `index.ts` as its entry point. */
function docFaultsIn(files: Readonly<Record<string, string>>): string[] {
  const options: ts.CompilerOptions = { noLib: true, allowImportingTsExtensions: true, noEmit: true };
  const host = ts.createCompilerHost(options);
  host.fileExists = (path) => path.slice(1) in files;
  host.readFile = (path) => files[path.slice(1)];
  host.getCurrentDirectory = () => "/";
  host.getSourceFile = (path, version) => {
    const text = files[path.slice(1)];
    return text === undefined ? undefined : ts.createSourceFile(path, text, version);
  };
  return docFaults(publicDocs(ts.createProgram(["/index.ts"], options, host), ["/index.ts"], "/"));
}

/** `<line>: <match>` for every match of a pattern in a text, or in a part of it that begins at `start`. */
function linesWith(text: string, pattern: RegExp, start = 0, part = text): string[] {
  return [...part.matchAll(pattern)].map(
    ({ index, 0: match }) => `${lineOf(text, start + index)}: ${match.trim().replace(/\s+/g, " ")}`,
  );
}

function lineOf(text: string, position: number): number {
  return text.slice(0, position).split("\n").length;
}

const tokens = new Map<string, readonly Token[]>();

/** The tokens of a program. Parsed once per text. */
function tokensOf(text: string): readonly Token[] {
  const known = tokens.get(text) ?? parsedTokens(text);
  tokens.set(text, known);
  return known;
}

function parsedTokens(text: string): Token[] {
  const file = ts.createSourceFile("file.ts", text, ts.ScriptTarget.Latest, true);
  const found: Token[] = [];
  const visit = (node: ts.Node): void => {
    const children = node.getChildren(file).filter((child) => !ts.isJSDoc(child));
    if (children.length === 0) found.push({ node, start: node.getStart(file) });
    else children.forEach(visit);
  };
  visit(file);
  return found;
}

/** The comments of a program: what stands between its tokens. */
function commentsOf(text: string): { start: number; comment: string }[] {
  return tokensOf(text).map(({ node, start }) => ({ start: node.pos, comment: text.slice(node.pos, start) }));
}
