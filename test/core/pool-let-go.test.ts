/** The ways in which a pool lets go of a cache that is still refreshing or saving. What comes of it: pool-release.test.ts. */
import { describe, expect, test } from "vitest";
import {
  createTokenCache,
  createTokenPool,
  type AccessToken,
  type RemintEvent,
  type TokenCache,
  type TokenPool,
} from "../../src/index.ts";
import { fakeGrant, manualClock, type FakeGrant, type ManualClock } from "../../src/testing/index.ts";
import { during, SessionServer, sessionGrant, type SessionGrant } from "../fleet/session-server.ts";
import { ORIGIN, rejectionOf, settle, watch, type Watched } from "./cache-under-test.ts";

/** A pool whose users' refresh tokens are in a table, at a server that ends a session when a refresh token is used twice. */
interface Table {
  readonly pool: TokenPool;
  readonly clock: ManualClock;
  readonly server: SessionServer;
  readonly tokens: Map<string, string>;
  /** The grants that the pool has made, oldest first. */
  readonly grants: SessionGrant[];
  /** Awaited before the table is written. */
  beforeSaving: (() => Promise<unknown>) | undefined;
}

function tableOf(): Table {
  const clock = manualClock();
  const server = new SessionServer();
  const tokens = new Map([["alice", server.signIn()]]);
  const grants: SessionGrant[] = [];
  const table: Table = {
    clock,
    server,
    tokens,
    grants,
    beforeSaving: undefined,
    pool: createTokenPool({
      clock,
      create(user) {
        const save = async (next: string): Promise<void> => {
          await table.beforeSaving?.();
          tokens.set(user, next);
        };
        const grant = sessionGrant(server, () => tokens.get(user), { key: undefined, save });
        grants.push(grant);
        return createTokenCache({ grant, clock, origins: [ORIGIN], warnings: false });
      },
    }),
  };
  return table;
}

function gate(): { readonly wait: () => Promise<void>; readonly open: () => void } {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { wait: () => opened, open };
}

/** Alice's cache, which refreshes her token. `answer` lets the server's answer come. */
async function refreshing({ pool, grants }: Table): Promise<{
  readonly held: TokenCache;
  readonly before: Watched<AccessToken>;
  readonly answer: ReturnType<typeof gate>;
}> {
  const held = pool.get("alice");
  const before = watch(held.get());
  const answer = gate();
  grants[0]!.beforeAnswering = answer.wait;
  await settle();
  return { held, before, answer };
}

const LETS_GO: [string, (pool: TokenPool, held: TokenCache) => Promise<unknown>][] = [
  ["release({ within: 0 })", (pool) => pool.release("alice", { within: 0 })],
  ["close() of its holder", (_, held) => held.close()],
];

describe.each(LETS_GO)("C14: a cache is let go by %s", (_, letGo) => {
  test("C14: while its refresh token is on the way: the next cache of the key waits, and presents the next one", async () => {
    const table = tableOf();
    const { pool, clock, server } = table;
    const { held, before, answer } = await refreshing(table);
    const left = letGo(pool, held);
    const next = watch(pool.get("alice").get());
    await clock.advance(5000);
    expect([next.state, before.state]).toEqual(["pending", "rejected"]);
    answer.open();
    await during(clock, left);
    await settle();
    expect(next.value?.value).toBe("at-1-2");
    expect(server.presented).toEqual(["rt-1-0", "rt-1-1"]);
    expect(server.reused).toEqual([]);
  });

  test("C14: while the next refresh token is being saved: the next cache of the key asks the table after that", async () => {
    const table = tableOf();
    const { pool, clock, server } = table;
    const save = gate();
    table.beforeSaving = save.wait;
    const held = pool.get("alice");
    void held.get().catch(() => {});
    await settle();
    const left = letGo(pool, held);
    const next = watch(pool.get("alice").get());
    await clock.advance(100);
    save.open();
    await during(clock, left);
    await settle();
    expect(next.value?.value).toBe("at-1-2");
    expect(server.reused).toEqual([]);
  });

  test("C14: a caller of the next cache waits for no longer than mintTimeout", async () => {
    const table = tableOf();
    const { pool, clock, server } = table;
    const { held, answer } = await refreshing(table);
    void letGo(pool, held);
    const next = watch(pool.get("alice").get());
    await clock.advance(9999);
    expect(next.state).toBe("pending");
    await clock.advance(1);
    expect(next.reason).toMatchObject({ code: "ERR_TOKEN_TIMEOUT", retryable: true, status: 503 });
    answer.open();
    await clock.advance(5000);
    expect((await during(clock, pool.get("alice").get())).value).toBe("at-1-1");
    expect(server.reused).toEqual([]);
  });

  test("C14: three times in a row: the third cache waits for the first", async () => {
    const table = tableOf();
    const { pool, clock, server } = table;
    const { held, answer } = await refreshing(table);
    void letGo(pool, held);
    const second = pool.get("alice");
    const gone = watch(second.get());
    void letGo(pool, second);
    const third = watch(pool.get("alice").get());
    await clock.advance(1000);
    expect([gone.state, third.state]).toEqual(["rejected", "pending"]);
    answer.open();
    await clock.advance(1000);
    expect(third.value?.value).toMatch(/^at-1-/);
    expect(server.reused).toEqual([]);
  });

  test("C14: the pool is closed meanwhile: it waits for the refresh token to be saved", async () => {
    const table = tableOf();
    const { pool, clock, server, tokens } = table;
    const { held, answer } = await refreshing(table);
    void letGo(pool, held);
    const closed = watch(pool.close({ within: 30_000 }));
    await clock.advance(20_000);
    expect(closed.state).toBe("pending");
    answer.open();
    await clock.advance(1000);
    expect(closed.value).toEqual({ inFlight: [], unsaved: [] });
    expect(tokens.get("alice")).toBe(server.live(1));
  });

  test("C14: the pool is closed meanwhile, and has less time than the server takes: it reports the key, once", async () => {
    const { pool, clock, grants } = tableOf();
    const held = pool.get("alice");
    void held.get().catch(() => {});
    grants[0]!.beforeAnswering = () => new Promise(() => {});
    await settle();
    void letGo(pool, held);
    void watch(pool.get("alice").get());
    const closed = watch(pool.close({ within: 1000 }));
    await clock.advance(1000);
    expect(closed.value).toEqual({ inFlight: ["alice"], unsaved: [] });
    await clock.advance(60_000);
  });
});

describe("a grant that uses nothing up", () => {
  test("C13: the next cache of a key does not wait for the one that was released", async () => {
    const clock = manualClock();
    const grants: FakeGrant[] = [];
    const events: RemintEvent[] = [];
    const pool = createTokenPool({
      clock,
      create() {
        const grant = fakeGrant();
        grants.push(grant);
        return createTokenCache({ grant, clock, origins: [ORIGIN], onEvent: (event) => void events.push(event) });
      },
    });
    const held = pool.get("alice");
    const gone = rejectionOf(held.get());
    grants[0]!.hold();
    await settle();
    void pool.release("alice");
    expect((await pool.get("alice").get()).value).toBe("fake-1");
    expect(await gone).toMatchObject({ code: "ERR_CLOSED" });
    expect(clock.timers).toBe(0);
  });
});
