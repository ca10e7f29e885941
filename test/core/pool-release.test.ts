/** A key that is released and asked for again: its next cache goes on with what the one before it has in progress. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fleetStore, memoryStore } from "../../src/fleet/index.ts";
import { createTokenCache, createTokenPool, type TokenPool, type TokenPoolOptions } from "../../src/index.ts";
import { manualClock, type ManualClock } from "../../src/testing/index.ts";
import { during, SessionServer, sessionGrant } from "../fleet/session-server.ts";
import { rejectionOf, watch } from "./cache-under-test.ts";

const origins = ["https://api.example"];
let clock: ManualClock;
let server: SessionServer;
/** Alice's row in the user's table. */
let row: string | null;
/** Whether the user's database is down, for writes. */
let isDown: boolean;
/** Milliseconds that the server takes. */
let delay: number;
let pool: TokenPool;

beforeEach(() => {
  clock = manualClock();
  server = new SessionServer();
  row = server.signIn();
  isDown = false;
  delay = 500;
  pool = createTokenPool({ clock, create: () => open() });
});
afterEach(async () => {
  await during(clock, pool.close());
});

function pass(ms: number): Promise<void> {
  return new Promise((resolve) => void clock.setTimeout(resolve, ms));
}

function open(options: Partial<Parameters<typeof createTokenCache>[0]> = {}): ReturnType<TokenPoolOptions["create"]> {
  const grant = sessionGrant(server, async () => row, {
    key: undefined,
    save(next) {
      if (isDown) throw new Error("the database is down");
      row = next;
    },
  });
  grant.beforeAnswering = () => pass(delay);
  return createTokenCache({ grant, clock, origins, ...options });
}

describe("C13: a refresh is in progress when its key is released", () => {
  test("C13: the key is asked for again: the refresh lands first, and the next one presents what it has brought", async () => {
    const before = watch(pool.get("alice").get());
    await clock.advance(100);
    const released = pool.release("alice");
    const after = pool.get("alice").get();
    expect(await during(clock, after)).toMatchObject({ value: "at-1-2" });
    expect(await released).toEqual({ inFlight: false, unsaved: false });
    expect(before.reason).toMatchObject({ code: "ERR_CLOSED" });
    expect([server.presented, row]).toEqual([["rt-1-0", "rt-1-1"], "rt-1-2"]);
  });

  test("C13: asked for again after `within`: the same, and the report was that it is in flight", async () => {
    delay = 9000;
    watch(pool.get("alice").get());
    await clock.advance(100);
    expect(await during(clock, pool.release("alice", { within: 1000 }))).toEqual({ inFlight: true, unsaved: false });
    delay = 100;
    expect(await during(clock, pool.get("alice").get())).toMatchObject({ value: "at-1-2" });
    expect(server.reused).toEqual([]);
  });

  test("C13, C15: another user signs in under the key: what the refresh brings is revoked, and neither saved nor served", async () => {
    watch(pool.get("alice").get());
    await clock.advance(100);
    void pool.release("alice");
    await during(clock, pool.signIn("alice", server.signInResponse()));
    expect(await during(clock, pool.get("alice").get())).toMatchObject({ value: "at-2-0" });
    await clock.advance(1000);
    expect([row, server.revoked]).toEqual(["rt-2-0", ["rt-1-1", "at-1-1"]]);
  });

  test("C13, C16: the key is signed out: what the refresh brings is revoked, and not saved", async () => {
    watch(pool.get("alice").get());
    await clock.advance(100);
    void pool.release("alice");
    await during(clock, pool.signOut("alice"));
    expect(server.revoked).toContain("rt-1-1");
    expect([row, server.live()]).toEqual(["rt-1-0", undefined]);
  });

  test("C13: its refresh token cannot be saved: the next cache presents that one, and saves it when the database is back", async () => {
    isDown = true;
    await during(clock, pool.get("alice").get());
    expect(await during(clock, pool.release("alice"))).toEqual({ inFlight: false, unsaved: true });
    expect(await during(clock, pool.get("alice").get())).toMatchObject({ value: "at-1-2" });
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
    isDown = false;
    await clock.advance(30_000);
    expect(row).toBe("rt-1-2");
  });

  test("C13: the cache of before is closed once more: the one that goes on stays open", async () => {
    const old = pool.get("alice");
    watch(old.get());
    await clock.advance(100);
    void pool.release("alice");
    const anew = pool.get("alice");
    expect(await old.close()).toEqual({ inFlight: false, unsaved: false });
    expect(await during(clock, anew.get())).toMatchObject({ value: "at-1-2" });
  });

  test("C13: create gives the key a grant of another kind: that one is used", async () => {
    let isFirst = true;
    pool = createTokenPool({
      clock,
      create: () => (isFirst ? open() : createTokenCache({ grant: () => "other", clock, origins })),
    });
    watch(pool.get("alice").get());
    await clock.advance(100);
    void pool.release("alice");
    isFirst = false;
    expect(await during(clock, pool.get("alice").get())).toMatchObject({ value: "other" });
  });

  describe.each(["fleetStore", "memoryStore"])("with a store: %s", (kind) => {
    beforeEach(() => {
      const engine = memoryStore();
      const store = kind === "memoryStore" ? engine : fleetStore(engine, { encryptionKey: "none" });
      pool = createTokenPool({ clock, create: () => open({ store }) });
    });

    test("C13, C14: the key is asked for again: the refresh lands, and its token serves the next cache", async () => {
      const before = watch(pool.get("alice").get());
      await clock.advance(100);
      void pool.release("alice");
      expect(await during(clock, pool.get("alice").get())).toMatchObject({ value: "at-1-1" });
      expect(before.reason).toMatchObject({ code: "ERR_CLOSED" });
      expect(server.presented).toEqual(["rt-1-0"]);
    });

    test("C13, C16: another user is signing in when it is released: the next cache has that one's token", async () => {
      await during(clock, pool.get("alice").get());
      const signedIn = pool.signIn("alice", server.signInResponse());
      void pool.release("alice");
      const got = pool.get("alice").get();
      await during(clock, signedIn);
      expect(await during(clock, got)).toMatchObject({ value: "at-2-0" });
      expect(pool.get("alice").peek()).toMatchObject({ value: "at-2-0" });
    });
  });
});

