/** The encryption key is changed while the fleet runs (S6). */
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { sealsOf } from "../../src/fleet/seal.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { rejectionOf, watch } from "../core/cache-under-test.ts";
import { deferred } from "../grants/rotating-server.ts";
import { fleetUnderTest } from "./fleet-under-test.ts";
import { immediateCrypto } from "./immediate-crypto.ts";
import { sessionFleet, type SessionFleet, type SessionProcess } from "./session-server.ts";
import type { StoreEntry } from "../../src/fleet/index.ts";
import type { RemintError } from "../../src/index.ts";

const OLD = Uint8Array.from({ length: 32 }, (_, index) => index);
const NEW = Uint8Array.from({ length: 32 }, (_, index) => 255 - index);
/** The four deployments of a change, in order. */
const STAGES = [[OLD], [OLD, NEW], [NEW, OLD], [NEW]] as const;
const ONLY_OLD = { encryptionKey: STAGES[0] };
const OLD_FIRST = { encryptionKey: STAGES[1] };
const NEW_FIRST = { encryptionKey: STAGES[2] };
const ONLY_NEW = { encryptionKey: STAGES[3] };
const LIFE = 300_000;

/** Returns a function that reads the phase letters of the records under the old and the new encryption key. */
function phases({ store }: SessionFleet, keys = new Set<string>()): () => Promise<Record<string, string>> {
  const swap = store.swap.bind(store);
  store.swap = (...args) => (keys.add(args[0]), swap(...args));
  return async () => {
    const found: [string, string][] = [];
    for (const [name, secret] of [
      ["old", OLD],
      ["new", NEW],
    ] as const) {
      const id = await sealsOf(secret)[0]!.id();
      const key = [...keys].find((each) => each.endsWith(id));
      const result = key === undefined ? undefined : await swap(key, "?", undefined, 1);
      if (result?.ok === false && result.current !== undefined) found.push([name, result.current.value[0]!]);
    }
    return Object.fromEntries(found);
  };
}

/** Starts a fleet in which process `a`, with the old key, has rotated once. */
async function rotatedOnce(): Promise<
  SessionFleet & { a: SessionProcess; stored: ReturnType<typeof phases>; keys: ReadonlySet<string> }
> {
  const fleet = sessionFleet(0);
  const keys = new Set<string>();
  const stored = phases(fleet, keys);
  const a = fleet.join(undefined, ONLY_OLD);
  await fleet.during(a.cache.get());
  expect(await stored()).toEqual({ old: "T" });
  return { ...fleet, a, stored, keys };
}

describe("the stand-in for WebCrypto", () => {
  afterEach(() => void vi.restoreAllMocks());

  test("S6: WebCrypto opens what it seals, it opens what WebCrypto seals, and both have the same key id", async () => {
    const [real] = sealsOf(OLD);
    const sealed = await real!.seal({ state: "rt" }, "T|key");
    immediateCrypto();
    const [immediate] = sealsOf(OLD);
    expect(await immediate!.open(sealed, "T|key")).toEqual({ state: "rt" });
    expect(await immediate!.open(sealed, "T|other")).toBeUndefined();
    expect(await immediate!.id()).toBe(await real!.id());
    const other = await immediate!.seal({ state: "rt" }, "T|key");
    vi.restoreAllMocks();
    expect(await real!.open(other, "T|key")).toEqual({ state: "rt" });
  });
});

