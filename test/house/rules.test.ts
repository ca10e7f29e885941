import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path/posix";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { linksIn, ROOT } from "./markdown.ts";

/**
 * The rule book and the tests agree: `docs/rules.md` has every number that a test name or a comment uses, and the tests
 * that it names carry the number.
 */

/** A rule as the rule book has it. */
interface Rule {
  readonly number: string;
  readonly anchor: string;
  /** Everything between its heading and the next one. */
  readonly text: string;
}

/** How many rules each letter has. A new rule goes behind the last one: numbers are never used again. */
const LAST: Readonly<Record<string, number>> = { E: 6, C: 20, Q: 19, S: 12 };
const NUMBERS = Object.entries(LAST).flatMap(([letter, last]) =>
  Array.from({ length: last }, (_, index) => `${letter}${index + 1}`),
);

const book = read("docs/rules.md");
const rules = rulesIn(book);
const tests = new Map(sourcesBelow("test").map((file) => [file, numbersInNames(file, read(file))]));

describe("docs/rules.md", () => {
  test("has every rule once, in order, with its number as the anchor", () => {
    expect(rules.map(({ number }) => number)).toEqual(NUMBERS);
    expect(rules.map(({ anchor }) => anchor)).toEqual(NUMBERS.map((number) => number.toLowerCase()));
  });

  test.each(rules)("$number says why it exists and what proves it", (rule) => {
    expect(complaintsAbout(rule, tests)).toEqual([]);
  });

  test("every rule that a test name carries is in it", () => {
    expect(unknownIn(tests, rules)).toEqual([]);
  });

  test("every rule that a comment refers to is in it", () => {
    const files = [...sourcesBelow("src"), ...sourcesBelow("test")];
    expect(unknownIn(new Map(files.map((file) => [file, numbersInParentheses(read(file))])), rules)).toEqual([]);
  });
});

describe("the check itself tells", () => {
  const own = new Map([["test/x.test.ts", new Set(["C1"])]]);
  const about = (text: string): string[] => complaintsAbout({ number: "C2", anchor: "c2", text }, own);

  test.each([
    ["a rule without a reason", "**Proved by:** nothing.\n", "C2 has no **Why:**"],
    ["a rule that nothing is said to prove", '**Why:** "x"\n', "C2 has no **Proved by:**"],
    [
      "a file that does not exist",
      '**Why:** "x"\n\n**Proved by:** [x](../test/nowhere.test.ts)\n',
      "C2 is said to be proved by test/nowhere.test.ts, which does not exist",
    ],
    [
      "a file without the number",
      '**Why:** "x"\n\n**Proved by:** [x](../test/house/links.test.ts)\n',
      "C2 is said to be proved by test/house/links.test.ts, where no test name carries it",
    ],
    ["a rule without tests", '**Why:** "x"\n\n**Proved by:** nothing.\n', "C2 names no test"],
  ])("%s", (_, text, complaint) => {
    expect(about(text)).toEqual([complaint]);
  });

  test("a number that is in no rule", () => {
    const source = 'test("C99, Q2: x", () => {}); it.each([{ name: `S98, RFC 6749 section 5.1: y` }]);';
    const numbers = numbersInNames("test/x.test.ts", source);
    expect([...numbers]).toEqual(["C99", "Q2", "S98"]);
    const unknown = ["test/x.test.ts: C99", "test/x.test.ts: S98"];
    expect(unknownIn(new Map([["test/x.test.ts", numbers]]), rules)).toEqual(unknown);
    // In two parts, or this file would use a number that no rule has.
    const comment = ["// (Q", "97, C5), and RFC 6749 (section 2)"].join("");
    expect([...numbersInParentheses(comment)]).toEqual(["Q97", "C5"]);
  });

  test("a heading that is missing", () => {
    const without = book.replace('### <a id="c5"></a>C5 ', "### C5 ");
    expect(rulesIn(without).map(({ number }) => number)).toEqual(NUMBERS.filter((number) => number !== "C5"));
  });
});

function rulesIn(text: string): Rule[] {
  const headings = [...text.matchAll(/^#{1,3} (?:<a id="([^"]*)"><\/a>)?(.*)$/gm)];
  return headings.flatMap(({ index, 0: line, 1: anchor, 2: title = "" }, at) => {
    const number = /^([CEQS]\d{1,2}) \S/.exec(title)?.[1];
    if (number === undefined || anchor === undefined) return [];
    return [{ number, anchor, text: text.slice(index + line.length, headings[at + 1]?.index) }];
  });
}

/** What is wrong with a rule: one line each. */
function complaintsAbout({ number, text }: Rule, carriers: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const [, reason] = /^\*\*Why:\*\* "(.+)/m.exec(text) ?? [];
  const [, proof] = /^\*\*Proved by:\*\* ([^]+)/m.exec(text) ?? [];
  if (reason === undefined) return [`${number} has no **Why:**`];
  if (proof === undefined) return [`${number} has no **Proved by:**`];
  if (!proof.startsWith("[")) return [`${number} names no test`];
  return linksIn(proof).flatMap((link) => {
    const file = join("docs", link);
    if (!existsSync(join(ROOT, file))) return [`${number} is said to be proved by ${file}, which does not exist`];
    if (carriers.get(file)?.has(number) === true) return [];
    return [`${number} is said to be proved by ${file}, where no test name carries it`];
  });
}

/** The numbers that no rule has, each with its file. */
function unknownIn(files: ReadonlyMap<string, ReadonlySet<string>>, known: readonly Rule[]): string[] {
  const numbers = new Set(known.map(({ number }) => number));
  return [...files].flatMap(([file, used]) =>
    [...used].filter((number) => !numbers.has(number)).map((number) => `${file}: ${number}`),
  );
}

/** The rules in the names of tests: what stands before the colon in a text that begins with a rule or an RFC. */
function numbersInNames(file: string, source: string): Set<string> {
  const name = /^((?:[A-Z]\d{1,2}|RFC \d[^,:]*)(?:, (?:[A-Z]\d{1,2}|RFC \d[^,:]*))*): /;
  const heads = stringsIn(file, source).map((text) => name.exec(text)?.[1] ?? "");
  return new Set(heads.flatMap((head) => head.match(/\b[CEQS]\d{1,2}\b/g) ?? []));
}

function numbersInParentheses(source: string): Set<string> {
  const lists = [...source.matchAll(/\(([CEQS]\d{1,2}(?:, [CEQS]\d{1,2})*)\)/g)].map(([, list]) => list!);
  return new Set(lists.flatMap((list) => list.split(", ")));
}

/** The string literals of a source, and the fixed parts of its templates. */
function stringsIn(file: string, source: string): string[] {
  const texts: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) {
      texts.push(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, source, ts.ScriptTarget.Latest, false));
  return texts;
}

function sourcesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .map((file) => join(folder, file.replaceAll("\\", "/")))
    .filter((file) => /\.c?ts$/.test(file) && !file.includes("/node_modules/"))
    .toSorted();
}

function read(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}
