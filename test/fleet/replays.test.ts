/**
 * What somebody who can write to the store gets, without the encryption key: old records put back, moved, changed, made
 * younger, and leases in turn. A process that has seen more than the old copy says does not follow it. A process that has
 * just started cannot tell, and these tests say what happens then.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createAuthFetch } from "../../src/adapters/fetch.ts";
import { sealsOf } from "../../src/fleet/seal.ts";
import { memoryStore } from "../../src/fleet/index.ts";
import { fakeGrant, manualClock } from "../../src/testing/index.ts";
import { rejectionOf, watch } from "../core/cache-under-test.ts";
import { fleetUnderTest, ORIGIN, TARGET } from "./fleet-under-test.ts";
import { immediateCrypto } from "./immediate-crypto.ts";
import { shelfOf, type Shelf } from "./records.ts";
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
import type { Store } from "../../src/fleet/index.ts";
import type { TokenCache } from "../../src/index.ts";

const SECRET = Uint8Array.from({ length: 32 }, (_, index) => 7 * index);
const ENCRYPTED = { fleet: { encryptionKey: SECRET } } as const;
const LIFE = 300_000;
const HOUR = 3_600_000;

/** Milliseconds after which every caller has an answer: `mintTimeout`, a lease and one call to the store. */
const LONGEST_WAIT = 10_000 + 10_000 + 500;

/** Collects the texts that are written from now on, oldest first. */
function copiesOf({ store }: { readonly store: Store }): string[] {
  const texts: string[] = [];
  const swap = store.swap.bind(store);
  store.swap = async (key, expected, next, ttl) => {
    const result = await swap(key, expected, next, ttl);
    if (result.ok && next !== undefined) texts.push(next);
    return result;
  };
  return texts;
}

/** Changes what the engine says of the time that an entry has left, as PEXPIRE does. The version stays. */
function expireBy({ store }: { readonly store: Store }, left: (ttl: number) => number): void {
  const swap = store.swap.bind(store);
  store.swap = async (...args) => {
    const result = await swap(...args);
    if (result.ok || result.current === undefined) return result;
    return { ok: false, current: { ...result.current, ttl: left(result.current.ttl) } };
  };
}

/** The tokens with which requests were sent to an API that accepts some of them. */
async function tokensOf(
  { clock }: Pick<SessionFleet, "clock">,
  cache: TokenCache,
  accepts: (token: string) => boolean = () => true,
): Promise<string[]> {
  const tokens: string[] = [];
  const fetch = createAuthFetch(cache, {
    failedRenewal: "throw",
    fetch: async (_, init) => {
      const token = new Headers(init?.headers).get("authorization")?.replace("Bearer ", "") ?? "none";
      tokens.push(token);
      return new Response(null, { status: accepts(token) ? 200 : 401 });
    },
  });
  await during(
    clock,
    fetch(`${ORIGIN}${TARGET.path}`).catch(() => {}),
  );
  return tokens;
}

/** Puts a text in place of the record, for as long as the longest record is kept: so it looks as if it was just written. */
function putBack(shelf: Shelf, text: string | undefined): Promise<void> {
  return shelf.put(text, 90 * 24 * HOUR);
}

/** What is written in clear: version, phase and key id. */
const clear = (text: string | undefined): string | undefined => text?.slice(0, text.indexOf("."));

/** A fleet with encrypted records, one user, and two processes that have rotated `rotations` times together. */
async function rotated(
  rotations: number,
  shared: Omit<ProcessOptions, "source"> = {},
): Promise<SessionFleet & { readonly shelf: Shelf; readonly texts: readonly string[] }> {
  const fleet = sessionFleet(2, { ...ENCRYPTED, ...shared });
  const shelf = shelfOf(fleet);
  const texts: string[] = [];
  for (let rotation = 1; rotation <= rotations; rotation++) {
    if (rotation > 1) await fleet.clock.advance(LIFE);
    await fleet.askAll();
    texts.push((await shelf.entry())!.value);
  }
  return { ...fleet, shelf, texts };
}

beforeEach(immediateCrypto);
afterEach(() => void vi.restoreAllMocks());

