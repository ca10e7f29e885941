/** The encryption key is changed while the fleet runs (S6). */
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { sealsOf } from "../../src/fleet/seal.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { rejectionOf, watch } from "../core/cache-under-test.ts";
import { deferred } from "../grants/rotating-server.ts";
import { fleetUnderTest } from "./fleet-under-test.ts";
import { immediateCrypto } from "./immediate-crypto.ts";
import { shelfOf } from "./records.ts";
import { countEvents, sessionFleet, type SessionFleet, type SessionProcess } from "./session-server.ts";
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

/** Returns a function that says what a fleet's only record shows: its phase, and the key that it is encrypted with. */
function inClear(fleet: Pick<SessionFleet, "store">): () => Promise<string> {
  const shelf = shelfOf(fleet);
  return async () => {
    const { value } = (await shelf.entry())!;
    const [oldId, newId] = await Promise.all([OLD, NEW].map((secret) => sealsOf(secret)[0]!.id()));
    const id = value.slice(2, value.indexOf("."));
    return `${value.slice(0, 2)} ${id === oldId ? "old" : id === newId ? "new" : id}`;
  };
}

/** Starts a fleet in which process `a`, with the old key, has rotated once. */
async function rotatedOnce(): Promise<SessionFleet & { a: SessionProcess; stored: () => Promise<string> }> {
  const fleet = sessionFleet(0);
  const stored = inClear(fleet);
  const a = fleet.join({ fleet: ONLY_OLD });
  await fleet.during(a.cache.get());
  expect(await stored()).toBe("1T old");
  return { ...fleet, a, stored };
}

/** The same, and a process with both keys, the new one first, has rotated since. */
async function moved(): Promise<
  SessionFleet & { a: SessionProcess; b: SessionProcess; stored: () => Promise<string> }
