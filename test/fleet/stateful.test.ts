/**
 * A fleet whose grant has a rotating refresh token. If two processes send the same refresh token, the server ends the session;
 * so these tests check that each refresh token is sent once, whatever processes and store do.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { isRemintError, RemintError, type AccessToken } from "../../src/index.ts";
import { rejectionOf, watch } from "../core/cache-under-test.ts";
import { deferred } from "../grants/rotating-server.ts";
import { TARGET } from "./fleet-under-test.ts";
import { shelfOf, writesTo } from "./records.ts";
import { countEvents, sessionFleet, type SessionFleet, type SessionProcess } from "./session-server.ts";
import type { Store } from "../../src/fleet/index.ts";

const DAY = 86_400_000;
const LIFE = 300_000;
const refused = (): ReturnType<Store["swap"]> => Promise.reject(new Error("connect ECONNREFUSED"));
const silent = (): ReturnType<Store["swap"]> => new Promise(() => {});
const never = (): Promise<never> => new Promise(() => {});

/** Cuts a process off: from now on it reaches neither the store nor the server. */
function kill({ store, grant }: SessionProcess): void {
  store.fault = silent;
  grant.beforeSending = never;
}

/** Returns the first refresh tokens of a session, in the order in which the server issues them. */
function inOrder(count: number, session = 1): string[] {
  return Array.from({ length: count }, (_, index) => `rt-${session}-${index}`);
}

const fail = (): Promise<never> => Promise.reject(Object.assign(new Error("down"), { status: 503 }));

/** Sets the fault of every process's connection to the store. */
function setFault({ processes }: SessionFleet, fault: SessionProcess["store"]["fault"]): void {
  for (const { store } of processes) store.fault = fault;
}

/** Process `a` has rotated and could not write: the store has the used refresh token, and no process reaches the store. */
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

/** Asks for a token again and again while the error is `ERR_STORE`. */
async function getWithRetries({ cache }: SessionProcess, { clock, during }: SessionFleet): Promise<AccessToken> {
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
  test("after mints, refreshes and failures: each record has the newest state, and the store keeps it for stateTtl", async () => {
    const fleet = sessionFleet(2, { fleet: { stateTtl: 30 * DAY } });
    const { clock, server, processes, askAll, during } = fleet;
    const writes = writesTo(fleet);
    const [a] = processes as [SessionProcess];

    await askAll();
    await clock.advance(LIFE - 50_000);
    a.cache.peek();
    await clock.advance(1000);
    await clock.advance(LIFE - 50_000);
    a.grant.beforeSending = fail;
    a.cache.peek();
    await clock.advance(1000);
    a.grant.beforeSending = undefined;
    await clock.advance(LIFE);
    a.grant.beforeSending = fail;
    const failed = rejectionOf(during(a.cache.get()));
    expect(await failed).toMatchObject({ hint: expect.stringMatching(/status 503/) });
    a.grant.beforeSending = undefined;
    await clock.advance(5000);
    await askAll();
    const gate = deferred();
    a.grant.beforeSending = () => gate.promise;
    const renewed = policyHalf(a.cache)
      .rejected(await a.cache.get(), TARGET)!
      .next();
    // The lease is renewed after each third of it.
    await clock.advance(9000);
    gate.resolve();
    await during(renewed);

    expect(writes.map(({ ttl }) => ttl)).toEqual(writes.map(() => 30 * DAY));
    expect(server.presented).toEqual(inOrder(4));
    // Before a mint the record has the refresh token to be sent, after the mint the new one.
    expect(
      writes.map(({ phase, state, only }) => `${phase} ${state} ${only.failure === undefined ? "" : "failed"}`),
    ).toEqual([
      "L rt-1-0 ",
      "T rt-1-1 ",
      "L rt-1-1 ",
      "T rt-1-2 ",
      "L rt-1-2 ",
      "T rt-1-2 failed",
      "L rt-1-2 failed",
      "T rt-1-2 failed",
      "L rt-1-2 failed",
      "T rt-1-3 ",
      "L rt-1-3 ",
      "L rt-1-3 ",
      "L rt-1-3 ",
      "T rt-1-4 ",
    ]);
  });

  test("each record has the remaining time of its token, lease or failure", async () => {
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
    expect(
      writes.map(({ phase, lease, only }) => ({ phase, lease, left: only.token?.left, pause: only.pause })),
    ).toEqual([
      { phase: "L", lease: 10_000, left: undefined, pause: undefined },
      { phase: "T", lease: undefined, left: LIFE, pause: undefined },
      // The token stays in the record while it is replaced, and serves everybody until it expires.
      { phase: "L", lease: 10_000, left: 50_000, pause: undefined },
      { phase: "T", lease: undefined, left: LIFE, pause: undefined },
      { phase: "L", lease: 10_000, left: undefined, pause: undefined },
      { phase: "T", lease: undefined, left: undefined, pause: 1000 },
    ]);
  });

  test("access tokens that are not kept (defaultTtl 0): the refresh token is kept all the same", async () => {
    const { server, processes, askAll, during } = sessionFleet(2, { defaultTtl: 0 });
    server.expiresIn = undefined;
    await askAll();
    await askAll();
    await during(processes[1]!.cache.get());
    expect(server.presented).toEqual(inOrder(server.presented.length));
    expect(server.live()).toBeDefined();
  });

  test("60 days after the access token expired: the state is still in the record", async () => {
    const { clock, server, processes, askAll } = sessionFleet(2);
    await askAll();
    await clock.advance(60 * DAY);
    expect(await askAll()).toEqual(processes.map(() => "at-1-2"));
    await clock.advance(60 * DAY);
    await askAll();
    expect(server.presented).toEqual(inOrder(3));
  });
});