test("C14: a cache is closed while its refresh is in progress, and another is created with its grant: the refresh token is presented once", async () => {
  const grant = sessionGrant(server, server.signIn());
  grant.beforeAnswering = () => pass(delay);
  const first = createTokenCache({ grant, clock, origins, warnings: false });
  const got = watch(first.get());
  await clock.advance(100);
  expect(await during(clock, first.close({ within: 100 }))).toEqual({ inFlight: true, unsaved: false });
  const second = createTokenCache({ grant, clock, origins, warnings: false });
  expect(await during(clock, second.get())).toMatchObject({ value: "at-2-2" });
  expect(got.reason).toMatchObject({ code: "ERR_CLOSED" });
  expect(server.presented).toEqual(["rt-2-0", "rt-2-1"]);
  // The first has nothing left, and does not close the second.
  expect(await first.close()).toEqual({ inFlight: false, unsaved: false });
  expect(second.peek()).toBeDefined();
});

test("C10, C17: two targets whose refreshes take 9 s each: the callers of the second leave after mintTimeout, and its token is there when it has landed", async () => {
  delay = 9000;
  const cache = pool.get("alice");
  const billing = cache.for({ resource: "https://billing.example", origins });
  const first = watch(cache.get());
  const second = rejectionOf(billing.get());
  await clock.advance(9000);
  expect(first).toMatchObject({ state: "fulfilled" });
  const later = watch(second);
  await clock.advance(1000);
  expect(later.value).toMatchObject({ code: "ERR_TOKEN_TIMEOUT", retryable: true });
  await clock.advance(9000);
  expect(billing.peek()).toMatchObject({ value: "at-1-2@billing.example" });
  expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
});