> {
  const fleet = await rotatedOnce();
  await fleet.clock.advance(LIFE);
  const b = fleet.join({ fleet: NEW_FIRST });
  expect((await fleet.during(b.cache.get())).value).toBe("at-1-2");
  expect(await fleet.stored()).toBe("1T new");
  return { ...fleet, b };
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

  test("S6: a grant without state: the change takes no mint, once a record was written with the new key", async () => {
    const grant = fakeGrant({ key: "orders", expiresIn: 3600 });
    const fleet = fleetUnderTest({ grant, size: 0 });
    const values: string[] = [];
    for (const [fleetOptions, wait] of [
      [ONLY_OLD, 0],
      [OLD_FIRST, 0],
      [NEW_FIRST, 3_600_000],
      [NEW_FIRST, 0],
      [ONLY_NEW, 0],
    ] as const) {
      await fleet.clock.advance(wait);
      const joined = [1, 2].map(() => fleet.join({}, fleetOptions));
      const all = Promise.all(joined.map(({ cache }) => cache.get()));
      await fleet.clock.advance(1000);
      values.push(...(await all).map(({ value }) => value));
    }
    expect(values).toEqual([
      ...Array.from({ length: 4 }, () => "fake-1"),
      ...Array.from({ length: 6 }, () => "fake-2"),
    ]);
    expect(grant.mints).toBe(2);
  });

  test("S6: a grant without state and a key that the process does not have: it mints alone, and the record stays", async () => {
    const grant = fakeGrant({ key: "orders" });
    const fleet = fleetUnderTest({ grant, size: 0 });
    const shelf = shelfOf(fleet);
    const [one, two] = [fleet.join({}, ONLY_OLD), fleet.join({}, ONLY_NEW)];
    for (const { cache } of [one, two]) {
      const got = cache.get();
      await fleet.clock.advance(1000);
      await got;
      // The token that is renewed is the process's own.
      void cache.invalidate(cache.peek()!.value);
    }
    const { value } = (await shelf.entry())!;
    const again = two.cache.get();
    await fleet.clock.advance(1000);
    expect((await again).value).toBe("fake-3");
    expect((await shelf.entry())!.value).toBe(value);
    expect(countEvents(two, "store-failed")).toBeGreaterThan(0);
    expect(countEvents(two, "mint-failed")).toBe(0);
  });

  test("S6: a grant with state: [old], [old, new], [new, old], [new], each overlapping the one before, under load", async () => {
    const fleet = sessionFleet(0);
    const { clock, server, processes, join, during } = fleet;
    const stored = inClear(fleet);
    let running: SessionProcess[] = [];
    for (const encryptionKey of STAGES) {
      const joined = Array.from({ length: 3 }, () => join({ fleet: { encryptionKey: [...encryptionKey] } }));
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
    expect(await stored()).toBe("1T new");
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
        // A process with the new key alone reads what [new, old] has written, so one of those has to run first.
        const fleet = sessionFleet(0);
        const { clock, server, join } = fleet;
        if (first === 2) await fleet.during(join({ fleet: NEW_FIRST }).cache.get());
        const two = [0, 0, 1, 1].map((later) => join({ fleet: { encryptionKey: [...STAGES[first + later]!] } }));
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
      ].map((encryptionKey) => join({ fleet: { encryptionKey } }));
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
    "S6: [old, new] and [new, old] rotate in turn, then [new] alone goes on, with the %s key as the old one",
    async (_, old, next) => {
      const { clock, server, join, during } = sessionFleet(0);
      const processes = [
        [old, next],
        [next, old],
      ].map((encryptionKey) => join({ fleet: { encryptionKey } }));
      const [, newFirst] = processes as [SessionProcess, SessionProcess];
      for (let rotation = 1; rotation <= 3; rotation++) {
        for (const { cache } of rotation % 2 === 0 ? processes : processes.toReversed()) await during(cache.get());
        await clock.advance(LIFE);
      }
      await during(newFirst.cache.get());
      for (const { cache } of processes) await cache.close();
      const last = join({ fleet: { encryptionKey: next } });
      expect((await during(last.cache.get())).value).toBe("at-1-4");
      await clock.advance(LIFE);
      expect((await during(last.cache.get())).value).toBe("at-1-5");
      expect(server.reused).toEqual([]);
    },
  );

  test("S6: a process with only the old key gets ERR_STORE, whose hint says to give both, and the record stays", async () => {
    const { clock, server, join, a, during, stored } = await moved();
    await clock.advance(LIFE);
    for (const process of [a, join({ fleet: ONLY_OLD })]) {
      const error = (await rejectionOf(during(process.cache.get()))) as RemintError;
      expect(error).toMatchObject({ code: "ERR_STORE", retryable: true });
      expect(error.hint).toMatch(/a key that this process does not have .*give both keys, "encryptionKey": \[/);
      // The process serves the fleet again when it has both keys.
      await clock.advance(10_000);
    }
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
    expect(await stored()).toBe("1T new");
    expect((await during(join({ fleet: OLD_FIRST }).cache.get())).value).toBe("at-1-3");
  });

  test("S6: a process with only the new key does not replace what the old key has encrypted", async () => {
    const { clock, server, join, during, stored } = await rotatedOnce();
    await clock.advance(LIFE);
    expect(await rejectionOf(during(join({ fleet: ONLY_NEW }).cache.get()))).toMatchObject({ code: "ERR_STORE" });
    expect(await stored()).toBe("1T old");
    expect(server.presented).toEqual(["rt-1-0"]);
    expect((await during(join({ fleet: NEW_FIRST }).cache.get())).value).toBe("at-1-2");
  });

  test.each(["[old, new]", "[new, old]"])(
    "S6: [new, old] dies with the lease: %s waits until it has ended, and goes on with the state",
    async (who) => {
      const { clock, server, join, during, stored } = await rotatedOnce();
      await clock.advance(LIFE);
      const dead = join({ fleet: NEW_FIRST });
      dead.grant.beforeSending = () => new Promise(() => {});
      dead.cache.get().catch(() => {});
      await clock.advance(100);
      expect(await stored()).toBe("1L new");
      dead.store.fault = () => new Promise(() => {});
      const next = join({ fleet: who === "[old, new]" ? OLD_FIRST : NEW_FIRST });
      expect((await during(next.cache.get())).value).toBe("at-1-2");
      expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
    },
  );

  test("S6: a process with the old key is minting, or refreshing in the background: [new, old] waits for it", async () => {
    for (const isRefreshing of [false, true]) {
      const { clock, server, join, a, during } = await rotatedOnce();
      const gate = deferred();
      a.grant.beforeSending = () => gate.promise;
      await clock.advance(isRefreshing ? LIFE - 50_000 : LIFE);
      if (isRefreshing) a.cache.peek();
      else a.cache.get().catch(() => {});
      await clock.advance(100);
      const other = join({ fleet: NEW_FIRST });
      const waiting = watch(other.cache.get());
      await clock.advance(9000);
      if (isRefreshing) expect(waiting).toMatchObject({ state: "fulfilled", value: { value: "at-1-1" } });
      else expect(waiting.state).toBe("pending");
      expect(server.presented).toEqual(["rt-1-0"]);
      gate.resolve();
      await clock.advance(3000);
      other.cache.peek();
      await clock.advance(3000);
      expect((await during(other.cache.get())).value).toBe("at-1-2");
      expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
      await during(a.cache.close());
    }
  });

  test("S6: a lease holder with only the old key pauses while [new, old] goes on: it does not overwrite the record", async () => {
    const { clock, server, join, a, during, stored } = await rotatedOnce();
    await clock.advance(LIFE);
    // The fleet takes this process for dead. The new deployment takes over when the lease has expired.
    let reject!: (error: Error) => void;
    a.grant.beforeSending = () => new Promise((_, no) => void (reject = no));
    a.cache.get().catch(() => {});
    await clock.advance(100);
    a.store.fault = () => new Promise(() => {});
    expect((await during(join({ fleet: NEW_FIRST }).cache.get())).value).toBe("at-1-2");
    a.store.fault = undefined;
    reject(new Error("the connection is gone"));
    await clock.advance(20_000);
    expect(await stored()).toBe("1T new");
    expect(server.reused).toEqual([]);
  });

  test("S6: a sign-in and a sign-out replace a record whose key the process does not have", async () => {
    for (const isSignIn of [true, false]) {
      const { clock, server, join, during, stored } = await rotatedOnce();
      const next = join({ fleet: ONLY_NEW });
      if (isSignIn) await during(next.cache.signIn(server.signInResponse()));
      else await during(next.cache.signOut());
      expect(await stored()).toBe(isSignIn ? "1T new" : "1E new");
      await clock.advance(LIFE);
      const late = join({ fleet: ONLY_NEW });
      if (isSignIn) expect((await during(late.cache.get())).value).toBe("at-2-1");
      else expect(await rejectionOf(during(late.cache.get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
      expect(server.presented).toEqual(isSignIn ? ["rt-1-0", "rt-2-0"] : ["rt-1-0"]);
    }
  });

  test("S6: after the change, a new sign-in replaces a refused session in every process", async () => {
    const { clock, server, join, during } = await moved();
    await clock.advance(LIFE);
    server.end();
    const first = join({ fleet: ONLY_NEW });
    expect(await rejectionOf(during(first.cache.get()))).toMatchObject({ error: "invalid_grant" });
    await during(join({ fleet: ONLY_NEW }).cache.signIn(server.signInResponse()));
    await clock.advance(2000);
    expect((await during(first.cache.get())).value).toBe("at-2-0");
  });

  test("S6: no token can be read in anything that is written to the store during the change", async () => {
    const fleet = sessionFleet(0);
    const values: string[] = [];
    const swap = fleet.store.swap.bind(fleet.store);
    fleet.store.swap = async (...args) => {
      if (args[2] !== undefined) values.push(args[0], args[2]);
      return swap(...args);
    };
    for (const options of [ONLY_OLD, OLD_FIRST, NEW_FIRST, ONLY_NEW]) {
      const { cache } = fleet.join({ fleet: options });
      await fleet.during(cache.get());
      await fleet.clock.advance(LIFE);
      await fleet.during(cache.get());
    }
    // Five leases, and three swaps that were refused.
    expect(values.filter((value) => value.startsWith("1L"))).toHaveLength(8);
    for (const value of values) expect(`${value} ${atob(sealedIn(value))}`).not.toMatch(/rt-1|at-1/);
  });
});

function sealedIn(value: string): string {
  return /^\d[A-Z][\w-]+\.[\w-]+$/.test(value) ? value.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/") : "";
}
