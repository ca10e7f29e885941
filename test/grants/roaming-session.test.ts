/**
 * C14: processes that share a session through a table of saved refresh tokens and have no store, against a certified server
 * with reuse detection. The requests of the user go to one and to the other, with hours between them.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTokenCache, refreshTokenGrant, type TokenCache } from "remint";
import { manualClock } from "remint/testing";
import { rejectionOf } from "../core/cache-under-test.ts";
import { CLIENT, type GrantingServer, startGrantingServer } from "./granting-server.ts";

const HOUR = 3600_000;

let server: GrantingServer;
beforeAll(async () => {
  server = await startGrantingServer();
});
afterAll(async () => {
  await server.close();
  expect(server.errors).toEqual([]);
});

interface Table {
  /** Every refresh token that was saved, oldest first. */
  readonly saved: string[];
  /** The refresh tokens that were presented, oldest first. */
  readonly presented: () => readonly string[];
  /** Starts a process. A process has a cache, a grant and a clock of its own. */
  readonly start: () => { readonly cache: TokenCache; readonly advance: (ms: number) => Promise<void> };
}

async function startTable(delay = 0): Promise<Table> {
  const saved = [await server.signIn("alice")];
  const before = server.presented.length;
  const pause = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, delay));
  return {
    saved,
    presented: () => server.presented.slice(before),
    start() {
      const clock = manualClock();
      const cache = createTokenCache({
        grant: refreshTokenGrant({
          tokenEndpoint: server.tokenEndpoint,
          ...CLIENT,
          async refreshToken() {
            await pause();
            return saved.at(-1);
          },
          async onRotate(next, { replaced }) {
            await pause();
            // Compare-and-swap, as in a database.
            if (saved.at(-1) === replaced) saved.push(next);
          },
        }),
        origins: ["https://api.example"],
        clock,
      });
      return { cache, advance: (ms) => clock.advance(ms) };
    },
  };
}

describe("C14: two processes and one table, no two mints at the same time", () => {
  test("an hour apart: p1, p2, p1, p2 are all served, and each refresh token is presented once", async () => {
    const { saved, presented, start } = await startTable();
    const [p1, p2] = [start(), start()];
    for (const process of [p1, p2, p1, p2]) {
      const { value } = await process.cache.get();
      expect(await server.isActive(value)).toBe(true);
      for (const each of [p1, p2]) await each.advance(HOUR);
    }
    expect(presented()).toEqual(saved.slice(0, 4));
    expect(new Set(presented()).size).toBe(4);
    expect(await server.isActive(saved.at(-1)!)).toBe(true);
  });

  test("one is idle while the other refreshes 12 times: the idle one presents the newest, not what it remembers", async () => {
    const { saved, presented, start } = await startTable();
    const [busy, idle] = [start(), start()];
    await idle.cache.get();
    await idle.advance(HOUR);
    for (let hour = 0; hour < 12; hour++) {
      await busy.cache.get();
      await busy.advance(HOUR);
    }
    expect(await server.isActive((await idle.cache.get()).value)).toBe(true);
    expect(presented()).toEqual(saved.slice(0, 14));
  });

  test("a table that answers slowly, and processes that come and go: 20 refreshes, none lost", async () => {
    const { saved, presented, start } = await startTable(3);
    let processes = [start(), start(), start()];
    for (let round = 0; round < 20; round++) {
      const process = processes[(round * 7) % 3]!;
      const { value } = await process.cache.get();
      expect(await server.isActive(value)).toBe(true);
      for (const each of processes) await each.advance(HOUR);
      if (round % 5 === 4) {
        // A deploy: every process closes, and others start.
        const reports = await Promise.all(processes.map(({ cache }) => cache.close()));
        expect(reports).toEqual(processes.map(() => ({ inFlight: false, unsaved: false })));
        processes = [start(), start(), start()];
      }
    }
    expect(presented()).toEqual(saved.slice(0, 20));
    expect(new Set(presented()).size).toBe(20);
  });

  test("targets of one process and another process take turns: each refresh token is presented once", async () => {
    const { saved, presented, start } = await startTable();
    const [p1, p2] = [start(), start()];
    const wide = p1.cache.for({ scope: "openid offline_access" });
    for (const cache of [p1.cache, wide, p2.cache, p1.cache]) {
      expect(await server.isActive((await cache.get()).value)).toBe(true);
      for (const each of [p1, p2]) await each.advance(HOUR);
    }
    expect(presented()).toEqual(saved.slice(0, 4));
  });
});

test("C14: the loss that the server's reuse detection is for: the table was set back by a backup, and the refusal is final", async () => {
  const { saved, presented, start } = await startTable();
  const first = saved[0]!;
  await start().cache.get();
  saved.push(first);
  const restored = start();
  expect(await rejectionOf(restored.cache.get())).toMatchObject({ error: "invalid_grant", terminal: true });
  for (let hour = 0; hour < 5; hour++) {
    await restored.advance(HOUR);
    expect(await rejectionOf(restored.cache.get())).toMatchObject({ error: "invalid_grant", terminal: true });
  }
  expect(presented()).toEqual([first, first]);
});
