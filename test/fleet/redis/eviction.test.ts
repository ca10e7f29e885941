/**
 * A Redis that is full, under each of its policies: which records are lost, and which sessions. With `MEASURE=true` it prints
 * the numbers of docs/fleet.md.
 */
import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { redisStore } from "../../../src/fleet/redis.ts";
import { createTokenCache, createTokenPool } from "../../../src/index.ts";
import { rejectionOf } from "../../core/cache-under-test.ts";
import { sessionGrant, SessionServer } from "../session-server.ts";
import { redisAvailable, RedisServer } from "./redis-server.ts";
import type { RemintEvent, TokenPool } from "../../../src/index.ts";

const USERS = process.env["MEASURE"] === "true" ? 500 : 24;
const users = Array.from({ length: USERS }, (_, index) => `user-${index}`);
const encryptionKey = randomBytes(32);
/** Room for the others' data, in bytes. They write twice as much. */
const ROOM = process.env["MEASURE"] === "true" ? 2_000_000 : 500_000;
const VALUE = "x".repeat(1000);
const VALUES = (2 * ROOM) / VALUE.length;

/** Who else writes to the server: data that expires, or data that does not. */
type Others = "expire" | "stay";

const LOSES: readonly [policy: string, others: Others, loses: "all" | "some" | "none" | "any"][] = [
  ["noeviction", "stay", "none"],
  ["noeviction", "expire", "none"],
  ["allkeys-lru", "stay", "some"],
  ["allkeys-lru", "expire", "some"],
  ["allkeys-lfu", "stay", "any"],
  ["allkeys-lfu", "expire", "any"],
  ["allkeys-random", "stay", "some"],
  ["allkeys-random", "expire", "some"],
  ["volatile-lru", "stay", "all"],
  ["volatile-lru", "expire", "some"],
  ["volatile-lfu", "stay", "all"],
  ["volatile-lfu", "expire", "any"],
  ["volatile-random", "stay", "all"],
  ["volatile-random", "expire", "some"],
  ["volatile-ttl", "stay", "all"],
  ["volatile-ttl", "expire", "none"],
];

interface Process {
  readonly pool: TokenPool;
  readonly events: RemintEvent[];
}

/** Signs all users in. */
function signedIn(): { provider: SessionServer; tokens: Map<string, string> } {
  const provider = new SessionServer();
  return { provider, tokens: new Map(users.map((user) => [user, provider.signIn()])) };
}

async function ask(pool: TokenPool, user: string): Promise<string> {
  return (await pool.get(user).get()).value;
}

/** Replaces the token of a user, whatever it is. */
async function renew(pool: TokenPool, user: string): Promise<string> {
  await pool.get(user).invalidate(await ask(pool, user));
  return ask(pool, user);
}

