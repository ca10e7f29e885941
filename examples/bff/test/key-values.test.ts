/** Where sessions are kept: the memory and a real Redis do the same. */
import { spawnSync } from "node:child_process";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type DemoRedis, startRedis } from "../../fleet/redis-server.ts";
import { createSeal } from "../bff/seal.ts";
import { type KeyValues, memoryKeyValues, redisKeyValues } from "../bff/key-values.ts";

const LONG = { timeout: 20_000, interval: 50 };
const HOUR = 3_600_000;
const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;

describe.each(["memory", "redis"])("sessions in %s", (kind) => {
  let store: KeyValues;
  let redis: DemoRedis | undefined;
  let client: Redis | undefined;
  beforeAll(async () => {
    if (kind === "redis" && hasRedis) {
      redis = await startRedis();
      client = new Redis(redis?.url ?? "");
    }
    store = client === undefined ? memoryKeyValues() : redisKeyValues(client);
  });
  afterAll(async () => {
    client?.disconnect();
    await redis?.stop();
  });
  const isSkipped = kind === "redis" && !hasRedis;

  test.skipIf(isSkipped)("a value is there until it is deleted or its time is up", async () => {
    await store.set("a", "1", HOUR);
    await store.set("b", "2", 50);
    expect([await store.get("a"), await store.get("none")]).toEqual(["1", undefined]);
    await vi.waitFor(async () => expect(await store.get("b")).toBeUndefined(), LONG);
    await store.delete("a");
    expect(await store.get("a")).toBeUndefined();
  });

  test.skipIf(isSkipped)("reading with a time keeps the value for so long from then on", async () => {
    await store.set("slides", "1", 200);
    expect(await store.get("slides", HOUR)).toBe("1");
    await store.set("other", "1", 200);
    await vi.waitFor(async () => expect(await store.get("other")).toBeUndefined(), LONG);
    expect(await store.get("slides")).toBe("1");
    expect(await store.get("none", HOUR)).toBeUndefined();
  });

  test.skipIf(isSkipped)("of two that add the same key one succeeds", async () => {
    const added = await Promise.all([store.add("once", "1", HOUR), store.add("once", "2", HOUR)]);
    expect(added.filter(Boolean)).toHaveLength(1);
  });

  test.skipIf(isSkipped)("an index has every key once", async () => {
    for (const key of ["x", "y", "x"]) await store.link("index", key, HOUR);
    expect([...(await store.linked("index"))].toSorted()).toEqual(["x", "y"]);
    expect(await store.linked("none")).toEqual([]);
  });
});

test("what nobody asks for any more does not stay in memory", async () => {
  let now = 0;
  const store = memoryKeyValues(() => now);
  for (let count = 0; count < 1000; count++) await store.set(`old ${count}`, "x", 1000);
  now = 2000;
  for (let count = 0; count < 600; count++) await store.set(`new ${count}`, "x", 1000);
  // None of the old ones comes back when the clock does, so they are gone and not only hidden.
  now = 500;
  const left = await Promise.all(Array.from({ length: 1000 }, (_, count) => store.get(`old ${count}`)));
  expect(left.filter((value) => value !== undefined)).toEqual([]);
});

describe("what is sealed", () => {
  const secret = new Uint8Array(32).fill(7);

  test("opens with the same secret and purpose only, and every time looks different", async () => {
    const seal = createSeal(secret, "session");
    const [first, second] = [await seal.seal({ a: 1 }), await seal.seal({ a: 1 })];
    expect(first).not.toBe(second);
    expect(await seal.open(first)).toEqual({ a: 1 });
    expect(await createSeal(secret, "sign-in").open(first)).toBeUndefined();
    expect(await createSeal(new Uint8Array(32).fill(8), "session").open(first)).toBeUndefined();
  });

  test("does not open when any byte was changed, cut or added", async () => {
    const seal = createSeal(secret, "session");
    const bytes = Buffer.from(await seal.seal({ a: 1 }), "base64url");
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1;
      expect(await seal.open(changed.toString("base64url"))).toBeUndefined();
      expect(await seal.open(bytes.subarray(0, at).toString("base64url"))).toBeUndefined();
    }
    expect(await seal.open(Buffer.concat([bytes, Buffer.from([0])]).toString("base64url"))).toBeUndefined();
  });
});
