/** Runs code blocks of the guides as they stand, with the servers of a test in place of their hosts. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { codeBlocks } from "../house/markdown.ts";

const HERE = fileURLToPath(new URL(".", import.meta.url));

/** What a block exports. */
export type Exports = Readonly<Record<string, unknown>>;

/** A folder for the blocks of one test, below which the packages of this folder are found. */
export class Blocks {
  readonly folder: string;
  readonly #document: string;
  /** What is written in place of which text, in every block. */
  readonly #replacements: readonly (readonly [text: string, by: string])[];
  #count = 0;

  constructor(document: string, replacements: Readonly<Record<string, string>>) {
    mkdirSync(join(HERE, ".tmp"), { recursive: true });
    this.folder = mkdtempSync(join(HERE, ".tmp/blocks-"));
    this.#document = document;
    this.#replacements = Object.entries(replacements);
  }

  /** Runs the one block that has this text in it. `more` is replaced too, for this run. */
  async run(text: string, more: Readonly<Record<string, string>> = {}): Promise<Exports> {
    const found = codeBlocks(this.#document).filter(({ code }) => code.includes(text));
    expect(
      found.map(({ line }) => line),
      `blocks of ${this.#document} with ${text}`,
    ).toHaveLength(1);
    let { code } = found[0]!;
    for (const [name, by] of [...this.#replacements, ...Object.entries(more)]) code = code.replaceAll(name, by);
    const file = join(this.folder, `block-${++this.#count}.${found[0]!.info}`);
    writeFileSync(file, code);
    return (await import(/* @vite-ignore */ file)) as Exports;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
