import { policyHalf } from "../../src/core/types.ts";
import { createTokenPool, type TokenCache, type TokenPool } from "../../src/index.ts";
import { fakeGrant, manualClock, type FakeGrant, type ManualClock } from "../../src/testing/index.ts";
import { cacheUnderTest, SITE } from "./cache-under-test.ts";

export interface PoolUnderTest {
  readonly pool: TokenPool;
  readonly clock: ManualClock;
  /** The grant of each key, the newest. */
  readonly grants: Map<string, FakeGrant>;
  /** The keys `create` was called with, in order. */
  readonly created: string[];
  /** Mints over all keys. */
  readonly mints: () => number;
}

export function poolUnderTest(
  options: { maxSize?: number; idleTtl?: number } = {},
  grantOf: (key: string) => FakeGrant = (key) => fakeGrant({ response: { scope: key } }),
): PoolUnderTest {
  const clock = manualClock();
  const grants = new Map<string, FakeGrant>();
  const all: FakeGrant[] = [];
  const created: string[] = [];
  const create = (key: string): TokenCache => {
    const grant = grantOf(key);
    created.push(key);
    grants.set(key, grant);
    all.push(grant);
    return cacheUnderTest({ grant, clock }).cache;
  };
  const mints = (): number => all.reduce((sum, grant) => sum + grant.mints, 0);
  return { pool: createTokenPool({ create, clock, ...options }), clock, grants, created, mints };
}

/** One request whose every token is rejected. */
export async function rejectedRequest(cache: TokenCache): Promise<"renewed" | "refused"> {
  const renewal = policyHalf(cache).rejected(await cache.get(), SITE);
  await renewal?.next();
  return renewal === undefined ? "refused" : "renewed";
}
