/** Runs the contract with every client. */
import { describe, test } from "vitest";
import { clients } from "./clients.ts";
import { contract } from "./contract.ts";
import { World } from "./world.ts";

for (const client of clients) {
  describe(client.name, () => {
    for (const { name, run } of contract.filter(({ clients: only }) => only?.includes(client.name) ?? true)) {
      test(name, async () => {
        const world = await World.start(client);
        try {
          await run(world);
        } finally {
          await world.end();
        }
      });
    }
  });
}
