/** Issue C, item 5: a grant with a rotating refresh token. One that two processes present is a session lost. */
import { policyHalf } from "../../src/core/types.ts";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isRemintError, RemintError, type AccessToken } from "../../src/index.ts";
import { leaveState } from "../../src/base/left-state.ts";
import { watch } from "../core/cache-under-test.ts";
import { deferred } from "../grants/rotating-server.ts";
import { sessionFleet, toldBy, writesTo, type SessionFleet, type SessionProcess } from "./session-server.ts";
import { SITE } from "./fleet-under-test.ts";
import type { Store, StoreEntry } from "../../src/fleet/index.ts";

const DAY = 86_400_000;
const LIFE = 300_000;
const refused = (): ReturnType<Store["swap"]> => Promise.reject(new Error("connect ECONNREFUSED"));
const silent = (): ReturnType<Store["swap"]> => new Promise(() => {});
const never = (): Promise<never> => new Promise(() => {});

/** From here on it neither hears nor says anything. */
function kill({ store, grant }: SessionProcess): void {
  store.fault = silent;
  grant.beforeSending = never;
}

/** The refresh tokens are presented in the order they were given out, each of them once. */
function inOrder(count: number, session = 1): string[] {
  return Array.from({ length: count }, (_, index) => `rt-${session}-${index}`);
}

const fail = (): Promise<never> => Promise.reject(Object.assign(new Error("down"), { status: 503 }));

/** Everybody's way to the store. */
function setFault({ processes }: SessionFleet, fault: SessionProcess["store"]["fault"]): void {
  for (const { store } of processes) store.fault = fault;
}

/** Remembers what the store has, once told to. @returns How to put that back. */
function backup({ store }: SessionFleet): () => Promise<() => Promise<void>> {
  let key = "";
  const swap = store.swap.bind(store);
  store.swap = (...args) => ((key = args[0]), swap(...args));
  const read = async (): Promise<StoreEntry | undefined> => {
    const result = await swap(key, "?", undefined, 1);
    return result.ok ? undefined : result.current;
  };
  return async () => {
    const then = await read();
    return async () => void (await swap(key, (await read())?.version, then?.value, then?.ttl ?? 1));
  };
}

/** `a` has its token; the store has the refresh token that came with the last one. */
async function unpublished(): Promise<SessionFleet & { a: SessionProcess; b: SessionProcess }> {
  const fleet = sessionFleet(2);
  const [a, b] = fleet.processes as [SessionProcess, SessionProcess];
  await fleet.askAll();
  await fleet.clock.advance(LIFE);
  a.grant.beforeAnswering = async () => {
    a.grant.beforeAnswering = undefined;
    for (const { store } of fleet.processes) store.fault = refused;
  };
  expect((await fleet.during(a.cache.get())).value).toBe("at-1-2");
  expect(fleet.server.presented).toEqual(inOrder(2));
  return { ...fleet, a, b };
}

/** As a caller does who is told that it may be tried again. */
async function retried({ cache }: SessionProcess, { clock, during }: SessionFleet): Promise<AccessToken> {
  for (let tries = 0; ; tries++) {
    try {
      return await during(cache.get());
    } catch (error) {
      if (tries === 100 || (error as { code?: string }).code !== "ERR_STORE") throw error;
      await clock.advance(500);
    }
  }
}

