import type { Check, Result, Row, Scenario } from "./scenario.ts";
import { alignedTable, type Column } from "./table.ts";
import { type Terminal, wrapped } from "./terminal.ts";

const INDENT = "     ";

const LEGEND =
  "Sent by axios, ofetch and fetch, on one token cache. “the usual way”: as many requests, by axios with the interceptor that " +
  "most services write. Token calls: requests to the token endpoint. ms: from a call to its outcome, with all servers in " +
  "this process.";

const COLUMNS: readonly Column[] = [
  { heading: ["scenario"], align: "left" },
  { heading: ["sent"], align: "right" },
  { heading: ["API", "said", "401"], align: "right" },
  { heading: ["token", "calls"], align: "right" },
  { heading: ["mints"], align: "right" },
  { heading: ["caller", "saw", "401"], align: "right" },
  { heading: ["p50/p99", "ms"], align: "right" },
];

/** Prints the title and the story of a scenario before it runs. */
export function announce(terminal: Terminal, number: number, { title, story }: Scenario): void {
  terminal.print(
    "",
    `  ${number}  ${terminal.bold(title)}`,
    ...wrapped(story, INDENT, terminal.width).map(terminal.dim),
  );
}

/** Prints the outcome of a scenario: one line per number. */
export function conclude(terminal: Terminal, { checks }: Result): void {
  const sentences = checks.map(({ actual, what }) => [inWords(actual), agreeing(what, actual)] as const);
  const width = Math.max(...sentences.map(([number]) => number.length));
  for (const [at, { passed, expected, exact }] of checks.entries()) {
    const [number = "", what = ""] = sentences[at] ?? [];
    const mark = passed ? terminal.green("✓") : terminal.red("✗");
    const wanted = passed && exact ? "" : ` (${passed ? "" : "expected "}${expected})`;
    const [first = "", ...more] = wrapped(what + wanted, " ".repeat(INDENT.length + width + 3), terminal.width);
    terminal.print(`${INDENT}${mark} ${number.padStart(width)} ${first.trimStart()}`, ...more);
  }
}

/** Prints the table of all scenarios. */
export function tabulate(terminal: Terminal, rows: readonly Row[]): void {
  const lines = alignedTable(COLUMNS, rows.map(cellsOf));
  const head = lines.length - rows.length;
  terminal.print("");
  for (const [at, line] of lines.entries()) {
    const faint = at < head || rows[at - head]?.contrast === true;
    terminal.print(`  ${faint ? terminal.dim(line) : line}`);
  }
  terminal.print("", ...wrapped(LEGEND, "  ", terminal.width).map(terminal.dim), "");
}

/** Returns the line about a number that is wrong. */
export function complaint({ what, expected, actual }: Check): string {
  return `${what}: expected ${expected}, got ${inWords(actual)}`;
}

function cellsOf({ label, tally, contrast }: Row): string[] {
  return [
    contrast === true ? `  ${label}` : label,
    inWords(tally.outcomes.length),
    inWords(tally.refusals),
    inWords(tally.tokenRequests),
    inWords(tally.mints),
    inWords(tally.answered(401)),
    `${briefly(tally.percentile(0.5))}/${briefly(tally.percentile(0.99))}`,
  ];
}

/** Returns a text in the singular if the count is one: "mints afterwards" becomes "mint afterwards". */
function agreeing(plural: string, count: number): string {
  return count === 1 ? plural.replace(/^([a-z]+)s\b/, "$1") : plural;
}

/** Milliseconds in at most four characters. */
function briefly(ms: number): string {
  return ms < 9999.5 ? ms.toFixed(0) : `${(ms / 1000).toFixed(0)}s`;
}

function inWords(count: number): string {
  return count.toLocaleString("en");
}
