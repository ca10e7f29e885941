import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The result of a program that has ended. */
export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly args?: readonly string[];
  /** Modules to load before the program, relative to the root of the repository. */
  readonly preload?: readonly string[];
  /** Further variables of the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called with the standard output so far, whenever there is more of it. */
  readonly onOutput?: (stdout: string, child: ChildProcess) => void;
}

/**
 * Runs `examples/<name>.ts`, or `examples/<name>` if it is JavaScript, as a user does, but on the sources (`paths` in tsconfig.json), so that no build is needed.
 */
export async function runExample(name: string, options: RunOptions = {}): Promise<Run> {
  const { args = [], preload = [], env, onOutput } = options;
  const imports = ["tsx", ...preload.map((path) => `./${path}`)].flatMap((module) => ["--import", module]);
  const file = name.endsWith(".mjs") ? name : `${name}.ts`;
  const child = spawn(process.execPath, [...imports, `examples/${file}`, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    stdout += chunk;
    onOutput?.(stdout, child);
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  // "close" comes when the process has ended and all its output was read.
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  return { code, stdout, stderr };
}
