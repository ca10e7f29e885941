/**
 * Random requests with every client: what arrives and what the caller gets is the same through remint, warm, while a token is
 * awaited, and after a 401. `SEEDS=1000,200 npx vitest run test/matrix/random.test.ts` runs 200 other seeds from 1000 on.
 */
import { describe, expect, test } from "vitest";
import { clients } from "./node-column.ts";
import { randomCase } from "./random.ts";
import { MODES, runCase } from "./run.ts";
import { withServers } from "./with-servers.ts";

const [first = 1, count = 0] = (process.env["SEEDS"] ?? "1,3").split(",").map(Number);
const seeds = Array.from({ length: count }, (_, index) => first + index);
const { ground } = withServers();

describe.each(clients.map((client) => [client.name, client] as const))("%s", (_name, client) => {
  test.concurrent.each(seeds)("Q15: a request with the options of seed %i", async (seed) => {
    const entry = randomCase(seed, client);
    const faults = [];
    for (const mode of MODES) {
      faults.push(...(await runCase(ground(), client, entry, mode)).map((fault) => `${mode}: ${fault}`));
    }
    expect(faults).toEqual([]);
  });
});
