import { policyHalf } from "../../src/core/types.ts";
import { describe, expect, test } from "vitest";
import { isRemintError, TokenEndpointError } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { watch } from "../core/cache-under-test.ts";
import { fleetUnderTest, SITE, warm, type FleetUnderTest, type Process } from "./fleet-under-test.ts";
import type { Store } from "../../src/fleet/index.ts";

const refused = (): ReturnType<Store["swap"]> => Promise.reject(new Error("connect ECONNREFUSED"));
const silent = (): ReturnType<Store["swap"]> => new Promise(() => {});

function values(processes: readonly Process[]): (string | undefined)[] {
  return processes.map(({ cache }) => cache.peek()?.value);
}

/** The only record there is, as the store has it. */
async function record(store: Store, key: string): Promise<{ value: string; version: string; ttl: number } | undefined> {
  const result = await store.swap(key, "?", undefined, 1);
  return result.ok ? undefined : result.current;
}

/** The key a process uses, seen on its way to the store. */
function keyOf({ store }: Process): Promise<string> {
  return new Promise((resolve) => {
    const swap = store.swap.bind(store);
    store.swap = function (key, ...rest) {
      resolve(key);
      return swap(key, ...rest);
    };
  });
}

/** The token in a record, which nothing encrypts here. */
function tokenIn(entry: { value: string } | undefined): unknown {
  const text = Buffer.from(entry!.value.slice(1), "base64url").toString();
  return (JSON.parse(text) as { token?: { response: { access_token: string } } }).token?.response.access_token;
}

/** A lease as another process writes it. */
function foreignLease(number: number, at: number): string {
  const lease = { mints: 0, strikes: 0, fails: 0, left: 3000, ttl: 3000, at, nonce: `other-${number}` };
  return `L${Buffer.from(JSON.stringify(lease)).toString("base64url")}`;
}

/** A process whose engine does not report times. */
function timeless(process: Process): Process {
  process.store.fault = async (swap) => {
    const result = await swap();
    return result.ok || !result.current ? result : { ok: false, current: { ...result.current, ttl: -1 } };
  };
  return process;
}

/** A process with a grant of its own: the same token, other mints. */
function alone({ join }: FleetUnderTest, value: string): Process {
  return join({ grant: fakeGrant({ key: "orders", response: { access_token: value } }) });
}

describe.each([
  ["refuses", refused, 0],
  ["does not answer", silent, 500],
])("a store that %s", (_, fault, wait) => {
  test("fleet: cold callers get a token of their process's own, and no error", async () => {
    const { processes, clock, grant } = fleetUnderTest();
    for (const { store } of processes) store.fault = fault;
    const all = Promise.all(processes.flatMap(({ cache }) => [cache.get(), cache.get()]));
    await clock.advance(wait);
    await all;
    expect(grant.mints).toBe(processes.length);
    expect(processes.map(({ events }) => events.filter(({ name }) => name === "store-failed").length)).toEqual([
      1, 1, 1,
    ]);
  });

  test("fleet: a valid token is served, and a background refresh neither fails nor mints", async () => {
    const { processes, clock, grant } = await warm();
    for (const { store } of processes) store.fault = fault;
    await clock.advance(3600_000 - 50_000);
    expect(values(processes)).toEqual(["fake-1", "fake-1", "fake-1"]);
    await clock.advance(1000);
    expect(values(processes)).toEqual(["fake-1", "fake-1", "fake-1"]);
    expect(grant.mints).toBe(1);
  });

  test("fleet: a rejected token costs one mint per process, and one per fleet once the store is back", async () => {
    const { processes, clock, grant } = await warm();
    for (const { store } of processes) store.fault = fault;
    const renewed = Promise.all(processes.map(({ cache }) => policyHalf(cache).rejected(cache.peek()!, SITE)!.next()));
    await clock.advance(wait);
    const tokens = await renewed;
    expect(grant.mints).toBe(1 + processes.length);
    for (const { store } of processes) store.fault = undefined;
    await clock.advance(20_000);
    const again = Promise.all(
      processes.map(({ cache }, i) => policyHalf(cache).rejected(tokens[i]!.token, SITE)!.next()),
    );
    await clock.advance(2000);
    expect(new Set((await again).map(({ token }) => token.value)).size).toBe(1);
    expect(grant.mints).toBe(2 + processes.length);
  });

  test("fleet: a store that is down is asked by one call at a time, seldom", async () => {
    const { processes, clock } = fleetUnderTest({ size: 1, defaultTtl: 0 });
    const [process] = processes as [Process];
    process.grant.fail(Object.assign(new Error("down"), { status: 503 }), Infinity);
    process.store.fault = fault;
    for (let i = 0; i < 100; i++) {
      process.cache.get().catch(() => {});
      await clock.advance(100);
    }
    expect(process.store.calls).toBeLessThanOrEqual(6);
    expect(process.store.calls).toBeGreaterThanOrEqual(3);
  });
});

