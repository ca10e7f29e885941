import type { Outcomes } from "./rig.mjs";

/** The cells of a row by the head of their column. */
export type Cells = Readonly<Record<string, string>>;

export interface Row {
  readonly name: string;
  readonly cells: Cells;
}

export const TABLES: readonly {
  readonly title: string;
  readonly columns: readonly { readonly head: string; readonly held: boolean }[];
}[];

export function cellsOf(claims: readonly string[], outcomes: Outcomes): Cells;
export function markdown(rows: readonly Row[]): string;
export function differences(rows: readonly Row[], page: string): readonly string[];
