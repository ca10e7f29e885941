/** Runs the contract with every client, in every mode. */
import { describe, test } from "vitest";
import { MODES } from "../matrix/run.ts";
import { clients } from "./clients.ts";
import { contract } from "./contract.ts";
import { World } from "./world.ts";

for (const client of clients) {
  const cases = contract.filter(({ clients: only }) => only?.includes(client.name) ?? true);
  for (const mode of MODES) {
    describe(`${client.name}, ${mode}`, () => {
      for (const { name, run } of cases.filter(({ warmOnly }) => mode === "warm" || warmOnly === undefined)) {
        test(name, async () => {
          const world = await World.start(client, mode);
          try {
            await run(world);
          } finally {
            await world.end();
          }
        });
      }
    });
  }
}
