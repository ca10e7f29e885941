/** The servers that the tests of the matrix ask, in Node. */
import { afterAll, beforeAll } from "vitest";
import { nodeGround } from "./node-ground.ts";
import { startServers, type Servers } from "./server.ts";
import type { Ground } from "./run.ts";

/** Starts the servers before the tests of a file, and closes them after. What it returns is there once the tests run. */
export function withServers(): { readonly servers: () => Servers; readonly ground: () => Ground } {
  let servers: Servers;
  let ground: Ground;
  beforeAll(async () => {
    servers = await startServers();
    ground = nodeGround(servers);
  });
  afterAll(() => servers.close());
  return { servers: () => servers, ground: () => ground };
}