describe("a change of the encryption key", () => {
  beforeEach(immediateCrypto);
  afterEach(() => void vi.restoreAllMocks());

  test("S6: a grant without state: the change takes exactly one more mint", async () => {
    const grant = fakeGrant({ key: "orders", expiresIn: 3600 });
    const mints: number[] = [];
    for (const stages of [[ONLY_OLD], [ONLY_OLD, OLD_FIRST, NEW_FIRST, ONLY_NEW]]) {
      const start = grant.mints;
      const fleet = fleetUnderTest({ grant, size: 0 });
      for (const { encryptionKey } of stages) {
        const joined = fleetUnderTest({ grant, size: 2, fleet: { encryptionKey } });
        // All deployments share one store.
        for (const { store } of joined.processes) store.swap = fleet.store.swap.bind(fleet.store);
        const all = Promise.all(joined.processes.map(({ cache }) => cache.get()));
        await joined.clock.advance(1000);
        await all;
      }
      mints.push(grant.mints - start);
    }
    expect(mints).toEqual([1, 2]);
  });

  test("S6: a grant with state: [old], [old, new], [new, old], [new], each overlapping the one before, under load", async () => {
    const fleet = sessionFleet(0);
    const { clock, server, processes, join, during } = fleet;
    const stored = phases(fleet);
    let running: SessionProcess[] = [];
    for (const encryptionKey of STAGES) {
      const joined = Array.from({ length: 3 }, () => join(undefined, { encryptionKey: [...encryptionKey] }));
      // The previous deployment runs on for a while, rotates, and is then closed.
      for (const group of [[...running, ...joined], joined]) {
        for (let second = 0; second < 700; second += 20) {
          const tokens = await during(Promise.all(group.map(({ cache }) => cache.get())));
          for (const { value } of tokens) expect(value).toMatch(/^at-1-\d+$/);
          await clock.advance(20_000);
        }
      }
      await Promise.all(running.map(({ cache }) => cache.close()));
      running = joined;
    }
    expect(processes).toHaveLength(12);
    expect(server.reused).toEqual([]);
    expect(server.live()).toBe(`rt-1-${server.presented.length}`);
    expect(server.presented.length).toBeGreaterThan(12);
    expect(await stored()).toEqual({ old: "M", new: "T" });
  });

  test("S6: two neighbouring deployments in any order and timing: no refresh token is sent twice", async () => {
    const step = fc.record({
      process: fc.nat({ max: 3 }),
      wait: fc.constantFrom(0, 0, 0, 1, 10, 30, 100, 3000, LIFE - 30_000, LIFE),
      slow: fc.boolean(),
    });
    const stage = fc.constantFrom(0, 1, 2);
    await fc.assert(
      fc.asyncProperty(stage, fc.array(step, { minLength: 4, maxLength: 24 }), async (first, steps) => {
        // From [new, old] to [new] only a moved record survives, so a process with both keys has to run first.
        const fleet = sessionFleet(0);
        const { clock, server, join } = fleet;
        if (first === 2) await fleet.during(join(undefined, NEW_FIRST).cache.get());
        const two = [0, 0, 1, 1].map((later) => join(undefined, { encryptionKey: [...STAGES[first + later]!] }));
        for (const { grant } of two) {
          grant.beforeSending = () => new Promise<void>((resolve) => void clock.setTimeout(resolve, 200));
          grant.beforeAnswering = () => new Promise<void>((resolve) => void clock.setTimeout(resolve, 200));
        }
        for (const { process, wait, slow } of steps) {
          const { store, cache } = two[process]!;
          store.fault = slow
            ? async (swap) => {
                await new Promise<void>((resolve) => void clock.setTimeout(resolve, 40));
                return swap();
              }
            : undefined;
          cache.get().catch(() => {});
          await clock.advance(wait);
        }
        await clock.advance(60_000);
        expect(server.reused).toEqual([]);
        expect(server.live()).toBeDefined();
        // Every process of both deployments still gets a token.
        for (const { cache } of two) expect((await fleet.during(cache.get())).value).toMatch(/^at-1-/);
      }),
      { numRuns: 60 },
    );
  });

  test.each([
    ["first", OLD, NEW],
    ["second", NEW, OLD],
  ])("S6: [old, new] and [new, old] start at the same moment, with the %s key as the old one", async (_, old, next) => {
    for (const latency of [0, 40]) {
      const { clock, server, join, during } = sessionFleet(0);
      const later = (ms: number): Promise<void> => new Promise((resolve) => void clock.setTimeout(resolve, ms));
      const processes = [
        [old, next],
        [next, old],
      ].map((encryptionKey) => join(undefined, { encryptionKey }));
      for (const { store, grant } of processes) {
        if (latency > 0) store.fault = async (swap) => (await later(latency), swap());
        grant.beforeSending = () => later(300);
      }
      const tokens = await during(Promise.all(processes.map(({ cache }) => cache.get())));
      expect(tokens.map(({ value }) => value)).toContain("at-1-1");
      expect(server.reused).toEqual([]);
      expect(server.live()).toBeDefined();
    }
  });

  test.each([
    ["first", OLD, NEW],
    ["second", NEW, OLD],
  ])(
    "S6: [old, new] and [new, old] rotate in turn: in the end the record has moved, with the %s key as the old one",
    async (_, old, next) => {
      const { clock, server, join, during } = sessionFleet(0);
      const processes = [
        [old, next],
        [next, old],
      ].map((encryptionKey) => join(undefined, { encryptionKey }));
      for (let rotation = 1; rotation <= 3; rotation++) {
        for (const { cache } of processes) await during(cache.get());
        await clock.advance(LIFE);
      }
      for (const { cache } of processes) await cache.close();
      expect((await during(join(undefined, { encryptionKey: next }).cache.get())).value).toMatch(/^at-1-/);
      expect(server.reused).toEqual([]);
    },
  );

  test("S6: the state has moved: a process with only the old key gets ERR_STORE, whose hint says to give both", async () => {
    const { clock, server, join, a, during, stored } = await rotatedOnce();
    await during(join(undefined, NEW_FIRST).cache.get());
    expect(await stored()).toEqual({ old: "M", new: "T" });
    // The process serves its token until the token expires.
    expect((await a.cache.get()).value).toBe("at-1-1");
    await clock.advance(LIFE);
    for (const process of [a, join(undefined, ONLY_OLD)]) {
      const error = (await rejectionOf(during(process.cache.get()))) as RemintError;
      expect(error).toMatchObject({ code: "ERR_STORE", retryable: true });
      expect(error.hint).toMatch(/another encryption key: give both, "encryptionKey": \[/);
    }
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
    expect(await stored()).toEqual({ old: "M", new: "T" });
  });

  test.each(["[old, new]", "[new, old]", "[new, old] again"])(
    "S6: a crash between the two steps of the move: %s continues from the moved-marker",
    async (who) => {
      const { clock, server, join, a, during, stored } = await rotatedOnce();
      const dead = join(undefined, NEW_FIRST);
      const swap = dead.store.swap.bind(dead.store);
      // The process writes the moved-marker, and dies before it writes the new record.
      dead.store.swap = async (key, expected, next, ttl) => {
        if (next?.startsWith("L")) return new Promise(() => {});
        return swap(key, expected, next, ttl);
      };
      dead.cache.get().catch(() => {});
      await clock.advance(100);
      expect(await stored()).toEqual({ old: "M" });
      const next = join(undefined, who === "[old, new]" ? OLD_FIRST : NEW_FIRST);
      expect((await during(next.cache.get())).value).toBe("at-1-2");
      await clock.advance(LIFE);
      expect((await during(next.cache.get())).value).toBe("at-1-3");
      expect(await rejectionOf(during(a.cache.get()))).toMatchObject({ code: "ERR_STORE" });
      expect(server.presented).toEqual(["rt-1-0", "rt-1-1", "rt-1-2"]);
      expect(await stored()).toEqual({ old: "M", new: "T" });
    },
  );

  test("S6: a process with the old key is minting, or refreshing in the background: the move waits for it", async () => {
    for (const isRefreshing of [false, true]) {
      const { clock, server, join, a, during } = await rotatedOnce();
      const gate = deferred();
      a.grant.beforeSending = () => gate.promise;
      await clock.advance(isRefreshing ? LIFE - 50_000 : LIFE);
      if (isRefreshing) a.cache.peek();
      else a.cache.get().catch(() => {});
      await clock.advance(100);
      const moving = watch(join(undefined, NEW_FIRST).cache.get());
      await clock.advance(9000);
      expect(moving.state).toBe("pending");
      expect(server.presented).toEqual(["rt-1-0"]);
      gate.resolve();
      await clock.advance(3000);
      expect(moving).toMatchObject({ state: "fulfilled", value: { value: "at-1-3" } });
      expect(server.presented).toEqual(["rt-1-0", "rt-1-1", "rt-1-2"]);
      await during(a.cache.close());
    }
  });

  test("S6: leases under the old key never end: the move fails at the time limit of a flight", async () => {
    const { clock, server, join, a, keys } = await rotatedOnce();
    const [key] = keys;
    a.grant.beforeSending = () => new Promise(() => {});
    await clock.advance(LIFE);
    a.cache.get().catch(() => {});
    await clock.advance(100);
    const moving = join(undefined, NEW_FIRST);
    // Every read under the old key returns a lease that was just taken, with another version each time.
    const swap = moving.store.swap.bind(moving.store);
    let lease: StoreEntry | undefined;
    let reads = 0;
    moving.store.swap = async (...args) => {
      const result = await swap(...args);
      const current = result.ok ? undefined : result.current;
      lease ??= current;
      return args[0] === key ? { ok: false, current: { ...lease!, version: String(++reads) } } : result;
    };
    const outcome = watch(moving.cache.get());
    await clock.advance(20_000);
    expect(outcome.state).toBe("pending");
    await clock.advance(1000);
    expect(outcome).toMatchObject({ state: "rejected", reason: { code: "ERR_STORE", retryable: true } });
    expect(server.presented).toEqual(["rt-1-0"]);
  });

  test("S6: a lease holder with the old key pauses while the state moves: it does not overwrite the new record", async () => {
    const { clock, server, join, a, during, stored } = await rotatedOnce();
    await clock.advance(LIFE);
    // The fleet takes this process for dead. The new deployment takes over when the lease has expired.
    a.grant.beforeSending = () => new Promise(() => {});
    a.cache.get().catch(() => {});
    await clock.advance(100);
    a.store.fault = () => new Promise(() => {});
    expect((await during(join(undefined, NEW_FIRST).cache.get())).value).toBe("at-1-2");
    a.store.fault = undefined;
    await clock.advance(20_000);
    expect(await stored()).toEqual({ old: "M", new: "T" });
    expect(server.reused).toEqual([]);
  });

  test("S6: the old session has ended and the user signs in again with the new key: the new session is used", async () => {
    const { server, join, during } = await rotatedOnce();
    server.end();
    expect((await during(join(server.signIn(), NEW_FIRST).cache.get())).value).toBe("at-2-1");
    expect(server.presented).toEqual(["rt-1-0", "rt-2-0"]);
  });

  test("S6: after the change, a new sign-in replaces an ended session in every process", async () => {
    const { clock, server, join, during } = await rotatedOnce();
    await during(join(undefined, NEW_FIRST).cache.get());
    await clock.advance(LIFE);
    server.end();
    const first = join(undefined, ONLY_NEW);
    expect(await rejectionOf(during(first.cache.get()))).toMatchObject({ error: "invalid_grant" });
    expect((await during(join(server.signIn(), ONLY_NEW).cache.get())).value).toBe("at-2-1");
    await clock.advance(60_000);
    expect((await during(first.cache.get())).value).toBe("at-2-1");
  });

  test("S6: garbage under the new key: the state under the old key is still found", async () => {
    const fleet = await rotatedOnce();
    const { server, store, join, during } = fleet;
    const swap = store.swap.bind(store);
    const id = await sealsOf(NEW)[0]!.id();
    store.swap = async (key, ...rest) => {
      if (key.endsWith(id)) {
        store.swap = swap;
        await swap(key, undefined, "not ours", LIFE);
      }
      return swap(key, ...rest);
    };
    expect((await during(join(undefined, NEW_FIRST).cache.get())).value).toBe("at-1-2");
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
  });

  test("S6: no token can be read in anything that is written to the store during the change", async () => {
    const fleet = await rotatedOnce();
    const values: string[] = [];
    const swap = fleet.store.swap.bind(fleet.store);
    fleet.store.swap = async (...args) => {
      if (args[2] !== undefined) values.push(args[0], args[2]);
      return swap(...args);
    };
    await fleet.during(fleet.join(undefined, NEW_FIRST).cache.get());
    expect(values.filter((value) => value.startsWith("M"))).toHaveLength(1);
    for (const value of values) expect(`${value} ${atob(unpadded(value))}`).not.toMatch(/rt-1|at-1/);
  });
});

function unpadded(value: string): string {
  return /^[LRTFM][\w-]+$/.test(value) ? value.slice(1).replaceAll("-", "+").replaceAll("_", "/") : "";
}
