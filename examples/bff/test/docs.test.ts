/** docs/bff.md names a test for each line of RFC 10017: every one of them is there. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const DOCUMENT = readFileSync(new URL("../../../docs/bff.md", import.meta.url), "utf8");

/** The rows of the table: section, requirement, and the file and name of a test. */
function rows(): { section: string; file: string; name: string | undefined }[] {
  const table = DOCUMENT.slice(DOCUMENT.indexOf("## RFC 10017"));
  return [...table.matchAll(/^\| (\S[^|]*?) +\|[^|]+\|([^|]+)\|$/gm)].flatMap(([, section = "", shown = ""]) => {
    const file = /\(\.\.\/examples\/bff\/(test\/[\w.-]+)\)/.exec(shown)?.[1];
    return file === undefined ? [] : [{ section, file, name: /"(.+)"/.exec(shown)?.[1] }];
  });
}

test("the table of RFC 10017 has all sections of the part about a backend for frontends", () => {
  const sections = new Set(rows().map(({ section }) => section.split(" ")[0]));
  for (const section of [
    "6.1.1",
    "6.1.2.1",
    "6.1.2.2",
    "6.1.2.3",
    "6.1.2.4",
    "6.1.3.1",
    "6.1.3.2",
    "6.1.3.3",
    "6.1.3.6",
  ]) {
    expect(sections).toContain(section);
  }
});

test.each(rows())("$section: the test that is named is in $file", ({ file, name }) => {
  const text = readFileSync(new URL(`../${file}`, import.meta.url), "utf8");
  if (name !== undefined) expect(text).toContain(`"${name}"`);
});
