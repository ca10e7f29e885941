/** Which session the fleet uses if its processes start with different refresh tokens, and sessions that the server refuses. */
import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { fleetStore, memoryStore } from "../../src/fleet/index.ts";
import { createTokenCache, refreshTokenGrant } from "../../src/index.ts";
import { rejectionOf, watch } from "../core/cache-under-test.ts";
import { FIRST, startRotatingServer } from "../grants/rotating-server.ts";
import { ORIGIN, TARGET } from "./fleet-under-test.ts";
import { shelfOf, writesTo } from "./records.ts";
import { sessionFleet, type ProcessOptions, type SessionFleet, type SessionProcess } from "./session-server.ts";

const LIFE = 300_000;
const REFUSED = { code: "ERR_TOKEN_ENDPOINT", error: "invalid_grant", terminal: true };

/** Starts two processes with the first sign-in. They have rotated twice. */
async function signedIn(): Promise<SessionFleet & { a: SessionProcess; b: SessionProcess }> {
  const fleet = sessionFleet(2);
  const [a, b] = fleet.processes as [SessionProcess, SessionProcess];
  await fleet.askAll();
  await fleet.clock.advance(LIFE);
  await fleet.askAll();
  expect(fleet.server.presented).toEqual(["rt-1-0", "rt-1-1"]);
  return { ...fleet, a, b };
}

/** The same, and the server has ended the session, and process `a` was refused. */
async function refused(): ReturnType<typeof signedIn> {
  const fleet = await signedIn();
  fleet.server.end();
  await fleet.clock.advance(LIFE);
  await expect(fleet.during(fleet.a.cache.get())).rejects.toMatchObject(REFUSED);
  expect(fleet.server.presented).toHaveLength(3);
  return fleet;
}

describe("a process that starts", () => {
  test("with the first refresh token, which was rotated since: it uses the refresh token in the record", async () => {
    const { clock, server, join, seed, during } = await signedIn();
    const late = join({ source: seed });
    expect((await during(late.cache.get())).value).toBe("at-1-2");
    await clock.advance(LIFE);
    expect((await during(late.cache.get())).value).toBe("at-1-3");
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1", "rt-1-2"]);
  });

  test.each([0, 1])(
    "with the refresh token that onRotate saved %i rotations ago: it belongs to the same session",
    async (ago) => {
      const { clock, server, join, during } = await signedIn();
      for (let rotations = 0; rotations < 20; rotations++) {
        const source = server.live()!;
        const late = join({ source });
        if (ago === 1) {
          await clock.advance(LIFE);
          await during(join({ source }).cache.get());
        }
        expect((await during(late.cache.get())).value).toBe(`at-1-${2 + (rotations + 1) * ago}`);
      }
      expect(server.reused).toEqual([]);
      expect(server.live()).toBeDefined();
    },
  );

  test.each([9, 20])(
    "with a refresh token that is %i rotations old, as a string or of a function: it is no new sign-in",
    async (rotations) => {
      const { clock, server, join, seed, a, during } = await signedIn();
      for (let count = 2; count < rotations; count++) {
        await clock.advance(LIFE);
        await during(a.cache.get());
      }
      for (const source of [seed, () => seed]) {
        expect((await during(join({ source }).cache.get())).value).toBe(`at-1-${rotations}`);
      }
      await clock.advance(LIFE);
      expect((await during(join({ source: () => seed }).cache.get())).value).toBe(`at-1-${rotations + 1}`);
      expect(server.reused).toEqual([]);
    },
  );

  test("C16: with the refresh token of another sign-in that nobody has said: the session of the record goes on", async () => {
    const { clock, server, join, a, during } = await signedIn();
    const other = server.signIn();
    for (const source of [other, () => other]) {
      expect((await during(join({ source }).cache.get())).value).toBe("at-1-2");
    }
    await clock.advance(LIFE);
    expect((await during(join({ source: other }).cache.get())).value).toBe("at-1-3");
    expect((await during(a.cache.get())).value).toBe("at-1-3");
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1", "rt-1-2"]);
    expect(server.live(2)).toBe(other);
  });
});