describe("the state is in every record", () => {
  test("state: it is there, and the newest, after every sequence of phases; the store keeps it for stateTtl", async () => {
    const fleet = sessionFleet(2, { fleet: { stateTtl: 30 * DAY } });
    const { clock, server, processes, askAll, during } = fleet;
    const writes = writesTo(fleet);
    const [a] = processes as [SessionProcess];

    await askAll(); // L T
    await clock.advance(LIFE - 50_000);
    a.cache.peek(); // R T
    await clock.advance(1000);
    await clock.advance(LIFE - 50_000);
    a.grant.beforeSending = fail;
    a.cache.peek(); // R, and T for what is left
    await clock.advance(1000);
    a.grant.beforeSending = undefined;
    await clock.advance(LIFE);
    a.grant.beforeSending = fail;
    await expect(a.cache.get()).rejects.toThrow(/status 503/); // L F
    a.grant.beforeSending = undefined;
    await clock.advance(5000);
    await askAll(); // L T
    const gate = deferred();
    a.grant.beforeSending = () => gate.promise;
    const renewed = policyHalf(a.cache)
      .rejected(await a.cache.get(), SITE)!
      .next(); // L, L for each third of a lease
    await clock.advance(9000);
    gate.resolve();
    await during(renewed); // T

    const phases = writes.map(({ phase }) => phase).join("");
    expect(phases).toMatch(/^LTRTRTLFLTLL+T$/);
    expect(writes.map(({ ttl }) => ttl)).toEqual(writes.map(() => 30 * DAY));
    expect(server.presented).toEqual(inOrder(4));
    // What is about to be presented, and after a mint what came of it.
    const states = [...phases.matchAll(/./g)].reduce<{ all: string[]; rotations: number }>(
      ({ all, rotations }, { index }) => {
        const isMinted = index > 0 && phases[index] === "T" && index !== 5;
        const count = rotations + (isMinted ? 1 : 0);
        return { all: [...all, `rt-1-${count}`], rotations: count };
      },
      { all: [], rotations: 0 },
    ).all;
    expect(writes.map(({ state }) => state)).toEqual(states);
  });

  test("state: the ends of token, lease and failure are fields", async () => {
    const fleet = sessionFleet(1);
    const { clock, processes, askAll } = fleet;
    const writes = writesTo(fleet);
    const [a] = processes as [SessionProcess];
    await askAll();
    await clock.advance(a.cache.peek()!.expiresAt - 50_000 - clock.now());
    a.cache.peek();
    await clock.advance(LIFE + 1000);
    a.grant.beforeSending = () => Promise.reject(new Error("no"));
    await expect(a.cache.get()).rejects.toThrow("failed");
    expect(writes.map(({ phase, left, lease }) => ({ phase, left, lease }))).toEqual([
      { phase: "L", left: 10_000, lease: undefined },
      { phase: "T", left: LIFE, lease: undefined },
      { phase: "R", left: 50_000, lease: 10_000 },
      { phase: "T", left: LIFE, lease: undefined },
      { phase: "L", left: 10_000, lease: undefined },
      { phase: "F", left: 1000, lease: undefined },
    ]);
  });

  test("state: a token that is not worth keeping leaves its refresh token behind all the same", async () => {
    const { server, processes, askAll, during } = sessionFleet(2, { defaultTtl: 0 });
    (server as { expiresIn: unknown }).expiresIn = undefined;
    await askAll();
    await askAll();
    await during(processes[1]!.cache.get());
    expect(server.presented).toEqual(inOrder(server.presented.length));
    expect(server.live()).toBeDefined();
  });

  test("state: it is still there when the access token has been over for weeks", async () => {
    const { clock, server, processes, askAll } = sessionFleet(2);
    await askAll();
    await clock.advance(60 * DAY);
    expect(await askAll()).toEqual(processes.map(() => "at-1-2"));
    await clock.advance(60 * DAY);
    await askAll();
    expect(server.presented).toEqual(inOrder(3));
  });
});

