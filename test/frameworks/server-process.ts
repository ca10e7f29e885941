/** Runs the servers of `servers.mjs`, each in a process of its own, because an uncaught error may end it. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/** A server in a process of its own. */
export interface ServerProcess {
  readonly origin: string;
  /** Whether the process still runs. */
  readonly isAlive: boolean;
  /** What it has printed, to stdout and stderr, in the order of arrival. */
  readonly output: string;
  stop(): Promise<void>;
}

/** Starts one of the servers in production mode. */
export function startServer(name: string, tokenServer: string): Promise<ServerProcess> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL("servers.mjs", import.meta.url)), [name], {
      env: { PATH: process.env["PATH"], NODE_ENV: "production", TOKEN_SERVER: tokenServer },
      execArgv: [],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    let output = "";
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding("utf8").on("data", (text: string) => (output += text));
    }
    const ended = new Promise<void>((resolveEnd) => child.once("close", () => resolveEnd()));
    void ended.then(() => reject(new Error(`${name} has ended:\n${output}`)));
    child.once("error", reject);
    child.once("message", (port) => {
      resolve({
        origin: `http://127.0.0.1:${port as number}`,
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
