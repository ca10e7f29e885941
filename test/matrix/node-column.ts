/** What the tests of the Node column start from: every client that is installed here, and the servers that they ask. */
import { afterAll, beforeAll } from "vitest";
import { nodeGround } from "./node-ground.ts";
import { rows } from "./rows.ts";
import { startServers, type Servers } from "./server.ts";
import type { TestClient } from "./clients.ts";
import type { Ground } from "./run.ts";

const loaded = await Promise.all(rows.filter(({ installed }) => !installed).map(({ load }) => load()));
export const clients: readonly TestClient[] = loaded.filter(
  (client): client is TestClient => typeof client !== "string",
);

/** Starts the servers before the tests of a file, and closes them after. @returns The ground, once the tests run. */
export function withServers(): () => Ground {
  let servers: Servers;
  let ground: Ground;
  beforeAll(async () => {
    servers = await startServers();
    ground = nodeGround(servers);
  });
  afterAll(() => servers.close());
  return () => ground;
}
