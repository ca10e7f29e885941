/**
 * `npm run matrix`: the list of cases with every client in every runtime. `npm run matrix -- Bun "axios 1.21.1"` runs only
 * the runtimes and the rows whose names begin with one of the words. Exits with 1 when a cell has a fault.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Result } from "./matrix.ts";
import { knownReason } from "./known.ts";
import { rows } from "./rows.ts";
import { pageFiles, runtimes } from "./runtimes.ts";
import { startServers } from "./server.ts";

/** One cell of the table. */
interface Cell {
  passed: number;
  failed: number;
  unfit: number;
  /** Why nothing of the row can be run in the runtime. */
  reason?: string;
}

const words = process.argv.slice(2).map((word) => word.toLowerCase());
const chosen = <Named extends { readonly name: string }>(list: readonly Named[]): readonly Named[] => {
  const found = list.filter(({ name }) => words.some((word) => name.toLowerCase().startsWith(word)));
  return found.length > 0 ? found : list;
};

const quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"];
execFileSync("npm", ["ci", ...quiet], { cwd: fileURLToPath(new URL(".", import.meta.url)), stdio: "inherit" });

const servers = await startServers(await pageFiles());
const { api, other, closed } = servers;
const table = new Map<string, Cell>();
/** Why cases do not apply, and how often. */
const reasons = new Map<string, number>();
/** Faults, each with the cells that have it. */
const faults = new Map<string, { readonly cells: Set<string>; readonly text: string }>();
const columns: string[] = [];

for (const runtime of chosen(runtimes)) {
  const opened = await runtime.open({ api, other, closed });
  const column = typeof opened === "string" ? runtime.name : `${runtime.name} (${versionOf(opened.version)})`;
  columns.push(column);
  if (typeof opened === "string") {
    for (const row of chosen(rows))
      table.set(`${column}/${row.name}`, { passed: 0, failed: 0, unfit: 0, reason: opened });
    continue;
  }
  for (const row of chosen(rows)) {
    const began = Date.now();
    const cell: Cell = { passed: 0, failed: 0, unfit: 0 };
    table.set(`${column}/${row.name}`, cell);
    const reason = await opened.run(row.name, (result) => count(cell, result, `${column}, ${row.name}`));
    if (reason !== undefined) cell.reason = reason;
    const seconds = ((Date.now() - began) / 1000).toFixed(1);
    console.log(`${column}, ${row.name}: ${reason ?? `${shown(cell)} in ${seconds} s`}`);
  }
  await opened.close();
}
await servers.close();

function versionOf(text: string): string {
  return /\d+\.\d+(?:\.\d+)*/.exec(text)?.[0] ?? text;
}

function count(cell: Cell, { name, unfit, faults: found }: Result, where: string): void {
  const known = found.length > 0 ? knownReason(name, where) : undefined;
  const reason = unfit ?? known;
  if (reason !== undefined) {
    cell.unfit++;
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  } else if (found.length === 0) cell.passed++;
  else {
    cell.failed++;
    const fault = faults.get(name) ?? { cells: new Set<string>(), text: found.join("\n    ") };
    fault.cells.add(where);
    faults.set(name, fault);
  }
}

function shown({ passed, failed, unfit, reason }: Cell): string {
  return reason === undefined ? `${passed}/${failed}/${unfit}` : "-";
}

for (const [name, { cells, text }] of faults) {
  console.log(`\n${name}\n    ${text}\n    in ${cells.size} cells: ${[...cells].join("; ")}`);
}
console.log("\nWhy a case does not apply (and how often):");
for (const [reason, times] of [...reasons].toSorted(([, left], [, right]) => right - left))
  console.log(`  ${reason}: ${times}`);
console.log("\nWhy a cell is empty:");
for (const reason of new Set([...table.values()].map((cell) => cell.reason ?? ""))) {
  const cells = [...table].filter(([, cell]) => cell.reason === reason && reason !== "").map(([name]) => name);
  if (cells.length > 0) console.log(`  ${reason}: ${cells.join("; ")}`);
}
const width = Math.max(...rows.map(({ name }) => name.length)) + 2;
console.log(
  `\npassed/failed/not applicable\n${"".padEnd(width)}${columns.map((column) => column.padEnd(22)).join("")}`,
);
for (const { name } of chosen(rows)) {
  const cells = columns.map((column) => shown(table.get(`${column}/${name}`)!).padEnd(22));
  console.log(name.padEnd(width) + cells.join(""));
}
process.exitCode = faults.size > 0 ? 1 : 0;
