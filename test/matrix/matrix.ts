/** Runs the whole list with one row of the matrix. Runs everywhere: no `node:` imports. */
import { cells, runCell, unfitCell } from "../adapters/body-matrix.ts";
import { cases } from "./cases.ts";
import { type Ground, MODES, runCase, unfitFor } from "./run.ts";
import type { TestClient } from "./clients.ts";
import { rows } from "./rows.ts";

/** What came of one case or cell: its faults, or why it does not apply. */
export interface Result {
  readonly name: string;
  readonly unfit?: string | undefined;
  readonly faults: readonly string[];
}

/** One entry of the list for one client. */
interface Entry {
  readonly name: string;
  readonly unfit: string | undefined;
  readonly run: () => Promise<string[]>;
}

/** Milliseconds after which a case counts as one that hangs. */
const LONGEST = 20_000;

function entriesFor(ground: Ground, client: TestClient): Entry[] {
  return [
    ...cases.flatMap((entry) =>
      MODES.map((mode) => ({
        name: `${entry.name} [${mode}]`,
        unfit: unfitFor(entry, client, ground, mode),
        run: () => runCase(ground, client, entry, mode),
      })),
    ),
    ...cells.map((cell) => ({
      name: cell.name,
      unfit: unfitCell(cell, client, ground),
      run: () => runCell(ground, client, cell),
    })),
  ];
}

/**
 * Runs every case and cell with one row, a few at once.
 *
 * @returns Why the row cannot be run in this runtime; `undefined` if it was.
 */
export async function runRow(
  ground: Ground,
  name: string,
  tell: (result: Result) => void,
): Promise<string | undefined> {
  const client = await rows.find((row) => row.name === name)!.load();
  if (typeof client === "string") return client;
  const left = entriesFor(ground, client);
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const { name: entry, unfit, run } = next;
      const faults = unfit === undefined ? await bounded(run()) : [];
      tell({ name: entry, unfit, faults });
    }
  };
  await Promise.all(Array.from({ length: 6 }, work));
  return undefined;
}

async function bounded(run: Promise<string[]>): Promise<string[]> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<string[]>((resolve) => {
    timer = setTimeout(() => resolve([`nothing came of it in ${LONGEST / 1000} seconds`]), LONGEST);
  });
  const failed = (error: unknown): string[] => [`the run itself failed: ${String((error as Error).stack)}`];
  const faults = await Promise.race([run.catch(failed), late]);
  clearTimeout(timer);
  return faults;
}
