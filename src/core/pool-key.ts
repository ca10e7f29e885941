/**
 * Whose cache is being created: a pool knows, and the cache it creates has to say so to the fleet.
 *
 * @module
 */

/** The key of the pool that is creating a cache right now. `create` is synchronous, so it can be nobody else's. */
let poolKey: string | undefined;

/** Runs a pool's `create`, so that the cache it creates knows whose it is. */
export function withPoolKey<T>(key: string, create: () => T): T {
  const outer = poolKey;
  poolKey = key;
  try {
    return create();
  } finally {
    poolKey = outer;
  }
}

/** The key of the pool that is creating a cache; `undefined` outside of one. */
export function currentPoolKey(): string | undefined {
  return poolKey;
}
