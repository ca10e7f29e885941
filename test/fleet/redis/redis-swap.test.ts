/** `redisSwap` on a real Redis: the store contract, data that only Redis can have, and every kind of refusal. */
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { redisSwap } from "../../../src/fleet/redis-swap.ts";
import { storeContract } from "../../../src/fleet/store-contract.ts";
import { redisAvailable, RedisServer } from "./redis-server.ts";
import type { RedisOptions as ClientOptions } from "ioredis";
import type { EvalFunction } from "../../../src/fleet/redis.ts";
import type { Store, StoreEntry } from "../../../src/fleet/store.ts";

const clients: Redis[] = [];

/** Creates a client that does not retry, so that errors come at once. */
function connect(
  port: number,
  options: Pick<ClientOptions, "password" | "retryStrategy" | "enableReadyCheck"> = {},
): Redis {
  const client = new Redis({ port, maxRetriesPerRequest: 0, retryStrategy: () => null, ...options });
  client.on("error", () => {});
  clients.push(client);
  return client;
}

async function read(store: Store, key: string): Promise<StoreEntry | undefined> {
  const result = await store.swap(key, "-", "read", 1000);
  if (result.ok) throw new Error("the store accepted a version that it never returned");
  return result.current;
}

describe.skipIf(!redisAvailable())("redisSwap", () => {
  let server: RedisServer;
  let store: Store;

  beforeAll(async () => {
    server = await RedisServer.start();
    store = redisSwap(connect(server.port));
  });

  afterAll(async () => {
    for (const client of clients) client.disconnect();
    await server[Symbol.asyncDispose]();
  });

  describe("keeps the store contract", () => {
    for (const { name, run } of storeContract(() => store)) it(name, run);
  });

  describe("keeps the store contract over four connections", () => {
    const spread: Store = {
      swap: (...args) => stores[turn++ % stores.length]!.swap(...args),
    };
    let stores: Store[];
    let turn = 0;
    beforeAll(() => {
      stores = Array.from({ length: 4 }, () => redisSwap(connect(server.port)));
    });
    for (const { name, run } of storeContract(() => spread)) it(name, run);
  });

  it("sends one EVAL per swap", async () => {
    await read(store, "warm");
    await server.resetCommands();
    await store.swap("once", undefined, "value", 1000);
    await read(store, "once");
    const counts = await server.commands();
    expect(counts.get("eval")).toEqual({ calls: 2, rejected: 0 });
    // Redis also counts the commands in the script.
    expect([...counts.keys()].toSorted()).toEqual(["eval", "get", "pttl", "set"]);
  });

  it("stores the unchanged value under the unchanged key, with its expiry", async () => {
    await store.swap("plain {key}", undefined, "a value", 60_000);
    expect(await server.command("GET", "plain {key}")).toBe("a value");
    expect(await server.command("PTTL", "plain {key}")).toBeGreaterThan(30_000);
  });

  describe("foreign data under the key", () => {
    const GARBAGE = [
      ["bytes that are no text", Buffer.from([0x00, 0xff, 0xfe, 0x01])],
      ["an empty value", Buffer.of()],
      ["text that is no ASCII", Buffer.from("žluťoučký kůň")],
      ["a number", Buffer.from("42")],
    ] as const;

    it.each(GARBAGE)("%s can be read and replaced by its version", async (name, bytes) => {
      await server.command("SET", name, bytes, "PX", 60_000);
      const current = await read(store, name);
      expect(current?.value).toBe(new TextDecoder().decode(bytes));
      expect(await store.swap(name, undefined, "value", 1000)).toEqual({ ok: false, current: expect.anything() });
      expect(await store.swap(name, current?.version, "value", 1000)).toMatchObject({ ok: true });
      expect(await read(store, name)).toMatchObject({ value: "value" });
    });

    it.each(GARBAGE)("%s can be deleted by its version", async (name, bytes) => {
      await server.command("SET", name, bytes, "PX", 60_000);
      const current = await read(store, name);
      expect(await store.swap(name, current?.version, undefined, 0)).toEqual({ ok: true, version: undefined });
      expect(await server.command("EXISTS", name)).toBe(0);
    });

    it("two values of different bytes that look the same as text: different versions", async () => {
      await server.command("SET", "garbled", Buffer.from([0xff]));
      const one = await read(store, "garbled");
      await server.command("SET", "garbled", Buffer.from([0xfe]));
      const other = await read(store, "garbled");
      expect(other?.value).toBe(one?.value);
      expect(await store.swap("garbled", one?.version, "value", 1000)).toMatchObject({ ok: false });
    });

    it("a value without an expiry: its ttl is negative", async () => {
      await server.command("SET", "endless", "value");
      expect((await read(store, "endless"))?.ttl).toBe(-1);
    });

    it("a list: every swap rejects, and the list stays", async () => {
      await server.command("RPUSH", "list", "a", "b");
      for (const [expected, next] of [
        [undefined, "value"],
        ["-", "value"],
        ["-", undefined],
      ] as const) {
        await expect(store.swap("list", expected, next, 1000)).rejects.toThrow(/WRONGTYPE/);
      }
      expect(await server.command("LRANGE", "list", 0, -1)).toEqual(["a", "b"]);
    });
  });

  describe("rejects with the client's error", () => {
    it("a wrong password", async () => {
      await using locked = await RedisServer.start({ requirepass: "right" });
      const swap = redisSwap(connect(locked.port, { password: "wrong" })).swap("key", undefined, "value", 1000);
      await expect(swap).rejects.toThrow();
      expect(await locked.command("EXISTS", "key")).toBe(0);
      const right = redisSwap(connect(locked.port, { password: "right" }));
      expect(await right.swap("key", undefined, "value", 1000)).toMatchObject({ ok: true });
    });

    it("no password", async () => {
      await using locked = await RedisServer.start({ requirepass: "right" });
      const bare = connect(locked.port, { enableReadyCheck: false });
      await expect(redisSwap(bare).swap("key", undefined, "value", 1000)).rejects.toThrow(/NOAUTH/);
    });

    it("a replica, which cannot write", async () => {
      // The replica has no reachable primary, because with one it would first answer that it is loading.
      await using replica = await RedisServer.start({ config: { replicaof: "127.0.0.1 1" } });
      const swap = redisSwap(connect(replica.port)).swap("key", undefined, "value", 1000);
      await expect(swap).rejects.toThrow(/READONLY/);
    });

    it("no memory left", async () => {
      await using full = await RedisServer.start();
      const narrow = redisSwap(connect(full.port));
      await narrow.swap("old", undefined, "value", 60_000);
      await full.command("CONFIG", "SET", "maxmemory", 1);
      await expect(narrow.swap("new", undefined, "value", 1000)).rejects.toThrow(/OOM/);
      // Reading and deleting need no memory.
      const old = await read(narrow, "old");
      expect(old?.value).toBe("value");
      expect(await narrow.swap("old", old?.version, undefined, 0)).toMatchObject({ ok: true });
    });

    it("a server that is down; swaps succeed again when it is up", async () => {
      await using flaky = await RedisServer.start();
      const client = connect(flaky.port, { retryStrategy: () => 20 });
      const swap = (): ReturnType<Store["swap"]> => redisSwap(client).swap("key", undefined, "value", 1000);
      expect(await swap()).toMatchObject({ ok: true });
      await flaky.stop();
      await expect(swap()).rejects.toThrow();
      const ready = new Promise((resolve) => client.once("ready", resolve));
      await flaky.restart();
      await ready;
      expect(await swap()).toMatchObject({ ok: true });
    });

    it("not for a frozen server: the swap succeeds when the server is thawed", async () => {
      await using frozen = await RedisServer.start();
      const slow = redisSwap(connect(frozen.port));
      await read(slow, "key");
      frozen.freeze();
      let answered = false;
      const swap = slow.swap("key", undefined, "value", 60_000).finally(() => (answered = true));
      for (let trip = 0; trip < 10; trip++) await read(store, "key");
      expect(answered).toBe(false);
      frozen.thaw();
      expect(await swap).toMatchObject({ ok: true });
    });
  });
});