describe("every refresh token is presented once", () => {
  test("state: 100 callers over 5 processes, at a token that expires five times", async () => {
    const { clock, server, askAll } = sessionFleet(5);
    for (let round = 1; round <= 6; round++) {
      const values = await askAll(20);
      expect(new Set(values)).toEqual(new Set([`at-1-${round}`]));
      expect(values).toHaveLength(100);
      await clock.advance(LIFE + 1000);
    }
    expect(server.presented).toEqual(inOrder(6));
  });

  test("state: 100 callers whose token is rejected five times", async () => {
    const { clock, server, processes, askAll, during } = sessionFleet(5);
    await askAll();
    for (let round = 2; round <= 6; round++) {
      await clock.advance(61_000);
      const renewals = processes.flatMap(({ cache }) => {
        const token = cache.peek()!;
        return Array.from({ length: 20 }, () => policyHalf(cache).rejected(token, SITE)!.next());
      });
      const renewed = await during(Promise.all(renewals));
      expect(new Set(renewed.map(({ token }) => token.value))).toEqual(new Set([`at-1-${round}`]));
    }
    expect(server.presented).toEqual(inOrder(6));
  });

  test("state: a holder that dies before it sends is replaced when its lease is over, with the same refresh token", async () => {
    const { clock, server, processes, during } = sessionFleet(2);
    const [a, b] = processes as [SessionProcess, SessionProcess];
    a.grant.beforeSending = never;
    a.cache.get().catch(() => {});
    await clock.advance(100);
    kill(a);
    const served = watch(b.cache.get());
    await clock.advance(9500);
    expect(served.state).toBe("pending");
    await clock.advance(1500);
    expect(served).toMatchObject({ state: "fulfilled", value: { value: "at-1-1" } });
    expect(server.presented).toEqual(inOrder(1));
    expect((await during(b.cache.get())).value).toBe("at-1-1");
  });

  test("state: a holder that is away for less than its lease costs nothing", async () => {
    const { clock, server, processes, during } = sessionFleet(2);
    const [a, b] = processes as [SessionProcess, SessionProcess];
    const gate = deferred();
    a.grant.beforeSending = () => gate.promise;
    const first = a.cache.get();
    await clock.advance(10);
    a.store.fault = silent; // neither heartbeats
    const second = b.cache.get();
    await clock.advance(8000);
    a.store.fault = undefined;
    gate.resolve();
    expect((await during(Promise.all([first, second]))).map(({ value }) => value)).toEqual(["at-1-1", "at-1-1"]);
    expect(server.presented).toEqual(inOrder(1));
  });

  test("state: one that begins while the token is refreshed takes it over, and does not refresh it too", async () => {
    const { clock, server, processes, askAll, join, during } = sessionFleet(1);
    const [a] = processes as [SessionProcess];
    await askAll();
    await clock.advance(a.cache.peek()!.expiresAt - 50_000 - clock.now());
    const gate = deferred();
    a.grant.beforeSending = () => gate.promise;
    a.cache.peek();
    const late = join();
    expect((await during(late.cache.get())).value).toBe("at-1-1");
    for (let second = 0; second < 8; second++) {
      expect(late.cache.peek()?.value).toBe("at-1-1");
      await clock.advance(1000);
    }
    expect(server.presented).toEqual(inOrder(1));
    gate.resolve();
    await clock.advance(3000);
    expect(late.cache.peek()?.value).toBe("at-1-1");
    await clock.advance(3000);
    expect(late.cache.peek()?.value).toBe("at-1-2");
    expect(server.presented).toEqual(inOrder(2));
  });

  test("state: closing a cache does not cut a rotation off", async () => {
    const { clock, server, processes, during } = sessionFleet(2);
    const [a, b] = processes as [SessionProcess, SessionProcess];
    const gate = deferred();
    a.grant.beforeAnswering = () => gate.promise;
    const waiting = watch(a.cache.get());
    await clock.advance(100);
    const closed = watch(a.cache.close());
    await clock.advance(100);
    expect(closed.state).toBe("pending");
    gate.resolve();
    await clock.advance(100);
    expect([closed.state, waiting.state]).toEqual(["fulfilled", "fulfilled"]);
    expect((await during(b.cache.get())).value).toBe("at-1-1");
    await clock.advance(LIFE);
    expect((await during(b.cache.get())).value).toBe("at-1-2");
    expect(server.presented).toEqual(inOrder(2));
  });

  test("state: a cache that is closed before it sends gives the lease back, and the state in it", async () => {
    const { clock, server, processes, askAll, join, during } = sessionFleet(1);
    const [a] = processes as [SessionProcess];
    await askAll();
    await clock.advance(LIFE);
    let release!: () => void;
    a.store.fault = (swap) => new Promise((resolve) => void (release = () => resolve(swap())));
    const waiting = a.cache.get();
    waiting.catch(() => {});
    await clock.advance(0);
    const closing = a.cache.close();
    a.store.fault = undefined;
    release();
    await closing;
    await expect(waiting).rejects.toMatchObject({ code: "ERR_CLOSED" });
    // One that has only the first refresh token.
    const next = join();
    const served = watch(next.cache.get());
    await clock.advance(200);
    expect(served.state).toBe("fulfilled");
    await during(next.cache.get());
    expect(server.presented).toEqual(inOrder(2));
  });
});

