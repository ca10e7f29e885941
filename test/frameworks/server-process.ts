/**
 * Runs servers, each in a process of its own, because an uncaught error may end it: those of `servers.mjs`, and those of
 * `proxy-servers.mjs`.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/** A server in a process of its own. */
export interface ServerProcess {
  readonly origin: string;
  /** Whether the process still runs. */
  readonly isAlive: boolean;
  /** What it has printed, to stdout and stderr, in the order of arrival. */
  readonly output: string;
  readonly child: ChildProcess;
  stop(): Promise<void>;
}

/** Starts one of the servers of `servers.mjs` in production mode. */
export function startServer(name: string, tokenServer: string): Promise<ServerProcess> {
  return startProcess("servers.mjs", [name], { TOKEN_SERVER: tokenServer });
}

/**
 * Starts a module of this folder, in production mode. Resolves when it tells its port.
 *
 * @param flags Flags of Node.js.
 */
export function startProcess(
  module: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  flags: readonly string[] = [],
): Promise<ServerProcess> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL(module, import.meta.url)), args, {
      env: { PATH: process.env["PATH"], NODE_ENV: "production", ...env },
      execArgv: [...flags],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    let output = "";
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding("utf8").on("data", (text: string) => (output += text));
    }
    const ended = new Promise<void>((resolveEnd) => child.once("close", () => resolveEnd()));
    void ended.then(() => reject(new Error(`${[module, ...args].join(" ")} has ended:\n${output}`)));
    child.once("error", reject);
    child.once("message", (port) => {
      resolve({
        origin: `http://127.0.0.1:${port as number}`,
        child,
        get isAlive() {
          return child.exitCode === null && child.signalCode === null;
        },
        get output() {
          return output;
        },
        async stop() {
          child.kill("SIGKILL");
          await ended;
        },
      });
    });
  });
}
