/** What the tests of pools start from: a pool of caches as in cache-under-test.ts, on one clock. */
import { policyHalf } from "../../src/core/types.ts";
import { createTokenPool, type TokenCache, type TokenPool } from "../../src/index.ts";
import { fakeGrant, manualClock, type FakeGrant, type ManualClock } from "../../src/testing/index.ts";
import { cacheUnderTest, TARGET, type CacheUnderTestOptions } from "./cache-under-test.ts";

export interface PoolUnderTest {
  readonly pool: TokenPool;
  readonly clock: ManualClock;
  /** The newest grant of each key. */
  readonly grants: Map<string, FakeGrant>;
  /** The keys `create` was called with, in order. */
  readonly created: string[];
  /** The number of mints of all keys together. */
  readonly mints: () => number;
}

export function poolUnderTest(
  options: { maxSize?: number; idleTtl?: number; cache?: CacheUnderTestOptions } = {},
  grantOf: (key: string) => FakeGrant = (key) => fakeGrant({ response: { scope: key } }),
): PoolUnderTest {
  const { cache: cacheOptions, ...poolOptions } = options;
  const clock = manualClock();
  const grants = new Map<string, FakeGrant>();
  const all: FakeGrant[] = [];
  const created: string[] = [];
  const create = (key: string): TokenCache => {
    const grant = grantOf(key);
    created.push(key);
    grants.set(key, grant);
    all.push(grant);
    return cacheUnderTest({ ...cacheOptions, grant, clock }).cache;
  };
  const mints = (): number => all.reduce((sum, grant) => sum + grant.mints, 0);
  return { pool: createTokenPool({ create, clock, ...poolOptions }), clock, grants, created, mints };
}

/** Sends one request whose token the API rejects; returns whether the guards allowed a renewal. */
export async function rejectedRequest(cache: TokenCache): Promise<"renewed" | "refused"> {
  const renewal = policyHalf(cache).rejected(await cache.get(), TARGET);
  await renewal?.next();
  return renewal === undefined ? "refused" : "renewed";
}
