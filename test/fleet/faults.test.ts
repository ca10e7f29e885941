/** A fleet in trouble: a store that fails, processes that die or pause, damaged records, shared failures, time limits. */
import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { isRemintError, TokenEndpointError } from "../../src/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { watch } from "../core/cache-under-test.ts";
import { plainRecord, readRecord } from "./records.ts";
import { fleetUnderTest, TARGET, warm, type FleetUnderTest, type Process } from "./fleet-under-test.ts";
import type { Store } from "../../src/fleet/index.ts";

const refused = (): ReturnType<Store["swap"]> => Promise.reject(new Error("connect ECONNREFUSED"));
const silent = (): ReturnType<Store["swap"]> => new Promise(() => {});

function values(processes: readonly Process[]): (string | undefined)[] {
  return processes.map(({ cache }) => cache.peek()?.value);
}

/** Reads the only record of the fleet from the store. */
async function record(store: Store, key: string): Promise<{ value: string; version: string; ttl: number } | undefined> {
  const result = await store.swap(key, "?", undefined, 1);
  return result.ok ? undefined : result.current;
}

/** Returns the key of the next call that a process makes to the store. */
function keyOf({ store }: Process): Promise<string> {
  return new Promise((resolve) => {
    const swap = store.swap.bind(store);
    store.swap = function (key, ...rest) {
      resolve(key);
      return swap(key, ...rest);
    };
  });
}

/** Returns the token in a record. The records of these tests are not encrypted. */
function tokenIn(entry: { value: string } | undefined): unknown {
  return readRecord(entry!.value).only.token?.response.access_token;
}

/** Returns a lease as another process writes it. */
function foreignLease(number: number, at: number): string {
  const lease = { lease: 3000, holder: "other", ttl: 3000, at, nonce: `other-${number}` };
  return plainRecord("L", { ...lease, gen: 0, sid: "other", tokens: {} });
}

/** Makes the store of a process report no expiry times, and returns the process. */
function withoutTtls(process: Process): Process {
  process.store.fault = async (swap) => {
    const result = await swap();
    return result.ok || !result.current ? result : { ok: false, current: { ...result.current, ttl: -1 } };
  };
  return process;
}

/** Adds a process whose own grant mints this value for the fleet's record. */
function withOwnGrant({ join }: FleetUnderTest, value: string): Process {
  return join({ grant: fakeGrant({ key: "orders", response: { access_token: value } }) });
}