describe("a mint that fails after it has rotated (onRotate did)", () => {
  test.each(["cold", "refreshing"] as const)("state: %s: leaves the next refresh token to everybody", async (when) => {
    const { clock, server, processes, askAll, join, during } = sessionFleet(2);
    const [a] = processes as [SessionProcess];
    await askAll();
    await clock.advance(when === "cold" ? LIFE : a.cache.peek()!.expiresAt - 50_000 - clock.now());
    a.grant.beforeAnswering = () =>
      Promise.reject(leaveState(new RemintError("ERR_GRANT", "onRotate failed", { retryable: true }), server.live()));
    if (when === "cold") await expect(during(a.cache.get())).rejects.toThrow("failed");
    else a.cache.peek();
    await clock.advance(1000);
    expect(server.presented).toEqual(inOrder(2));
    kill(a);
    await clock.advance(LIFE);
    expect((await during(join().cache.get())).value).toBe("at-1-3");
    expect(server.presented).toEqual(inOrder(3));
  });
});

describe("whatever happens, and in whatever order", () => {
  const who = fc.nat({ max: 4 });
  const anyStep = fc.oneof(
    { weight: 6, arbitrary: fc.record({ act: fc.constant("get" as const), who }) },
    { weight: 3, arbitrary: fc.record({ act: fc.constant("reject" as const), who }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant("invalidate" as const), who }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant("die" as const), who }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant("close" as const), who }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant("fail" as const), who }) },
    // Everybody's store, for any time; one process's way to it, for less than a lease.
    { weight: 1, arbitrary: fc.record({ act: fc.constant("outage" as const), for: fc.nat({ max: 60_000 }) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant("cut off" as const), who, for: fc.nat({ max: 4000 }) }) },
    {
      weight: 6,
      arbitrary: fc.record({ act: fc.constant("wait" as const), for: fc.constantFrom(1, 50, 300, 3000, 20_000, LIFE) }),
    },
  );
  type Step = typeof anyStep extends fc.Arbitrary<infer S> ? S : never;

  /** One run, on a server that takes its time. */
  class Run {
    readonly fleet: SessionFleet = sessionFleet(0);
    readonly #stored = writesTo(this.fleet);
    #outage = false;
    readonly #cutOff = new Set<SessionProcess>();
    readonly #dead = new Set<SessionProcess>();

    constructor() {
      for (let index = 0; index < 5; index++) this.#start(index);
    }

    async take(step: Step): Promise<void> {
      const { clock, processes } = this.fleet;
      if (step.act === "wait") return clock.advance(step.for);
      if (step.act === "outage") {
        this.#outage = true;
        void this.#later(step.for).then(() => (this.#outage = false));
        return;
      }
      const process = processes[step.who]!;
      const { cache, grant } = process;
      if (step.act === "get") cache.get().catch(() => {});
      if (step.act === "invalidate") void cache.invalidate(cache.peek()?.value ?? "");
      if (step.act === "reject")
        policyHalf(cache)
          .rejected(await this.#any(process), SITE)
          ?.next()
          .catch(() => {});
      if (step.act === "fail") grant.beforeSending = () => Promise.reject(new Error("down"));
      if (step.act === "cut off") {
        this.#cutOff.add(process);
        void this.#later(step.for).then(() => this.#cutOff.delete(process));
      }
      // A state that only one process has dies with it: that is the loss that cannot be helped.
      const isSafe = this.#stored.length === 0 || this.#stored.at(-1)!.state === this.fleet.server.live();
      if (step.act === "die" && isSafe) {
        kill(process);
        this.#dead.add(process);
        this.#start(step.who);
      }
      if (step.act === "close" && !this.#outage && !this.#cutOff.has(process)) {
        cache.close().catch(() => {});
        this.#start(step.who);
      }
    }

    /** The world is whole again. @returns What everybody has then. */
    async end(): Promise<string[]> {
      const { clock, processes } = this.fleet;
      await clock.advance(120_000);
      for (const { grant } of processes) grant.beforeSending = undefined;
      await clock.advance(LIFE);
      return this.fleet.askAll();
    }

    /** Another process in the place of one that is gone, with the first refresh token, or the one that is saved. */
    #start(index: number): void {
      const { server, join, processes } = this.fleet;
      const process = join(index % 2 === 0 ? undefined : server.live());
      processes.pop();
      processes[index] = process;
      process.store.fault = (swap) =>
        this.#outage || this.#cutOff.has(process) ? Promise.reject(new Error("connect ECONNREFUSED")) : swap();
      process.grant.beforeSending = async () => {
        await this.#later(100);
        if (this.#dead.has(process)) await never();
      };
      process.grant.beforeAnswering = () => this.#later(100);
    }

    async #any({ cache }: SessionProcess): Promise<AccessToken> {
      return cache.peek() ?? cache.get().catch(() => new Promise<never>(() => {}));
    }

    #later(ms: number): Promise<void> {
      return new Promise((resolve) => void this.fleet.clock.setTimeout(resolve, ms));
    }
  }

  test("state: no refresh token is presented twice, and everybody is served in the end", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyStep, { minLength: 5, maxLength: 40 }), async (steps) => {
        const run = new Run();
        for (const each of steps) {
          const taken = run.take(each);
          await run.fleet.clock.advance(0);
          void taken;
        }
        const values = await run.end();
        const { server } = run.fleet;
        expect(server.reused).toEqual([]);
        expect(new Set(values).size).toBe(1);
        expect(server.presented).toEqual(inOrder(server.presented.length));
      }),
      { numRuns: 60 },
    );
  });
});