describe("a sign-in", () => {
  const alice = { access_token: "alice", expires_in: 3600 };

  test.each<[string, ProcessOptions["initial"]]>([
    ["token", alice],
    ["function", async () => alice],
  ])(
    "in place of which the process has an initial %s of the session before: that is not served",
    async (_, initial) => {
      const { server, clock, during, join } = sessionFleet(0);
      const { cache } = join({ initial });
      await during(cache.signIn({ access_token: "bob", refresh_token: server.signIn(), expires_in: 60 }));
      expect((await during(cache.get())).value).toBe("bob");
      await clock.advance(60_000);
      expect((await during(cache.get())).value).toBe("at-2-1");
    },
  );

  test("while the process asks its `initial` function: what it answers is not served to the new session", async () => {
    const { server, clock, during, join } = sessionFleet(0);
    let answer!: (token: typeof alice) => void;
    const { cache } = join({ initial: () => new Promise((resolve) => (answer = resolve)) });
    const before = watch(cache.get());
    await clock.advance(100);
    await during(cache.signIn({ access_token: "bob", refresh_token: server.signIn(), expires_in: 60 }));
    answer(alice);
    await clock.advance(1000);
    expect(before.value?.value).not.toBe("alice");
    expect((await during(cache.get())).value).toBe("bob");
    await clock.advance(60_000);
    expect((await during(cache.get())).value).toBe("at-2-1");
  });

  test.each<[string, ProcessOptions["initial"]]>([
    ["token", alice],
    ["function", async () => alice],
  ])(
    "in another process, whose token has expired: this one, with an initial %s, mints for the new session",
    async (_, initial) => {
      const { server, clock, during, join } = sessionFleet(0);
      await during(join().cache.signIn({ access_token: "bob", refresh_token: server.signIn(), expires_in: 60 }));
      await clock.advance(60_000);
      const late = join({ initial });
      expect((await during(late.cache.get())).value).toBe("at-2-1");
      expect((await during(join().cache.get())).value).toBe("at-2-1");
    },
  );

  test("in another process, while this one asks its `initial` function", async () => {
    const { server, clock, during, join } = sessionFleet(0);
    let answer!: (token: typeof alice) => void;
    const { cache } = join({ initial: () => new Promise((resolve) => (answer = resolve)) });
    const other = join();
    const before = watch(cache.get());
    await clock.advance(100);
    await during(other.cache.signIn({ access_token: "bob", refresh_token: server.signIn(), expires_in: 300 }));
    answer(alice);
    await clock.advance(3000);
    expect(before.value?.value).not.toBe("alice");
    expect((await during(cache.get())).value).toBe("bob");
  });

  test("C16: in one process: that one uses the new session at once, the others when they look", async () => {
    const { clock, server, join, a, b, during } = await signedIn();
    const fresh = join();
    await during(fresh.cache.signIn(server.signInResponse()));
    expect(fresh.cache.peek()?.value).toBe("at-2-0");
    // A process with a valid token serves it until it looks.
    expect((await a.cache.get()).value).toBe("at-1-2");
    await clock.advance(LIFE);
    for (const { cache } of [a, b]) {
      expect(await rejectionOf(during(cache.get()))).toMatchObject({ code: "ERR_SESSION", retryable: true });
    }
    const values = await during(Promise.all([a, b, fresh].map(async ({ cache }) => (await cache.get()).value)));
    expect(values).toEqual(["at-2-1", "at-2-1", "at-2-1"]);
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1", "rt-2-0"]);
  });

  test("C16: 12 times: a process with the first sign-in does not bring the first session back", async () => {
    const { server, clock, join, a, during } = await signedIn();
    for (let signIns = 0; signIns < 12; signIns++) await during(join().cache.signIn(server.signInResponse()));
    await clock.advance(LIFE);
    // The caller began to wait under the first session.
    expect(await rejectionOf(during(a.cache.get()))).toMatchObject({ code: "ERR_SESSION", retryable: true });
    expect((await during(a.cache.get())).value).toBe("at-13-1");
    expect(server.live(13)).toBe("rt-13-1");
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1", "rt-13-0"]);
  });

  test("C15: while another process rotates the old session: its callers fail, and what it got is revoked", async () => {
    const { server, clock, join, a, b, during } = await signedIn();
    await clock.advance(LIFE);
    let release!: () => void;
    a.grant.beforeAnswering = () => new Promise<void>((resolve) => void (release = resolve));
    const old = rejectionOf(a.cache.get());
    await clock.advance(100);
    await during(join().cache.signIn(server.signInResponse()));
    release();
    expect(await during(old)).toMatchObject({ code: "ERR_SESSION", retryable: true, status: 503 });
    await clock.advance(100);
    expect(server.revoked).toEqual(["rt-1-3", "at-1-3"]);
    expect((await during(a.cache.get())).value).toBe("at-2-0");
    await clock.advance(LIFE);
    expect(await rejectionOf(during(b.cache.get()))).toMatchObject({ code: "ERR_SESSION" });
    expect((await during(b.cache.get())).value).toBe("at-2-1");
    expect(server.reused).toEqual([]);
  });

  test("C16: the record contains no refresh token except in its state", async () => {
    const fleet = sessionFleet(1);
    const writes = writesTo(fleet);
    await fleet.askAll();
    await fleet.during(fleet.processes[0]!.cache.signIn(fleet.server.signInResponse()));
    await fleet.clock.advance(LIFE);
    await fleet.askAll();
    const { state, ...rest } = writes.at(-1)!;
    expect(state).toMatch(/^rt-2-/);
    expect(JSON.stringify(rest)).not.toContain("rt-");
  });
});