describe("a process that dies", () => {
  test("fleet: its lease runs out and another one mints", async () => {
    const fleet = fleetUnderTest({ size: 2 });
    const { processes, clock, grant } = fleet;
    const dead = alone(fleet, "dead");
    dead.grant.hold({ ignoreSignal: true });
    dead.cache.get().catch(() => {});
    await clock.advance(100);
    expect(dead.grant.mints).toBe(1);
    dead.store.fault = silent;
    const all = processes.map(({ cache }) => watch(cache.get()));
    await clock.advance(2800);
    expect(all.map(({ state }) => state)).toEqual(["pending", "pending"]);
    await clock.advance(1000);
    expect(all.map(({ state }) => state)).toEqual(["fulfilled", "fulfilled"]);
    expect(grant.mints).toBe(1);
  });

  test("fleet: a live minter keeps its lease, however long the mint takes", async () => {
    const { processes, clock, grant } = fleetUnderTest();
    const hold = grant.hold();
    const all = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(9000);
    hold.release();
    await clock.advance(1000);
    await all;
    expect(grant.mints).toBe(1);
  });

  test("fleet: a token that was being refreshed is refreshed by the next", async () => {
    const fleet = await warm({ size: 2 });
    const { processes, clock, grant } = fleet;
    const dead = alone(fleet, "dead");
    const first = dead.cache.get();
    await clock.advance(3600_000 - 50_000);
    expect((await first).value).toBe("fake-1");
    dead.grant.hold({ ignoreSignal: true });
    dead.cache.peek();
    await clock.advance(10);
    expect(dead.grant.mints).toBe(1);
    dead.store.fault = silent;
    for (let i = 0; i < 10; i++) {
      expect(values(processes).includes(undefined)).toBe(false);
      await clock.advance(1000);
    }
    expect(values(processes)).toEqual(["fake-2", "fake-2"]);
    expect(grant.mints).toBe(2);
  });
});

describe("a process that was away for longer than its lease", () => {
  test("fleet: its late token is refused, the record stays, and it takes over what the fleet has", async () => {
    const fleet = fleetUnderTest({ size: 1 });
    const { processes, clock, grant, store } = fleet;
    const [other] = processes as [Process];
    const paused = alone(fleet, "late");
    const key = keyOf(paused);
    const hold = paused.grant.hold();
    const late = paused.cache.get();
    await clock.advance(100);
    // Away: nothing of it reaches the store, its renewals included.
    paused.store.fault = refused;
    const got = watch(other.cache.get());
    await clock.advance(4000);
    expect(got.state).toBe("fulfilled");
    const before = await record(store, await key);
    paused.store.fault = undefined;
    hold.release();
    await clock.advance(1000);
    expect((await late).value).toBe("fake-1");
    expect(await record(store, await key)).toEqual({ ...before, ttl: before!.ttl - 1000 });
    expect([paused.grant.mints, grant.mints]).toEqual([1, 1]);
    expect(paused.events.map(({ name }) => name)).toContain("adopted");
  });

  test("fleet: a lease that was taken too late is given back, not used", async () => {
    const fleet = fleetUnderTest({ size: 1, fleet: { callTimeout: 5000 } });
    const { processes, clock, grant } = fleet;
    const [other] = processes as [Process];
    const slow = alone(fleet, "slow");
    let arrive!: () => void;
    slow.store.fault = async (swap) => {
      const result = await swap();
      slow.store.fault = undefined;
      await new Promise<void>((resolve) => (arrive = resolve));
      return result;
    };
    const first = slow.cache.get();
    await clock.advance(2900);
    const second = other.cache.get();
    arrive();
    await clock.advance(1000);
    const [one, two] = await Promise.all([first, second]);
    expect(one.value).toBe(two.value);
    expect(slow.grant.mints + grant.mints).toBe(1);
  });
});

