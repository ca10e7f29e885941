/** Redis is killed and starts again: with all of its data, with none, and with data of some time ago. */
import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { afterEach, describe, expect, test } from "vitest";
import { redisStore } from "../../../src/fleet/redis.ts";
import { createTokenCache } from "../../../src/index.ts";
import { rejectionOf } from "../../core/cache-under-test.ts";
import { sessionGrant, SessionServer } from "../session-server.ts";
import { redisAvailable, RedisServer } from "./redis-server.ts";
import type { TokenCache } from "../../../src/index.ts";

const encryptionKey = randomBytes(32);

async function renew(cache: TokenCache): Promise<string> {
  await cache.invalidate((await cache.get()).value);
  return (await cache.get()).value;
}

describe.skipIf(!redisAvailable())("Redis is killed and starts again", { timeout: 30_000 }, () => {
  const clients: Redis[] = [];
  afterEach(() => {
    for (const client of clients.splice(0)) client.disconnect();
  });

  interface World {
    readonly server: RedisServer;
    readonly provider: SessionServer;
    /** Starts a process, whose function returns the refresh token that was saved last. */
    readonly start: () => TokenCache;
    readonly running: TokenCache;
  }

  /** A session of one process that has rotated once. */
  async function rotatedOnce(server: RedisServer): Promise<World> {
    const provider = new SessionServer();
    let saved = provider.signIn();
    const start = (): TokenCache => {
      const client = new Redis({ port: server.port, retryStrategy: () => 20 });
      client.on("error", () => {});
      clients.push(client);
      const grant = sessionGrant(provider, () => saved, { save: (next) => void (saved = next) });
      const store = redisStore(client, { encryptionKey, callTimeout: 10_000 });
      return createTokenCache({ grant, store, origins: ["https://api.example"] });
    };
    const running = start();
    expect((await running.get()).value).toBe("at-1-1");
    return { server, provider, start, running };
  }

  test("C14: with an append-only file: the record is there, for a process that runs and for one that has just started", async () => {
    await using server = await RedisServer.start({ config: { appendonly: "yes", appendfsync: "always" } });
    const { provider, start, running } = await rotatedOnce(server);
    expect(await renew(running)).toBe("at-1-2");
    await server.restart();
    expect((await start().get()).value).toBe("at-1-2");
    expect(await renew(running)).toBe("at-1-3");
    expect(provider.presented).toEqual(["rt-1-0", "rt-1-1", "rt-1-2"]);
  });

  test("C14: with nothing: a process that has just started goes on with what the function returns", async () => {
    await using server = await RedisServer.start();
    const { provider, start, running } = await rotatedOnce(server);
    expect(await renew(running)).toBe("at-1-2");
    await server.restart();
    expect((await start().get()).value).toBe("at-1-3");
    expect([await renew(running), await renew(running)]).toEqual(["at-1-3", "at-1-4"]);
    expect(provider.presented).toEqual(["rt-1-0", "rt-1-1", "rt-1-2", "rt-1-3"]);
  });

  test("C14: with a snapshot of before the last rotation: a process that runs presents the later refresh token", async () => {
    await using server = await RedisServer.start();
    const { provider, running } = await rotatedOnce(server);
    await server.command("SAVE");
    expect(await renew(running)).toBe("at-1-2");
    await server.restart();
    const values = [await renew(running), await renew(running)];
    expect(values.at(-1)).toMatch(/^at-1-[34]$/);
    expect(provider.reused).toEqual([]);
  });

  test("C14: with a snapshot of before the last rotation, and no process has run on: the used refresh token is sent, and the session is lost", async () => {
    await using server = await RedisServer.start();
    const { provider, start, running } = await rotatedOnce(server);
    await server.command("SAVE");
    expect(await renew(running)).toBe("at-1-2");
    await server.restart();
    const fresh = start();
    // The access token of the snapshot is used while it lives.
    expect((await fresh.get()).value).toBe("at-1-1");
    expect(await rejectionOf(renew(fresh))).toMatchObject({ error: "invalid_grant", terminal: true });
    expect(provider.reused).toEqual(["rt-1-1"]);
  });
});