describe("a session that the server refuses", () => {
  test("C9: for 48 hours every process that knows of it gets the refusal, without another request", async () => {
    const { clock, server, a, b, during } = await refused();
    for (let hours = 0; hours < 48; hours++) {
      for (const { cache } of [a, b]) expect(await rejectionOf(during(cache.get()))).toMatchObject(REFUSED);
      await clock.advance(3_600_000);
    }
    expect(server.presented).toHaveLength(3);
  });

  test("C9: a process that starts within the hour gets the refusal from the record; a later one asks once, for all", async () => {
    const { clock, server, join, seed, a, b, during } = await refused();
    await clock.advance(3_500_000);
    expect(await rejectionOf(during(join({ source: seed }).cache.get()))).toMatchObject(REFUSED);
    expect(server.presented).toHaveLength(3);
    await clock.advance(200_000);
    for (let starts = 0; starts < 3; starts++) {
      expect(await rejectionOf(during(join({ source: seed }).cache.get()))).toMatchObject(REFUSED);
    }
    for (const { cache } of [a, b]) expect(await rejectionOf(during(cache.get()))).toMatchObject(REFUSED);
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1", "rt-1-2", "rt-1-0"]);
  });

  test("C9: a process that knows of it asks the store and its function at most once a second", async () => {
    const { clock, server, join, during } = await refused();
    let asked = 0;
    const c = join({ source: () => (asked++, "rt-1-2") });
    await rejectionOf(during(c.cache.get()));
    [c.store.calls, asked] = [0, 0];
    const since = clock.monotonic();
    while (clock.monotonic() < since + 60_000) {
      expect(await rejectionOf(during(c.cache.get()))).toMatchObject(REFUSED);
      await clock.advance(50);
    }
    expect(c.store.calls).toBeLessThanOrEqual(61);
    expect(asked).toBeLessThanOrEqual(61);
    expect(asked).toBeGreaterThan(20);
    expect(server.presented).toHaveLength(3);
  });

  test("C9: the user signs in again: processes that knew of the refusal use the new session within two seconds", async () => {
    const { clock, server, join, a, b, during } = await refused();
    for (const { cache } of [a, b]) await rejectionOf(during(cache.get()));
    await during(join().cache.signIn(server.signInResponse()));
    await clock.advance(1500);
    for (const { cache } of [a, b]) expect((await cache.get()).value).toBe("at-2-0");
    expect(server.presented).toHaveLength(3);
  });

  test("C9: the function of one process has another refresh token: the session goes on in every process", async () => {
    for (const isLate of [false, true]) {
      const { clock, server, join, a, b, during } = await refused();
      for (const { cache } of [a, b]) await rejectionOf(during(cache.get()));
      let saved = "rt-1-2";
      const c = join({ source: () => saved });
      expect(await rejectionOf(during(c.cache.get()))).toMatchObject(REFUSED);
      // The record of the refusal is gone in the second case. The process remembers it.
      await clock.advance(isLate ? 7_200_000 : 2000);
      expect(await rejectionOf(during(c.cache.get()))).toMatchObject(REFUSED);
      expect(server.presented).toHaveLength(3);
      saved = server.signIn();
      await clock.advance(1500);
      expect((await during(c.cache.get())).value).toBe("at-2-1");
      await clock.advance(1500);
      for (const { cache } of [a, b]) expect((await during(cache.get())).value).toBe("at-2-1");
      expect(server.presented).toEqual(["rt-1-0", "rt-1-1", "rt-1-2", "rt-2-0"]);
    }
  });

  test("C9: a process starts with another refresh token: the session goes on from that one in every process", async () => {
    const { clock, server, join, a, b, during } = await refused();
    for (const { cache } of [a, b]) await rejectionOf(during(cache.get()));
    expect((await during(join({ source: server.signIn() }).cache.get())).value).toBe("at-2-1");
    await clock.advance(1500);
    for (const { cache } of [a, b]) expect((await during(cache.get())).value).toBe("at-2-1");
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1", "rt-1-2", "rt-2-0"]);
  });

  test("C9: a background refresh learns of it: the valid token is served, then no request is made at expiry or a 401", async () => {
    for (const rejects of [false, true]) {
      const { clock, server, join, seed, a, b, during } = await signedIn();
      await clock.advance(a.cache.peek()!.expiresAt - 50_000 - clock.now());
      server.end();
      expect(a.cache.peek()!.value).toBe("at-1-2");
      await clock.advance(1000);
      expect(server.presented).toHaveLength(3);
      // The token is served until it expires, also by a process that has just started.
      const late = join({ source: seed });
      for (const { cache } of [a, b, late]) expect((await during(cache.get())).value).toBe("at-1-2");
      if (!rejects) await clock.advance(60_000);
      for (const { cache } of [a, b, late]) {
        const token = cache.peek();
        const call: Promise<unknown> =
          token === undefined ? cache.get() : policyHalf(cache).rejected(token, TARGET)!.next();
        expect(await rejectionOf(during(call))).toMatchObject(REFUSED);
      }
      expect(server.presented).toHaveLength(3);
      const fresh = join();
      await during(fresh.cache.signIn(server.signInResponse()));
      await clock.advance(1500);
      for (const { cache } of [a, b, late, fresh]) expect((await during(cache.get())).value).toBe("at-2-0");
    }
  });

  test("C9: the record says that the state is refused, and what the server said", async () => {
    const fleet = sessionFleet(1);
    const shelf = shelfOf(fleet);
    const [a] = fleet.processes as [SessionProcess];
    await fleet.askAll();
    fleet.server.end();
    await fleet.clock.advance(LIFE);
    await rejectionOf(fleet.during(a.cache.get()));
    const { phase, refused: what, ttl } = (await shelf.record())!;
    expect([phase, what?.failure.error, ttl]).toEqual(["R", "invalid_grant", 3_600_000]);
  });
});

