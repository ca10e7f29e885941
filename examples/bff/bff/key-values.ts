/**
 * Where sessions are kept: in the memory of one process, or in a Redis for all processes.
 *
 * The values arrive here encrypted (`sessions.ts`). Tokens are not kept here: `tokens.ts` gives them a store of their own.
 *
 * @module
 */

/** Texts by key, each with an end, and sets of keys by index. Durations are milliseconds. */
export interface KeyValues {
  /** Returns a value. With `ttl`, the value is kept for so long from now on. */
  get(key: string, ttl?: number): Promise<string | undefined>;
  set(key: string, value: string, ttl: number): Promise<void>;
  /** Sets a value unless the key has one. Resolves to whether it was set. */
  add(key: string, value: string, ttl: number): Promise<boolean>;
  delete(key: string): Promise<void>;
  /** Adds a key to an index, which is kept for at least so long. */
  link(index: string, key: string, ttl: number): Promise<void>;
  linked(index: string): Promise<readonly string[]>;
}

/** The commands that are used of a Redis client. ioredis has them under these names. */
export interface RedisCommands {
  get(key: string): Promise<string | null>;
  getex(key: string, unit: "PX", ttl: number): Promise<string | null>;
  set(key: string, value: string, unit: "PX", ttl: number): Promise<unknown>;
  set(key: string, value: string, unit: "PX", ttl: number, absent: "NX"): Promise<unknown>;
  del(key: string): Promise<unknown>;
  sadd(index: string, key: string): Promise<unknown>;
  smembers(index: string): Promise<string[]>;
  pexpire(key: string, ttl: number): Promise<unknown>;
}

/** Keeps sessions in a Redis, under keys that begin with `bff:`. */
export function redisKeyValues(redis: RedisCommands): KeyValues {
  return {
    async get(key, ttl) {
      return (await (ttl === undefined ? redis.get(name(key)) : redis.getex(name(key), "PX", ttl))) ?? undefined;
    },
    async set(key, value, ttl) {
      await redis.set(name(key), value, "PX", ttl);
    },
    async add(key, value, ttl) {
      return (await redis.set(name(key), value, "PX", ttl, "NX")) !== null;
    },
    async delete(key) {
      await redis.del(name(key));
    },
    async link(index, key, ttl) {
      await redis.sadd(name(index), key);
      await redis.pexpire(name(index), ttl);
    },
    linked: (index) => redis.smembers(name(index)),
  };
}

/** Other programs may use the same Redis. */
function name(key: string): string {
  return `bff:${key}`;
}

/** Keeps sessions in this process: they end with it, and no other process knows them. */
export function memoryKeyValues(now: () => number = Date.now): KeyValues {
  const entries = new Map<string, { value: string | Set<string>; until: number }>();
  const read = (key: string): string | Set<string> | undefined => {
    const entry = entries.get(key);
    if (entry === undefined || entry.until > now()) return entry?.value;
    entries.delete(key);
    return undefined;
  };
  const write = (key: string, value: string | Set<string>, ttl: number): void => {
    // Every so often, so that what nobody asks for any more does not stay.
    if (entries.size % 256 === 255) for (const each of entries.keys()) read(each);
    entries.set(key, { value, until: now() + ttl });
  };
  return {
    async get(key, ttl) {
      const value = read(key) as string | undefined;
      if (value !== undefined && ttl !== undefined) write(key, value, ttl);
      return value;
    },
    async set(key, value, ttl) {
      write(key, value, ttl);
    },
    async add(key, value, ttl) {
      if (read(key) !== undefined) return false;
      write(key, value, ttl);
      return true;
    },
    async delete(key) {
      entries.delete(key);
    },
    async link(index, key, ttl) {
      const keys = (read(index) as Set<string> | undefined) ?? new Set();
      write(index, keys.add(key), ttl);
    },
    async linked(index) {
      return [...((read(index) as Set<string> | undefined) ?? [])];
    },
  };
}
