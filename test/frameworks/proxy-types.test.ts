/** `examples/proxy` compiles with the packages that it imports, and the package as it is published. */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { copyOfExamples } from "./proxy-mounts.ts";

const folder = copyOfExamples();

test("Q18: the examples of the proxy compile", async () => {
  const compilerOptions = { paths: {}, typeRoots: [join(import.meta.dirname, "node_modules/@types")] };
  const project = { extends: "../../../tsconfig.json", compilerOptions, include: ["**/*.ts"], exclude: [] };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(project));
  const tsc = join(import.meta.dirname, "../../node_modules/typescript-7/bin/tsc");
  const run = promisify(execFile)(process.execPath, [tsc, "-p", folder, "--pretty", "false"], { cwd: folder });
  expect(await run.catch(({ stdout }: { stdout: string }) => ({ stdout }))).toMatchObject({ stdout: "" });
}, 120_000);
