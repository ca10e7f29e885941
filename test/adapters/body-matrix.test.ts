/** The matrix of bodies (body-matrix.ts) with every client. */
import { describe, expect, test } from "vitest";
import { nodeGround } from "../matrix/node-ground.ts";
import { withServers } from "../matrix/with-servers.ts";
import { cells, runCell, unfitCell } from "./body-matrix.ts";
import { clients } from "./clients.ts";

const { ground } = withServers();

describe.each(clients.map((client) => [client.name, client] as const))("%s", (_name, client) => {
  // Everything that the cells need is there in Node, so what is left out is left out by the table.
  const tried = cells.filter(
    (cell) => unfitCell(cell, client, nodeGround({ api: "", other: "", closed: "" })) === undefined,
  );
  test.concurrent.each(tried.map((cell) => [cell.name, cell] as const))(
    "%s",
    { timeout: 10_000 },
    async (_cell, cell) => {
      expect(await runCell(ground(), client, cell)).toEqual([]);
    },
  );
});
