// Makes a row of the table of the rounds of a scenario: medians of the counts, and whether every round met the claims.
import { quartiles } from "../measure.mjs";

/** Runs the rounds of a scenario. */
export async function rowOf({ title, does, run }, { stage, rounds }) {
  console.log(`... ${title}: ${does}`);
  const done = [];
  for (let round = 0; round < rounds; round++) done.push(await run(stage, round));
  return { title, rounds: done.flat() };
}

/** Prints the table. @returns How many rows missed their claim. */
export function print(rows) {
  const table = [["scenario", "rounds", "mints", "401s", "errors", "wait p50 / max ms", "commands", "claim"]];
  for (const row of rows) table.push(cells(row));
  const widths = table[0].map((_, column) => Math.max(...table.map((line) => line[column].length)));
  console.log();
  for (const line of table)
    console.log(
      line
        .map((cell, column) => cell.padEnd(widths[column]))
        .join("  ")
        .trimEnd(),
    );
  console.log();
  return rows.filter((row) => misses(row).length > 0).length;
}

function cells(row) {
  const { title, rounds } = row;
  const median = (pick) => {
    const values = rounds.map(pick).filter((value) => value !== undefined);
    return values.length === 0 ? "-" : String(quartiles(values).median);
  };
  const waits = rounds.filter((round) => round.waits?.length > 0).map((round) => quartiles(round.waits));
  const longest = rounds.filter((round) => round.waits?.length > 0).map((round) => Math.max(...round.waits));
  const wait = waits.length === 0 ? "-" : `${middle(waits.map(({ median: p50 }) => p50))} / ${middle(longest)}`;
  const missed = misses(row);
  const claims = Object.keys(rounds[0].claims).join(", ");
  const notes = [...new Set(rounds.map(({ note }) => note).filter(Boolean))].join("; ");
  const verdict = missed.length === 0 ? `met: ${claims}` : `MISSED: ${missed.join("; ")}`;
  return [
    title,
    String(rounds.length),
    median(({ mints }) => mints),
    median(({ unauthorized }) => unauthorized),
    median(({ errors }) => errors?.length),
    wait,
    median(({ commands }) => commands),
    notes === "" ? verdict : `${verdict} (${notes})`,
  ];
}

function middle(values) {
  return quartiles(values).median.toFixed(0);
}

/** Returns the claims that were missed, each with the number of rounds. */
function misses({ rounds }) {
  const names = Object.keys(rounds[0].claims);
  return names.flatMap((name) => {
    const wrong = rounds.filter(({ claims }) => !claims[name]).length;
    const example = rounds.find(({ claims, errors }) => !claims[name] && errors?.length > 0)?.errors[0];
    return wrong === 0 ? [] : [`${name} (not in ${wrong} of ${rounds.length})${example ? `: ${example}` : ""}`];
  });
}

/** Whether callers noticed nothing: no error and no 401. */
export function unnoticed({ errors, unauthorized }) {
  return errors.length === 0 && unauthorized === 0;
}
