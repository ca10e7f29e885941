/**
 * The files of the page: bundled once at the start, and the same for everybody.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** A file of the page. */
export interface PageFile {
  readonly type: string;
  readonly body: string;
}

function place(file: string): string {
  return fileURLToPath(new URL(`page/${file}`, import.meta.url));
}

/** Bundles the page. Resolves to its files, by path. */
export async function pageFiles(): Promise<Map<string, PageFile>> {
  const { outputFiles } = await build({
    entryPoints: [place("page.ts")],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
  });
  const recording = place("recording.json");
  const script = outputFiles[0]?.text ?? "";
  return new Map([
    ["/", { type: "text/html; charset=utf-8", body: await readFile(place("index.html"), "utf8") }],
    ["/page.css", { type: "text/css; charset=utf-8", body: await readFile(place("page.css"), "utf8") }],
    ["/icon.svg", { type: "image/svg+xml", body: await readFile(place("icon.svg"), "utf8") }],
    ["/page.js", { type: "text/javascript; charset=utf-8", body: script }],
    [
      "/demo/recording",
      {
        type: "application/json",
        body: existsSync(recording) ? await readFile(recording, "utf8") : '{"messages":[]}',
      },
    ],
  ]);
}
