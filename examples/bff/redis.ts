/**
 * Both stores in one Redis: the sessions, and the tokens.
 *
 * @module
 */
import { Redis } from "ioredis";
import { redisStore } from "remint/redis";
import { redisKeyValues } from "./bff/key-values.ts";
import type { Settings } from "./bff/settings.ts";

/** The stores, and a function that closes the connection. */
export interface RedisStores {
  readonly stores: Pick<Settings, "store" | "tokenStore">;
  readonly close: () => void;
}

/**
 * Connects to a Redis.
 *
 * @param tokenKey Base64 of 32 bytes: it encrypts the tokens.
 */
export function redisStores(url: string, tokenKey: string): RedisStores {
  const redis = new Redis(url);
  const stores = { store: redisKeyValues(redis), tokenStore: redisStore(redis, { encryptionKey: tokenKey }) };
  return { stores, close: () => redis.disconnect() };
}
