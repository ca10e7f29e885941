/**
 * An app as a process of its own.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Api } from "remint/testing";
import { expect } from "vitest";

/** An app that listens. */
export interface AppProcess {
  /** Where it listens. */
  readonly url: string;
  /** What it has printed until now. */
  output(): string;
  /** Sends SIGTERM. Resolves with the exit code; `null` when the process did not end by itself. */
  stop(): Promise<number | null>;
}

/**
 * Starts a TypeScript file of this folder, such as `express-bff/main.ts`. It has to take its port from `PORT`, and to print
 * `Listening on` and its URL.
 *
 * @throws {Error} When it ends before that. The message has what it printed.
 */
export async function startApp(file: string, env: Readonly<Record<string, string>>): Promise<AppProcess> {
  const path = fileURLToPath(new URL(`../${file}`, import.meta.url));
  const app = spawn(process.execPath, ["--import", "tsx", path], {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    env: { PATH: process.env["PATH"], NODE_ENV: "production", PORT: "0", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(app, "exit");
  let output = "";
  const url = await new Promise<string>((resolve, reject) => {
    const read = (chunk: Buffer): void => {
      output += chunk.toString();
      const [, listening] = /Listening on (\S+)/.exec(output) ?? [];
      if (listening !== undefined) resolve(listening);
    };
    app.stdout.on("data", read);
    app.stderr.on("data", read);
    void exited.then(() => reject(new Error(`${file} has ended: ${output}`)));
  });
  return {
    url,
    output: () => output,
    async stop() {
      app.kill("SIGTERM");
      await exited;
      return app.exitCode;
    },
  };
}

/**
 * Stops an app while a request waits for an API: the app takes no further one, and answers this one.
 *
 * @returns The answer, and the exit code of the app.
 */
export async function stopDuring(
  app: AppProcess,
  api: Api,
  ask: () => Promise<Response>,
): Promise<{ readonly answer: Response; readonly code: number | null }> {
  const release = api.holdAnswers();
  const asked = api.requests.length;
  const answer = ask();
  await api.waitFor(asked + 1);
  const stopped = app.stop();
  await expect.poll(() => fetch(app.url).catch(() => "refused"), { timeout: 20_000 }).toBe("refused");
  release();
  return { answer: await answer, code: await stopped };
}
