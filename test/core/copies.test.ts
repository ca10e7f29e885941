/** Two copies of this package in one program: a dependency has brought its own. */
import { afterAll, describe, expect, test, vi } from "vitest";
import { createAuthFetch } from "../../src/adapters/fetch.ts";
import { fleetStore, memoryStore } from "../../src/fleet/index.ts";
import {
  clientCredentialsGrant,
  createTokenCache,
  createTokenPool,
  findRemintError,
  isRemintError,
  RemintError,
  TokenEndpointError,
  type Grant,
  type RemintEvent,
  type TokenCache,
} from "../../src/index.ts";
import { fakeGrant, manualClock, startApi, startAuthServer } from "../../src/testing/index.ts";
import { cacheUnderTest, fakeServerGrant, ORIGIN, rejectionOf } from "./cache-under-test.ts";

vi.resetModules();
const other = await import("../../src/index.ts");
const otherFleet = await import("../../src/fleet/index.ts");
const otherFetch = await import("../../src/adapters/fetch.ts");

const server = await startAuthServer();
afterAll(() => server.close());

const COPIES = [
  ["this copy", { createTokenCache, createTokenPool, fleetStore, memoryStore, createAuthFetch }],
  ["the other copy", { ...other, ...otherFleet, ...otherFetch }],
] as const;
const PAIRS = COPIES.flatMap(([pools, poolCopy]) =>
  COPIES.map(([caches, cacheCopy]) => ({ pools, caches, poolCopy, cacheCopy })),
);

test("the two copies are two: they share no class and no function", () => {
  expect(other.RemintError).not.toBe(RemintError);
  expect(other.createTokenCache).not.toBe(createTokenCache);
});

test("C20: mints of caches of both copies have ids of their own: one listener hears of both", async () => {
  const ids: number[] = [];
  const onEvent = (event: RemintEvent): void => void (event.name === "mint-started" && ids.push(event.id));
  for (const create of [createTokenCache, other.createTokenCache, createTokenCache, other.createTokenCache]) {
    await create({ grant: fakeGrant(), origins: [ORIGIN], onEvent }).get();
  }
  expect(new Set(ids).size).toBe(4);
});

describe("C9: errors across two copies", () => {
  test("C9: an error of the other copy that a grant throws keeps class, facts and Retry-After", async () => {
    const { cache, grant } = cacheUnderTest();
    const cause = Object.assign(new Error("socket"), { code: "ECONNRESET" });
    grant.fail(
      new other.TokenEndpointError(429, "slow", { retryAfter: 7000, error: "slow_down", hint: "ask later", cause }),
    );
    const error = await rejectionOf(cache.get());
    expect(error).toMatchObject({
      name: "TokenEndpointError",
      code: "ERR_TOKEN_ENDPOINT",
      message: "slow",
      endpointStatus: 429,
      error: "slow_down",
      hint: "ask later",
      retryable: true,
      retryAfter: 7000,
      status: 503,
      headers: { "retry-after": "7" },
      cause: { code: "ECONNRESET" },
    });
    for (const { RemintError: Base, TokenEndpointError: Class } of [other, { RemintError, TokenEndpointError }]) {
      expect([error instanceof Base, error instanceof Class]).toEqual([true, true]);
    }
    for (const is of [isRemintError, other.isRemintError]) expect(is(error)).toBe(true);
    for (const find of [findRemintError, other.findRemintError]) {
      expect(find(new Error("wrapped", { cause: error }))).toBe(error);
    }
  });

  test("C9: the other copy's Retry-After of 7 s is waited for, and its transient failure is repeated", async () => {
    const { cache, grant, clock } = cacheUnderTest({ mintRetries: 1 });
    grant.fail(new other.TokenEndpointError(503, "slow", { retryAfter: 7000 }));
    const got = cache.get();
    await clock.advance(6999);
    expect(grant.mints).toBe(1);
    await clock.advance(1);
    expect((await got).value).toBe("fake-2");
  });

  test.each(COPIES)(
    "Q8: a client of %s, with a cache of the other: an error after a 401 keeps class and facts",
    async (_, { createAuthFetch: create }) => {
      const api = await startApi({ accepts: () => false });
      const copies = { RemintError, TokenEndpointError, createTokenCache };
      const { createTokenCache: createCache } = create === createAuthFetch ? other : copies;
      const grant = fakeServerGrant();
      const clock = manualClock();
      const cache = createCache({
        grant,
        clock,
        origins: [api.origin],
        mintRetries: 0,
        initial: { access_token: "at", expires_in: 60 },
      });
      grant.fail(new TokenEndpointError(503, "down", { retryAfter: 7000, hint: "ask" }));
      const error = await rejectionOf(create(cache)(`${api.origin}/orders`));
      expect(error).toMatchObject({
        code: "ERR_TOKEN_ENDPOINT",
        endpointStatus: 503,
        retryAfter: 7000,
        hint: "ask",
        rejected: { status: 401, url: `${api.origin}/orders` },
      });
      for (const { TokenEndpointError: Class } of [copies, other]) expect(error).toBeInstanceOf(Class);
      await api.close();
    },
  );
});

const plainGrant = (): Grant =>
  clientCredentialsGrant({ tokenEndpoint: server.tokenEndpoint, clientId: "me", clientSecret: "s3cret" });

