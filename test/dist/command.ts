/** Runs commands for the tests of the packed package. */
import { spawn } from "node:child_process";

/** The result of a command. */
export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  /** The text of stdout and stderr, in the order of arrival. */
  readonly output: string;
}

/** Runs a command without a shell and without input. `env` has further variables of the environment. */
export function run(
  command: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      output += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, stdout, output }));
  });
}

/** Runs a command that must not fail, and returns its stdout. */
export async function succeed(command: string, args: readonly string[], cwd: string): Promise<string> {
  const { status, stdout, output } = await run(command, args, cwd);
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed (${status}) in ${cwd}:\n${output}`);
  return stdout;
}

/** Runs a script of Node.js. */
export function node(args: readonly string[], cwd: string): Promise<Ended> {
  return run(process.execPath, args, cwd);
}
