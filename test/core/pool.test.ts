import { describe, expect, test } from "vitest";
import { createTokenPool, RemintError, type TokenCache } from "../../src/index.ts";
import { cacheUnderTest, rejectionOf, settle, watch } from "./cache-under-test.ts";
import { poolUnderTest } from "./pool-under-test.ts";

describe("C13: one cache per key", () => {
  test("C13: a key always gives the same cache, which is created when the key is first asked for", async () => {
    const { pool, created } = poolUnderTest();
    expect(created).toEqual([]);
    const alice = pool.get("alice");
    expect([pool.get("alice") === alice, pool.get("bob") === alice]).toEqual([true, false]);
    expect([created, pool.size]).toEqual([["alice", "bob"], 2]);
  });

  test("C13: two keys never share a token, however similar they are", async () => {
    const { pool } = poolUnderTest();
    const keys = ["alice", "bob", "__proto__", "constructor", "alice ", "ALICE"];
    await Promise.all(keys.map((key) => pool.get(key).get()));
    for (const key of keys) expect(pool.get(key).peek()?.scope).toBe(key);
    await pool.get("alice").invalidate("fake-1");
    expect(pool.get("alice").peek()).toBeUndefined();
    expect(pool.get("bob").peek()?.scope).toBe("bob");
  });

  test.each([undefined, null, "", 0, 7, {}, []])("C13: %j is refused as a key", (key) => {
    const { pool, created } = poolUnderTest();
    expect(() => pool.get(key as never)).toThrow(/"key" must be a non-empty string/);
    expect(created).toEqual([]);
  });

  test("C13: an error of create goes to the caller, and the next get calls create again", () => {
    let broken = true;
    const pool = createTokenPool({
      create: () => {
        if (broken) throw new Error("no such tenant");
        return cacheUnderTest().cache;
      },
    });
    expect(() => pool.get("a")).toThrow("no such tenant");
    expect(pool.size).toBe(0);
    broken = false;
    expect(pool.get("a").peek()).toBeUndefined();
  });

  test.each([undefined, null, {}, Promise.resolve(), () => {}])("C13: create must return a cache, not %o", (made) => {
    const pool = createTokenPool({ create: () => made as never });
    expect(() => pool.get("a")).toThrow(/"create" must be a function that returns createTokenCache/);
    expect(pool.size).toBe(0);
  });
});

describe("C13: create returns a cache that there was before", () => {
  const message = '"create" must return a new token cache for every key, got one that belongs to a pool already';

  test("C13: one cache for everybody: the second key is refused, and the first one keeps its cache", () => {
    const { cache } = cacheUnderTest();
    const pool = createTokenPool({ create: () => cache });
    expect(pool.get("alice")).toBe(cache);
    expect(() => pool.get("bob")).toThrow(new TypeError(message));
    expect([pool.get("alice"), pool.size]).toEqual([cache, 1]);
  });

  test("C13: the cache of another pool, and one that its key has released", async () => {
    const { cache } = cacheUnderTest();
    const pool = createTokenPool({ create: () => cache });
    pool.get("alice");
    expect(() => createTokenPool({ create: () => cache }).get("alice")).toThrow(message);
    await pool.release("alice");
    expect(() => pool.get("alice")).toThrow(message);
  });
});

describe("C13: bounds", () => {
  test("C13: the least recently used entry is evicted first", () => {
    const { pool, created } = poolUnderTest({ maxSize: 2 });
    const held = [pool.get("a"), pool.get("b")];
    pool.get("a");
    held.push(pool.get("c"));
    expect(pool.size).toBe(2);
    pool.get("a");
    expect(created).toEqual(["a", "b", "c"]);
    // b was evicted; a and c were not.
    expect(pool.get("c")).toBe(held[2]);
  });

  test("C13: an entry with a mint in progress is not evicted", async () => {
    const { pool, grants } = poolUnderTest({ maxSize: 2 });
    const a = pool.get("a");
    const hold = grants.get("a")!.hold();
    const got = a.get();
    pool.get("b");
    pool.get("c");
    pool.get("d");
    expect(pool.size).toBe(2);
    expect(pool.get("a")).toBe(a);
    hold.release();
    await got;
    pool.get("e");
    pool.get("f");
    expect(pool.size).toBe(2);
  });

  test("C13: when every entry has a mint in progress, the pool grows, and shrinks afterwards", async () => {
    const { pool, grants } = poolUnderTest({ maxSize: 2 });
    const keys = ["a", "b", "c", "d"];
    const caches = keys.map((key) => pool.get(key));
    const holds = keys.map((key) => grants.get(key)!.hold());
    const got = keys.map((key) => pool.get(key).get());
    pool.get("e");
    expect(pool.size).toBeGreaterThanOrEqual(4);
    for (const hold of holds) hold.release();
    await Promise.all(got);
    pool.get("f");
    expect(pool.size).toBe(2);
    expect(caches).toHaveLength(4);
  });

  test("C13: idle entries are evicted when the pool is used; entries in use stay", async () => {
    const { pool, clock } = poolUnderTest({ idleTtl: 1000 });
    const held = [pool.get("a"), pool.get("b")];
    await clock.advance(600);
    pool.get("a");
    await clock.advance(600);
    expect(pool.size).toBe(2);
    pool.get("a");
    expect(pool.size).toBe(1);
    expect(held).toHaveLength(2);
  });

  test("C13: the pool sets no timer", async () => {
    const { pool, clock } = poolUnderTest({ idleTtl: 1000 });
    pool.get("a");
    await pool.get("b").get();
    expect(clock.timers).toBe(0);
  });

  test("C13: the key that was just asked for is never evicted", async () => {
    const { pool, clock } = poolUnderTest({ maxSize: 1, idleTtl: 0 });
    for (const key of ["a", "b", "a", "c"]) {
      pool.get(key);
      expect(pool.size).toBe(1);
      await clock.advance(10);
    }
  });

  test("C13: while the caller holds an evicted cache, its key gives the same cache with its token", async () => {
    const { pool, created } = poolUnderTest({ maxSize: 1 });
    const a = pool.get("a");
    const token = await a.get();
    pool.get("b");
    pool.get("c");
    expect(a.peek()).toBe(token);
    expect(pool.get("a")).toBe(a);
    expect(created.filter((key) => key === "a")).toHaveLength(1);
    expect(pool.size).toBe(1);
  });

  test("C13: two requests of one user never have two caches, whatever is evicted in between", async () => {
    const { pool } = poolUnderTest({ maxSize: 1 });
    const first = pool.get("user");
    const late = new Set([first]);
    for (let other = 0; other < 50; other++) {
      pool.get(`other ${other}`);
      late.add(pool.get("user"));
    }
    expect(late.size).toBe(1);
  });
});

