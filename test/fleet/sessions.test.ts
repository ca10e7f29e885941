/**
 * Sign-ins and sign-outs in a fleet: whose token a request carries, when other processes find out, and which session goes on
 * after the store has lost its record or has an old one again.
 */
import { describe, expect, test } from "vitest";
import { createAuthFetch } from "../../src/adapters/fetch.ts";
import { digestOf } from "../../src/core/state.ts";
import { policyHalf } from "../../src/core/types.ts";
import { memoryStore } from "../../src/fleet/index.ts";
import { isRemintError } from "../../src/index.ts";
import { manualClock, type ManualClock } from "../../src/testing/index.ts";
import { rejectionOf, watch } from "../core/cache-under-test.ts";
import { deferred } from "../grants/rotating-server.ts";
import { ORIGIN, TARGET } from "./fleet-under-test.ts";
import { plainRecord, readRecord, shelfOf, type Shelf } from "./records.ts";
import {
  countEvents,
  during,
  poolProcess,
  sessionFleet,
  SessionServer,
  type PoolProcess,
  type ProcessOptions,
  type SessionFleet,
  type SessionProcess,
} from "./session-server.ts";
import type { TokenCache } from "../../src/index.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const LIFE = 300_000;
/** The key that Alice and then Bob have in the pools. */
const KEY = "sid";
const down = (): Promise<never> => Promise.reject(new Error("connect ECONNREFUSED"));

interface World extends Pick<SessionFleet, "clock" | "store" | "server"> {
  readonly processes: readonly [PoolProcess, PoolProcess, PoolProcess];
  /** Waits for a promise while time passes. */
  readonly wait: <T>(work: Promise<T>) => Promise<T>;
}

/** Three processes with a pool each. Alice has signed in before. */
function threeProcesses(options?: Omit<ProcessOptions, "source">): World {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const server = new SessionServer();
  const alice = server.signIn();
  const start = (): PoolProcess => poolProcess({ clock, store, server }, () => alice, options);
  const wait = <T>(work: Promise<T>): Promise<T> => during(clock, work);
  return { clock, store, server, processes: [start(), start(), start()], wait };
}

/** A request, the tokens that it was sent with, and its outcome. */
interface Sent {
  readonly tokens: string[];
  readonly outcome: { readonly state: string; readonly value?: Response; readonly reason?: unknown };
}

/** Sends a request to an API that accepts only some tokens. */
function send(cache: TokenCache, accepts: (token: string) => boolean = () => true): Sent {
  const tokens: string[] = [];
  const fetch = createAuthFetch(cache, {
    // So that the error says how the session ended. By default the caller of an ended session gets the API's 401.
    failedRenewal: "throw",
    fetch: async (_, init) => {
      const token = new Headers(init?.headers).get("authorization")?.replace("Bearer ", "") ?? "none";
      tokens.push(token);
      return new Response(null, { status: accepts(token) ? 200 : 401 });
    },
  });
  return { tokens, outcome: watch(fetch(`${ORIGIN}${TARGET.path}`)) };
}

const isNew = (token: string): boolean => token !== "at-1-1";
const cachesOf = ({ processes }: World): TokenCache[] => processes.map(({ pool }) => pool.get(KEY));

