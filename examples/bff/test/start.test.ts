/** The command: as a user starts it, on the sources. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));
const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;

interface Run {
  readonly child: ChildProcess;
  /** Standard output and errors so far. */
  readonly output: () => string;
  readonly ended: Promise<number | null>;
}

function start(args: readonly string[], env: Readonly<Record<string, string | undefined>> = {}): Run {
  const child = spawn(process.execPath, ["--import", "tsx", MAIN, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const ended = once(child, "close").then(([code]) => code as number | null);
  return { child, output: () => output, ended };
}

test.each([
  ["one process", [], false],
  ["three processes", ["--replicas", "3"], !hasRedis],
])("--once, %s: every step is right, exit code 0", { timeout: 180_000 }, async (_, args, isSkipped) => {
  // Without a redis-server there is nothing to share sessions in.
  if (isSkipped) return;
  const { output, ended } = start(["--once", ...args]);
  const code = await ended;
  expect({ code, wrong: output().match(/✗.*/g) }, output()).toEqual({ code: 0, wrong: null });
  expect(output().match(/^✓ /gm)).toHaveLength(16);
  expect(output()).not.toMatch(/WARNING|NOTICE|Error/);
});

test("says where to open it, in one line, and Ctrl-C ends it with exit code 0", { timeout: 120_000 }, async () => {
  const { child, output, ended } = start([], { PORT: "0" });
  await once(child.stdout!, "data");
  expect(output()).toMatch(/^Open http:\/\/localhost:\d+\n$/);
  const page = await fetch(output().slice("Open ".length).trim());
  expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
  child.kill("SIGINT");
  expect(await ended).toBe(0);
  expect(output()).toMatch(/^Open [^\n]*\n$/);
});

test("a port that is taken: one sentence with another way, exit code 1", { timeout: 120_000 }, async () => {
  const other = createServer();
  other.listen(0, "localhost");
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  const { output, ended } = start([], { PORT: String(port) });
  expect(await ended).toBe(1);
  expect(output()).toBe(`Port ${port} cannot be used (EADDRINUSE). Choose another: PORT=3001 npm start\n`);
  other.close();
});

test("several processes without a Redis: one sentence, exit code 1", { timeout: 120_000 }, async () => {
  const { output, ended } = start(["--replicas", "3"], { PATH: "/nowhere", REDIS_URL: undefined });
  expect(await ended).toBe(1);
  expect(output()).toMatch(
    /^Several processes share their sessions in a Redis: set REDIS_URL, or install redis-server\.\n$/,
  );
});