describe("C13: release and close", () => {
  test("C13: release closes the cache, and the key gets a new one", async () => {
    const { pool, created } = poolUnderTest();
    const old = pool.get("a");
    await old.get();
    expect(await pool.release("a")).toEqual({ inFlight: false, unsaved: false });
    expect([pool.size, await pool.release("a"), await pool.release("never")]).toEqual([0, undefined, undefined]);
    await expect(old.get()).rejects.toMatchObject({ code: "ERR_CLOSED" });
    const anew = pool.get("a");
    expect(anew).not.toBe(old);
    expect((await anew.get()).scope).toBe("a");
    expect(created).toEqual(["a", "a"]);
  });

  test("C13: release closes an evicted cache that the caller holds", async () => {
    const { pool } = poolUnderTest({ maxSize: 1 });
    const a = pool.get("a");
    pool.get("b");
    expect(await pool.release("a")).toEqual({ inFlight: false, unsaved: false });
    await expect(a.get()).rejects.toMatchObject({ code: "ERR_CLOSED" });
    expect(pool.get("a")).not.toBe(a);
  });

  test.each([
    ["close()", async (cache: TokenCache) => void (await cache.close())],
    ["await using", async (cache: TokenCache) => cache[Symbol.asyncDispose]()],
    ["close() of another target", async (cache: TokenCache) => void (await cache.for({ scope: "x" }).close())],
  ])("C13: the holder of a key's cache closes it, by %s: the key gets a new one", async (_, close) => {
    const { pool, created } = poolUnderTest();
    const held = pool.get("a");
    await held.get();
    await close(held);
    expect(await rejectionOf(held.get())).toMatchObject({ code: "ERR_CLOSED" });
    const anew = pool.get("a");
    expect(anew).not.toBe(held);
    expect((await anew.get()).scope).toBe("a");
    expect([created, pool.size, pool.get("a")]).toEqual([["a", "a"], 1, anew]);
  });

  test("C13: the holder of an evicted cache closes it: the key gets a new one", async () => {
    const { pool } = poolUnderTest({ maxSize: 1 });
    const held = pool.get("a");
    pool.get("b");
    await held.close();
    expect((await pool.get("a").get()).scope).toBe("a");
  });

  test("C13: release ends a mint in progress", async () => {
    const { pool, grants } = poolUnderTest();
    const got = watch(pool.get("a").get());
    const waiting = pool.get("b");
    grants.get("b")!.hold();
    const other = watch(waiting.get());
    await settle();
    await pool.release("b");
    await settle();
    expect([got.state, (other.reason as RemintError).code]).toEqual(["fulfilled", "ERR_CLOSED"]);
  });

  test("C13: close closes all caches, also evicted ones that the caller holds, and get then throws ERR_CLOSED", async () => {
    const { pool } = poolUnderTest({ maxSize: 1 });
    const caches = ["a", "b", "c"].map((key) => pool.get(key));
    expect(await pool.close()).toEqual({ inFlight: [], unsaved: [] });
    for (const cache of caches) await expect(cache.get()).rejects.toMatchObject({ code: "ERR_CLOSED" });
    expect(() => pool.get("a")).toThrow(expect.objectContaining({ code: "ERR_CLOSED" }));
    expect(pool.size).toBe(0);
    await pool.close();
  });
});