describe("every refresh token is sent once", () => {
  test("100 callers in 5 processes, and a token that expires five times", async () => {
    const { clock, server, askAll } = sessionFleet(5);
    for (let round = 1; round <= 6; round++) {
      const values = await askAll(20);
      expect(new Set(values)).toEqual(new Set([`at-1-${round}`]));
      expect(values).toHaveLength(100);
      await clock.advance(LIFE + 1000);
    }
    expect(server.presented).toEqual(inOrder(6));
  });

  test("100 callers in 5 processes, and a token that is rejected five times", async () => {
    const { clock, server, processes, askAll, during } = sessionFleet(5);
    await askAll();
    for (let round = 2; round <= 6; round++) {
      await clock.advance(61_000);
      const renewals = processes.flatMap(({ cache }) => {
        const token = cache.peek()!;
        return Array.from({ length: 20 }, () => policyHalf(cache).rejected(token, TARGET)!.next());
      });
      const renewed = await during(Promise.all(renewals));
      expect(new Set(renewed.map(({ token }) => token.value))).toEqual(new Set([`at-1-${round}`]));
    }
    expect(server.presented).toEqual(inOrder(6));
  });

  test("the lease holder dies before it sends: when its lease expires, another process sends the same refresh token", async () => {
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

  test("the lease holder does not reach the store for 8 s, which is less than its lease: no second mint", async () => {
    const { clock, server, processes, during } = sessionFleet(2);
    const [a, b] = processes as [SessionProcess, SessionProcess];
    const gate = deferred();
    a.grant.beforeSending = () => gate.promise;
    const first = a.cache.get();
    await clock.advance(10);
    a.store.fault = silent; // the lease is not extended either
    const second = b.cache.get();
    await clock.advance(8000);
    a.store.fault = undefined;
    gate.resolve();
    expect((await during(Promise.all([first, second]))).map(({ value }) => value)).toEqual(["at-1-1", "at-1-1"]);
    expect(server.presented).toEqual(inOrder(1));
  });

  test("a process starts during a background refresh: it adopts the old token, then the new one, and does not refresh", async () => {
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

  test("C16: a cache is closed after it sent: its callers fail at once, closing waits for the answer, and the record has the new state", async () => {
    const { clock, server, processes, during } = sessionFleet(2);
    const [a, b] = processes as [SessionProcess, SessionProcess];
    const gate = deferred();
    a.grant.beforeAnswering = () => gate.promise;
    const waiting = watch(a.cache.get());
    await clock.advance(100);
    const closed = watch(a.cache.close());
    await clock.advance(100);
    expect(closed.state).toBe("pending");
    expect(waiting).toMatchObject({ state: "rejected", reason: { code: "ERR_CLOSED" } });
    gate.resolve();
    await clock.advance(100);
    expect(closed).toMatchObject({ state: "fulfilled", value: { inFlight: false, unsaved: false } });
    expect((await during(b.cache.get())).value).toBe("at-1-1");
    await clock.advance(LIFE);
    expect((await during(b.cache.get())).value).toBe("at-1-2");
    expect(server.presented).toEqual(inOrder(2));
  });

  test("a cache is closed before it sends: it gives the lease back with the state in the record", async () => {
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
    // The next process has only the first refresh token.
    const next = join();
    const served = watch(next.cache.get());
    await clock.advance(200);
    expect(served.state).toBe("fulfilled");
    await during(next.cache.get());
    expect(server.presented).toEqual(inOrder(2));
  });
});

describe("a mint that rotates, and something else of it fails", () => {
  test.each(["cold", "refreshing"] as const)(
    "C14: %s, onRotate fails: the token is served, the fleet has the new refresh token, and the save is repeated",
    async (when) => {
      const saved: string[] = [];
      let fails = 0;
      const save = (next: string): void => {
        if (fails-- > 0) throw new Error("the database is away");
        saved.push(next);
      };
      const { clock, server, processes, askAll, join, during } = sessionFleet(2, { members: { save } });
      const [a] = processes as [SessionProcess];
      await askAll();
      expect(saved).toEqual(["rt-1-1"]);
      fails = 2;
      await clock.advance(when === "cold" ? LIFE : a.cache.peek()!.expiresAt - 50_000 - clock.now());
      if (when === "cold") expect((await during(a.cache.get())).value).toBe("at-1-2");
      else a.cache.peek();
      await clock.advance(500);
      expect(a.cache.peek()?.value).toBe("at-1-2");
      expect(saved).toEqual(["rt-1-1"]);
      await clock.advance(3500);
      expect(saved).toEqual(["rt-1-1", "rt-1-2"]);
      expect(countEvents(a, "state-unsaved")).toBe(2);
      expect(server.presented).toEqual(inOrder(2));
      kill(a);
      await clock.advance(LIFE);
      expect((await during(join().cache.get())).value).toBe("at-1-3");
      expect(server.presented).toEqual(inOrder(3));
    },
  );

  test("C14: an answer with a new refresh token, and an access token that no request can carry: the other process sends the new one", async () => {
    const { clock, server, processes, during } = sessionFleet(2);
    const [a, b] = processes as [SessionProcess, SessionProcess];
    const present = server.present.bind(server);
    server.present = (refreshToken) => {
      server.present = present;
      return { ...present(refreshToken), access_token: "no good" };
    };
    expect(await rejectionOf(during(a.cache.get()))).toMatchObject({ code: "ERR_TOKEN_RESPONSE" });
    await clock.advance(60_000);
    expect((await during(b.cache.get())).value).toBe("at-1-2");
    expect(server.presented).toEqual(inOrder(2));
  });
});

describe("random sequences of calls, rejections, crashes and outages", () => {
  const who = fc.nat({ max: 4 });
  const anyStep = fc.oneof(
    { weight: 6, arbitrary: fc.record({ act: fc.constant("get" as const), who }) },
    { weight: 3, arbitrary: fc.record({ act: fc.constant("reject" as const), who }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant("invalidate" as const), who }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant("die" as const), who }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant("close" as const), who }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant("fail" as const), who }) },
    // The store is down for any time. One process is cut off from the store for less than a lease.
    { weight: 1, arbitrary: fc.record({ act: fc.constant("outage" as const), for: fc.nat({ max: 60_000 }) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant("cut off" as const), who, for: fc.nat({ max: 4000 }) }) },
    {
      weight: 6,
      arbitrary: fc.record({ act: fc.constant("wait" as const), for: fc.constantFrom(1, 50, 300, 3000, 20_000, LIFE) }),
    },
  );
  type Step = typeof anyStep extends fc.Arbitrary<infer S> ? S : never;

  /** One run of steps, with a server that needs 100 ms in each direction. */
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
          .rejected(await this.#currentToken(process), TARGET)
          ?.next()
          .catch(() => {});
      if (step.act === "fail") grant.beforeSending = () => Promise.reject(new Error("down"));
      if (step.act === "cut off") {
        this.#cutOff.add(process);
        void this.#later(step.for).then(() => this.#cutOff.delete(process));
      }
      // A state that only one process has is lost if that process dies. No protocol can prevent this, so it is excluded.
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

    /** Ends all faults, and returns the tokens that the processes then have. */
    async end(): Promise<string[]> {
      const { clock, processes } = this.fleet;
      await clock.advance(120_000);
      for (const { grant } of processes) grant.beforeSending = undefined;
      await clock.advance(LIFE);
      return this.fleet.askAll();
    }

    /** Starts a process in place of another, with the first refresh token or with the newest that a process has received. */
    #start(index: number): void {
      const { join, processes, seed } = this.fleet;
      const newest = this.#stored.findLast(({ state }) => state !== undefined)?.state;
      const process = join(index % 2 === 0 ? {} : { source: newest ?? seed });
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

    async #currentToken({ cache }: SessionProcess): Promise<AccessToken> {
      return cache.peek() ?? cache.get().catch(() => new Promise<never>(() => {}));
    }

    #later(ms: number): Promise<void> {
      return new Promise((resolve) => void this.fleet.clock.setTimeout(resolve, ms));
    }
  }

  test("no refresh token is sent twice, and in the end every process has the same token", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyStep, { minLength: 5, maxLength: 40 }), async (steps) => {
        const run = new Run();
        for (const each of steps) {
          const step = run.take(each);
          await run.fleet.clock.advance(0);
          void step;
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
  ])(
    "a store that %s: callers get a retryable ERR_STORE, and nothing is minted without the store",
    async (_, fault) => {
      const fleet = sessionFleet(3);
      const { server, processes, during } = fleet;
      setFault(fleet, fault);
      const outcomes = await during(Promise.allSettled(processes.map(({ cache }) => cache.get())));
      for (const outcome of outcomes) {
        const error = (outcome as PromiseRejectedResult).reason as RemintError;
        expect(isRemintError(error)).toBe(true);
        expect(error).toMatchObject({ code: "ERR_STORE", retryable: true });
        expect(error.hint).toContain("only the store knows");
        expect(error.stack).not.toContain("rt-1");
      }
      expect(processes.map((process) => countEvents(process, "store-failed"))).toEqual([1, 1, 1]);
      expect(server.presented).toEqual([]);
    },
  );

  test("a valid token is served until it expires, also in its last seconds", async () => {
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

  test("a rejected token: the renewal fails with ERR_STORE, and nothing is minted without the store", async () => {
    const fleet = sessionFleet(2);
    const { server, processes, askAll, during } = fleet;
    await askAll();
    setFault(fleet, refused);
    const { cache } = processes[0]!;
    await expect(during(policyHalf(cache).rejected(cache.peek()!, TARGET)!.next())).rejects.toMatchObject({
      code: "ERR_STORE",
    });
    expect(server.presented).toEqual(inOrder(1));
  });

  test("the store works again after 30 s: every process gets a token", async () => {
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

  test("a store that loses the record: a process that knows the newest state writes it again", async () => {
    const fleet = sessionFleet(2);
    const { clock, server, processes, askAll, during } = fleet;
    const [a, b] = processes as [SessionProcess, SessionProcess];
    const shelf = shelfOf(fleet);
    await during(a.cache.get());
    await clock.advance(LIFE);
    await during(b.cache.get());
    await during(a.cache.get()); // adopts what b has rotated
    await shelf.clear();
    await clock.advance(LIFE);
    await during(a.cache.get());
    await askAll();
    // One process starts with the first refresh token, and one with the newest, which onRotate saved.
    await during(fleet.join().cache.get());
    await during(fleet.join({ source: server.live()! }).cache.get());
    expect(server.presented).toEqual(inOrder(3));
  });

  test("a store that loses a lease: a process that has read the lease's state uses that state", async () => {
    const fleet = sessionFleet(1);
    const { clock, server, processes, join, during } = fleet;
    const [a] = processes as [SessionProcess];
    const shelf = shelfOf(fleet);
    await during(a.cache.get());
    await clock.advance(LIFE);
    a.grant.beforeSending = never;
    a.cache.get().catch(() => {});
    await clock.advance(100);
    // This process has only the first refresh token and waits for process a. Then the record is gone.
    const served = join().cache.get();
    await clock.advance(1000);
    kill(a);
    await shelf.clear();
    expect((await during(served)).value).toBe("at-1-2");
    expect(server.presented).toEqual(inOrder(2));
  });

  test.each([0, 1])(
    "a store that goes back to an older record (failover): process %i writes the newest state again",
    async (index) => {
      const fleet = sessionFleet(2);
      const { clock, server, processes, askAll, during } = fleet;
      const shelf = shelfOf(fleet);
      await askAll();
      await clock.advance(LIFE);
      const before = await shelf.entry();
      await during(processes[0]!.cache.get());
      await askAll();
      await shelf.put(before?.value);
      await clock.advance(LIFE);
      await during(processes[index]!.cache.get());
      await during(fleet.join({ source: server.live()! }).cache.get());
      expect(server.presented).toEqual(inOrder(3));
    },
  );
});

describe("a store that fails when the new state is written", () => {
  test("callers get their token at once; the state is written as soon as the store works again", async () => {
    const { clock, server, processes, b, during } = await unpublished();
    for (const { store } of processes) store.fault = undefined;
    await clock.advance(1500);
    expect((await during(b.cache.get())).value).toBe("at-1-2");
    await clock.advance(LIFE);
    expect((await during(b.cache.get())).value).toBe("at-1-3");
    expect(server.presented).toEqual(inOrder(3));
  });

  test.each([3, 9, 11, 20, 60, 300])(
    "after %d s without the store no process sends the used refresh token",
    async (seconds) => {
      const fleet = await unpublished();
      const { clock, server, processes, a, b } = fleet;
      for (let second = 0; second < seconds; second++) {
        await Promise.allSettled([b.cache.get()]);
        await clock.advance(1000);
      }
      for (const { store } of processes) store.fault = undefined;
      const { value } = await getWithRetries(b, fleet);
      expect(value).toBe(seconds < 300 ? "at-1-2" : "at-1-3");
      await clock.advance(LIFE);
      await getWithRetries(a, fleet);
      expect(server.presented).toEqual(inOrder(server.presented.length));
      expect(server.live()).toBeDefined();
    },
  );

  test.each([11, 20, 60])(
    "a process that starts when the store works again, after %d s, does not send the used refresh token",
    async (seconds) => {
      const { clock, server, processes, join, during } = await unpublished();
      await clock.advance(seconds * 1000 + 500);
      for (const { store } of processes) store.fault = undefined;
      expect((await during(join().cache.get())).value).toBe("at-1-2");
      expect(server.presented).toEqual(inOrder(2));
    },
  );

  test("another process has taken the lease meanwhile and has not sent: the new state is written over its lease", async () => {
    const { clock, server, processes, a, b, join, during } = await unpublished();
    // Process b holds the lease. Process a finds that lease when it reaches the store again.
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
