/** What the documentation of a store says beside its clauses: swaps of nothing for nothing, engines that cannot tell the time, sizes. */
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { redisSwap } from "../../src/fleet/redis-swap.ts";
import { memoryStore, type Store } from "../../src/fleet/index.ts";
import { watch } from "../core/cache-under-test.ts";
import { plainRecord, shelfOf } from "./records.ts";
import { sessionFleet } from "./session-server.ts";
import { redisAvailable, RedisServer } from "./redis/redis-server.ts";

describe("a swap that expects nothing and writes nothing", () => {
  let server: RedisServer | undefined;
  let client: Redis | undefined;
  beforeAll(async () => {
    if (!redisAvailable()) return;
    server = await RedisServer.start();
    client = new Redis({ port: server.port });
  });
  afterAll(async () => {
    client?.disconnect();
    await server?.[Symbol.asyncDispose]();
  });

  const stores: readonly [name: string, make: () => Store | undefined][] = [
    ["memoryStore", () => memoryStore()],
    ["redisSwap", () => client && redisSwap(client)],
  ];

  test.each(stores)("%s: it is done where the key is absent, and refused where it is not", async (_, make) => {
    const store = make();
    if (store === undefined) return;
    expect(await store.swap("key", undefined, undefined, 1)).toEqual({ ok: true, version: undefined });
    expect(await store.swap("key", "?", undefined, 1)).toEqual({ ok: false, current: undefined });
    await store.swap("key", undefined, "value", 60_000);
    const refused = { ok: false, current: expect.objectContaining({ value: "value" }) };
    expect(await store.swap("key", undefined, undefined, 1)).toEqual(refused);
    expect(await store.swap("key", "?", undefined, 1)).toEqual(refused);
  });
});

test("C14: an engine that never removes a value and cannot tell the time, and a dead holder whose clock was an hour ahead: another process takes over after twice the lease", async () => {
  const fleet = sessionFleet(1);
  const { clock, store, server, processes } = fleet;
  const shelf = shelfOf(fleet);
  const swap = store.swap.bind(store);
  store.swap = async (key, expected, next) => {
    const result = await swap(key, expected, next, Number.MAX_SAFE_INTEGER);
    return result.ok || !result.current ? result : { ok: false, current: { ...result.current, ttl: -1 } };
  };
  const [{ cache }] = processes as [(typeof processes)[number]];
  await fleet.during(cache.get());
  const { gen, sid } = (await shelf.record())!;
  await clock.advance(300_000);
  const at = clock.now() + 3_600_000;
  const lease = { lease: 10_000, ttl: 10_000, at, gen, sid, state: "rt-1-1", holder: "dead", tokens: {} };
  await shelf.put(plainRecord("L", lease), Number.MAX_SAFE_INTEGER);
  const got = watch(cache.get());
  await clock.advance(19_000);
  expect(got.state).toBe("pending");
  await clock.advance(1500);
  expect(got).toMatchObject({ state: "fulfilled", value: { value: "at-1-2" } });
  expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
});
