/**
 * The Node 20 column of the matrix: what a user of a plain HTTP client sends and gets is the same through remint, warm,
 * while a token is awaited, and after a 401. `npm run matrix` runs the same list in the other runtimes.
 */
import { describe, expect, test } from "vitest";
import { cases } from "./cases.ts";
import { clients } from "./node-column.ts";
import { nodeGround } from "./node-ground.ts";
import { MODES, runCase, unfitFor } from "./run.ts";
import { withServers } from "./with-servers.ts";

const { ground } = withServers();

const nowhere = nodeGround({ api: "", other: "", closed: "" });

describe.each(clients.map((client) => [client.name, client] as const))("%s", (_name, client) => {
  const tried = cases.filter((entry) => MODES.some((mode) => unfitFor(entry, client, nowhere, mode) === undefined));

  test("there are at least 60 cases", () => {
    expect(tried.length).toBeGreaterThanOrEqual(60);
  });

  test.concurrent.each(tried.map((entry) => [entry.name, entry] as const))("%s", async (_case, entry) => {
    const faults = [];
    for (const mode of MODES) {
      if (unfitFor(entry, client, ground(), mode) !== undefined) continue;
      faults.push(...(await runCase(ground(), client, entry, mode)).map((fault) => `${mode}: ${fault}`));
    }
    expect(faults).toEqual([]);
  });
});
