/** What the listeners of a pool hear of its caches. Listeners of one cache: events.test.ts. Outages: fleet/store-events.test.ts. */
import { AsyncLocalStorage } from "node:async_hooks";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import {
  createTokenCache,
  createTokenPool,
  type EventListener,
  type PoolEventListener,
  type RemintEvent,
  type TokenCache,
  type TokenCacheOptions,
  type TokenPool,
  type TokenPoolOptions,
} from "../../src/index.ts";
import { fakeGrant, manualClock, type FakeGrant, type ManualClock } from "../../src/testing/index.ts";
import { ORIGIN, rejectionOf, settle, TARGET } from "./cache-under-test.ts";

interface Told {
  readonly pool: TokenPool;
  readonly clock: ManualClock;
  readonly grants: Map<string, FakeGrant>;
  /** What was told: the key, or the listener's name, and the event's name. */
  readonly told: string[];
}

/** Creates a pool that writes down what its listener hears. */
function listenedPool(
  options: Omit<Partial<TokenPoolOptions>, "create"> = {},
  cacheOptions: Partial<TokenCacheOptions> = {},
): Told {
  const clock = manualClock();
  const grants = new Map<string, FakeGrant>();
  const told: string[] = [];
  const hear: PoolEventListener = ({ name }, key) => void told.push(`${key} ${name}`);
  const create = (key: string): TokenCache => {
    const grant = fakeGrant({ state: key, onState: () => {} });
    grants.set(key, grant);
    return createTokenCache({ origins: [ORIGIN], mintRetries: 0, warnings: false, ...cacheOptions, grant, clock });
  };
  return { pool: createTokenPool({ clock, onEvent: hear, ...options, create }), clock, grants, told };
}

/** A listener that fails. */
const broken = (): never => {
  throw new Error("telemetry is broken");
};

