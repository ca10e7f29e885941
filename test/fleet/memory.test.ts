/** The memory store: the store contract, its clock, its versions and its size. */
import { manualClock } from "remint/testing";
import { describe, expect, it } from "vitest";
import { MemoryStore, memoryStore } from "../../src/fleet/memory.ts";
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
    const store = new MemoryStore(clock);
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
