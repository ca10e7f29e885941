/** Which session the fleet uses if its processes start with different refresh tokens, and sessions that have ended. */
import { describe, expect, test } from "vitest";
import { policyHalf } from "../../src/core/types.ts";
import { fleetStore, memoryStore } from "../../src/fleet/index.ts";
import { createTokenCache, refreshTokenGrant } from "../../src/index.ts";
import { rejectionOf } from "../core/cache-under-test.ts";
import { FIRST, startRotatingServer } from "../grants/rotating-server.ts";
import { ORIGIN, TARGET } from "./fleet-under-test.ts";
import { sessionFleet, writesTo, type SessionFleet, type SessionProcess } from "./session-server.ts";

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
async function ended(): ReturnType<typeof signedIn> {
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
    const late = join(seed);
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
        const saved = server.live()!;
        const late = join(saved);
        if (ago === 1) {
          await clock.advance(LIFE);
          await during(join(saved).cache.get());
        }
        expect((await during(late.cache.get())).value).toBe(`at-1-${2 + (rotations + 1) * ago}`);
      }
      expect(server.reused).toEqual([]);
      expect(server.live()).toBeDefined();
    },
  );

  test("with the refresh token of a new sign-in: every process uses the new session", async () => {
    const { clock, server, join, a, b, during } = await signedIn();
    const fresh = join(server.signIn());
    expect((await during(fresh.cache.get())).value).toBe("at-2-1");
    // A process with a valid token serves it until it expires.
    expect((await a.cache.get()).value).toBe("at-1-2");
    await clock.advance(LIFE);
    const values = await during(Promise.all([a, b, fresh].map(async ({ cache }) => (await cache.get()).value)));
    expect(values).toEqual(["at-2-2", "at-2-2", "at-2-2"]);
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1", "rt-2-0", "rt-2-1"]);
  });

  test.each(["first", "last"] as const)(
    "late, with the %s refresh token of an older session: the newest session stays",
    async (which) => {
      const { clock, server, join, seed, a, during } = await signedIn();
      // After so many rotations the record knows the first refresh token only as the session's sign-in.
      for (let rotations = 0; rotations < 20; rotations++) {
        await clock.advance(LIFE);
        await during(a.cache.get());
      }
      const late = join(which === "first" ? seed : server.live(1));
      for (let signIns = 0; signIns < 3; signIns++) await during(join(server.signIn()).cache.get());
      expect((await during(late.cache.get())).value).toBe("at-4-1");
      await clock.advance(LIFE);
      expect((await during(late.cache.get())).value).toBe("at-4-2");
      expect(server.presented.slice(22)).toEqual(["rt-2-0", "rt-3-0", "rt-4-0", "rt-4-1"]);
    },
  );

  test("with a new sign-in, 12 times: a process with the first sign-in does not bring the first session back", async () => {
    const { server, clock, join, a, during } = await signedIn();
    for (let signIns = 0; signIns < 12; signIns++) await during(join(server.signIn()).cache.get());
    await clock.advance(LIFE);
    expect((await during(a.cache.get())).value).toBe("at-13-2");
    expect(server.live(13)).toBe("rt-13-2");
  });

  test("with a new sign-in while another process rotates the old session: the new session is used", async () => {
    const { server, clock, join, a, b, during } = await signedIn();
    await clock.advance(LIFE);
    let release!: () => void;
    a.grant.beforeSending = () => new Promise<void>((resolve) => void (release = resolve));
    const old = a.cache.get();
    await clock.advance(100);
    expect((await during(join(server.signIn()).cache.get())).value).toBe("at-2-1");
    release();
    // Process a lost its lease and adopts the fleet's token.
    expect((await during(old)).value).toBe("at-2-1");
    await clock.advance(LIFE);
    expect((await during(b.cache.get())).value).toBe("at-2-2");
    expect(server.reused).toEqual([]);
  });

  test("with a new sign-in: the record contains no refresh token except in its state", async () => {
    const fleet = sessionFleet(1);
    const writes = writesTo(fleet);
    await fleet.askAll();
    await fleet.during(fleet.join(fleet.server.signIn()).cache.get());
    await fleet.clock.advance(LIFE);
    await fleet.askAll();
    const { state, ...rest } = writes.at(-1)!;
    expect(state).toMatch(/^rt-2-/);
    expect(JSON.stringify(rest)).not.toContain("rt-");
  });
});

describe("a session that has ended", () => {
  test("C9: for 48 hours every process gets the refusal, also a new one, without another request", async () => {
    const { clock, server, join, seed, a, b, during } = await ended();
    for (let hours = 0; hours < 48; hours++) {
      for (const { cache } of [a, b, join(seed)]) {
        expect(await rejectionOf(during(cache.get()))).toMatchObject(REFUSED);
      }
      await clock.advance(3_600_000);
    }
    expect(server.presented).toHaveLength(3);
  });

  test("C9: a process that knows of it calls the store at most once a minute", async () => {
    const { clock, b, during } = await ended();
    await rejectionOf(during(b.cache.get()));
    const before = b.store.calls;
    for (let second = 0; second < 600; second++) {
      await rejectionOf(b.cache.get());
      await clock.advance(1000);
    }
    expect(b.store.calls - before).toBeLessThanOrEqual(10);
  });

  test("C9: the user signs in again: a process that knew of the end uses the new session within a minute", async () => {
    const { clock, server, join, a, b, during } = await ended();
    await rejectionOf(during(b.cache.get()));
    const fresh = join(server.signIn());
    expect((await during(fresh.cache.get())).value).toBe("at-2-1");
    await clock.advance(60_000);
    expect((await during(a.cache.get())).value).toBe("at-2-1");
    expect((await during(b.cache.get())).value).toBe("at-2-1");
    expect(server.presented).toHaveLength(4);
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
      const late = join(seed);
      for (const { cache } of [a, b, late]) expect((await during(cache.get())).value).toBe("at-1-2");
      if (!rejects) await clock.advance(60_000);
      for (const { cache } of [a, b, late]) {
        const token = cache.peek();
        const call: Promise<unknown> =
          token === undefined ? cache.get() : policyHalf(cache).rejected(token, TARGET)!.next();
        expect(await rejectionOf(during(call))).toMatchObject(REFUSED);
      }
      expect(server.presented).toHaveLength(3);
      expect((await during(join(server.signIn()).cache.get())).value).toBe("at-2-1");
    }
  });
});

describe("refreshTokenGrant with a store", () => {
  test("three caches, three rotations: onRotate is called once per rotation", async () => {
    const { auth, presented } = await startRotatingServer();
    const store = fleetStore(memoryStore(), { encryptionKey: "none" });
    const saved: string[] = [];
    const cacheOf = (first: string): ReturnType<typeof createTokenCache> =>
      createTokenCache({
        origins: [ORIGIN],
        store,
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