describe("a call that comes true after its time", () => {
  test("fleet: a lease nobody holds is undone", async () => {
    const { processes, clock, store } = fleetUnderTest({ size: 1 });
    const [process] = processes as [Process];
    const key = keyOf(process);
    let reach!: () => void;
    process.store.fault = (swap) => {
      process.store.fault = undefined;
      return new Promise((resolve) => (reach = () => resolve(swap())));
    };
    const got = process.cache.get();
    await clock.advance(500);
    await got;
    reach();
    await clock.advance(10);
    expect(await record(store, await key)).toBeUndefined();
  });

  test("fleet: a late note that a token is being refreshed is undone: it stays refreshable by anybody", async () => {
    const { processes, clock, grant } = await warm({ size: 2 });
    const [late, other] = processes as [Process, Process];
    await clock.advance(3600_000 - 50_000);
    let reach!: () => void;
    late.store.fault = (swap) => {
      late.store.fault = undefined;
      return new Promise((resolve) => (reach = () => resolve(swap())));
    };
    late.cache.peek();
    await clock.advance(500);
    reach();
    await clock.advance(10);
    other.cache.peek();
    await clock.advance(10);
    expect(other.cache.peek()?.value).toBe("fake-2");
    expect(grant.mints).toBe(2);
  });
});

describe("records that are not what they should be", () => {
  test.each(["garbage", "Tgarbage", "T", "", "L", "\u0000\u00ff", "Xabc", "F{}"])(
    "fleet: %j is replaced by one mint, and the others share that",
    async (value) => {
      const { processes, clock, grant, store } = fleetUnderTest();
      const key = keyOf(processes[0]!);
      void processes[0]!.cache.get();
      await clock.advance(100);
      const there = await record(store, await key);
      await store.swap(await key, there!.version, value, 3600_000);
      const [, ...others] = processes;
      const all = Promise.all(others.map(({ cache }) => cache.get()));
      await clock.advance(1000);
      expect(new Set((await all).map((token) => token.value))).toEqual(new Set(["fake-2"]));
      expect(grant.mints).toBe(2);
      expect(others.flatMap(({ events }) => events.map(({ name }) => name))).toEqual(["minted", "adopted"]);
    },
  );

  test("fleet: a store that was emptied mid-lease: two mints, and the first minter's token is not published", async () => {
    const fleet = fleetUnderTest({ size: 1 });
    const { processes, clock, grant, store } = fleet;
    const [second] = processes as [Process];
    const first = alone(fleet, "unpublished");
    const key = keyOf(first);
    const hold = first.grant.hold();
    const one = first.cache.get();
    await clock.advance(100);
    const lease = await record(store, await key);
    await store.swap(await key, lease!.version, undefined, 1);
    const two = second.cache.get();
    await clock.advance(100);
    hold.release();
    await clock.advance(1000);
    expect((await one).value).toBe("fake-1");
    expect((await two).value).toBe("fake-1");
    expect([first.grant.mints, grant.mints]).toEqual([1, 1]);
    expect(tokenIn(await record(store, await key))).toBe("fake-1");
  });

  test("fleet: an engine that does not report times is read by the record's own clock", async () => {
    const { clock, join, store, grant } = fleetUnderTest({ size: 0 });
    const one = timeless(join()).cache.get();
    await clock.advance(10);
    await one;
    await clock.advance(1800_000);
    const two = timeless(join()).cache.get();
    await clock.advance(10);
    const token = await two;
    expect(token.expiresAt - clock.now()).toBeLessThanOrEqual(1800_000);
    expect(token.expiresAt - clock.now()).toBeGreaterThan(1799_000);
    expect(grant.mints).toBe(1);
    expect(store).toBeDefined();
  });
});

