/** A token endpoint that is down, and a pool of 1,000 users: how many requests it gets. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { RemintError, TokenEndpointError, type InitialToken } from "../../src/index.ts";
import { fakeServerGrant, rejectionOf, settle, watch } from "./cache-under-test.ts";
import { poolUnderTest, type PoolUnderTest } from "./pool-under-test.ts";

const KEYS = 1000;
const down = (): TokenEndpointError => new TokenEndpointError(503, "down");
const unreachable = (): RemintError => new RemintError("ERR_TOKEN_NETWORK", "no way there", { retryable: true });

/** A pool whose server is down, with the retries that users have by default. */
function poolOfDownServer(error: () => RemintError = down): PoolUnderTest {
  return poolUnderTest({ cache: { mintRetries: undefined } }, () => {
    const grant = fakeServerGrant();
    grant.fail(error(), Infinity);
    return grant;
  });
}

afterEach(() => vi.restoreAllMocks());

describe("C9: the endpoint is down", () => {
  test.each([
    ["503, with the shortest pauses between attempts", 0, down],
    ["503, with the longest pauses between attempts", 1, down],
    ["no connection, with the shortest pauses between attempts", 0, unreachable],
  ])("C9: 1,000 keys one after another (%s): at most 15 requests in 10 s", async (_, random, error) => {
    vi.spyOn(Math, "random").mockReturnValue(random);
    const { pool, clock, mints } = poolOfDownServer(error);
    const { code } = error();
    for (let key = 0; clock.monotonic() < 10_000; key++) {
      const got = watch(pool.get(`user ${key % KEYS}`).get());
      await settle();
      while (got.state === "pending") await clock.advance(50);
      expect(got.reason).toMatchObject({ code, retryable: true });
      await clock.advance(2);
    }
    expect(pool.size).toBe(KEYS);
    expect(mints()).toBeLessThanOrEqual(15);
    expect(mints()).toBeGreaterThanOrEqual(6);
  });

  test("C9, C13: 1,000 keys at once: 256 of them find out, and none of those who wait for their turn or ask later", async () => {
    const { pool, clock, grants, mints } = poolOfDownServer();
    const asked = Array.from({ length: KEYS }, (_, key) => watch(pool.get(`user ${key}`).get()));
    // A key that had its turn before the first failure was known makes a series of its own.
    while (asked.some(({ state }) => state === "pending")) await clock.advance(50);
    expect(asked.map(({ state }) => state)).toEqual(asked.map(() => "rejected"));
    expect(new Set(asked.map(({ reason }) => reason)).size).toBe(KEYS);
    const series = [...grants.values()].filter((grant) => grant.mints > 0);
    expect(series.every((grant) => grant.mints === 3)).toBe(true);
    expect(series.length).toBeGreaterThanOrEqual(256);
    expect(series.length).toBeLessThanOrEqual(272);
    const before = mints();
    for (let key = 0; key < KEYS; key++) {
      await rejectionOf(pool.get(`user ${key}`).get());
      await rejectionOf(pool.get(`new user ${key}`).get());
    }
    expect(mints()).toBe(before);
  });

  test("C9: any success ends it: at once all keys are served", async () => {
    const { pool, clock, grants } = poolOfDownServer();
    for (const key of ["a", "b"]) {
      const got = watch(pool.get(key).get());
      await clock.advance(1500);
      expect(got.state).toBe("rejected");
    }
    const held = watch(pool.get("c").get());
    await settle();
    expect([held.state, grants.get("c")!.mints]).toEqual(["rejected", 0]);
    await clock.advance(1000);
    for (const grant of grants.values()) grant.recover();
    expect((await pool.get("c").get()).value).toBe("fake-1");
    const healthy = Array.from({ length: 100 }, (_, key) => {
      const cache = pool.get(`user ${key}`);
      grants.get(`user ${key}`)!.recover();
      return cache.get();
    });
    expect(await Promise.all(healthy)).toHaveLength(100);
  });

  test("C9: a refresh in the background is held back too, and its callers get the valid token", async () => {
    const { pool, clock, grants, mints } = poolOfDownServer();
    const served = pool.get("served");
    grants.get("served")!.recover();
    await served.get();
    await clock.advance(3_600_000 - 55_000);
    for (const key of ["a", "b"]) {
      const got = watch(pool.get(key).get());
      await clock.advance(1500);
      expect(got.state).toBe("rejected");
    }
    const before = mints();
    grants.get("served")!.fail(down(), Infinity);
    expect(served.peek()?.value).toBe("fake-1");
    await settle();
    expect(mints()).toBe(before);
  });

  test("C9: a user with an initial token is served from it; one whose initial function has none is told at once", async () => {
    const initial = new Map<string, () => Promise<InitialToken | undefined>>([
      ["stored", async () => ({ access_token: "stored", expires_in: 60 })],
      ["stale", async () => ({ access_token: "stale", expires_in: 60, receivedAt: 0 })],
      ["empty", async () => undefined],
      ["broken", () => Promise.reject(new Error("no session store"))],
    ]);
    let key = "";
    const { pool, clock, mints } = poolUnderTest(
      { cache: { mintRetries: undefined, initial: () => initial.get(key)?.() ?? Promise.resolve(undefined) } },
      () => {
        const grant = fakeServerGrant();
        grant.fail(down(), Infinity);
        return grant;
      },
    );
    for (key of ["a", "b"]) {
      const got = watch(pool.get(key).get());
      await clock.advance(1500);
      expect(got.state).toBe("rejected");
    }
    const before = mints();
    key = "stored";
    expect((await pool.get(key).get()).value).toBe("stored");
    for (key of ["stale", "empty", "broken"]) {
      expect(await rejectionOf(pool.get(key).get())).toMatchObject({ endpointStatus: 503 });
      expect(await rejectionOf(pool.get(key).get())).toMatchObject({ endpointStatus: 503 });
    }
    expect(mints()).toBe(before);
    // What was told is not taken for a failure of its own, which would make the pause longer.
    await clock.advance(1000);
    key = "c";
    watch(pool.get(key).get());
    await settle();
    expect(mints()).toBe(before + 1);
  });
});