describe.each([
  ["refuses", refused, 0],
  ["does not answer", silent, 500],
])("a store that %s", (_, fault, wait) => {
  test("cold callers: each process mints for itself, and no caller gets an error", async () => {
    const { processes, clock, grant } = fleetUnderTest();
    for (const { store } of processes) store.fault = fault;
    const all = Promise.all(processes.flatMap(({ cache }) => [cache.get(), cache.get()]));
    // A store that fails at the start is tried a second time.
    await clock.advance(wait + 300);
    await all;
    expect(grant.mints).toBe(processes.length);
    expect(processes.map(({ events }) => events.filter(({ name }) => name === "store-failed").length)).toEqual([
      1, 1, 1,
    ]);
  });

  test("a valid token in the soft window is served, and nothing is minted", async () => {
    const { processes, clock, grant } = await warm();
    for (const { store } of processes) store.fault = fault;
    await clock.advance(3600_000 - 50_000);
    expect(values(processes)).toEqual(["fake-1", "fake-1", "fake-1"]);
    await clock.advance(1000);
    expect(values(processes)).toEqual(["fake-1", "fake-1", "fake-1"]);
    expect(grant.mints).toBe(1);
  });

  test("a rejected token: one mint per process, and one per fleet once the store works again", async () => {
    const { processes, clock, grant } = await warm();
    for (const { store } of processes) store.fault = fault;
    const renewed = Promise.all(
      processes.map(({ cache }) => policyHalf(cache).rejected(cache.peek()!, TARGET)!.next()),
    );
    await clock.advance(wait);
    const tokens = await renewed;
    expect(grant.mints).toBe(1 + processes.length);
    for (const { store } of processes) store.fault = undefined;
    await clock.advance(20_000);
    const renewedTogether = Promise.all(
      processes.map(({ cache }, i) => policyHalf(cache).rejected(tokens[i]!.token, TARGET)!.next()),
    );
    await clock.advance(2000);
    expect(new Set((await renewedTogether).map(({ token }) => token.value)).size).toBe(1);
    expect(grant.mints).toBe(2 + processes.length);
  });

  test("100 calls in 10 s: the store is called 3 to 6 times", async () => {
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
  test("during a mint: its lease expires and another process mints", async () => {
    const fleet = fleetUnderTest({ size: 2 });
    const { processes, clock, grant } = fleet;
    const dead = withOwnGrant(fleet, "dead");
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

  test("C9: a server that takes 9 s for all: the first holder gives the lease away after 2 s, the second one publishes", async () => {
    const { processes, clock, grant } = fleetUnderTest();
    const hold = grant.hold();
    const all = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(1900);
    expect(grant.mints).toBe(1);
    // The second holder has a heartbeat, and waits for its answer.
    await clock.advance(7100);
    expect(grant.mints).toBe(2);
    hold.release();
    await clock.advance(1000);
    await all;
    expect(grant.mints).toBe(2);
    expect(processes.flatMap(({ events }) => events).filter(({ name }) => name === "lease-lost")).toEqual([]);
    // A refresh in the background keeps the lease: nobody waits for it.
    const slow = grant.hold();
    await clock.advance(3600_000 - 50_000);
    for (const { cache } of processes) cache.peek();
    await clock.advance(9000);
    slow.release();
    await clock.advance(1000);
    expect(grant.mints).toBe(3);
  });

  test("during a background refresh: another process refreshes, and the token is served meanwhile", async () => {
    const fleet = await warm({ size: 2 });
    const { processes, clock, grant } = fleet;
    const dead = withOwnGrant(fleet, "dead");
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

describe("a process that paused for longer than its lease", () => {
  test("its late token is not published, the record stays, and it adopts the fleet's token", async () => {
    const fleet = fleetUnderTest({ size: 1 });
    const { processes, clock, grant, store } = fleet;
    const [other] = processes as [Process];
    const paused = withOwnGrant(fleet, "late");
    const key = keyOf(paused);
    const hold = paused.grant.hold();
    const late = paused.cache.get();
    await clock.advance(100);
    // The process is paused: no call reaches the store, and it does not extend its lease.
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

  test("it learns of its lease only when the lease is nearly over: the lease is given back and not used", async () => {
    const fleet = fleetUnderTest({ size: 1, fleet: { callTimeout: 5000 } });
    const { processes, clock, grant } = fleet;
    const [other] = processes as [Process];
    const slow = withOwnGrant(fleet, "slow");
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

describe("a call to the store that takes effect after its time limit", () => {
  test("a lease that no process uses is deleted", async () => {
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

  test("a lease for a background refresh is undone, so that another process can refresh the token", async () => {
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

describe("damaged records", () => {
  test.each(["garbage", "Tgarbage", "T", "", "L", "\u0000\u00ff", "Xabc", "F{}"])(
    "%j is replaced: one process mints, and the other adopts",
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
      expect(others.flatMap(({ events }) => events.map(({ name }) => name))).toEqual([
        "mint-started",
        "minted",
        "adopted",
      ]);
    },
  );

  test("the store is emptied during a mint: a second process mints, and the first token is not published", async () => {
    const fleet = fleetUnderTest({ size: 0 });
    const { clock, store, join } = fleet;
    // Grants without a user, like client credentials.
    const [second, first] = [fakeGrant({ key: "orders" }), fakeGrant({ key: "orders" })].map((each) => {
      Object.defineProperty(each, "signIn", { value: undefined });
      return join({ grant: each });
    }) as [Process, Process];
    const { grant } = second;
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

  test("a store that reports no expiry times: the token's lifetime is read from the record", async () => {
    const { clock, join, store, grant } = fleetUnderTest({ size: 0 });
    const one = withoutTtls(join()).cache.get();
    await clock.advance(10);
    await one;
    await clock.advance(1800_000);
    const two = withoutTtls(join()).cache.get();
    await clock.advance(10);
    const token = await two;
    expect(token.expiresAt - clock.now()).toBeLessThanOrEqual(1800_000);
    expect(token.expiresAt - clock.now()).toBeGreaterThan(1799_000);
    expect(grant.mints).toBe(1);
    expect(store).toBeDefined();
  });
});

describe("failures are shared by the fleet", () => {
  test("C9: a token endpoint that is down for 10 s is asked 3 to 10 times by 8 processes", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 8 });
    grant.fail(new TokenEndpointError(503, "down"), Infinity);
    const errors: unknown[] = [];
    for (let i = 0; i < 100; i++) {
      for (const { cache } of processes) cache.get().catch((error: unknown) => errors.push(error));
      await clock.advance(100);
    }
    expect(errors.length).toBe(800);
    expect(errors.every((error) => isRemintError(error) && error.code === "ERR_TOKEN_ENDPOINT")).toBe(true);
    // Those who have failed share the pauses of 1, 2, 4 and 5 s. One of the others finds out for itself each second.
    expect(grant.mints).toBeLessThanOrEqual(10);
    expect(grant.mints).toBeGreaterThanOrEqual(3);
    grant.recover();
    await clock.advance(6000);
    const all = Promise.all(processes.map(({ cache }) => cache.get()));
    await clock.advance(1000);
    await all;
  });

  test("C9: background refreshes that fail for 10 s: 3 to 10 attempts by 8 processes", async () => {
    const { processes, clock, grant } = await warm({ size: 8 });
    grant.fail(new TokenEndpointError(503, "down"), Infinity);
    await clock.advance(3600_000 - 55_000);
    for (let i = 0; i < 40; i++) {
      values(processes);
      await clock.advance(250);
    }
    // Those who have failed share the pauses of 1, 2, 4 and 8 s. The others are bound for a second at most.
    expect(grant.mints - 1).toBeLessThanOrEqual(10);
    expect(grant.mints - 1).toBeGreaterThanOrEqual(3);
    expect(values(processes)).toEqual(Array.from({ length: 8 }, () => "fake-1"));
  });

  test("C9: a refusal in two processes: the third one gets status, error code and description", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 3 });
    const refusal = { error: "invalid_client", errorDescription: "unknown client" };
    grant.fail(new TokenEndpointError(401, "refused", refusal), Infinity);
    const all = Promise.allSettled(processes.map(({ cache }) => cache.get()));
    await clock.advance(500);
    const reasons = (await all).map((outcome) => (outcome as PromiseRejectedResult).reason as TokenEndpointError);
    expect(
      reasons.map(({ endpointStatus, error, errorDescription }) => ({ endpointStatus, error, errorDescription })),
    ).toEqual([
      { endpointStatus: 401, ...refusal },
      { endpointStatus: 401, ...refusal },
      { endpointStatus: 401, ...refusal },
    ]);
    for (const reason of reasons) expect(reason).toBeInstanceOf(TokenEndpointError);
    expect(grant.mints).toBe(2);
  });
});

describe("time limits", () => {
  test("C10: other processes hold the lease again and again: the flight ends at its one time limit", async () => {
    const { processes, clock, store } = fleetUnderTest({ size: 1, mintTimeout: 4000 });
    const [process] = processes as [Process];
    const key = keyOf(process);
    let turn = 0;
    process.store.fault = async (swap) => {
      // Before each call of this process, another process takes the lease.
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

  test("C10: a grant that ignores its signal: the callers of both processes are rejected at the time limit", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 2, mintTimeout: 2000 });
    grant.hold({ ignoreSignal: true });
    const all = processes.map(({ cache }) => watch(cache.get()));
    // The first process gives the lease away after half of the time, and the second one mints for as long.
    await clock.advance(3400);
    expect(all.map(({ state }) => state)).toEqual(["rejected", "rejected"]);
    expect(grant.mints).toBe(2);
  });

  test("C10: a caller that aborts is rejected at once, and the flight goes on", async () => {
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

  test("C12: closing ends a flight that waits for another process, and gives a held lease back", async () => {
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