describe("Alice waits for a token, and Bob signs in under the same key", () => {
  /** Brings Alice's requests to the point where they wait. @returns Them, and what lets the mint end. */
  const waits = {
    "at a cold start": async (world: World) => {
      const gate = deferred();
      for (const { pool, grants } of world.processes) {
        pool.get(KEY);
        grants.get(KEY)!.beforeAnswering = () => gate.promise;
      }
      const sent = cachesOf(world).flatMap((cache) => [send(cache), send(cache)]);
      await world.clock.advance(500);
      return { sent, release: () => gate.resolve() };
    },
    "in the hard window": async (world: World) => {
      const { clock, processes, wait } = world;
      const gate = deferred();
      for (const cache of cachesOf(world)) await wait(cache.get());
      for (const { grants } of processes) grants.get(KEY)!.beforeAnswering = () => gate.promise;
      await clock.advance(LIFE - 5000);
      const sent = cachesOf(world).flatMap((cache) => [send(cache), send(cache)]);
      await clock.advance(500);
      return { sent, release: () => gate.resolve() };
    },
    "after a 401": async (world: World) => {
      const { clock, processes, wait } = world;
      const gate = deferred();
      for (const cache of cachesOf(world)) await wait(cache.get());
      for (const { grants } of processes) grants.get(KEY)!.beforeAnswering = () => gate.promise;
      const sent = cachesOf(world).flatMap((cache) => [send(cache, isNew), send(cache, isNew)]);
      await clock.advance(500);
      return { sent, release: () => gate.resolve() };
    },
  };

  describe.each(Object.keys(waits) as (keyof typeof waits)[])("%s", (when) => {
    test.each([0, 1, 2])(
      "C15: in process %i: no request of Alice's carries Bob's token in any process",
      async (index) => {
        const world = threeProcesses();
        const { clock, server, processes, wait } = world;
        const { sent, release } = await waits[when](world);
        expect(sent.map(({ outcome }) => outcome.state)).toEqual(sent.map(() => "pending"));
        const signedIn = watch(processes[index]!.pool.signIn(KEY, server.signInResponse()));
        await clock.advance(1000);
        expect(signedIn.state).toBe("fulfilled");
        // Bob uses the application from now on, in the process in which he has signed in.
        const bob = send(processes[index]!.pool.get(KEY));
        release();
        await clock.advance(3000);
        expect(bob.tokens).toEqual(["at-2-0"]);
        for (const { tokens, outcome } of sent) {
          expect(outcome.state).not.toBe("pending");
          expect(tokens.filter((token) => !token.startsWith("at-1-"))).toEqual([]);
          // Nothing answers for Alice but her own token while it is valid.
          if (outcome.state === "fulfilled") expect([when, tokens]).toEqual(["in the hard window", ["at-1-1"]]);
          else expect(outcome.reason).toMatchObject({ code: "ERR_SESSION", status: 503, retryable: true });
        }
        // The others find Bob when they look.
        await clock.advance(LIFE);
        for (const cache of cachesOf(world)) {
          await rejectionOf(wait(cache.get()).then(() => Promise.reject(new Error("served"))));
          expect((await wait(cache.get())).value).toMatch(/^at-2-/);
        }
        expect(server.presented.filter((token) => token.startsWith("rt-1"))).toEqual(
          when === "at a cold start" ? ["rt-1-0"] : ["rt-1-0", "rt-1-1"],
        );
        expect(server.reused).toEqual([]);
      },
    );

    test.each([0, 1, 2])(
      "C15: in process %i, and Alice is signed out instead: her requests get a 401",
      async (index) => {
        const world = threeProcesses();
        const { clock, processes } = world;
        const { sent, release } = await waits[when](world);
        const signedOut = watch(processes[index]!.pool.signOut(KEY));
        await clock.advance(1000);
        release();
        await clock.advance(15_000);
        expect(signedOut.state).toBe("fulfilled");
        for (const { tokens, outcome } of sent) {
          expect(tokens.filter((token) => token !== "at-1-1")).toEqual([]);
          if (outcome.state === "fulfilled") expect([when, tokens]).toEqual(["in the hard window", ["at-1-1"]]);
          else expect(outcome.reason).toMatchObject({ code: "ERR_SESSION", status: 401, terminal: true });
        }
      },
    );
  });

  test("C15: a process has not looked at the record yet: a sign-in in it ends what waits there", async () => {
    const { clock, server, processes } = threeProcesses();
    const [one] = processes;
    const cache = one.pool.get(KEY);
    // The first look takes a while.
    const gate = deferred();
    one.store.fault = async (swap) => (await gate.promise, swap());
    const alice = send(cache);
    await clock.advance(10);
    one.store.fault = undefined;
    const signedIn = watch(one.pool.signIn(KEY, server.signInResponse()));
    gate.resolve();
    await clock.advance(1000);
    expect(signedIn.state).toBe("fulfilled");
    expect(alice.tokens).toEqual([]);
    expect(alice.outcome).toMatchObject({ state: "rejected", reason: { code: "ERR_SESSION", status: 503 } });
    expect(server.presented).toEqual([]);
  });
});

/** Two processes with Alice's token, and a sign-in of Bob's or a sign-out in the first. */
async function after(
  act: "sign-in" | "sign-out",
  before?: (fleet: SessionFleet) => Promise<void>,
): Promise<SessionFleet & { b: SessionProcess }> {
  const fleet = sessionFleet(2);
  const { server, processes, askAll } = fleet;
  const [a, b] = processes as [SessionProcess, SessionProcess];
  await askAll();
  await before?.(fleet);
  if (act === "sign-in") await fleet.during(a.cache.signIn(server.signInResponse()));
  else await fleet.during(a.cache.signOut());
  return { ...fleet, b };
}