describe("failures are everybody's", () => {
  test("C9: an endpoint that is down is asked by one process at a time, less and less often", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 8 });
    grant.fail(new TokenEndpointError(503, "down"), Infinity);
    const errors: unknown[] = [];
    for (let i = 0; i < 100; i++) {
      for (const { cache } of processes) cache.get().catch((error: unknown) => errors.push(error));
      await clock.advance(100);
    }
    expect(errors.length).toBe(800);
    expect(errors.every((error) => isRemintError(error) && error.code === "ERR_TOKEN_ENDPOINT")).toBe(true);
    // 1 + 2 + 4 + 5 s: four or five in ten seconds; a process alone would do the same.
    expect(grant.mints).toBeLessThanOrEqual(6);
    expect(grant.mints).toBeGreaterThanOrEqual(3);
    grant.recover();
    await clock.advance(6000);
    const all = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(1000);
    await all;
  });

  test("C9: a refresh that failed is not tried by every process in turn", async () => {
    const { processes, clock, grant } = await warm({ size: 8 });
    grant.fail(new TokenEndpointError(503, "down"), Infinity);
    await clock.advance(3600_000 - 55_000);
    for (let i = 0; i < 40; i++) {
      values(processes);
      await clock.advance(250);
    }
    // Pauses of 1, 2, 4, 8 s are shared.
    expect(grant.mints - 1).toBeLessThanOrEqual(5);
    expect(grant.mints - 1).toBeGreaterThanOrEqual(3);
    expect(values(processes)).toEqual(Array.from({ length: 8 }, () => "fake-1"));
  });

  test("C9: what the endpoint said reaches the other processes", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 2 });
    const said = { error: "invalid_client", errorDescription: "unknown client" };
    grant.fail(new TokenEndpointError(401, "refused", said));
    const all = Promise.allSettled(processes.map(({ cache }) => cache.get()));
    await clock.advance(500);
    const reasons = (await all).map((outcome) => (outcome as PromiseRejectedResult).reason as TokenEndpointError);
    expect(reasons.map(({ status, error, errorDescription }) => ({ status, error, errorDescription }))).toEqual([
      { status: 401, ...said },
      { status: 401, ...said },
    ]);
    expect(reasons[1]).toBeInstanceOf(TokenEndpointError);
    expect(grant.mints).toBe(1);
  });
});

describe("time limits", () => {
  test("C10: one limit for all a flight does, although leases change hands for ever", async () => {
    const { processes, clock, store } = fleetUnderTest({ size: 1, mintTimeout: 4000 });
    const [process] = processes as [Process];
    const key = keyOf(process);
    let turn = 0;
    process.store.fault = async (swap) => {
      // Whenever it looks, somebody else has just taken the lease.
      const there = await record(store, await key);
      await store.swap(await key, there?.version, foreignLease(turn++, clock.now()), 3000);
      return swap();
    };
    const got = watch(process.cache.get());
    await clock.advance(7000);
    expect(got.state).toBe("pending");
    await clock.advance(600);
    expect(got.state).toBe("rejected");
    expect(got.reason).toMatchObject({ code: "ERR_STORE", retryable: true });
  });

  test("C10: a grant that ignores its signal does not hold the fleet up", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 2, mintTimeout: 2000 });
    grant.hold({ ignoreSignal: true });
    const all = processes.map(({ cache }) => watch(cache.get()));
    await clock.advance(2400);
    expect(all.map(({ state }) => state)).toEqual(["rejected", "rejected"]);
    expect(grant.mints).toBe(1);
  });

  test("C10: a caller that leaves is rejected at once, and the flight goes on", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 1 });
    const [{ cache }] = processes as [Process];
    const hold = grant.hold();
    const controller = new AbortController();
    const got = watch(cache.get({ signal: controller.signal }));
    await clock.advance(100);
    controller.abort(new Error("enough"));
    await clock.advance(0);
    expect(got.reason).toMatchObject({ message: "enough" });
    hold.release();
    await clock.advance(100);
    expect(cache.peek()?.value).toBe("fake-1");
  });

  test("C12: closing ends a flight that waits for others, and gives back a lease", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 2 });
    const [holder, waiter] = processes as [Process, Process];
    grant.hold();
    const one = watch(holder.cache.get());
    await clock.advance(50);
    const two = watch(waiter.cache.get());
    await clock.advance(50);
    void waiter.cache.close();
    await clock.advance(0);
    expect(two.reason).toMatchObject({ code: "ERR_CLOSED" });
    void holder.cache.close();
    await clock.advance(10);
    expect(one.reason).toMatchObject({ code: "ERR_CLOSED" });
    expect(clock.timers).toBe(0);
  });
});
