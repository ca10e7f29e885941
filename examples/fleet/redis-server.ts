/**
 * Provides a Redis for the example: the one of `REDIS_URL`, or a temporary one that keeps nothing.
 *
 * @module
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** A Redis, and a function that stops it. */
export interface DemoRedis {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** Starts a Redis, or uses the one of `REDIS_URL`. Resolves to `undefined` if there is neither. */
export async function startRedis(): Promise<DemoRedis | undefined> {
  const { REDIS_URL } = process.env;
  if (REDIS_URL !== undefined) return { url: REDIS_URL, stop: async () => undefined };
  if (spawnSync("redis-server", ["--version"]).status !== 0) return undefined;
  const folder = await mkdtemp(join(tmpdir(), "fleet-"));
  const url = join(folder, "redis.sock");
  // A socket file instead of a port: no other process uses it or can reach it over the network.
  const options = ["--port", "0", "--unixsocket", url, "--save", "", "--dir", folder];
  const server = spawn("redis-server", options, { stdio: ["ignore", "pipe", "inherit"] });
  process.once("exit", () => server.kill());
  const log = createInterface({ input: server.stdout });
  await new Promise<void>((resolve, reject) => {
    log.on("line", (line) => line.includes("eady to accept connections") && resolve());
    server.once("exit", () => reject(new Error("redis-server ended before it was ready")));
  });
  return {
    url,
    async stop() {
      server.kill();
      await once(server, "exit");
      await rm(folder, { recursive: true });
    },
  };
}