describe("C13: a pool and caches of two copies", () => {
  test.each(PAIRS)("C13: a pool of $pools takes the caches of $caches", async ({ poolCopy, cacheCopy }) => {
    const clock = manualClock();
    const caches: TokenCache[] = [];
    const pool = poolCopy.createTokenPool({
      clock,
      maxSize: 2,
      create: () => {
        const grant = clientCredentialsGrant({
          tokenEndpoint: server.tokenEndpoint,
          clientId: "me",
          clientSecret: "s3cret",
        });
        const made = cacheCopy.createTokenCache({ grant, clock, origins: [ORIGIN] });
        caches.push(made);
        return made;
      },
    });
    const token = await pool.get("a").get();
    expect([pool.get("a") === caches[0], pool.get("a").peek()?.value]).toEqual([true, token.value]);
    for (const key of ["b", "c"]) await pool.get(key).get();
    expect(pool.size).toBe(2);
    // Evicted, and still in use: the key gets the same cache again.
    expect(pool.get("a")).toBe(caches[0]);
    expect(await pool.release("a")).toEqual({ inFlight: false, unsaved: false });
    await pool.close();
    expect(await rejectionOf(caches[1]!.get())).toMatchObject({ code: "ERR_CLOSED" });
  });

  test.each(["this copy", "the other copy"])(
    "C9: keys with caches of both copies in a pool of %s share the failures of their server",
    async (which) => {
      const clock = manualClock();
      const grant = fakeServerGrant();
      grant.fail(new TokenEndpointError(503, "down", { retryAfter: 7000 }), Infinity);
      const { createTokenPool: createPool } = which === "this copy" ? { createTokenPool } : other;
      const pool = createPool({
        clock,
        create: (key) => {
          const create = key.startsWith("other") ? other.createTokenCache : createTokenCache;
          return create({ grant, clock, origins: [ORIGIN], mintRetries: 0 });
        },
      });
      for (const key of ["one", "other", "one 2", "other 2"]) {
        const error = await rejectionOf(pool.get(key).get());
        expect(error).toBeInstanceOf(Error);
        for (const { TokenEndpointError: Class } of [other, { TokenEndpointError }])
          expect(error).toBeInstanceOf(Class);
        expect(error).toMatchObject({ endpointStatus: 503, retryAfter: 7000, headers: { "retry-after": "7" } });
      }
      expect(grant.mints).toBe(2);
      grant.recover();
      await clock.advance(7000);
      expect(await pool.get("other 2").get()).toMatchObject({ value: "fake-3" });
      expect(await pool.get("one 2").get()).toMatchObject({ value: "fake-4" });
    },
  );

  test.each(PAIRS)(
    "C20: a listener of a pool of $pools, and of its caches of $caches with a store, hears every event once, with the key",
    async ({ poolCopy, cacheCopy }) => {
      const clock = manualClock();
      const told: string[] = [];
      const hear = ({ name }: RemintEvent, key?: string): void => void told.push(`${key} ${name}`);
      const own = ({ name }: RemintEvent): void => void told.push(`own ${name}`);
      const engine = memoryStore();
      let isDown = true;
      const store = cacheCopy.fleetStore(
        { swap: async (...call) => (isDown ? Promise.reject(new Error("down")) : engine.swap(...call)) },
        { encryptionKey: "none" },
      );
      const pool = poolCopy.createTokenPool({
        clock,
        onEvent: [hear],
        create: () =>
          cacheCopy.createTokenCache({
            grant: fakeGrant(),
            store,
            clock,
            origins: [ORIGIN],
            onEvent: [own, hear],
            warnings: false,
          }),
      });
      const got = pool.get("a").get();
      await clock.advance(5000);
      await got;
      isDown = false;
      await clock.advance(60_000);
      const target = pool.get("b").for({ scope: "b" }).get();
      await clock.advance(5000);
      await target;
      await pool.get("a").invalidate("fake-1");
      const again = pool.get("a").get();
      await clock.advance(5000);
      await again;
      const events = [
        "a store-failed",
        "a mint-started",
        "a minted",
        "b mint-started",
        "b minted",
        "a invalidated",
        "a store-recovered",
        "a mint-started",
        "a minted",
      ];
      expect(told.filter((line) => !line.startsWith("own"))).toEqual(events);
      expect(told.filter((line) => line.startsWith("own"))).toEqual(events.map((line) => line.replace(/^./, "own")));
      await pool.close();
    },
  );

  test.each(PAIRS)(
    "C13: with a store, a cache of $caches knows the key of a pool of $pools",
    async ({ poolCopy, cacheCopy }) => {
      const clock = manualClock();
      const store = cacheCopy.fleetStore(cacheCopy.memoryStore(), {
        encryptionKey: Buffer.alloc(32, 7).toString("base64"),
      });
      const pool = poolCopy.createTokenPool({
        clock,
        create: () => cacheCopy.createTokenCache({ grant: plainGrant(), store, origins: [ORIGIN] }),
      });
      const [a, b] = await Promise.all([pool.get("a").get(), pool.get("b").get()]);
      expect(a.value).not.toBe(b.value);
      await pool.close();
    },
  );

  test("C9: a cache with a store of the other copy: a failed mint is an error of each caller's own, with its facts", async () => {
    const store = otherFleet.fleetStore(otherFleet.memoryStore(), {
      encryptionKey: Buffer.alloc(32, 7).toString("base64"),
    });
    const clock = manualClock();
    const grant = fakeServerGrant({}, { key: "shop" });
    grant.fail(new TokenEndpointError(503, "down", { retryAfter: 7000 }), Infinity);
    const cache = createTokenCache({ grant, store, clock, origins: [ORIGIN], mintRetries: 0 });
    const errors = await Promise.all([rejectionOf(cache.get()), rejectionOf(cache.get())]);
    errors.push(await rejectionOf(cache.get()));
    expect(new Set(errors).size).toBe(3);
    for (const error of errors) {
      expect(error).toBeInstanceOf(TokenEndpointError);
      expect(error).toMatchObject({ endpointStatus: 503, retryAfter: 7000 });
    }
    await cache.close();
  });
});