describe("a store that fails", () => {
  test.each([
    ["refuses", refused],
    ["does not answer", silent],
  ])("state: that %s is ERR_STORE, may be tried again, and no mint goes beside it", async (_, fault) => {
    const fleet = sessionFleet(3);
    const { server, processes, during } = fleet;
    setFault(fleet, fault);
    const outcomes = await during(Promise.allSettled(processes.map(({ cache }) => cache.get())));
    for (const outcome of outcomes) {
      const error = (outcome as PromiseRejectedResult).reason as Error;
      expect(isRemintError(error)).toBe(true);
      expect(error).toMatchObject({ code: "ERR_STORE", retryable: true });
      expect(error.message).toContain("only the store knows");
      expect(error.message).not.toContain("rt-1");
    }
    expect(processes.map((process) => toldBy(process, "store-failed"))).toEqual([1, 1, 1]);
    expect(server.presented).toEqual([]);
  });

  test("state: a valid token is served to its end, in the last seconds too", async () => {
    const fleet = sessionFleet(3);
    const { clock, server, processes, askAll, during } = fleet;
    await askAll();
    setFault(fleet, refused);
    for (const left of [60_000, 30_000, 9_000, 5_000, 1_000, 100]) {
      const { expiresAt } = processes[0]!.cache.peek()!;
      await clock.advance(expiresAt - left - clock.now());
      const values = await Promise.all(processes.map(({ cache }) => cache.get()));
      expect(values.map(({ value }) => value)).toEqual(processes.map(() => "at-1-1"));
    }
    await clock.advance(1000);
    await expect(during(processes[0]!.cache.get())).rejects.toMatchObject({ code: "ERR_STORE" });
    expect(server.presented).toEqual(inOrder(1));
  });

  test("state: a rejected token is not replaced beside it", async () => {
    const fleet = sessionFleet(2);
    const { server, processes, askAll, during } = fleet;
    await askAll();
    setFault(fleet, refused);
    const { cache } = processes[0]!;
    await expect(during(policyHalf(cache).rejected(cache.peek()!, SITE)!.next())).rejects.toMatchObject({
      code: "ERR_STORE",
    });
    expect(server.presented).toEqual(inOrder(1));
  });

  test("state: everybody recovers when it is back, without a hand", async () => {
    const fleet = sessionFleet(3);
    const { clock, server, processes, askAll, during } = fleet;
    await askAll();
    setFault(fleet, refused);
    await clock.advance(LIFE);
    for (let second = 0; second < 30; second++) {
      await Promise.allSettled(processes.map(({ cache }) => cache.get()));
      await clock.advance(1000);
    }
    setFault(fleet, undefined);
    await clock.advance(10_000);
    expect(await during(Promise.all(processes.map(({ cache }) => cache.get())))).toHaveLength(3);
    expect(server.presented).toEqual(inOrder(2));
  });

  test("state: one that loses everything gets the newest state from whoever has it", async () => {
    const fleet = sessionFleet(2);
    const { clock, server, processes, askAll, during } = fleet;
    const [a, b] = processes as [SessionProcess, SessionProcess];
    const clear = await backup(fleet)();
    await during(a.cache.get());
    await clock.advance(LIFE);
    await during(b.cache.get());
    await during(a.cache.get()); // adopts what b has rotated
    await clear();
    await clock.advance(LIFE);
    await during(a.cache.get());
    await askAll();
    // One that begins with the first refresh token, and one with the newest, as onRotate saved it.
    await during(fleet.join().cache.get());
    await during(fleet.join(server.live()).cache.get());
    expect(server.presented).toEqual(inOrder(3));
  });

  test("state: one that loses a lease leaves its state to who has only seen it there", async () => {
    const fleet = sessionFleet(1);
    const { clock, server, processes, join, during } = fleet;
    const [a] = processes as [SessionProcess];
    const clear = await backup(fleet)();
    await during(a.cache.get());
    await clock.advance(LIFE);
    a.grant.beforeSending = never;
    a.cache.get().catch(() => {});
    await clock.advance(100);
    // It has only the first refresh token, waits for a, and then there is nothing.
    const served = join().cache.get();
    await clock.advance(1000);
    kill(a);
    await clear();
    expect((await during(served)).value).toBe("at-1-2");
    expect(server.presented).toEqual(inOrder(2));
  });

  test.each([0, 1])(
    "state: one that goes back to an older record (failover) is put right by process %i",
    async (index) => {
      const fleet = sessionFleet(2);
      const { clock, server, processes, askAll, during } = fleet;
      const save = backup(fleet);
      await askAll();
      await clock.advance(LIFE);
      const goBack = await save();
      await during(processes[0]!.cache.get());
      await askAll();
      await goBack();
      await clock.advance(LIFE);
      await during(processes[index]!.cache.get());
      await during(fleet.join(server.live()).cache.get());
      expect(server.presented).toEqual(inOrder(3));
    },
  );
});

