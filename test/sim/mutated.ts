/**
 * Runs a simulation over sources in which one text is replaced: a deliberate fault in the real code.
 *
 * The faults themselves are in the tests that use this: fleet-mutants.test.ts and session-mutants.test.ts.
 */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const SOURCES = fileURLToPath(new URL("../../src/", import.meta.url));

/** A fault: in this file of `src`, one text in place of another that occurs once. */
export interface Fault {
  readonly file: string;
  readonly is: string;
  readonly becomes: string;
}

/**
 * Bundles a file of test/sim with a fault in the sources, and returns what it exports.
 *
 * @throws {Error} When the text is not there, or more than once: the source has changed, and the fault has to follow.
 */
export async function withFault({ file, is, becomes }: Fault, world: string): Promise<unknown> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(world, import.meta.url))],
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
    plugins: [
      {
        name: "fault",
        setup(bundler) {
          bundler.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
            if (path !== `${SOURCES}${file}`) return undefined;
            const [before, after, ...more] = (await readFile(path, "utf8")).split(is);
            if (after === undefined || more.length > 0) throw new Error(`src/${file} does not have once: ${is}`);
            return { contents: before + becomes + after, loader: "ts" };
          });
        },
      },
    ],
  });
  return import(
    /* @vite-ignore */ `data:text/javascript;base64,${Buffer.from(outputFiles[0]!.text).toString("base64")}`
  );
}
