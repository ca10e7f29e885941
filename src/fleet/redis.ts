/**
 * Tokens shared through Redis or Valkey, by the client the user already has.
 *
 * @module
 */
import { fleetStore } from "./fleet-store.ts";
import { redisSwap } from "./redis-swap.ts";
import type { FleetStore } from "../core/supply.ts";
import type { FleetOptions } from "./fleet-store.ts";
import type { RedisLike } from "./redis-swap.ts";

export type { EvalFunction, IoredisLike, NodeRedisLike, RedisLike, ValkeyGlideLike } from "./redis-swap.ts";

/**
 * Shares tokens through Redis or Valkey: one mint for the whole fleet, and no command at all while the token is good.
 *
 * Works with the client you have (ioredis 5 and 6, node-redis 5 and 6, valkey-glide; plain, Cluster, Sentinel), or with a
 * function `(script, key, args) => Promise` that runs EVAL. The client is not closed with the cache.
 *
 * @param client Connected, or connecting; it may be used for anything else too.
 * @throws {TypeError} When the client is none of these, or an option is wrong.
 * @example
 * ```ts
 * const store = redisStore(new Redis(process.env.REDIS_URL), { encryptionKey: process.env.TOKEN_KEY });
 * const tokens = createTokenCache({ grant, origins, store });
 * ```
 */
export function redisStore(client: RedisLike, options: FleetOptions): FleetStore {
  return fleetStore(redisSwap(client), options);
}