describe("a store that fails when the new state is to be written", () => {
  test("state: callers have their token at once; the state is written as soon as the store is back", async () => {
    const { clock, server, processes, b, during } = await unpublished();
    for (const { store } of processes) store.fault = undefined;
    await clock.advance(1500);
    expect((await during(b.cache.get())).value).toBe("at-1-2");
    await clock.advance(LIFE);
    expect((await during(b.cache.get())).value).toBe("at-1-3");
    expect(server.presented).toEqual(inOrder(3));
  });

  test.each([3, 9, 11, 20, 60, 300])(
    "state: nobody presents the old one after %d s without the store",
    async (seconds) => {
      const fleet = await unpublished();
      const { clock, server, processes, a, b } = fleet;
      for (let second = 0; second < seconds; second++) {
        await Promise.allSettled([b.cache.get()]);
        await clock.advance(1000);
      }
      for (const { store } of processes) store.fault = undefined;
      const { value } = await retried(b, fleet);
      expect(value).toBe(seconds < 300 ? "at-1-2" : "at-1-3");
      await clock.advance(LIFE);
      await retried(a, fleet);
      expect(server.presented).toEqual(inOrder(server.presented.length));
      expect(server.live()).toBeDefined();
    },
  );

  test.each([11, 20, 60])(
    "state: nor does one that begins as soon as the store is back, after %d s",
    async (seconds) => {
      const { clock, server, processes, join, during } = await unpublished();
      await clock.advance(seconds * 1000 + 500);
      for (const { store } of processes) store.fault = undefined;
      expect((await during(join().cache.get())).value).toBe("at-1-2");
      expect(server.presented).toEqual(inOrder(2));
    },
  );

  test("state: another process has taken the lease meanwhile, and has not sent: the new state is written over that", async () => {
    const { clock, server, processes, a, b, join, during } = await unpublished();
    // It holds the lease, and a finds that out when it reaches the store again.
    b.grant.beforeSending = never;
    b.store.fault = undefined;
    b.cache.get().catch(() => {});
    await clock.advance(16_000);
    a.store.fault = undefined;
    await clock.advance(2000);
    for (const each of [a, b]) kill(each);
    await clock.advance(LIFE);
    expect((await during(join().cache.get())).value).toBe("at-1-3");
    expect(server.presented).toEqual(inOrder(3));
    expect(processes).toHaveLength(3);
  });
});