describe.skipIf(!redisAvailable())("a Redis that is full", { timeout: 120_000 }, () => {
  let server: RedisServer;
  let client: Redis;
  /** The keys of the users' records. */
  const keys = new Map<string, string>();
  const measured: string[] = [];

  beforeAll(async () => {
    server = await RedisServer.start();
    client = new Redis({ port: server.port, maxRetriesPerRequest: 0, retryStrategy: () => null });
  });
  beforeEach(async () => {
    await server.command("CONFIG", "SET", "maxmemory", 0);
    await server.command("FLUSHALL");
    await server.command("CONFIG", "RESETSTAT");
    keys.clear();
  });
  afterAll(async () => {
    client.disconnect();
    await server[Symbol.asyncDispose]();
    if (process.env["MEASURE"] === "true") console.log(measured.join("\n"));
  });

  /** A process of the fleet. Its users' refresh tokens come from a table, or are what the users began with. */
  function start(provider: SessionServer, tokens: Map<string, string>, source: "function" | "string"): Process {
    const events: RemintEvent[] = [];
    const pool = createTokenPool({
      maxSize: USERS,
      create(user) {
        const store = redisStore(
          (script, key, args) => {
            keys.set(user, key);
            return client.eval(script, 1, key, ...args);
          },
          { encryptionKey, callTimeout: 30_000 },
        );
        const first = tokens.get(user)!;
        const save = (next: string): void => void tokens.set(user, next);
        const grant =
          source === "function"
            ? sessionGrant(provider, () => tokens.get(user), { key: undefined, save })
            : sessionGrant(provider, first, { key: undefined });
        return createTokenCache({
          grant,
          store,
          origins: ["https://api.example"],
          warnings: false,
          onEvent: (event) => void events.push(event),
        });
      },
    });
    return { pool, events };
  }

  const free = (): Promise<unknown> => server.command("CONFIG", "SET", "maxmemory", 0);

  /** Others fill the server under a policy. Then the limit goes, so that no more is lost. @returns Whose records are gone. */
  async function fill(policy: string, others: Others): Promise<string[]> {
    const used = Number(/used_memory:(\d+)/.exec(String(await server.command("INFO", "memory")))![1]);
    await server.command("CONFIG", "SET", "maxmemory", used + ROOM, "maxmemory-policy", policy);
    const expiry = others === "expire" ? ["EX", 3600] : [];
    const write = (key: number): Promise<unknown> => server.command("SET", `others:${key}`, VALUE, ...expiry);
    const writes = await Promise.allSettled(Array.from({ length: VALUES }, (_, key) => write(key)));
    const refused = writes.filter(({ status }) => status === "rejected");
    // Where nothing may be evicted any more, writes are refused.
    expect(refused.length > 0).toBe(policy === "noeviction" || (policy.startsWith("volatile") && others === "stay"));
    for (const { reason } of refused as PromiseRejectedResult[]) expect(String(reason)).toContain("OOM");
    // A server above its limit goes on to evict before each command, also before the ones that ask what is there.
    await free();
    const there = await Promise.all(users.map((user) => server.command("EXISTS", keys.get(user)!)));
    return users.filter((_, index) => there[index] !== 1);
  }

  test.each(LOSES)(
    "C14: %s, and others whose data is to %s: it loses %s of the records, and no session with a function and a save",
    async (policy, others, loses) => {
      const { provider, tokens } = signedIn();
      const running = start(provider, tokens, "function");
      for (const user of users) await renew(running.pool, user);
      const lost = await fill(policy, others);
      measured.push(`${policy}, others ${others}: ${lost.length} of ${USERS} records lost`);
      if (loses === "all") expect(lost).toHaveLength(USERS);
      if (loses === "none") expect(lost).toEqual([]);
      if (loses === "some") expect(lost.length).toBeGreaterThan(0);
      // A process that runs, and one that has just started.
      const fresh = start(provider, tokens, "function");
      for (const user of users) await renew(fresh.pool, user);
      for (const user of users) await renew(running.pool, user);
      expect(provider.reused).toEqual([]);
      await Promise.all([running, fresh].map(({ pool }) => pool.close()));
    },
  );

  test("C14: allkeys-random, and sessions whose refresh token is a string: a process that runs goes on, and one that starts loses those whose records are gone", async () => {
    const { provider, tokens } = signedIn();
    const running = start(provider, tokens, "string");
    for (const user of users) await renew(running.pool, user);
    const lost = await fill("allkeys-random", "stay");
    expect(lost.length).toBeGreaterThan(0);
    const [first, ...others] = lost as [string, ...string[]];
    await renew(running.pool, first);
    const fresh = start(provider, tokens, "string");
    expect(await ask(fresh.pool, first)).toMatch(/^at-/);
    for (const user of others) {
      expect(await rejectionOf(ask(fresh.pool, user))).toMatchObject({ error: "invalid_grant", terminal: true });
    }
    for (const user of users) if (!lost.includes(user)) await renew(fresh.pool, user);
    expect(provider.reused).toHaveLength(others.length);
  });

  test("C14: noeviction, and no room at all: nothing is sent, callers get ERR_STORE, and the sessions go on when there is room", async () => {
    const { provider, tokens } = signedIn();
    const { pool, events } = start(provider, tokens, "function");
    const [alice, bob] = users as [string, string];
    await renew(pool, alice);
    await fill("noeviction", "stay");
    await server.command("CONFIG", "SET", "maxmemory", 1);
    const { value } = await pool.get(alice).get();
    expect(value).toMatch(/^at-/);
    const sent = provider.presented.length;
    const hint = expect.stringMatching(/refresh token/);
    expect(await rejectionOf(ask(pool, bob))).toMatchObject({ code: "ERR_STORE", retryable: true, hint });
    await pool.get(alice).invalidate(value);
    expect(await rejectionOf(ask(pool, alice))).toMatchObject({ code: "ERR_STORE", retryable: true });
    expect(await rejectionOf(pool.signIn(bob, provider.signInResponse()))).toMatchObject({ code: "ERR_STORE" });
    expect(provider.presented).toHaveLength(sent);
    expect(events.map(({ name }) => name)).toContain("store-failed");
    await free();
    await server.command("FLUSHALL");
    const fresh = start(provider, tokens, "function");
    for (const user of [alice, bob]) expect(await ask(fresh.pool, user)).toMatch(/^at-/);
    expect(provider.reused).toEqual([]);
  });
});