describe("an old record of the same session, whose refresh token is used up", () => {
  test.each([1, 2, 5, 8, 9, 12, 19])(
    "S6, C14: of %i rotations ago, to processes that have rotated since: they write the later one over it, and nothing used up is sent",
    async (ago) => {
      const { clock, server, shelf, texts, askAll, join, during: wait } = await rotated(20);
      await putBack(shelf, texts.at(-1 - ago));
      await clock.advance(LIFE);
      expect(new Set(await askAll())).toEqual(new Set(["at-1-21"]));
      expect(server.reused).toEqual([]);
      expect(server.presented).toHaveLength(21);
      expect(texts).not.toContain((await shelf.entry())!.value);
      // The record on the shelf is the later one again: a process that has just started goes on from it.
      await clock.advance(LIFE);
      expect((await wait(join().cache.get())).value).toBe("at-1-22");
      expect(server.reused).toEqual([]);
    },
  );

  test("S6, C14: of 12 rotations ago, each time before the processes look: the session goes on for 12 more rotations", async () => {
    const { clock, server, shelf, texts, askAll } = await rotated(13);
    for (let rotation = 14; rotation <= 25; rotation++) {
      await putBack(shelf, texts[0]);
      await clock.advance(LIFE);
      expect(new Set(await askAll())).toEqual(new Set([`at-1-${rotation}`]));
    }
    expect(server.reused).toEqual([]);
  });

  test("S6, C14: of 12 rotations ago, to a process that began with the record and never minted: what it has adopted counts", async () => {
    const { clock, server, shelf, texts, processes, during: wait } = await rotated(13, {});
    const [first, second] = processes as [SessionProcess, SessionProcess];
    // The second one only looks on.
    for (let rotation = 14; rotation <= 16; rotation++) {
      await clock.advance(LIFE);
      await wait(first.cache.get());
      expect((await wait(second.cache.get())).value).toBe(`at-1-${rotation}`);
    }
    await putBack(shelf, texts[0]);
    await clock.advance(LIFE);
    expect((await wait(second.cache.get())).value).toBe("at-1-17");
    expect(server.reused).toEqual([]);
  });

  test("S6, C14: of 12 rotations ago, of a session that began with a sign-in: the later refresh token is sent", async () => {
    const { clock, server, shelf, askAll, processes, during: wait } = await rotated(1);
    await wait(processes[0]!.cache.signIn(server.signInResponse()));
    const first = (await shelf.entry())!.value;
    await clock.advance(LIFE);
    await rejectionOf(wait(processes[1]!.cache.get()));
    for (let rotation = 1; rotation <= 12; rotation++) {
      expect(new Set(await askAll())).toEqual(new Set([`at-2-${rotation}`]));
      await clock.advance(LIFE);
    }
    await putBack(shelf, first);
    expect(new Set(await askAll())).toEqual(new Set(["at-2-13"]));
    expect(server.reused).toEqual([]);
  });

  test("S6, C14: of 12 rotations ago, of a session whose record was lost in between and begun anew by a process that has just started: the later refresh token is sent", async () => {
    let saved = "rt-1-0";
    const source = { source: () => saved, members: { save: (next: string) => void (saved = next) } };
    const { clock, server, shelf, join, during: wait } = await rotated(0);
    const [a, b] = [join(source), join(source)];
    const both = async (): Promise<string[]> => {
      const values = [(await wait(a.cache.get())).value, (await wait(b.cache.get())).value];
      await clock.advance(LIFE);
      return values;
    };
    for (let rotation = 1; rotation <= 3; rotation++)
      expect(await both()).toEqual([`at-1-${rotation}`, `at-1-${rotation}`]);
    await shelf.clear();
    expect((await wait(join(source).cache.get())).value).toBe("at-1-4");
    const first = (await shelf.entry())!.value;
    expect(await both()).toEqual(["at-1-4", "at-1-4"]);
    for (let rotation = 5; rotation <= 16; rotation++)
      expect(await both()).toEqual([`at-1-${rotation}`, `at-1-${rotation}`]);
    await putBack(shelf, first);
    expect(await both()).toEqual(["at-1-17", "at-1-17"]);
    expect(server.reused).toEqual([]);
  });

  test("S6: to a process that holds a valid token: it does not look, and serves what it has", async () => {
    const { server, shelf, texts, processes } = await rotated(3);
    await putBack(shelf, texts[0]);
    expect(processes.map(({ cache }) => cache.peek()?.value)).toEqual(["at-1-3", "at-1-3"]);
    expect(server.presented).toHaveLength(3);
  });

  test("S6: its access token is still valid, and a later one was rejected: it is not used again, and the later refresh token is sent", async () => {
    const fleet = await rotated(1);
    const { server, shelf, texts, processes } = fleet;
    const [{ cache }] = processes as [SessionProcess];
    expect(await tokensOf(fleet, cache, (token) => token !== "at-1-1")).toEqual(["at-1-1", "at-1-2"]);
    await putBack(shelf, texts[0]);
    const tokens = await tokensOf(fleet, cache, (token) => !["at-1-1", "at-1-2"].includes(token));
    expect(tokens).toEqual(["at-1-2", "at-1-3"]);
    expect(server.reused).toEqual([]);
  });

  test("S6: to a process that has just started: it sends the used token, and a server that detects reuse ends the session", async () => {
    const { clock, server, shelf, texts, join, processes, during: wait } = await rotated(3);
    await putBack(shelf, texts[0]);
    await clock.advance(LIFE);
    const fresh = join();
    const error = await rejectionOf(wait(fresh.cache.get()));
    expect(error).toMatchObject({ code: "ERR_TOKEN_ENDPOINT", error: "invalid_grant", terminal: true });
    expect(server.reused).toEqual(["rt-1-1"]);
    expect(server.live()).toBeUndefined();
    // The user signs in again: that is all it takes, in every process.
    await wait(fresh.cache.signIn(server.signInResponse()));
    await clock.advance(LIFE);
    const [a] = processes as [SessionProcess];
    await rejectionOf(wait(a.cache.get()));
    expect((await wait(a.cache.get())).value).toBe("at-2-1");
  });

  test("S6: to a process that has just started, and its access token is still valid: the process serves that token of the same user", async () => {
    const fleet = await rotated(1);
    const { server, shelf, texts, processes, join, during: wait } = fleet;
    const [a] = processes as [SessionProcess];
    expect(await tokensOf(fleet, a.cache, (token) => token !== "at-1-1")).toEqual(["at-1-1", "at-1-2"]);
    await putBack(shelf, texts[0]);
    expect((await wait(join().cache.get())).value).toBe("at-1-1");
    expect(server.reused).toEqual([]);
  });
});

