/** The memory store: the store contract, its clock, its versions and its size; and the store of the caches of one process. */
import { manualClock, type ManualClock } from "remint/testing";
import { describe, expect, it } from "vitest";
import { createTokenCache, createTokenPool, type TokenCache } from "../../src/index.ts";
import { rejectionOf } from "../core/cache-under-test.ts";
import { ORIGIN } from "./fleet-under-test.ts";
import { during, SessionServer, sessionGrant } from "./session-server.ts";
import { fleetStore } from "../../src/fleet/fleet-store.ts";
import { MemoryEngine, memoryStore } from "../../src/fleet/memory.ts";
import { storeContract } from "../../src/fleet/store-contract.ts";
import type { Store, StoreEntry } from "../../src/fleet/store.ts";

async function read(store: Store, key = "key"): Promise<StoreEntry | undefined> {
  const result = await store.swap(key, "-", "read", 1);
  return result.ok ? undefined : result.current;
}

describe("memoryStore", () => {
  describe("keeps the store contract", () => {
    const shared = memoryStore();
    for (const { name, run } of storeContract(memoryStore)) it(name, run);
    for (const { name, run } of storeContract(() => shared)) it(`${name} (one store for all tests)`, run);
  });

  it("expires values by the monotonic clock, whatever the wall clock does", async () => {
    const clock = manualClock();
    const store = memoryStore({ clock });
    await store.swap("key", undefined, "value", 1000);
    clock.stepWall(3_600_000);
    clock.stepWall(-7_200_000);
    clock.stepMonotonic(999);
    expect(await read(store)).toMatchObject({ value: "value", ttl: 1 });
    clock.stepMonotonic(1);
    expect(await read(store)).toBeUndefined();
  });

  it("has no timer", async () => {
    const clock = manualClock();
    await memoryStore({ clock }).swap("key", undefined, "value", 1000);
    expect(clock.timers).toBe(0);
  });

  it("uses no version twice, not even after a deletion or for another key", async () => {
    const store = memoryStore();
    const versions = new Set<string | undefined>();
    for (const key of ["a", "b", "a"]) {
      const stored = await store.swap(key, undefined, "value", 1000);
      versions.add(stored.ok ? stored.version : undefined);
      await store.swap(key, stored.ok ? stored.version : undefined, undefined, 0);
    }
    expect(versions.size).toBe(3);
  });

  it("shares nothing between two stores", async () => {
    const [one, other] = [memoryStore(), memoryStore()];
    await one.swap("key", undefined, "value", 1000);
    expect(await read(other)).toBeUndefined();
  });

  it("refuses a clock without methods, and null as options", () => {
    expect(() => memoryStore({ clock: {} as never })).toThrow(/"clock" must be a clock/);
    expect(() => memoryStore(null as never)).toThrow(/^memoryStore takes options such as \{ clock \}, got null/);
  });

  it("10,000 writes with 100 live values at a time: it holds at most 200", async () => {
    const clock = manualClock();
    const store = new MemoryEngine(clock);
    let largest = 0;
    for (let write = 0; write < 10_000; write++) {
      await store.swap(`key ${write}`, undefined, "value", 100);
      clock.stepMonotonic(1);
      largest = Math.max(largest, store.size);
    }
    // Expired values are removed when the store has twice as many entries as live ones.
    expect(largest).toBeLessThanOrEqual(200);
  });

  it("1,000 live values: it has all of them", async () => {
    const store = memoryStore({ clock: manualClock() });
    for (let write = 0; write < 1000; write++) await store.swap(`key ${write}`, undefined, "value", 100);
    for (let write = 0; write < 1000; write++) expect(await read(store, `key ${write}`)).toBeDefined();
  });
});

/** Two caches of one session, which have nothing in common but the store. */
function twins(store = memoryStore()): {
  clock: ManualClock;
  server: SessionServer;
  one: TokenCache;
  two: TokenCache;
} {
  const clock = manualClock();
  const server = new SessionServer();
  const seed = server.signIn();
  const open = (): TokenCache =>
    createTokenCache({ grant: sessionGrant(server, seed, { key: "alice" }), clock, origins: [ORIGIN], store });
  return { clock, server, one: open(), two: open() };
}

describe("memoryStore as the store of caches", () => {
  it("two caches of one session are asked at the same moment: one refresh for both", async () => {
    const { clock, server, one, two } = twins();
    const tokens = await during(clock, Promise.all([one.get(), two.get()]));
    expect(tokens.map(({ value }) => value)).toEqual(["at-1-1", "at-1-1"]);
    expect(server.presented).toEqual(["rt-1-0"]);
  });

  it("no clock of its own, and a cache that is created when the token of another has expired on the clock of both: another refresh", async () => {
    const { clock, server, one, two } = twins();
    await during(clock, one.get());
    await clock.advance(301_000);
    expect(await during(clock, two.get())).toMatchObject({ value: "at-1-2" });
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
  });

  it("a sign-out in one cache, and a sign-in after it: the other finds both when it next needs a token", async () => {
    const { clock, server, one, two } = twins();
    await during(clock, Promise.all([one.get(), two.get()]));
    await during(clock, one.signOut());
    await clock.advance(301_000);
    expect(await during(clock, rejectionOf(two.get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
    await during(clock, one.signIn(server.signInResponse()));
    await clock.advance(1000);
    expect(await during(clock, two.get())).toMatchObject({ value: "at-2-0" });
  });

  it("the first of two caches is closed: the other goes on", async () => {
    const { clock, server, one, two } = twins();
    await during(clock, one.get());
    await during(clock, one.close());
    expect(await during(clock, two.get())).toMatchObject({ value: "at-1-1" });
    expect(server.presented).toEqual(["rt-1-0"]);
  });

  it("two pools: the users of one key share a session, and those of two keys do not", async () => {
    const clock = manualClock();
    const server = new SessionServer();
    const store = memoryStore();
    const seeds = new Map(["alice", "bob"].map((user) => [user, server.signIn()]));
    const create = (user: string): TokenCache => {
      const grant = sessionGrant(server, seeds.get(user)!, { key: undefined });
      return createTokenCache({ grant, clock, origins: [ORIGIN], store });
    };
    const pools = [1, 2].map(() => createTokenPool({ clock, create }));
    const got = pools.flatMap((pool) => [pool.get("alice").get(), pool.get("bob").get()]);
    const values = (await during(clock, Promise.all(got))).map(({ value }) => value);
    expect(values).toEqual(["at-1-1", "at-2-1", "at-1-1", "at-2-1"]);
  });

  it("a refresh token without a name: a TypeError that says to give the grant a key", () => {
    const grant = sessionGrant(new SessionServer(), "rt", { key: undefined });
    expect(() => createTokenCache({ grant, origins: [ORIGIN], store: memoryStore() })).toThrow(
      /give the grant a "key"/,
    );
  });

  it("the same store under fleetStore: its caches see what the others have", async () => {
    const store = memoryStore();
    const { clock, server, one } = twins(store);
    await during(clock, one.get());
    const grant = sessionGrant(server, "rt-other", { key: "alice" });
    const fleet = fleetStore(store, { encryptionKey: "none", maxStaleness: 1000 });
    const third = createTokenCache({ grant, clock, origins: [ORIGIN], store: fleet });
    expect(await during(clock, third.get())).toMatchObject({ value: "at-1-1" });
  });
});
