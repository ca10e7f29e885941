/** C9: an outage of the store is told to each listener once, however many caches and pools it listens to. */
import { describe, expect, test } from "vitest";
import {
  createTokenCache,
  createTokenPool,
  type EventListener,
  type PoolEventListener,
  type TokenCacheOptions,
  type TokenPool,
} from "../../src/index.ts";
import { fleetStore, memoryStore } from "../../src/fleet/index.ts";
import { fakeGrant, manualClock, type ManualClock } from "../../src/testing/index.ts";
import { ORIGIN, watch } from "../core/cache-under-test.ts";
import { switchable, type SwitchableStore } from "./fleet-under-test.ts";

interface World {
  readonly clock: ManualClock;
  readonly store: SwitchableStore;
  /** Creates a pool over the store. */
  readonly join: (
    onEvent?: PoolEventListener | PoolEventListener[],
    cacheOf?: (key: string) => Partial<TokenCacheOptions>,
  ) => TokenPool;
  /** What listeners have heard of the store. */
  readonly told: string[];
  /** Creates a listener that writes its name, and what it gets, into `told`. */
  readonly listener: (name: string) => EventListener;
  /** The store fails, and these keys need a token, three times. */
  readonly outage: (pool: TokenPool, keys: readonly string[]) => Promise<void>;
  /** The store works again, and these keys need a token. */
  readonly recovery: (pool: TokenPool, keys: readonly string[]) => Promise<void>;
}

function world(): World {
  const clock = manualClock();
  const store = switchable(memoryStore({ clock }));
  const shared = fleetStore(store, { encryptionKey: "none" });
  const told: string[] = [];
  const join: World["join"] = (onEvent, cacheOf = () => ({})) =>
    createTokenPool({
      clock,
      onEvent,
      create: (key) =>
        createTokenCache({
          origins: [ORIGIN],
          warnings: false,
          ...cacheOf(key),
          grant: fakeGrant({ state: key, onState: () => {} }),
          clock,
          store: shared,
        }),
    });
  const listener: World["listener"] =
    (name) =>
    ({ name: event }, ...more: unknown[]) => {
      if (event.startsWith("store-")) told.push([name, event, ...more].join(" "));
    };
  const ask = async (pool: TokenPool, keys: readonly string[]): Promise<void> => {
    for (const cache of keys.map((key) => pool.get(key))) {
      await cache.invalidate(cache.peek()?.value ?? "");
      watch(cache.get());
    }
    await clock.advance(2000);
  };
  return {
    clock,
    store,
    join,
    told,
    listener,
    async outage(pool, keys) {
      store.fault = () => Promise.reject(new Error("down"));
      for (let round = 0; round < 3; round++) await ask(pool, keys);
    },
    async recovery(pool, keys) {
      store.fault = undefined;
      await clock.advance(10_000);
      await ask(pool, keys);
    },
  };
}

const USERS = ["alice", "bob", "carol"];

/** A listener that fails. */
const broken = (): never => {
  throw new Error("telemetry is broken");
};

describe("C9, C20: an outage of the store", () => {
  test("C9, C20: three keys, a list of the cache and a list of the pool: each listener is told once, the pool's with one key", async () => {
    const { join, told, listener, outage, recovery } = world();
    const own = [listener("own 1"), listener("own 2")];
    const pool = join([listener("pool 1"), listener("pool 2")], () => ({ onEvent: own }));
    await outage(pool, USERS);
    const failed = [
      "own 1 store-failed",
      "own 2 store-failed",
      "pool 1 store-failed alice",
      "pool 2 store-failed alice",
    ];
    expect(told).toEqual(failed);
    // Another key is the first to notice: the end of an outage has the key of its beginning.
    await recovery(pool, ["carol", "bob", "alice"]);
    expect(told.splice(0)).toEqual([...failed, ...failed.map((line) => line.replace("failed", "recovered"))]);
    await outage(pool, ["bob", "alice"]);
    expect(told.slice(0, 4)).toEqual(failed.map((line) => line.replace("alice", "bob")));
    expect(told).toHaveLength(4);
    await pool.close();
  });

  test("C9, C20: a function that two pools and their caches have, alone and in lists: it is told once", async () => {
    const { join, told, listener, outage, recovery } = world();
    const one = listener("one");
    const pools = [join(one, () => ({ onEvent: [one] })), join([one, one], () => ({ onEvent: one }))];
    await outage(pools[0]!, ["alice"]);
    await outage(pools[1]!, ["bob", "carol"]);
    await recovery(pools[1]!, ["bob", "carol"]);
    expect(told).toEqual(["one store-failed alice", "one store-recovered alice"]);
    await Promise.all(pools.map((pool) => pool.close()));
  });

  test("C9, C20: a listener of its own for each cache, and one for the pool: all are told once", async () => {
    const { join, told, listener, outage, recovery } = world();
    const pool = join(listener("pool"), (key) => ({ onEvent: listener(`of ${key}`) }));
    await outage(pool, USERS);
    await recovery(pool, USERS);
    for (const end of ["store-failed", "store-recovered"]) {
      const lines = told.filter((line) => line.includes(end));
      expect(lines.toSorted()).toEqual([...USERS.map((key) => `of ${key} ${end}`), `pool ${end} alice`].toSorted());
    }
    await pool.close();
  });

  test("C9, C20: listeners that throw and reject: the others are told of the outage and of its end", async () => {
    const { join, told, listener, outage, recovery } = world();
    const pool = join([broken, async () => broken(), listener("last")], () => ({ onEvent: broken }));
    await outage(pool, USERS);
    await recovery(pool, USERS);
    expect(told).toEqual(["last store-failed alice", "last store-recovered alice"]);
    await pool.close();
  });

  test.each<[string, (pool: TokenPool, key: string) => unknown]>([
    ["asks its key again", (pool, key) => watch(pool.get(key).get())],
    ["asks another key", (pool) => watch(pool.get("dave").get())],
    ["releases its key", (pool, key) => watch(pool.release(key))],
    ["signs its key out", (pool, key) => watch(pool.signOut(key, { revoke: false }))],
  ])("C9, C20: a listener that %s when the store fails and when it works again: each is told once", async (_, act) => {
    const { join, told, listener, outage, recovery } = world();
    const pool: TokenPool = join([({ name }, key) => name.startsWith("store-") && act(pool, key), listener("other")]);
    await outage(pool, USERS);
    await recovery(pool, USERS);
    expect(told).toEqual(["other store-failed alice", "other store-recovered alice"]);
    await pool.close();
  });

  test("C9, C20: the key that noticed the outage is released during it: its listeners hear the end all the same", async () => {
    const { join, told, listener, outage, recovery } = world();
    const pool = join(listener("pool"), (key) => ({ onEvent: key === "alice" ? listener("own") : undefined }));
    await outage(pool, USERS);
    const released = watch(pool.release("alice"));
    await recovery(pool, USERS.slice(1));
    expect([released.state, told]).toEqual([
      "fulfilled",
      ["own store-failed", "pool store-failed alice", "own store-recovered", "pool store-recovered alice"],
    ]);
    await pool.close();
  });
});