describe("the record of a session that was signed out", () => {
  test("S6, C16: to processes that know of the sign-out: they serve nothing and send nothing", async () => {
    const { clock, server, shelf, texts, processes, during: wait } = await rotated(2);
    const [a, b] = processes as [SessionProcess, SessionProcess];
    await wait(a.cache.signOut({ revoke: false }));
    await clock.advance(LIFE);
    await rejectionOf(wait(b.cache.get()));
    for (const text of texts) {
      await putBack(shelf, text);
      for (const { cache } of [a, b]) {
        expect(await rejectionOf(wait(cache.get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
      }
      await clock.advance(1000);
    }
    expect(server.presented).toHaveLength(2);
  });

  test("S6, C16: and signOut is called again: the end is in the record again, and a process that has just started serves nothing", async () => {
    const { server, shelf, texts, processes, join, during: wait } = await rotated(2);
    const [a] = processes as [SessionProcess];
    await wait(a.cache.signOut({ revoke: false }));
    await putBack(shelf, texts.at(-1));
    await wait(a.cache.signOut({ revoke: false }));
    expect((await shelf.entry())!.value).toMatch(/^1E/);
    expect(await rejectionOf(wait(join().cache.get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
    expect(server.presented).toHaveLength(2);
  });

  test("S6, C16: to a process that has just started, and the sign-out revoked at the server: its first mint is refused", async () => {
    const { clock, server, shelf, texts, processes, join, during: wait } = await rotated(2);
    await wait(processes[0]!.cache.signOut());
    expect(server.revoked).toContain("rt-1-2");
    await putBack(shelf, texts.at(-1));
    await clock.advance(LIFE);
    const error = await rejectionOf(wait(join().cache.get()));
    expect(error).toMatchObject({ code: "ERR_TOKEN_ENDPOINT", error: "invalid_grant", terminal: true });
  });

  test("S6, C16: to a process that has just started, and the server was not asked to revoke: the session goes on in that process", async () => {
    const { clock, server, shelf, texts, processes, join, during: wait } = await rotated(2);
    const [a] = processes as [SessionProcess];
    await wait(a.cache.signOut({ revoke: false }));
    await putBack(shelf, texts.at(-1));
    await clock.advance(LIFE);
    expect((await wait(join().cache.get())).value).toBe("at-1-3");
    expect(server.reused).toEqual([]);
    expect(await rejectionOf(wait(a.cache.get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
  });

  test("S6, C16: the record of the sign-out is deleted or cut short instead: a process with a function asks it", async () => {
    const { clock, server, shelf, processes, join, during: wait } = await rotated(1, {});
    const [a] = processes as [SessionProcess];
    let asked = 0;
    const slept = join({ source: () => (asked++, null) });
    expect((await wait(slept.cache.get())).value).toBe("at-1-1");
    await wait(a.cache.signOut({ revoke: false }));
    await shelf.clear();
    await clock.advance(LIFE);
    expect(await rejectionOf(wait(slept.cache.get()))).toMatchObject({ code: "ERR_NO_SESSION", status: 401 });
    expect(asked).toBe(1);
    expect(await rejectionOf(wait(a.cache.get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
    expect(server.presented).toEqual(["rt-1-0"]);
  });
});

/** Two processes that serve the second session, and the record of the end of the first one. */
async function signedInAgain(
  end: (fleet: Awaited<ReturnType<typeof rotated>>) => Promise<unknown>,
): Promise<Awaited<ReturnType<typeof rotated>> & { readonly ended: string }> {
  const fleet = await rotated(1);
  const { clock, server, shelf, processes, during: wait } = fleet;
  const [a, b] = processes as [SessionProcess, SessionProcess];
  await end(fleet);
  const ended = (await shelf.entry())!.value;
  await wait(a.cache.signIn(server.signInResponse()));
  await clock.advance(LIFE);
  await rejectionOf(wait(b.cache.get()));
  expect(new Set(await fleet.askAll())).toEqual(new Set(["at-2-1"]));
  return { ...fleet, ended };
}

describe("the record of an end, after the user has signed in again", () => {
  const ENDS: readonly [name: string, phase: string, end: (fleet: SessionFleet) => Promise<unknown>][] = [
    ["a sign-out", "1E", ({ processes, during: wait }) => wait(processes[0]!.cache.signOut({ revoke: false }))],
    [
      "a refusal",
      "1R",
      async ({ clock, server, processes, during: wait }) => {
        server.end();
        await clock.advance(LIFE);
        return rejectionOf(wait(processes[0]!.cache.get()));
      },
    ],
  ];

  test.each(ENDS)(
    "S6, C16: %s, to processes that know of the later sign-in: they go on with it, and write it over the old record",
    async (_, phase, end) => {
      const { clock, server, shelf, ended, askAll } = await signedInAgain(end);
      expect(ended.slice(0, 2)).toBe(phase);
      const sent = server.presented.length;
      for (const round of [2, 3, 4]) {
        await clock.advance(LIFE);
        await putBack(shelf, ended);
        expect(new Set(await askAll())).toEqual(new Set([`at-2-${round}`]));
        expect((await shelf.entry())!.value).toMatch(/^1T/);
      }
      expect(server.presented.slice(sent)).toEqual(["rt-2-1", "rt-2-2", "rt-2-3"]);
    },
  );

  test.each(ENDS)(
    "S6, C16: %s, to a process that has just started: the user has to sign in once more",
    async (_, __, end) => {
      const { server, shelf, ended, join, during: wait } = await signedInAgain(end);
      const sent = server.presented.length;
      await putBack(shelf, ended);
      const fresh = join();
      expect(await rejectionOf(wait(fresh.cache.get()))).toMatchObject({ status: 401 });
      expect(server.presented).toHaveLength(sent);
      await wait(fresh.cache.signIn(server.signInResponse()));
      expect((await wait(fresh.cache.get())).value).toBe("at-3-0");
    },
  );
});

test("S6, C9: the record of a mint that failed in one process, put back: a process that has not failed is served", async () => {
  const { clock, server, shelf, processes, during: wait } = await rotated(1);
  const [a, b] = processes as [SessionProcess, SessionProcess];
  await clock.advance(LIFE);
  a.grant.beforeSending = () => Promise.reject(Object.assign(new Error("down"), { status: 503 }));
  expect(await rejectionOf(wait(a.cache.get()))).toMatchObject({ code: "ERR_GRANT" });
  a.grant.beforeSending = undefined;
  const failed = (await shelf.entry())!.value;
  await clock.advance(60_000);
  await putBack(shelf, failed);
  expect((await wait(b.cache.get())).value).toBe("at-1-2");
  // Again, when the token in it has expired and what it presents is used up.
  await clock.advance(LIFE);
  await putBack(shelf, failed);
  expect((await wait(b.cache.get())).value).toBe("at-1-3");
  expect(server.presented).toEqual(["rt-1-0", "rt-1-1", "rt-1-2"]);
});

interface Pools extends Pick<SessionFleet, "clock" | "store" | "server"> {
  readonly start: () => PoolProcess;
  readonly wait: <T>(work: Promise<T>) => Promise<T>;
}

/** Pools whose users' refresh tokens stand in a table, as in a service with a database. */
function pools(table: Record<string, string | null> = {}, save = (_next: string): void => {}): Pools {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const server = new SessionServer();
  const start = (): PoolProcess =>
    poolProcess({ clock, store, server }, (user) => () => table[user] ?? null, {
      ...ENCRYPTED,
      members: { save },
    });
  return { clock, store, server, start, wait: (work) => during(clock, work) };
}

describe("Alice's record, under a key of the pool that Bob has now", () => {
  test("S6, C15: to processes that know of Bob's sign-in: no request of Bob's carries Alice's token, and Bob's record is there again", async () => {
    const table: Record<string, string | null> = {};
    const world = pools(table, (next) => void (table["sid"] = next));
    const { clock, server, start, wait } = world;
    const shelf = shelfOf(world);
    const [one, two] = [start(), start()] as const;
    await wait(one.pool.signIn("sid", server.signInResponse()));
    const alice = (await shelf.entry())!.value;
    await wait(one.pool.signIn("sid", server.signInResponse()));
    await wait(two.pool.get("sid").get());
    await putBack(shelf, alice);
    for (let round = 0; round < 3; round++) {
      for (const { pool } of [one, two]) {
        for (const token of await tokensOf(world, pool.get("sid"))) expect(token).toMatch(/^at-2-/);
      }
      await clock.advance(LIFE);
    }
    expect((await shelf.entry())!.value).not.toBe(alice);
    expect(server.presented.filter((token) => token.startsWith("rt-1-"))).toEqual([]);
    expect(await tokensOf(world, start().pool.get("sid"))).toEqual([expect.stringMatching(/^at-2-/)]);
  });

  test("S6, C15: to a process that has just started: Bob's requests carry Alice's token there, so a key must not be used for two sign-ins", async () => {
    const world = pools();
    const { server, start, wait } = world;
    const shelf = shelfOf(world);
    const one = start();
    await wait(one.pool.signIn("sid", server.signInResponse()));
    const alice = (await shelf.entry())!.value;
    await wait(one.pool.signIn("sid", server.signInResponse()));
    await putBack(shelf, alice);
    expect(await tokensOf(world, start().pool.get("sid"))).toEqual(["at-1-0"]);
    expect(await tokensOf(world, one.pool.get("sid"))).toEqual(["at-2-0"]);
  });

  test("S6, C15: and each sign-in had a key of its own: the record opens under Alice's key only, and Bob's process begins anew", async () => {
    const table: Record<string, string | null> = {};
    const world = pools(table);
    const { server, start, wait } = world;
    const shelf = shelfOf(world);
    const one = start();
    await wait(one.pool.signIn("sid-alice", server.signInResponse()));
    const [aliceKey] = shelf.keys as Set<string>;
    const alice = (await shelf.entry(aliceKey))!.value;
    await wait(one.pool.signIn("sid-bob", server.signInResponse()));
    const bobKey = [...shelf.keys].find((key) => key !== aliceKey)!;
    const { version } = (await shelf.entry(bobKey))!;
    await world.store.swap(bobKey, version, alice, HOUR);
    table["sid-bob"] = "rt-2-0";
    expect(await tokensOf(world, start().pool.get("sid-bob"))).toEqual(["at-2-1"]);
    expect(server.presented).toEqual(["rt-2-0"]);
  });
});

/** Two processes, the texts of leases that one of them has written, and the token both have. */
async function leased(): Promise<SessionFleet & { readonly leases: readonly string[]; readonly shelf: Shelf }> {
  const fleet = sessionFleet(2, ENCRYPTED);
  const shelf = shelfOf(fleet);
  const copies = copiesOf(fleet);
  for (let rotation = 0; rotation < 8; rotation++) {
    await fleet.askAll();
    await fleet.clock.advance(LIFE);
  }
  const leases = copies.filter((text) => text.startsWith("1L"));
  expect(leases.length).toBeGreaterThanOrEqual(8);
  return { ...fleet, leases, shelf };
}

/** Puts another old lease in place before every call to the store. @returns What ends it. */
function replayInTurn({ store, leases }: { readonly store: Store; readonly leases: readonly string[] }): () => void {
  const swap = store.swap.bind(store);
  let turn = 0;
  let isOn = true;
  store.swap = async (...args) => {
    const [key] = args;
    let version: string | undefined;
    for (let isPut = !isOn; !isPut;) {
      const put = await swap(key, version, leases[turn++ % leases.length], 90 * 24 * HOUR);
      isPut = put.ok;
      if (!put.ok) version = put.current?.version;
    }
    return swap(...args);
  };
  return () => void (isOn = false);
}

describe("old leases", () => {
  test("S6, C10: in turn before every call: callers fail with a retryable ERR_STORE within one time limit, and nothing used up is sent", async () => {
    const fleet = await leased();
    const { clock, server, processes } = fleet;
    const sent = server.presented.length;
    const stop = replayInTurn(fleet);
    const got = processes.map(({ cache }) => watch(cache.get()));
    await clock.advance(LONGEST_WAIT + 2000);
    for (const { state, reason } of got) {
      expect(state).toBe("rejected");
      expect(reason).toMatchObject({ code: "ERR_STORE", retryable: true, status: 503 });
    }
    expect(server.presented).toHaveLength(sent);
    stop();
    await clock.advance(LONGEST_WAIT);
    expect(new Set(await fleet.askAll())).toEqual(new Set(["at-1-9"]));
    expect(server.reused).toEqual([]);
  });

  test("S6, C3: in turn, while the token is valid: it is served until it expires", async () => {
    const fleet = await leased();
    const { clock, processes } = fleet;
    await fleet.askAll();
    replayInTurn(fleet);
    for (let passed = 0; passed < LIFE - 12_000; passed += 1000) {
      expect(processes.map(({ cache }) => cache.peek()?.value)).toEqual(["at-1-9", "at-1-9"]);
      await clock.advance(1000);
    }
    // From here on callers wait for a better one, though not for longer than it lives.
    expect(new Set(await fleet.askAll())).toEqual(new Set(["at-1-9"]));
  });

  test("S6, C14: the last one once, and nobody sends heartbeats: another process takes over when twice the lease has passed", async () => {
    const fleet = await leased();
    const { clock, server, shelf, leases, processes } = fleet;
    await putBack(shelf, leases.at(-1));
    // The lease never gets older, as PEXPIRE would have it.
    expireBy(fleet, () => 90 * 24 * HOUR);
    const [{ cache }] = processes as [SessionProcess];
    const got = watch(cache.get());
    await clock.advance(LONGEST_WAIT);
    expect(got.state).not.toBe("pending");
    expect((await fleet.during(cache.get())).value).toBe("at-1-9");
    expect(server.reused).toEqual([]);
  });

  test("S6, C10: of a grant without state, in turn before every call: callers have an answer within one time limit", async () => {
    const { clock, processes, store, grant } = fleetUnderTest({
      grant: fakeGrant({ key: "orders", expiresIn: 60 }),
      fleet: { encryptionKey: SECRET },
      size: 2,
    });
    const copies = copiesOf({ store });
    for (let round = 0; round < 4; round++) {
      const all = Promise.all(processes.map(({ cache }) => cache.get()));
      await clock.advance(1000);
      await all;
      await clock.advance(60_000);
    }
    replayInTurn({ store, leases: copies.filter((text) => text.startsWith("1L")) });
    const got = processes.map(({ cache }) => watch(cache.get()));
    await clock.advance(LONGEST_WAIT);
    expect(got.map(({ reason }) => reason)).toEqual([
      expect.objectContaining({ code: "ERR_STORE", retryable: true }),
      expect.objectContaining({ code: "ERR_STORE", retryable: true }),
    ]);
    expect(grant.mints).toBe(4);
  });
});

describe("a record that PEXPIRE makes look younger or older", () => {
  test("S6, E5: younger, with an expired token in it: the API's 401 ends it, with one mint", async () => {
    const fleet = await rotated(1);
    const { clock, server, join } = fleet;
    await clock.advance(LIFE + 1000);
    expireBy(fleet, () => 90 * 24 * HOUR);
    const { cache } = join();
    expect(await tokensOf(fleet, cache, (token) => token !== "at-1-1")).toEqual(["at-1-1", "at-1-2"]);
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
  });

  test("S6, E5: older, with a valid token in it: one more mint, with the refresh token of the record", async () => {
    const fleet = await rotated(1);
    const { server, join, during: wait } = fleet;
    expireBy(fleet, (ttl) => ttl - LIFE);
    expect((await wait(join().cache.get())).value).toBe("at-1-2");
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
  });

  test("S6: to the engine's longest and to none at all: nothing is thrown but what callers know", async () => {
    for (const ttl of [Number.MAX_SAFE_INTEGER, 0, -1, -2]) {
      const fleet = await rotated(1);
      const { clock, server, join, during: wait } = fleet;
      await clock.advance(LIFE + 1000);
      expireBy(fleet, () => ttl);
      const outcome = await wait(join().cache.get()).then(
        ({ value }) => value,
        (error: { code: string }) => error.code,
      );
      expect(["at-1-1", "at-1-2"]).toContain(outcome);
      expect(server.reused).toEqual([]);
    }
  });
});

describe("a record that was changed", () => {
  const CHANGES: readonly [name: string, change: (text: string) => string][] = [
    ["phase T became L", (text) => text.replace(/^1T/, "1L")],
    ["phase T became R", (text) => text.replace(/^1T/, "1R")],
    ["phase T became E", (text) => text.replace(/^1T/, "1E")],
    ["phase T became a letter that is none", (text) => text.replace(/^1T/, "1X")],
    ["the version became 01", (text) => `0${text}`],
    ["cut after the clear part", (text) => text.slice(0, text.indexOf(".") + 1)],
    ["cut in the middle", (text) => text.slice(0, text.length / 2)],
    ["cut by one character", (text) => text.slice(0, -1)],
    ["one character longer", (text) => `${text}A`],
    ["twice", (text) => text + text],
    ["empty", () => ""],
  ];

  test.each(CHANGES)(
    "S6: %s: it is replaced by one mint, with the refresh token that the processes know",
    async (_, change) => {
      const { clock, server, shelf, texts, askAll } = await rotated(2);
      await putBack(shelf, change(texts.at(-1)!));
      await clock.advance(LIFE);
      expect(new Set(await askAll())).toEqual(new Set(["at-1-3"]));
      expect(server.presented).toEqual(["rt-1-0", "rt-1-1", "rt-1-2"]);
      expect(clear((await shelf.entry())!.value)).toBe(clear(texts[0]));
    },
  );

  test("S6, C16: the record of a sign-out, whose phase became T: it does not open, and a process with a function asks it", async () => {
    const { server, shelf, processes, join, during: wait } = await rotated(1);
    await wait(processes[0]!.cache.signOut({ revoke: false }));
    const ended = (await shelf.entry())!.value;
    expect(ended).toMatch(/^1E/);
    await putBack(shelf, ended.replace(/^1E/, "1T"));
    const error = await rejectionOf(wait(join({ source: () => null }).cache.get()));
    expect(error).toMatchObject({ code: "ERR_NO_SESSION", status: 401 });
    expect(server.presented).toEqual(["rt-1-0"]);
  });

  const UNREADABLE: readonly [name: string, change: (text: string) => string, hint: string][] = [
    ["the id of another key", (text) => text.replace(/^1T[^.]+/, "1TAAAAAAAA"), "key id AAAAAAAA"],
    ["a newer version", (text) => text.replace(/^1/, "2"), "record version 2"],
    ["the newest version there can be", (text) => text.replace(/^1/, "9999"), "record version 9999"],
  ];

  test.each(UNREADABLE)(
    "S6, C14: %s: callers with a refresh token get ERR_STORE and its hint, until the record is back or the user signs in",
    async (_, change, hint) => {
      const { clock, server, shelf, texts, processes, during: wait } = await rotated(2);
      const [a, b] = processes as [SessionProcess, SessionProcess];
      await putBack(shelf, change(texts.at(-1)!));
      await clock.advance(LIFE);
      for (const { cache } of [a, b]) {
        const error = await rejectionOf(wait(cache.get()));
        expect(error).toMatchObject({ code: "ERR_STORE", retryable: true, hint: expect.stringContaining(hint) });
      }
      expect((await shelf.entry())!.value).toBe(change(texts.at(-1)!));
      expect(server.presented).toHaveLength(2);
      await wait(a.cache.signIn(server.signInResponse()));
      expect((await wait(a.cache.get())).value).toBe("at-2-0");
      expect(clear((await shelf.entry())!.value)).toBe(`1T${await sealsOf(SECRET)[0]!.id()}`);
    },
  );

  test.each(UNREADABLE)(
    "S6: %s, of a grant without state: each process mints for itself, and says so",
    async (_, change) => {
      const { clock, processes, store, grant } = fleetUnderTest({
        grant: fakeGrant({ key: "orders", expiresIn: 60 }),
        fleet: { encryptionKey: SECRET },
        size: 2,
      });
      Object.defineProperty(grant, "signIn", { value: undefined });
      const shelf = shelfOf({ store });
      const ask = async (): Promise<void> => {
        const all = Promise.all(processes.map(({ cache }) => cache.get()));
        await clock.advance(1000);
        await all;
      };
      await ask();
      await shelf.put(change((await shelf.entry())!.value));
      await clock.advance(60_000);
      await ask();
      expect(grant.mints).toBe(3);
      for (const process of processes) expect(countEvents(process, "store-failed")).toBeGreaterThan(0);
    },
  );
});

test("S6, C16: the record of before a sign-out, to a process that knows of it: the end is written over it", async () => {
  const { clock, shelf, texts, processes, join, during: wait } = await rotated(2);
  const [a] = processes as [SessionProcess];
  await wait(a.cache.signOut({ revoke: false }));
  await putBack(shelf, texts[1]);
  await clock.advance(2000);
  await rejectionOf(wait(a.cache.get()));
  expect((await shelf.entry())!.value).toMatch(/^1E/);
  expect(await rejectionOf(wait(join().cache.get()))).toMatchObject({ status: 401 });
});

test("S6, C14: a copy whose access token is still valid, to a process that has rotated since: its own is written over it", async () => {
  const { clock, server, shelf, texts, processes, during: wait } = await rotated(1);
  const [{ cache }] = processes as [SessionProcess];
  await cache.invalidate("at-1-1");
  expect((await wait(cache.get())).value).toBe("at-1-2");
  await putBack(shelf, texts[0]);
  // The soft window of at-1-2.
  await clock.advance(LIFE - 40_000);
  cache.peek();
  await clock.advance(1000);
  expect(cache.peek()?.value).not.toBe("at-1-1");
  expect((await shelf.entry())!.value).not.toBe(texts[0]);
  expect(server.reused).toEqual([]);
});