describe("when another process finds out", () => {
  test("C16: a sign-in: not while its token is fresh, then at its soft window", async () => {
    const { clock, b, server } = await after("sign-in", async (fleet) => fleet.clock.advance(100_000));
    const calls = b.store.calls;
    expect(b.cache.peek()?.value).toBe("at-1-1");
    expect(b.store.calls).toBe(calls);
    await clock.advance(LIFE - 50_000 - 100_000);
    expect(b.cache.peek()?.value).toBe("at-1-1");
    await clock.advance(100);
    // Alice's token is gone, and who asks now gets Bob's.
    expect(b.cache.peek()).toBeUndefined();
    const next = b.cache.get();
    await clock.advance(10);
    expect((await next).value).toBe("at-2-0");
    expect(countEvents(b, "session-replaced")).toBe(1);
    expect(server.presented).toEqual(["rt-1-0"]);
  });

  test("C16: a sign-in: at a 401; the request of before fails, the next one carries the new token", async () => {
    const { clock, b, server } = await after("sign-in");
    const alice = send(b.cache, (token) => token.startsWith("at-2"));
    await clock.advance(1000);
    expect(alice.tokens).toEqual(["at-1-1"]);
    expect(alice.outcome).toMatchObject({ state: "rejected", reason: { code: "ERR_SESSION", retryable: true } });
    const bob = send(b.cache, (token) => token.startsWith("at-2"));
    await clock.advance(100);
    expect(bob.tokens).toEqual(["at-2-0"]);
    expect(server.presented).toEqual(["rt-1-0"]);
  });

  test("C16: a sign-in: within a second where nobody was signed in, and the function is asked once a second meanwhile", async () => {
    const fleet = sessionFleet(0);
    const { clock, server, during: wait } = fleet;
    let asked = 0;
    const [a, b] = [1, 2].map(() => fleet.join({ source: () => void asked++ })) as [SessionProcess, SessionProcess];
    for (let tenths = 0; tenths < 100; tenths++) {
      expect(await rejectionOf(b.cache.get())).toMatchObject({ code: "ERR_NO_SESSION", status: 401 });
      await clock.advance(100);
    }
    expect(asked).toBeLessThanOrEqual(11);
    expect(asked).toBeGreaterThanOrEqual(9);
    const plain = send(b.cache);
    await clock.advance(100);
    expect(plain.tokens).toEqual(["none"]);
    await wait(a.cache.signIn(server.signInResponse()));
    await clock.advance(1100);
    expect((await wait(b.cache.get())).value).toBe("at-2-0");
    expect(server.presented).toEqual([]);
  });

  test("C16: a sign-out: at the soft window, and no token is served from then on", async () => {
    const { clock, b } = await after("sign-out");
    expect(b.cache.peek()?.value).toBe("at-1-1");
    await clock.advance(LIFE - 50_000);
    b.cache.peek();
    await clock.advance(100);
    expect(b.cache.peek()).toBeUndefined();
    expect(await rejectionOf(b.cache.get())).toMatchObject({ code: "ERR_SESSION", status: 401, terminal: true });
    expect(b.events.filter(({ name }) => name === "session-replaced")).toEqual([
      { name: "session-replaced", isEnded: true },
    ]);
  });

  test("C16: a sign-out: at a 401, and where there is no token", async () => {
    const { clock, b, join, during: wait } = await after("sign-out");
    const request = send(b.cache, () => false);
    await clock.advance(1000);
    expect(request.tokens).toEqual(["at-1-1"]);
    expect(request.outcome).toMatchObject({ state: "rejected", reason: { code: "ERR_SESSION", status: 401 } });
    expect(await rejectionOf(wait(join().cache.get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
  });

  test("C16: a process whose session was signed out asks the store once a second, and its function never", async () => {
    const { clock, server, join, during: wait } = await after("sign-out");
    let asked = 0;
    const c = join({ source: () => (asked++, "rt-1-1") });
    await rejectionOf(wait(c.cache.get()));
    const calls = c.store.calls;
    for (let tenths = 0; tenths < 100; tenths++) {
      expect(await rejectionOf(c.cache.get())).toMatchObject({ code: "ERR_SESSION", status: 401 });
      await clock.advance(100);
    }
    expect(c.store.calls - calls).toBeLessThanOrEqual(11);
    expect(c.store.calls - calls).toBeGreaterThanOrEqual(9);
    expect(asked).toBe(0);
    expect(server.presented).toEqual(["rt-1-0"]);
    await wait(join().cache.signIn(server.signInResponse()));
    await clock.advance(1100);
    expect((await wait(c.cache.get())).value).toBe("at-2-0");
  });
});

/** Process `a` has sent its refresh token, and its answer is held back. */
async function minting(): Promise<
  SessionFleet & { a: SessionProcess; b: SessionProcess; shelf: Shelf; saved: string[]; release: () => void }
> {
  const saved: string[] = [];
  const fleet = sessionFleet(2, { members: { save: (next) => void saved.push(next) } });
  const shelf = shelfOf(fleet);
  const [a, b] = fleet.processes as [SessionProcess, SessionProcess];
  await fleet.askAll();
  await fleet.clock.advance(LIFE);
  const gate = deferred();
  a.grant.beforeAnswering = () => gate.promise;
  saved.length = 0;
  return { ...fleet, a, b, shelf, saved, release: () => gate.resolve() };
}

describe("a mint in progress in another process", () => {
  test("C15: at a sign-in: what it brings is revoked, neither published nor saved, and its callers fail", async () => {
    const { clock, server, a, b, shelf, saved, release, during: wait } = await minting();
    const caller = watch(a.cache.get());
    await clock.advance(100);
    await wait(b.cache.signIn(server.signInResponse()));
    const { value } = (await shelf.entry())!;
    release();
    await clock.advance(1000);
    expect(caller).toMatchObject({ state: "rejected", reason: { code: "ERR_SESSION", status: 503 } });
    expect(server.revoked).toEqual(["rt-1-2", "at-1-2"]);
    expect((await shelf.entry())!.value).toBe(value);
    expect(saved).toEqual(["rt-2-0"]);
    expect(server.live(2)).toBe("rt-2-0");
    expect((await wait(a.cache.get())).value).toBe("at-2-0");
  });

  test("C15: at a sign-out: what it brings is revoked, neither published nor saved, and its callers fail", async () => {
    const { clock, server, a, b, shelf, saved, release, during: wait } = await minting();
    const caller = watch(a.cache.get());
    await clock.advance(100);
    await wait(b.cache.signOut());
    server.revoked.length = 0;
    release();
    await clock.advance(1000);
    expect(caller).toMatchObject({ state: "rejected", reason: { code: "ERR_SESSION", status: 401 } });
    expect(server.revoked).toEqual(["rt-1-2", "at-1-2"]);
    const { phase, state, tokens } = readRecord((await shelf.entry())!.value);
    expect([phase, state, tokens]).toEqual(["E", undefined, {}]);
    expect(saved).toEqual([]);
  });

  test("C16: at a sign-out in the same process: the sign-out waits for it, then both refresh tokens are revoked", async () => {
    const { clock, server, a, shelf, saved, release } = await minting();
    const caller = watch(a.cache.get());
    await clock.advance(100);
    const signedOut = watch(a.cache.signOut());
    await clock.advance(1000);
    expect(caller).toMatchObject({ state: "rejected", reason: { code: "ERR_SESSION", status: 401 } });
    expect(signedOut.state).toBe("pending");
    release();
    await clock.advance(1000);
    expect(signedOut.state).toBe("fulfilled");
    expect(server.revoked.toSorted()).toEqual(["at-1-1", "at-1-2", "rt-1-1", "rt-1-2"]);
    // Nothing of it is saved later either.
    expect(await during(clock, a.cache.close())).toEqual({ inFlight: false, unsaved: false });
    expect(saved).toEqual([]);
    expect(await shelf.record()).toMatchObject({ phase: "E", tokens: {} });
    expect((await shelf.record())!.state).toBeUndefined();
  });

  test("C16: the revocation fails: the record keeps what is to be revoked, and another process finishes it", async () => {
    const fleet = sessionFleet(2);
    const shelf = shelfOf(fleet);
    const { server, processes, askAll, during: wait } = fleet;
    const [a, b] = processes as [SessionProcess, SessionProcess];
    await askAll();
    const revoke = server.revoke.bind(server);
    server.revoke = () => {
      throw new Error("the server is away");
    };
    expect(isRemintError(await rejectionOf(wait(a.cache.signOut())))).toBe(true);
    expect(await shelf.record()).toMatchObject({ phase: "E", state: "rt-1-1" });
    expect(await rejectionOf(a.cache.get())).toMatchObject({ code: "ERR_SESSION", status: 401 });
    server.revoke = revoke;
    await wait(b.cache.signOut());
    expect(server.revoked).toEqual(["rt-1-1", "at-1-1"]);
    expect((await shelf.record())!.state).toBeUndefined();
    expect(await shelf.record()).toMatchObject({ phase: "E", tokens: {} });
  });
});

test("C15: a function returns what a sign-in elsewhere has saved meanwhile: the mint of the session before does not send it", async () => {
  const fleet = sessionFleet(0);
  const { clock, server, join, during: wait } = fleet;
  const table: { saved: string | null } = { saved: fleet.seed };
  const gate = deferred();
  const save = (next: string): void => void (table.saved = next);
  const a = join({ source: () => gate.promise.then(() => table.saved), members: { save } });
  const b = join({ source: () => table.saved, members: { save } });
  const alice = watch(a.cache.get());
  await clock.advance(100);
  await wait(b.cache.signIn(server.signInResponse()));
  expect(table.saved).toBe("rt-2-0");
  gate.resolve();
  await clock.advance(1000);
  expect(server.presented).toEqual([]);
  expect(alice).toMatchObject({ state: "rejected", reason: { code: "ERR_SESSION", status: 503 } });
  await clock.advance(LIFE);
  expect((await wait(b.cache.get())).value).toBe("at-2-1");
  expect((await wait(a.cache.get())).value).toBe("at-2-1");
  expect(server.presented).toEqual(["rt-2-0"]);
});

describe("the store fails at a sign-in or a sign-out", () => {
  test("C16: the sign-in rejects, this process serves neither session, and the others serve the one of before", async () => {
    const { clock, server, processes, askAll, during: wait } = sessionFleet(2);
    const [a, b] = processes as [SessionProcess, SessionProcess];
    await askAll();
    a.store.fault = down;
    const bob = server.signInResponse();
    expect(await rejectionOf(wait(a.cache.signIn(bob)))).toMatchObject({ code: "ERR_STORE", retryable: true });
    for (const wasDown of [true, false]) {
      expect(a.cache.peek()).toBeUndefined();
      expect(await rejectionOf(wait(a.cache.get()))).toMatchObject({ code: "ERR_STORE" });
      const request = send(a.cache);
      await clock.advance(1000);
      expect(request.tokens).toEqual([]);
      if (wasDown) a.store.fault = undefined;
      await clock.advance(20_000);
    }
    expect((await b.cache.get()).value).toBe("at-1-1");
    // The same response once more.
    await wait(a.cache.signIn(bob));
    expect(a.cache.peek()?.value).toBe("at-2-0");
    await clock.advance(LIFE);
    await rejectionOf(wait(b.cache.get()));
    expect((await wait(b.cache.get())).value).toBe("at-2-1");
    expect(server.presented).toEqual(["rt-1-0", "rt-2-0"]);
  });

  test("C16: after a sign-in that failed, a sign-in in another process is served here too", async () => {
    const { clock, server, processes, askAll, during: wait } = sessionFleet(2);
    const [a, b] = processes as [SessionProcess, SessionProcess];
    await askAll();
    a.store.fault = down;
    await rejectionOf(wait(a.cache.signIn(server.signInResponse())));
    a.store.fault = undefined;
    await clock.advance(20_000);
    await wait(b.cache.signIn(server.signInResponse()));
    await clock.advance(2000);
    expect(await rejectionOf(wait(a.cache.get()))).toMatchObject({ code: "ERR_SESSION", retryable: true });
    expect((await wait(a.cache.get())).value).toBe("at-3-0");
  });

  test("C16: the sign-out rejects, the session is over here, and a second sign-out ends it everywhere", async () => {
    const { clock, server, processes, askAll, during: wait } = sessionFleet(2);
    const [a, b] = processes as [SessionProcess, SessionProcess];
    await askAll();
    a.store.fault = down;
    expect(await rejectionOf(wait(a.cache.signOut()))).toMatchObject({ code: "ERR_STORE", retryable: true });
    expect(a.cache.peek()).toBeUndefined();
    a.store.fault = undefined;
    await clock.advance(20_000);
    expect(await rejectionOf(wait(a.cache.get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
    expect((await b.cache.get()).value).toBe("at-1-1");
    await wait(a.cache.signOut());
    expect(server.revoked).toEqual(["rt-1-1", "at-1-1"]);
    await clock.advance(LIFE);
    expect(await rejectionOf(wait(b.cache.get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
  });
});

/** Bob has signed in after Alice, and both processes know it. */
async function bobSignedIn(size = 2): Promise<SessionFleet & { shelf: Shelf; a: SessionProcess; b: SessionProcess }> {
  const fleet = sessionFleet(size);
  const shelf = shelfOf(fleet);
  const { server, clock, processes, askAll, during: wait } = fleet;
  const [a, b] = processes as [SessionProcess, SessionProcess];
  await askAll();
  await clock.advance(LIFE);
  await wait(a.cache.signIn(server.signInResponse()));
  if (size > 1) await rejectionOf(wait(b.cache.get()));
  await askAll();
  return { ...fleet, shelf, a, b };
}

test("C16: a sign-out that could not be stored ends what was signed in before it, and not what is signed in later", async () => {
  const { clock, server, processes, askAll, during: wait } = sessionFleet(2);
  const [a, b] = processes as [SessionProcess, SessionProcess];
  await askAll();
  a.store.fault = down;
  // Process a does not know of this sign-in.
  await wait(b.cache.signIn(server.signInResponse()));
  await clock.advance(1000);
  await rejectionOf(wait(a.cache.signOut()));
  a.store.fault = undefined;
  await clock.advance(20_000);
  expect(await rejectionOf(wait(a.cache.get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
  await wait(b.cache.signIn(server.signInResponse()));
  await clock.advance(1100);
  expect((await wait(a.cache.get())).value).toBe("at-3-0");
});

describe("a record that was lost, or is there again", () => {
  test("C16: everything is lost, and a fresh process begins with Alice's refresh token: Bob's session takes its place", async () => {
    const { clock, server, shelf, a, b, join, seed, during: wait } = await bobSignedIn();
    await shelf.clear();
    // Alice's refresh token is used up: the server refuses it.
    const fresh = join({ source: seed });
    expect(await rejectionOf(wait(fresh.cache.get()))).toMatchObject({ error: "invalid_grant" });
    expect(await shelf.record()).toMatchObject({ phase: "R", gen: 0 });
    await clock.advance(LIFE);
    for (const { cache } of [a, b]) expect((await wait(cache.get())).value).toBe("at-2-1");
    expect(await shelf.record()).toMatchObject({ phase: "T", state: "rt-2-1" });
    expect((await shelf.record())!.gen).toBeGreaterThan(0);
    expect((await wait(fresh.cache.get())).value).toBe("at-2-1");
    expect(server.presented).toEqual(["rt-1-0", "rt-1-0", "rt-2-0"]);
  });

  test("C16: everything is lost, and a fresh process begins with what was saved: its record goes on for all", async () => {
    const { clock, server, shelf, a, b, join, during: wait } = await bobSignedIn();
    await shelf.clear();
    const fresh = join({ source: () => server.live(2) });
    expect((await wait(fresh.cache.get())).value).toBe("at-2-1");
    await clock.advance(LIFE);
    for (const { cache } of [a, b, fresh]) expect((await wait(cache.get())).value).toBe("at-2-2");
    expect(server.reused).toEqual([]);
    expect(server.presented).toEqual(["rt-1-0", "rt-2-0", "rt-2-1"]);
    expect([a, b].map((process) => countEvents(process, "session-replaced"))).toEqual([0, 1]);
  });

  test("C16: everything is lost, and a process that slept brings back the session of before: the newest takes its place", async () => {
    const { clock, server, shelf, a, b, during: wait } = await bobSignedIn();
    // Process b sleeps while Carol signs in.
    await wait(a.cache.signIn(server.signInResponse()));
    await shelf.clear();
    await clock.advance(LIFE);
    expect((await wait(b.cache.get())).value).toBe("at-2-1");
    expect((await wait(a.cache.get())).value).toBe("at-3-1");
    expect(await shelf.record()).toMatchObject({ state: "rt-3-1" });
    await clock.advance(LIFE);
    expect(await rejectionOf(wait(b.cache.get()))).toMatchObject({ code: "ERR_SESSION" });
    expect((await wait(b.cache.get())).value).toBe("at-3-2");
    expect(server.reused).toEqual([]);
  });

  test("C16: a record with the same generation and another id: the record wins", async () => {
    const { clock, server, shelf, a, b, during: wait } = await bobSignedIn();
    const carol = server.signIn();
    const { gen } = (await shelf.record())!;
    await shelf.put(plainRecord("T", { ttl: DAY, gen, sid: "another", state: carol, tokens: {} }));
    await clock.advance(LIFE);
    for (const { cache } of [a, b]) {
      expect(await rejectionOf(wait(cache.get()))).toMatchObject({ code: "ERR_SESSION" });
      expect((await wait(cache.get())).value).toBe("at-3-1");
    }
    expect(server.presented).toEqual(["rt-1-0", "rt-3-0"]);
  });

  test("C14: an older record of the same session is there again: a process that knows its state as used presents the later one", async () => {
    for (const ago of [1, 3, 7]) {
      const fleet = sessionFleet(2);
      const shelf = shelfOf(fleet);
      const { clock, server, askAll } = fleet;
      const texts: string[] = [];
      for (let rotation = 0; rotation < 9; rotation++) {
        await askAll();
        texts.push((await shelf.entry())!.value);
        await clock.advance(LIFE);
      }
      await shelf.put(texts.at(-1 - ago));
      expect(new Set(await askAll())).toEqual(new Set(["at-1-10"]));
      expect(server.reused).toEqual([]);
      expect(await shelf.record()).toMatchObject({ state: "rt-1-10" });
    }
  });

  test("C16: the record of an earlier session is there again: processes that know the later one replace it", async () => {
    const fleet = sessionFleet(2);
    const shelf = shelfOf(fleet);
    const { clock, server, processes, askAll, during: wait } = fleet;
    const [a, b] = processes as [SessionProcess, SessionProcess];
    await askAll();
    const alice = (await shelf.entry())!.value;
    await wait(a.cache.signIn(server.signInResponse()));
    await shelf.put(alice);
    await clock.advance(LIFE);
    expect((await wait(a.cache.get())).value).toBe("at-2-1");
    expect(await shelf.record()).toMatchObject({ state: "rt-2-1" });
    expect(await rejectionOf(wait(b.cache.get()))).toMatchObject({ code: "ERR_SESSION" });
    expect((await wait(b.cache.get())).value).toBe("at-2-1");
    expect(server.presented).toEqual(["rt-1-0", "rt-2-0"]);
  });

  test("C16: the record of a session is there again after its sign-out: processes that know of the end serve nothing", async () => {
    const fleet = sessionFleet(2);
    const shelf = shelfOf(fleet);
    const { clock, server, processes, askAll, during: wait } = fleet;
    const [a, b] = processes as [SessionProcess, SessionProcess];
    await askAll();
    const alice = (await shelf.entry())!.value;
    await wait(a.cache.signOut({ revoke: false }));
    await clock.advance(LIFE);
    await rejectionOf(wait(b.cache.get()));
    await shelf.put(alice);
    for (let seconds = 0; seconds < 5; seconds++) {
      for (const { cache } of [a, b]) {
        expect(await rejectionOf(wait(cache.get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
      }
      await clock.advance(1000);
    }
    expect(server.presented).toEqual(["rt-1-0"]);
  });

  test("C15: two records that were begun from the source, with states of which neither follows the other, are of two sessions", async () => {
    const fleet = sessionFleet(0);
    const shelf = shelfOf(fleet);
    const { clock, server, join, during: wait } = fleet;
    const a = join();
    await wait(a.cache.get());
    // Another process has signed Bob in and has saved that, and the store has lost it.
    await shelf.clear();
    await clock.advance(LIFE);
    const bob = server.signIn();
    expect((await wait(join({ source: () => bob }).cache.get())).value).toBe("at-2-1");
    expect(await shelf.record()).toMatchObject({ gen: 0, state: "rt-2-1" });
    const alice = [send(a.cache), send(a.cache)];
    await clock.advance(1000);
    for (const { tokens, outcome } of alice) {
      expect(tokens).toEqual([]);
      expect(outcome).toMatchObject({ state: "rejected", reason: { code: "ERR_SESSION", status: 503 } });
    }
    expect((await wait(a.cache.get())).value).toBe("at-2-1");
    expect(server.presented).toEqual(["rt-1-0", "rt-2-0"]);
  });

  test("C14: two records that were begun from the source, of which one was lost, are of one session", async () => {
    const { clock, server, store, processes, during: wait } = sessionFleet(2);
    const shelf = shelfOf({ store });
    const [a, b] = processes as [SessionProcess, SessionProcess];
    const gate = deferred();
    a.grant.beforeAnswering = () => gate.promise;
    const first = watch(a.cache.get());
    await clock.advance(100);
    await shelf.clear();
    // Process b takes the lease of a new record, and has not sent anything when process a has its answer.
    b.grant.beforeSending = () => new Promise(() => {});
    b.cache.get().catch(() => {});
    await clock.advance(100);
    gate.resolve();
    await clock.advance(1000);
    expect(first).toMatchObject({ state: "fulfilled", value: { value: "at-1-1" } });
    expect(await shelf.record()).toMatchObject({ phase: "T", state: "rt-1-1" });
    b.grant.beforeSending = undefined;
    await clock.advance(LIFE);
    expect((await wait(a.cache.get())).value).toBe("at-1-2");
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
    expect(server.revoked).toEqual([]);
  });
});

describe("an absent record", () => {
  test("C16: the note of a sign-out is gone: a process that slept longer asks its function, and presents nothing of its own", async () => {
    const fleet = sessionFleet(1);
    const { clock, server, join, during: wait } = fleet;
    const saved: { refreshToken: string | null } = { refreshToken: "rt-1-0" };
    const slept = join({
      source: () => saved.refreshToken,
      members: { save: (next) => void (saved.refreshToken = next) },
    });
    expect((await wait(slept.cache.get())).value).toBe("at-1-1");
    await wait(join().cache.signOut({ revoke: false }));
    saved.refreshToken = null;
    await clock.advance(25 * HOUR);
    expect(await rejectionOf(wait(slept.cache.get()))).toMatchObject({ code: "ERR_NO_SESSION", status: 401 });
    saved.refreshToken = server.signIn();
    await clock.advance(2000);
    expect((await wait(slept.cache.get())).value).toBe("at-2-1");
    expect(server.presented).toEqual(["rt-1-0", "rt-2-0"]);
  });

  test("C16: the note of a sign-out is gone: a process that slept longer has no function, so nobody is signed in", async () => {
    const { clock, server, processes, askAll, during: wait } = sessionFleet(2);
    const [a, b] = processes as [SessionProcess, SessionProcess];
    await askAll();
    await wait(a.cache.signOut({ revoke: false }));
    await clock.advance(25 * HOUR);
    expect(await rejectionOf(wait(b.cache.get()))).toMatchObject({ code: "ERR_NO_SESSION", status: 401 });
    expect(await rejectionOf(wait(a.cache.get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
    expect(server.presented).toEqual(["rt-1-0"]);
  });

  test.each([
    ["both clocks have run", (clock: ManualClock) => clock.advance(25 * HOUR)],
    ["the host was suspended and only the wall clock has run", async (clock: ManualClock) => clock.suspend(25 * HOUR)],
    ["only the monotonic clock has run", async (clock: ManualClock) => clock.stepMonotonic(25 * HOUR)],
  ])("C16: %s: a process that has written the record itself does not bring the session back", async (_, sleep) => {
    const fleet = sessionFleet(1);
    const shelf = shelfOf(fleet);
    const { clock, server, processes, during: wait } = fleet;
    const [a] = processes as [SessionProcess];
    await wait(a.cache.get());
    await sleep(clock);
    await shelf.clear();
    expect(await rejectionOf(wait(a.cache.get()))).toMatchObject({ code: "ERR_NO_SESSION" });
    expect(server.presented).toEqual(["rt-1-0"]);
  });

  test("C14: it was seen lately: a process goes on from its memory", async () => {
    const fleet = sessionFleet(1);
    const shelf = shelfOf(fleet);
    const { clock, server, processes, during: wait } = fleet;
    const [a] = processes as [SessionProcess];
    await wait(a.cache.get());
    await shelf.clear();
    await clock.advance(23 * HOUR);
    expect((await wait(a.cache.get())).value).toBe("at-1-2");
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
  });

  test("C14: the function comes before the memory, unless what it returns is used up", async () => {
    const fleet = sessionFleet(0);
    const shelf = shelfOf(fleet);
    const { clock, server, join, during: wait } = fleet;
    let saved = "rt-1-0";
    const a = join({ source: () => saved });
    await wait(a.cache.get());
    // The function returns what is used up: the memory counts.
    await shelf.clear();
    await clock.advance(LIFE);
    expect((await wait(a.cache.get())).value).toBe("at-1-2");
    // It returns what somebody else has rotated since: that counts.
    server.present("rt-1-2");
    saved = "rt-1-3";
    await shelf.clear();
    await clock.advance(LIFE);
    // It may be of another sign-in as well: who waits for the session before does not get what it brings.
    expect(await rejectionOf(wait(a.cache.get()))).toMatchObject({ code: "ERR_SESSION", retryable: true });
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1", "rt-1-2"]);
    expect((await wait(a.cache.get())).value).toBe("at-1-4");
    expect(server.reused).toEqual([]);
  });

  test("C15: it was lost after a sign-in elsewhere, which the function knows: no request of before carries the new token", async () => {
    const fleet = sessionFleet(0);
    const shelf = shelfOf(fleet);
    const { clock, server, join, during: wait } = fleet;
    const table = { saved: "rt-1-0" };
    const members = { save: (next: string) => void (table.saved = next) };
    const [a, b] = [1, 2].map(() => join({ source: () => table.saved, members })) as [SessionProcess, SessionProcess];
    await wait(a.cache.get());
    await clock.advance(LIFE);
    await wait(b.cache.signIn(server.signInResponse()));
    await shelf.clear();
    const alice = [send(a.cache), send(a.cache.for({ resource: "https://billing.example" }))];
    await clock.advance(1000);
    for (const { tokens, outcome } of alice) {
      expect(tokens).toEqual([]);
      expect(outcome).toMatchObject({ state: "rejected", reason: { code: "ERR_SESSION", status: 503 } });
    }
    expect((await wait(a.cache.get())).value).toBe("at-2-1");
    expect(server.reused).toEqual([]);
  });

  test("C14: a state that is not saved yet comes before the function", async () => {
    const fleet = sessionFleet(0);
    const shelf = shelfOf(fleet);
    const { clock, server, join, during: wait } = fleet;
    let asked = 0;
    const a = join({
      source: () => (asked++, server.signIn()),
      members: { save: () => Promise.reject(new Error("the database is away")) },
    });
    expect((await wait(a.cache.get())).value).toBe("at-2-1");
    expect(countEvents(a, "state-unsaved")).toBe(1);
    await clock.advance(LIFE);
    await shelf.clear();
    expect((await wait(a.cache.get())).value).toBe("at-2-2");
    expect(asked).toBe(1);
    expect(await shelf.record()).toMatchObject({ used: [digestOf("rt-2-0"), digestOf("rt-2-1")], state: "rt-2-2" });
  });

  test("C14: the function throws: nothing is presented", async () => {
    const { clock, server, join, during: wait } = sessionFleet(0);
    let fails = true;
    const source = (): string => {
      if (fails) throw new Error("the database is away");
      return server.live()!;
    };
    const { cache } = join({ source });
    const error = await rejectionOf(wait(cache.get()));
    expect(error).toMatchObject({ code: "ERR_GRANT", hint: expect.stringContaining("refreshToken") });
    expect(server.presented).toEqual([]);
    fails = false;
    await clock.advance(5000);
    expect((await wait(cache.get())).value).toBe("at-1-1");
  });
});

/** Makes the calls of a process to the store take so many milliseconds, in turn. */
function slow({ clock }: SessionFleet, { store }: SessionProcess, delays: readonly number[]): void {
  let calls = 0;
  store.fault = async (swap) => {
    const delay = delays[calls++ % delays.length]!;
    await new Promise<void>((resolve) => void clock.setTimeout(resolve, delay));
    return swap();
  };
}

describe("sign-ins and sign-outs of one process at the same time", () => {
  test("C16: a request that comes while a sign-in is being stored waits for it, and carries its token", async () => {
    const fleet = sessionFleet(1);
    const { clock, server, processes, askAll } = fleet;
    const [a] = processes as [SessionProcess];
    await askAll();
    slow(fleet, a, [50]);
    const signedIn = watch(a.cache.signIn(server.signInResponse()));
    const bob = send(a.cache);
    await clock.advance(60);
    const later = send(a.cache);
    await clock.advance(1000);
    expect(signedIn.state).toBe("fulfilled");
    expect([bob.tokens, later.tokens]).toEqual([["at-2-0"], ["at-2-0"]]);
  });

  test.each([
    ["take as long", [50]],
    ["are slow at first", [200, 10, 10, 10]],
    ["are slow later", [10, 10, 200, 10]],
    ["are slow in turn", [200, 10]],
  ])("C15: two sign-ins, and calls to the store %s: the later one counts, here and elsewhere", async (_, delays) => {
    const fleet = sessionFleet(2);
    const { clock, server, processes, askAll, during: wait } = fleet;
    const [a, b] = processes as [SessionProcess, SessionProcess];
    await askAll();
    slow(fleet, a, delays);
    const bob = watch(a.cache.signIn(server.signInResponse()));
    await clock.advance(5);
    const carol = watch(a.cache.signIn(server.signInResponse()));
    for (let steps = 0; steps < 200; steps++) {
      // Nobody is served for Bob, who was signed in no more when the second call returned.
      expect(a.cache.peek()?.value ?? "at-3-0").toBe("at-3-0");
      await clock.advance(10);
    }
    expect([bob.state, carol.state]).toEqual(["fulfilled", "fulfilled"]);
    a.store.fault = undefined;
    expect((await wait(a.cache.get())).value).toBe("at-3-0");
    await clock.advance(LIFE);
    expect((await wait(a.cache.get())).value).toBe("at-3-1");
    await rejectionOf(wait(b.cache.get()));
    expect((await wait(b.cache.get())).value).toBe("at-3-1");
    expect(server.presented).toEqual(["rt-1-0", "rt-3-0"]);
  });

  test.each([
    ["take as long", [50]],
    ["are slow at first", [200, 10, 10, 10]],
    ["are slow later", [10, 10, 200, 10]],
    ["are slow in turn", [200, 10]],
  ])("C16: a sign-in and then a sign-out, and calls to the store %s: the session is over", async (_, delays) => {
    const fleet = sessionFleet(2);
    const { clock, server, processes, askAll, during: wait } = fleet;
    const [a, b] = processes as [SessionProcess, SessionProcess];
    await askAll();
    slow(fleet, a, delays);
    const bob = watch(a.cache.signIn(server.signInResponse()));
    await clock.advance(5);
    const out = watch(a.cache.signOut());
    for (let steps = 0; steps < 200; steps++) {
      expect(a.cache.peek()).toBeUndefined();
      await clock.advance(10);
    }
    expect([bob.state, out.state]).toEqual(["fulfilled", "fulfilled"]);
    a.store.fault = undefined;
    expect(server.revoked).toContain("rt-2-0");
    await clock.advance(LIFE);
    for (const { cache } of [a, b]) {
      expect(await rejectionOf(wait(cache.get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
    }
  });

  test.each([
    ["take as long", [50]],
    ["are slow at first", [200, 10, 10, 10]],
    ["are slow later", [10, 10, 200, 10]],
    ["are slow in turn", [200, 10]],
  ])("C16: a sign-out and then a sign-in, and calls to the store %s: the new session is served", async (_, delays) => {
    const fleet = sessionFleet(2);
    const { clock, server, processes, askAll, during: wait } = fleet;
    const [a] = processes as [SessionProcess];
    await askAll();
    slow(fleet, a, delays);
    const out = watch(a.cache.signOut());
    await clock.advance(5);
    const bob = watch(a.cache.signIn(server.signInResponse()));
    for (let steps = 0; steps < 200; steps++) {
      expect(a.cache.peek()?.value ?? "at-2-0").toBe("at-2-0");
      await clock.advance(10);
    }
    expect([out.state, bob.state]).toEqual(["fulfilled", "fulfilled"]);
    a.store.fault = undefined;
    expect((await wait(a.cache.get())).value).toBe("at-2-0");
    expect(server.revoked.toSorted()).toEqual(["at-1-1", "rt-1-1"]);
    await clock.advance(LIFE);
    expect((await wait(a.cache.get())).value).toBe("at-2-1");
  });
});

test("C16: anything but a token response is refused by signIn before the session of before ends", async () => {
  const { processes, askAll } = sessionFleet(1);
  const [a] = processes as [SessionProcess];
  await askAll();
  const { calls } = a.store;
  for (const wrong of [undefined, null, "at", {}, { access_token: "" }, { access_token: 1 }]) {
    await expect(a.cache.signIn(wrong as never)).rejects.toThrow(TypeError);
  }
  expect(a.cache.peek()?.value).toBe("at-1-1");
  expect(a.store.calls).toBe(calls);
  policyHalf(a.cache).accepted(a.cache.peek()!, { origin: "https://api.example", path: "/" });
  expect(policyHalf(a.cache).onTrial).toBe(false);
});
