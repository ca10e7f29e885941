/** What the cache of a tab tells when another tab has met a refusal: a page waits for the event to show its sign-in page. */
import { createTokenCache } from "remint";
import { refreshEndpoint } from "remint/browser";
import { fleetStore, memoryStore } from "remint/fleet";
import { startApi } from "remint/testing";
import { expect, test } from "vitest";
import type { RemintEvent } from "remint";

test("C9: the endpoint refuses the session in one process: each process that asks for a token tells it once", async () => {
  await using server = await startApi({ accepts: () => true });
  const engine = memoryStore();
  const processes = Array.from({ length: 3 }, () => {
    const events: RemintEvent[] = [];
    const cache = createTokenCache({
      grant: refreshEndpoint(`${server.origin}/auth/refresh`, { key: "alice", read: (response) => response.text() }),
      origins: [server.origin],
      store: fleetStore(engine, { encryptionKey: "none" }),
      warnings: false,
      onEvent: (event) => void events.push(event),
    });
    return { cache, events };
  });
  server.respond({ status: 401 });
  for (const { cache } of processes) {
    for (let times = 0; times < 3; times++) {
      await expect(cache.get()).rejects.toMatchObject({ code: "ERR_NO_SESSION", terminal: true });
    }
  }
  const failures = processes.map(({ events }) => events.filter(({ name }) => name === "mint-failed"));
  expect(failures).toMatchObject(processes.map(() => [{ error: { code: "ERR_NO_SESSION", terminal: true } }]));
  expect(server.requests.length).toBe(1);
});
