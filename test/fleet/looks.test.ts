/** How a process learns that a session is over elsewhere: `maxStaleness`, unfinished sign-outs, and `describe` for operators. */
import { describe, expect, test } from "vitest";
import { inspect } from "node:util";
import { rejectionOf, watch } from "../core/cache-under-test.ts";
import { fleetUnderTest, type Process } from "./fleet-under-test.ts";
import { poolProcess, sessionFleet, type SessionFleet, type SessionProcess } from "./session-server.ts";

const LIFE = 300_000;

/** Two processes that serve one session. */
async function signedIn(maxStaleness?: number): Promise<SessionFleet & { a: SessionProcess; b: SessionProcess }> {
  const fleet = sessionFleet(2, { fleet: { maxStaleness } });
  await fleet.askAll();
  const [a, b] = fleet.processes as [SessionProcess, SessionProcess];
  return { ...fleet, a, b };
}

describe("maxStaleness", () => {
  test("C16: 5 s, and a sign-out elsewhere: a process that is asked all the time serves nobody after 5 s", async () => {
    const { clock, a, b, during } = await signedIn(5000);
    await clock.advance(7000);
    await during(b.cache.get());
    await during(a.cache.signOut());
    for (let ms = 0; ms < 5000; ms += 100) {
      b.cache.peek();
      await clock.advance(100);
    }
    expect(b.cache.peek()).toBeUndefined();
    expect(await rejectionOf(during(b.cache.get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
  });

  test("C16: 5 s, and a process that was not asked for a minute: it looks before it serves", async () => {
    const { clock, a, b, during } = await signedIn(5000);
    await during(a.cache.signOut());
    await clock.advance(60_000);
    expect(b.cache.peek()).toBeUndefined();
    expect(await rejectionOf(during(b.cache.get()))).toMatchObject({ code: "ERR_SESSION" });
  });

  test("C16: 5 s, and a sign-in elsewhere: the other process serves the new session after 5 s", async () => {
    const { clock, server, a, b, during } = await signedIn(5000);
    await during(a.cache.signIn(server.signInResponse()));
    await clock.advance(5000);
    const first = during(b.cache.get()).catch((error: unknown) => error);
    expect(await first).toMatchObject({ code: "ERR_SESSION", retryable: true });
    expect((await during(b.cache.get())).value).toBe("at-2-0");
  });

  test("C1: 5 s, for the life of a token: the same token object, one call for each 2.5 s, one mint, and no events", async () => {
    const { clock, server, a, b, during } = await signedIn(5000);
    const token = await during(b.cache.get());
    const calls = b.store.calls;
    const events = b.events.length;
    for (let ms = 0; ms < LIFE - 90_000; ms += 50) {
      // A caller never waits: the look is made while the token is served.
      expect(b.cache.peek()).toBe(token);
      await clock.advance(50);
    }
    const looks = (LIFE - 90_000) / 2500;
    expect(b.store.calls - calls).toBeGreaterThan(0.8 * looks);
    expect(b.store.calls - calls).toBeLessThanOrEqual(looks + 1);
    expect(b.events.slice(events)).toEqual([]);
    expect(server.presented).toEqual(["rt-1-0"]);
    // At its end the token is refreshed as ever.
    await clock.advance(LIFE);
    expect((await during(b.cache.get())).value).toBe("at-1-2");
    expect((await during(a.cache.get())).value).toBe("at-1-2");
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
  });

  test("C3: 5 s, in the soft window of the token itself: it is refreshed once, by one process", async () => {
    const { clock, server, a, b } = await signedIn(5000);
    for (let ms = 0; ms < LIFE; ms += 100) {
      for (const { cache } of [a, b]) expect(cache.peek()).toBeDefined();
      await clock.advance(100);
    }
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
  });

  test("C16: the store is away for longer than maxStaleness: ERR_STORE, and the session goes on when it is back", async () => {
    const { clock, b, during } = await signedIn(5000);
    b.store.fault = () => Promise.reject(new Error("down"));
    for (let ms = 0; ms < 3500; ms += 100) {
      expect(b.cache.peek()).toBeDefined();
      await clock.advance(100);
    }
    await clock.advance(1600);
    expect(b.cache.peek()).toBeUndefined();
    expect(await rejectionOf(during(b.cache.get()))).toMatchObject({ code: "ERR_STORE", retryable: true });
    b.store.fault = undefined;
    await clock.advance(20_000);
    expect((await during(b.cache.get())).value).toBe("at-1-1");
  });

  test("C16: the same of a function that may be repeated: the store is away, and nothing is minted for a session that may be over", async () => {
    const { processes, clock, grant } = fleetUnderTest({ size: 1, fleet: { maxStaleness: 5000 } });
    const [{ cache, store }] = processes as [Process];
    const first = watch(cache.get());
    await clock.advance(100);
    expect(first.state).toBe("fulfilled");
    store.fault = () => Promise.reject(new Error("down"));
    await clock.advance(6000);
    const second = watch(cache.get());
    await clock.advance(1000);
    expect(second).toMatchObject({ state: "rejected", reason: { code: "ERR_STORE" } });
    expect(grant.mints).toBe(1);
  });

  test("C1: without it, a warm process makes no call", async () => {
    const { clock, b } = await signedIn();
    const { calls } = b.store;
    for (let ms = 0; ms < LIFE - 90_000; ms += 1000) {
      expect(b.cache.peek()).toBeDefined();
      await clock.advance(1000);
    }
    expect(b.store.calls).toBe(calls);
  });

  test.each([0, -1, Number.NaN, "5s"])("C16: a maxStaleness of %s: a TypeError that names the option", (value) => {
    expect(() => sessionFleet(1, { fleet: { maxStaleness: value as number } })).toThrow(/"maxStaleness"/);
  });
});

describe("a sign-out whose process dies before the revocation", () => {
  test("C16: the next process that looks revokes what the record holds, once, and not while the sign-out may be at it", async () => {
    const { clock, server, a, b, join, during } = await signedIn();
    const revoke = server.revoke.bind(server);
    server.revoke = () => {
      throw new Error("killed");
    };
    await rejectionOf(during(a.cache.signOut()));
    server.revoke = revoke;
    await clock.advance(1000);
    await clock.advance(LIFE);
    const before = server.revoked.length;
    expect(await rejectionOf(during(b.cache.get()))).toMatchObject({ code: "ERR_SESSION" });
    await clock.advance(1000);
    expect(server.revoked.slice(before)).toEqual(["rt-1-1", "at-1-1"]);
    expect(await rejectionOf(during(join().cache.get()))).toMatchObject({ code: "ERR_SESSION" });
    await clock.advance(1000);
    expect(server.revoked.slice(before)).toEqual(["rt-1-1", "at-1-1"]);
  });

  test("C16: a mint elsewhere lands after a sign-out, and its revocation fails: the record keeps what it brought, and the next look revokes it", async () => {
    const { clock, server, a, b, join, during } = await signedIn();
    await clock.advance(LIFE);
    let answer!: () => void;
    b.grant.beforeAnswering = () => new Promise<void>((resolve) => void (answer = resolve));
    watch(b.cache.get());
    await clock.advance(100);
    await during(a.cache.signOut());
    const revoke = server.revoke.bind(server);
    server.revoke = () => {
      throw new Error("down");
    };
    answer();
    await clock.advance(1000);
    server.revoke = revoke;
    expect(server.revoked).not.toContain("rt-1-2");
    await clock.advance(30_000);
    expect(await rejectionOf(during(join().cache.get()))).toMatchObject({ code: "ERR_SESSION" });
    await clock.advance(1000);
    expect(server.revoked).toEqual(expect.arrayContaining(["rt-1-2", "at-1-2"]));
  });

  test("C16: a sign-in replaces the record of a sign-out that could not revoke: it revokes what was left", async () => {
    const { clock, server, a, b, during } = await signedIn();
    const revoke = server.revoke.bind(server);
    server.revoke = () => {
      throw new Error("down");
    };
    await rejectionOf(during(a.cache.signOut()));
    server.revoke = revoke;
    const before = server.revoked.length;
    await during(b.cache.signIn(server.signInResponse()));
    await clock.advance(1000);
    expect(server.revoked.slice(before)).toEqual(["rt-1-1", "at-1-1"]);
    expect((await during(b.cache.get())).value).toMatch(/^at-2-/);
  });

  test("C16: the store grants a lease while the user signs out, and fails before the sign-out is stored: nothing is served here", async () => {
    const { clock, a, during } = await signedIn();
    const { cache, store } = a;
    let answer!: () => void;
    const arrived = new Promise<void>((resolve) => (answer = resolve));
    await clock.advance(LIFE);
    store.fault = async (swap) => {
      const result = await swap();
      await arrived;
      return result;
    };
    watch(cache.get());
    await clock.advance(1);
    store.fault = () => Promise.reject(new Error("down"));
    const out = rejectionOf(during(cache.signOut()));
    answer();
    expect(await out).toMatchObject({ code: "ERR_STORE" });
    store.fault = undefined;
    await clock.advance(30_000);
    expect(await rejectionOf(during(cache.get()))).toMatchObject({ code: "ERR_SESSION", status: 401 });
  });

  test("C16: close() while a sign-in is being stored: it waits until that is done", async () => {
    const { clock, server, a, b, during } = await signedIn();
    let answer!: () => void;
    const arrived = new Promise<void>((resolve) => (answer = resolve));
    a.store.fault = async (swap) => {
      await arrived;
      return swap();
    };
    watch(a.cache.signIn(server.signInResponse()));
    const closing = watch(a.cache.close());
    await clock.advance(1000);
    expect(closing.state).toBe("pending");
    answer();
    await clock.advance(1000);
    expect(closing.state).toBe("fulfilled");
    await clock.advance(LIFE);
    await rejectionOf(during(b.cache.get()));
    expect((await during(b.cache.get())).value).toMatch(/^at-2-/);
  });

  test("C16: a process that looks at once does not revoke beside it", async () => {
    const { clock, join, during } = await signedIn();
    let calls = 0;
    let finish!: () => void;
    const gate = new Promise<void>((resolve) => (finish = resolve));
    const members = {
      revoke: async () => {
        calls++;
        await gate;
      },
    };
    const [leaving, other] = [join({ members }), join({ members })];
    await during(leaving.cache.get());
    const out = watch(leaving.cache.signOut());
    await clock.advance(100);
    expect(await rejectionOf(during(other.cache.get()))).toMatchObject({ code: "ERR_SESSION" });
    await clock.advance(2000);
    expect(await rejectionOf(during(other.cache.get()))).toMatchObject({ code: "ERR_SESSION" });
    expect(calls).toBe(1);
    finish();
    await clock.advance(1000);
    expect([out.state, calls]).toEqual(["fulfilled", 1]);
  });
});

describe("describe(key) of a pool", () => {
  test("C14: cold, minting, at rest, refused, signed out and unreadable: the phase, and never a secret", async () => {
    const fleet = sessionFleet(0);
    const { clock, server } = fleet;
    const one = poolProcess(fleet, () => server.signIn());
    const key = "ada";
    const seen: unknown[] = [];
    const look = async (): Promise<Record<string, unknown>> => {
      const found = await one.pool.describe(key);
      seen.push(found);
      return { ...found };
    };
    const { record, ...cold } = await look();
    expect(record).toMatch(/^remint:\{[\w-]{40}\}$/);
    expect(cold).toEqual({ phase: "absent" });
    let answer!: () => void;
    one.grants.get(key)!.beforeAnswering = () => new Promise<void>((resolve) => void (answer = resolve));
    watch(one.pool.get(key).get());
    await clock.advance(3000);
    const minting = await look();
    expect(minting).toMatchObject({ record, phase: "minting", holder: expect.stringMatching(/^\w+$/) });
    answer();
    await clock.advance(1000);
    const token = await look();
    expect(token).toMatchObject({ record, phase: "token", age: 1000 });
    expect(token["version"]).not.toBe(minting["version"]);
    expect(token["expiresIn"]).toBeGreaterThan(0);
    expect(token["expiresIn"]).toBeLessThanOrEqual(LIFE);
    expect(token["ttl"]).toBeGreaterThan(LIFE);
    one.grants.get(key)!.beforeAnswering = undefined;
    server.end();
    await clock.advance(LIFE);
    watch(one.pool.get(key).get());
    await clock.advance(1000);
    expect(await look()).toMatchObject({ record, phase: "refused" });
    await one.pool.signOut(key, { revoke: false });
    expect(await look()).toMatchObject({ record, phase: "signed-out" });
    const { current } = (await fleet.store.swap(record as string, "?", undefined, 1)) as {
      current: { version: string };
    };
    await fleet.store.swap(record as string, current.version, "9Tother.AAAA", 1000);
    expect(await look()).toMatchObject({ record, phase: "unreadable" });
    const printed = inspect(seen, { depth: 9, showHidden: true });
    expect(printed).not.toMatch(/rt-|at-/);
    await one.pool.close();
  });

  test("C14: the store fails: ERR_STORE that says what failed", async () => {
    const fleet = sessionFleet(0);
    const { pool, store } = poolProcess(fleet, () => fleet.server.signIn());
    store.fault = () => Promise.reject(new Error("down"));
    expect(await rejectionOf(pool.describe("ada"))).toMatchObject({ code: "ERR_STORE", retryable: true });
    await pool.close();
  });
});