const VERSION = "52b1773e986d85ab44b6b67319708dcec8867b79";

function swapWith(reply: unknown): ReturnType<Store["swap"]> {
  return redisSwap(() => Promise.resolve(reply)).swap("key", undefined, "value", 1000);
}

describe("redisSwap of a function", () => {
  it("calls the function with the script, the key and the arguments as text", async () => {
    const calls: Parameters<EvalFunction>[] = [];
    const store = redisSwap((...call) => {
      calls.push(call);
      return Promise.resolve([1, "", "", 0]);
    });
    await store.swap("key", undefined, "value", 1000);
    await store.swap("key", VERSION, "value", 1000);
    await store.swap("key", VERSION, undefined, 0);
    expect(calls.map(([, key, args]) => [key, ...args])).toEqual([
      ["key", "", "value", "1000"],
      ["key", VERSION, "value", "1000"],
      ["key", VERSION],
    ]);
    expect(new Set(calls.map(([script]) => script)).size).toBe(1);
  });

  it.each([
    ["numbers as text", ["0", "L1", VERSION, "900"]],
    ["numbers as bigint", [0n, "L1", VERSION, 900n]],
    ["text as bytes", [0, Buffer.from("L1"), Buffer.from(VERSION), 900]],
    ["text as plain bytes", [0, new TextEncoder().encode("L1"), new TextEncoder().encode(VERSION), 900]],
  ])("accepts a reply with %s", async (_name, reply) => {
    expect(await swapWith(reply)).toEqual({ ok: false, current: { value: "L1", version: VERSION, ttl: 900 } });
  });

  it.each([
    ["undefined", undefined, "undefined"],
    ["null", null, "null"],
    ["a boolean, as clients with callbacks return", true, "a boolean"],
    ["text", "OK", "a string"],
    ["an empty array", [], "an empty array"],
    ["an array of three", [1, "", VERSION], "an array"],
    ["an array of nulls", [null, null, null, null], "an array of something else"],
    ["an array with a version that was parsed as a number", [0, "L1", 1e40, 900], "an array of something else"],
    ["an array with a time that is text", [0, "L1", VERSION, "soon"], "an array of something else"],
    ["an array with an unknown outcome", [2, "", VERSION, 0], "an array of something else"],
  ])("rejects a reply that is %s, without showing its contents", async (_name, reply, got) => {
    await expect(swapWith(reply)).rejects.toThrow(
      new Error(
        `Redis must answer the script with [0 or 1, value, version, milliseconds], got ${got}: ` +
          `does the client change replies on their way?`,
      ),
    );
  });

  it("rejects with the very error of the function", async () => {
    const error = new Error("connect ECONNREFUSED");
    const store = redisSwap(() => Promise.reject(error));
    await expect(store.swap("key", undefined, "value", 1000)).rejects.toBe(error);
  });
});

describe("redisSwap refuses a client that is", () => {
  const EXPECTED = "a client of ioredis, node-redis or valkey-glide, or a function (script, key, args) => Promise";

  it.each([
    ["undefined", undefined],
    ["null", null],
    ["a string", "redis://localhost"],
    ["an object", {}],
    // A client of Upstash: its eval has other parameters.
    ["an object", { eval: () => {} }],
  ])("%s", (kind, client) => {
    expect(() => redisSwap(client as never)).toThrow(new TypeError(`"client" must be ${EXPECTED}, got ${kind}`));
  });

  it("a promise of a client", () => {
    const promise = Promise.resolve();
    const message = `"client" must be ${EXPECTED}, got a promise that was not awaited`;
    expect(() => redisSwap(promise as never)).toThrow(new TypeError(message));
  });
});
