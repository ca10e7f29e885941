/** Copies `examples/proxy` beside the packages that it imports, and starts the servers of the copy. */
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll } from "vitest";
import { type ServerProcess, startProcess } from "./server-process.ts";

const here = import.meta.dirname;
/** The packages that are installed here under another name than the one that a user imports. */
const PACKAGES: Readonly<Record<string, string>> = {
  express: "express-5",
  fastify: "fastify-5",
  koa: "koa-3",
  h3: "h3-2",
  "nitro-2/h3": "h3-1",
};

/** Copies the examples into a folder that exists until the tests of the file are over. */
export function copyOfExamples(): string {
  const folder = mkdtempSync(join(here, ".proxy-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(join(here, "../../examples/proxy"), folder, { recursive: true });
  for (const [name, installed] of Object.entries(PACKAGES)) {
    const link = join(folder, dirname(name), "node_modules", name.split("/").at(-1)!);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(here, "node_modules", installed), link);
  }
  return folder;
}

/** Starts a server of the copy. `garbage collection` is at hand there. */
export function startMount(
  name: string,
  folder: string,
  env: Readonly<Record<string, string>>,
): Promise<ServerProcess> {
  return startProcess("proxy-servers.mjs", [name, folder], env, [
    "--expose-gc",
    "--import",
    import.meta.resolve("tsx"),
  ]);
}

/** Runs a command line of an installed package, in production mode. */
export async function build(script: string, args: readonly string[], cwd: string): Promise<void> {
  const env = { PATH: process.env["PATH"], NODE_ENV: "production" as const, NEXT_TELEMETRY_DISABLED: "1" };
  await promisify(execFile)(process.execPath, [join(here, "node_modules", script), ...args], { cwd, env });
}
