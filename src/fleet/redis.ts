/**
 * The entry point `remint/redis`: shares tokens through Redis or Valkey, with the client that the application has.
 *
 * The script and the differences between clients are in redis-swap.ts, the options in fleet-store.ts.
 *
 * @module
 */
import { storeOfEngine } from "./fleet-store.ts";
import { redisSwap } from "./redis-swap.ts";
import type { FleetStore } from "../core/supply.ts";
import type { FleetOptions } from "./fleet-store.ts";
import type { RedisLike } from "./redis-swap.ts";

export type { EvalFunction, IoredisLike, NodeRedisLike, RedisLike, ValkeyGlideLike } from "./redis-swap.ts";

/**
 * Creates a store that shares tokens through Redis or Valkey: one mint for all processes of the fleet.
 *
 * A cache sends no command while its token is valid and not about to expire. The client may be one of ioredis 4 to 6,
 * node-redis 4 to 6, or valkey-glide (single server, Cluster, Sentinel), or a function
 * `(script, key, args) => Promise` that runs EVAL. Closing a cache does not close the client.
 *
 * @param client A client that is connected or connecting. The application may use it for other commands too.
 * @param options The encryption key, and how the fleet uses the store.
 * @throws {TypeError} When `client` is none of these, or an option is wrong.
 * @example
 * ```ts
 * const store = redisStore(new Redis("rediss://redis.example:6380"), { encryptionKey });
 * const tokens = createTokenCache({ grant, origins, store });
 * ```
 */
export function redisStore(client: RedisLike, options: FleetOptions): FleetStore {
  return storeOfEngine("redisStore", redisSwap(client), options);
}
