import { manualClock } from "remint/testing";
import { describe, expect, it } from "vitest";
import { storeContract } from "../../src/fleet/store-contract.ts";
import { MemoryStore, memoryStore } from "../../src/fleet/memory.ts";
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

  it("expires by the monotonic clock; steps of the wall clock decide nothing", async () => {
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

  it("has no timer, neither for a value nor for all", async () => {
    const clock = manualClock();
    await memoryStore({ clock }).swap("key", undefined, "value", 1000);
    expect(clock.timers).toBe(0);
  });

  it("gives no version twice, not even after a deletion or for another key", async () => {
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

  it("refuses what is no clock", () => {
    expect(() => memoryStore({ clock: {} as never })).toThrow(/"clock" must be a clock/);
    expect(() => memoryStore(null as never)).toThrow(/"memoryStore options" must be an object, got null/);
  });

  it("grows with what is alive, not with what ever was", async () => {
    const clock = manualClock();
    const store = new MemoryStore(clock);
    let largest = 0;
    for (let write = 0; write < 10_000; write++) {
      await store.swap(`key ${write}`, undefined, "value", 100);
      clock.stepMonotonic(1);
      largest = Math.max(largest, store.size);
    }
    // 100 are alive at any time: twice that, and what came since.
    expect(largest).toBeLessThanOrEqual(200);
  });

  it("forgets nothing that is alive, however much there is", async () => {
    const store = memoryStore({ clock: manualClock() });
    for (let write = 0; write < 1000; write++) await store.swap(`key ${write}`, undefined, "value", 100);
    for (let write = 0; write < 1000; write++) expect(await read(store, `key ${write}`)).toBeDefined();
  });
});
