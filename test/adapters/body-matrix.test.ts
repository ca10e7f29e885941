/** The matrix of bodies (body-matrix.ts) with every client. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nodeGround } from "../matrix/node-ground.ts";
import type { Ground } from "../matrix/run.ts";
import { type Servers, startServers } from "../matrix/server.ts";
import { cells, runCell, unfitCell } from "./body-matrix.ts";
import { clients } from "./clients.ts";

let servers: Servers;
let ground: Ground;
beforeAll(async () => {
  servers = await startServers();
  ground = nodeGround(servers);
});
afterAll(() => servers.close());

describe.each(clients.map((client) => [client.name, client] as const))("%s", (_name, client) => {
  // Everything that the cells need is there in Node, so what is left out is left out by the table.
  const tried = cells.filter(
    (cell) => unfitCell(cell, client, nodeGround({ api: "", other: "", closed: "" })) === undefined,
  );
  test.concurrent.each(tried.map((cell) => [cell.name, cell] as const))(
    "%s",
    { timeout: 10_000 },
    async (_cell, cell) => {
      expect(await runCell(ground, client, cell)).toEqual([]);
    },
  );
});