describe("C20: the listener of a pool", () => {
  test("C20: hears every event of every cache with the key of that cache, and nothing beside the two", async () => {
    const told: unknown[][] = [];
    const { pool, grants } = listenedPool({
      onEvent: (...all: [RemintEvent, string]) => void told.push([all[1], all[0].name, all.length]),
    });
    await pool.get("alice").get();
    await pool.get("bob").get();
    await policyHalf(pool.get("alice"))
      .rejected(await pool.get("alice").get(), TARGET)
      ?.next();
    policyHalf(pool.get("bob")).skipped("opted-out", ORIGIN);
    await pool.signIn("bob", { access_token: "next", refresh_token: "next" });
    await pool.signOut("alice", { revoke: false });
    grants.get("bob")!.fail(new Error("down"));
    await pool.get("bob").invalidate("next");
    await rejectionOf(pool.get("bob").get());
    expect(told.map((all) => all.join(" "))).toEqual([
      "alice mint-started 2",
      "alice minted 2",
      "bob mint-started 2",
      "bob minted 2",
      "alice rejected 2",
      "alice invalidated 2",
      "alice mint-started 2",
      "alice minted 2",
      "bob skipped 2",
      "bob signed-in 2",
      "alice signed-out 2",
      "bob invalidated 2",
      "bob mint-started 2",
      "bob mint-failed 2",
    ]);
  });

  test("C20: of a pool with a list: the cache's own come first and get no key, then the list in its order", async () => {
    const told: string[] = [];
    const listener =
      (who: string) =>
      (...all: unknown[]): void =>
        void told.push([who, (all[0] as RemintEvent).name, ...all.slice(1)].join(" "));
    const { pool } = listenedPool(
      { onEvent: [listener("pool 1"), listener("pool 2")] },
      { onEvent: [listener("own 1"), listener("own 2")] },
    );
    await pool.get("alice").get();
    expect(told).toEqual(
      ["mint-started", "minted"].flatMap((name) => [
        `own 1 ${name}`,
        `own 2 ${name}`,
        `pool 1 ${name} alice`,
        `pool 2 ${name} alice`,
      ]),
    );
  });

  test.each<[string, (hear: EventListener) => EventListener | EventListener[]]>([
    ["alone", (hear) => hear],
    ["in a list", (hear) => [hear, () => {}]],
  ])("C20: a function that the cache has too, %s, hears every event once, with the key", async (_, ownOf) => {
    const told: unknown[][] = [];
    const hear = (...all: unknown[]): void => void told.push([(all[0] as RemintEvent).name, ...all.slice(1)]);
    const { pool } = listenedPool({ onEvent: [hear, hear] }, { onEvent: ownOf(hear) });
    await pool.get("alice").get();
    expect(told).toEqual([
      ["mint-started", "alice"],
      ["minted", "alice"],
    ]);
  });

  test("C17, C20: hears the caches of other targets, made before and after their cache was asked, with its key", async () => {
    const targets: TokenCache[] = [];
    const told: string[] = [];
    const clock = manualClock();
    const pool = createTokenPool({
      clock,
      onEvent: ({ name }, key) => void told.push(`${key} ${name}`),
      create: () => {
        const cache = createTokenCache({ grant: fakeGrant(), origins: [ORIGIN], clock });
        targets.push(cache.for({ scope: "made in create" }));
        return cache;
      },
    });
    targets.push(
      pool.get("alice").for({ scope: "made later" }),
      pool.get("alice").for({ scope: "a" }).for({ scope: "b" }),
    );
    for (const target of targets) await target.get();
    expect(told).toEqual(targets.flatMap(() => ["alice mint-started", "alice minted"]));
  });

  test("C20: hears nothing of a cache that create has made for another purpose", async () => {
    const told: string[] = [];
    const clock = manualClock();
    const outer = createTokenPool({
      clock,
      onEvent: ({ name }, key) => void told.push(`${key} ${name}`),
      create: () => {
        const other = createTokenCache({ grant: fakeGrant(), origins: [ORIGIN], clock });
        return createTokenCache({ grant: async () => (await other.get()).value, origins: [ORIGIN], clock });
      },
    });
    await outer.get("alice").get();
    expect(told).toEqual(["alice mint-started", "alice minted"]);
  });

  test("C20: hears of a cache from the moment create has returned it: what create itself has it do is told to its own", async () => {
    const [told, own]: string[][] = [[], []];
    const clock = manualClock();
    const hear: EventListener = ({ name }) => void own!.push(name);
    const pool = createTokenPool({
      clock,
      onEvent: ({ name }) => void told!.push(name),
      create: () => {
        const cache = createTokenCache({ grant: fakeGrant(), origins: [ORIGIN], clock, onEvent: hear });
        void cache.get();
        return cache;
      },
    });
    await pool.get("alice").get();
    expect([own, told]).toEqual([["mint-started", "minted"], ["minted"]]);
  });

  test("C20: that throws, and one whose promise rejects: own listeners and the others hear, and calls go on", async () => {
    const told: string[] = [];
    const { pool } = listenedPool(
      { onEvent: [broken, async () => broken(), ({ name }, key) => void told.push(`${key} ${name}`)] },
      { onEvent: [broken, ({ name }) => void told.push(`own ${name}`)] },
    );
    expect((await pool.get("alice").get()).value).toBe("fake-1");
    await settle();
    expect(told).toEqual(["own mint-started", "alice mint-started", "own minted", "alice minted"]);
  });

  test("C20: a list that changes afterwards changes nothing, also for caches that are made later", async () => {
    const told: string[] = [];
    const list: PoolEventListener[] = [({ name }, key) => void told.push(`${key} ${name}`)];
    const { pool } = listenedPool({ onEvent: list });
    list.push(() => void told.push("added"));
    list.shift();
    await pool.get("alice").get();
    expect(told).toEqual(["alice mint-started", "alice minted"]);
  });

  test("C20: hears that a mint begins in the asynchronous context of its caller, before the call returns", async () => {
    const caller = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const { pool } = listenedPool({ onEvent: ({ name }, key) => void seen.push([name, key, caller.getStore()]) });
    const got = caller.run("request of alice", () => pool.get("alice").get());
    expect(seen).toEqual([["mint-started", "alice", "request of alice"]]);
    await got;
  });

  test("C13, C20: hears of a cache that the pool has evicted and somebody still uses", async () => {
    const { pool, told } = listenedPool({ maxSize: 1 });
    const alice = pool.get("alice");
    pool.get("bob");
    expect(pool.size).toBe(1);
    await alice.get();
    expect(told).toEqual(["alice mint-started", "alice minted"]);
  });

  test.each<[string, (pool: TokenPool) => Promise<unknown>]>([
    ["the key is released", (pool) => pool.release("alice")],
    ["the pool is closed", (pool) => pool.close()],
  ])("C20: hears how a mint ends while %s, and nothing after that", async (_, leave) => {
    const { pool, grants, told } = listenedPool();
    const { cache, hold } = { cache: pool.get("alice"), hold: grants.get("alice")!.hold() };
    const got = rejectionOf(cache.get());
    const left = leave(pool);
    hold.release();
    expect(await got).toMatchObject({ code: "ERR_CLOSED" });
    await left;
    await rejectionOf(cache.get());
    await cache.invalidate("fake-1");
    expect(told).toEqual(["alice mint-started", "alice mint-abandoned"]);
  });

  test.each<[string, (pool: TokenPool, key: string) => unknown, string[]]>([
    ["asks the same key", (pool, key) => pool.get(key).get(), []],
    ["asks another key", (pool) => pool.get("bob").get(), ["bob mint-started", "bob minted"]],
    ["signs the key out", (pool, key) => pool.signOut(key, { revoke: false }), ["alice signed-out"]],
    ["releases the key", (pool, key) => pool.release(key), []],
    ["closes the pool", (pool) => pool.close(), []],
  ])(
    "C20: one that %s when a token has come: the caller gets it, and the other listener hears of both",
    async (_, act, more) => {
      const told: string[] = [];
      const done: unknown[] = [];
      const under: Told = listenedPool({
        onEvent: [
          ({ name }, key) => name === "minted" && key === "alice" && done.push(act(under.pool, key)),
          ({ name }, key) => void told.push(`${key} ${name}`),
        ],
      });
      expect((await under.pool.get("alice").get()).value).toBe("fake-1");
      await Promise.all(done);
      expect(told.toSorted()).toEqual(["alice mint-started", "alice minted", ...more].toSorted());
      expect(done).toHaveLength(1);
    },
  );

  test("C20: with an empty list, and without own listeners, no event is made", async () => {
    let reads = 0;
    const { pool } = listenedPool({ onEvent: [] });
    const url = { toString: () => (reads++, ORIGIN) };
    policyHalf(pool.get("alice")).skipped("opted-out", url as never);
    const heard = listenedPool();
    expect(reads).toBe(0);
    policyHalf(heard.pool.get("alice")).skipped("opted-out", url as never);
    expect([reads > 0, heard.told]).toEqual([true, ["alice skipped"]]);
  });

  test("C1, C20: hears nothing of warm calls", async () => {
    const { pool, told } = listenedPool();
    await pool.get("alice").get();
    for (let call = 0; call < 100; call++) await pool.get("alice").get();
    expect(told).toHaveLength(2);
  });

  test("C12, C20: 10,000 keys: no timer, and a key that is released is free, whatever its listeners have heard", async () => {
    setFlagsFromString("--expose_gc");
    const collect = runInNewContext("gc") as () => void;
    let heard = 0;
    const { pool, clock } = listenedPool({ onEvent: [() => void heard++, () => {}], maxSize: 10_000 });
    const caches: WeakRef<TokenCache>[] = [];
    for (let user = 0; user < 10_000; user++) {
      const cache = pool.get(`user-${user}`);
      if (user < 100) caches.push(new WeakRef(cache));
      await cache.get();
    }
    expect([heard, clock.timers, clock.awaited]).toEqual([20_000, 0, 0]);
    for (let user = 0; user < 100; user++) await pool.release(`user-${user}`);
    for (let round = 0; round < 5; round++) {
      await settle();
      collect();
    }
    expect(pool.size).toBe(9900);
    // One may be on the stack of what has just run.
    expect(caches.filter((cache) => cache.deref() !== undefined).length).toBeLessThanOrEqual(1);
  });
});