describe("refreshTokenGrant with a store", () => {
  test("three caches, three rotations: onRotate is called once per rotation", async () => {
    const { auth, presented } = await startRotatingServer();
    const store = memoryStore();
    const saved: string[] = [];
    const cacheOf = (first: string): ReturnType<typeof createTokenCache> =>
      createTokenCache({
        origins: [ORIGIN],
        store: fleetStore(store, { encryptionKey: "none" }),
        grant: refreshTokenGrant({
          tokenEndpoint: auth.tokenEndpoint,
          clientId: "portal",
          clientAuthentication: "none",
          key: "user-1",
          refreshToken: first,
          onRotate: (next, { replaced }) => void saved.push(`${replaced} ${next}`),
        }),
      });
    const caches = [FIRST, FIRST, FIRST].map(cacheOf);
    for (let round = 1; round <= 3; round++) {
      const tokens = await Promise.all(caches.map((cache) => cache.get()));
      expect(new Set(tokens.map(({ value }) => value))).toEqual(new Set([`at-${round}`]));
      await Promise.all(caches.map((cache, i) => cache.invalidate(tokens[i]!.value)));
    }
    expect(presented).toEqual([FIRST, "rt-1-next", "rt-2-next"]);
    expect(saved).toEqual([`${FIRST} rt-1-next`, "rt-1-next rt-2-next", "rt-2-next rt-3-next"]);
  });
});
