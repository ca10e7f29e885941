/** A run of one row in a page. */
import { walked } from "./describe.ts";
import { type Result, runRow } from "./matrix.ts";
import type { Ground } from "./run.ts";

/** Given by main.ts. */
declare const tell: (result: Result) => void;

Object.assign(globalThis, {
  run: (servers: Ground["servers"], row: string) => runRow({ servers, inspect: walked }, row, (result) => tell(result)),
});
