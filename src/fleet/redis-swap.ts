/**
 * The compare-and-swap of store.ts on Redis and Valkey: one Lua script, one key, one round trip, through any client.
 *
 * The script is sent with EVAL and not with EVALSHA. Redis caches a script after the first EVAL, so EVALSHA would save
 * no work, and a server that was restarted or failed over answers EVALSHA with an error. The script may write, so every
 * client and every cluster sends it to a primary, wherever they send reads.
 *
 * A version is the SHA-1 of the stored bytes, computed by Redis. The script does not compare the values themselves:
 * bytes that are not UTF-8 reach the client as different text, which would never equal the stored bytes again, so the
 * fleet could not replace them.
 *
 * This file knows nothing of records or encryption. The entry point is redis.ts.
 *
 * @module
 */
import { kindOf, optionError } from "../base/options.ts";
import type { Store, SwapResult } from "./store.ts";

/**
 * Makes a {@link Store} of a Redis client. The values are already encrypted when they reach the store (seal.ts).
 *
 * The client remains the caller's: the store does not connect, configure or close it. When the client fails, `swap`
 * rejects with the client's error.
 *
 * @throws {TypeError} When `client` is not a {@link RedisLike}.
 */
export function redisSwap(client: RedisLike): Store {
  const run = evalFunction(client);
  return {
    async swap(key, expected, next, ttl) {
      const args = next === undefined ? [] : [next, String(ttl)];
      return swapResult(await run(SWAP, key, [expected ?? "", ...args]));
    },
  };
}

/**
 * A client of Redis or Valkey: one of ioredis, of node-redis (the package `redis`) or of valkey-glide. For any other
 * client, a function that runs a script: `(script, key, args) => client.eval(script, [key], args)`.
 *
 * The function has to return the reply as Redis sent it. Where a client parses replies, switch this off (Upstash:
 * `automaticDeserialization: false`).
 */
export type RedisLike = IoredisLike | NodeRedisLike | ValkeyGlideLike | EvalFunction;

/** Runs a Lua script with one key on the primary, and resolves with the reply. */
export type EvalFunction = (script: string, key: string, args: string[]) => Promise<unknown>;

/** The methods of an ioredis client (4 to 6, `Redis` or `Cluster`) that the store needs. */
export interface IoredisLike {
  /** Distinguishes ioredis from other clients; the store does not call it. */
  defineCommand(...args: never[]): unknown;
  /** Runs a Lua script. */
  eval(script: string, numberOfKeys: number, ...keyAndArgs: string[]): Promise<unknown>;
}

/** The methods of a node-redis client (4 to 6; client, pool, cluster or sentinel) that the store needs. */
export interface NodeRedisLike {
  /** Distinguishes node-redis from other clients; the store does not call it. */
  sendCommand(...args: never[]): unknown;
  /** Runs a Lua script. */
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
}

/** The method of a valkey-glide client (`GlideClient` or `GlideClusterClient`) that the store needs. */
export interface ValkeyGlideLike {
  /** Runs a command. The decoder `0` is `Decoder.Bytes` of valkey-glide. */
  customCommand(args: string[], options: { decoder: 0 }): Promise<unknown>;
}

/**
 * The script. KEYS[1] is the key. ARGV[1] is the expected version, or "" if the key must be absent. To write a value,
 * ARGV[2] is the value and ARGV[3] its time to live in milliseconds; without them the script deletes the key.
 */
const SWAP = `
local value = redis.call('GET', KEYS[1])
local version = value and redis.sha1hex(value) or ''
if version ~= ARGV[1] then return { 0, value or '', version, redis.call('PTTL', KEYS[1]) } end
if not ARGV[2] then
  redis.call('DEL', KEYS[1])
  return { 1, '', '', 0 }
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return { 1, '', redis.sha1hex(ARGV[2]), 0 }`;

function evalFunction(client: RedisLike): EvalFunction {
  if (typeof client === "function") return client;
  if (has(client, "customCommand")) {
    // As bytes: as text, glide rejects a reply that is not UTF-8, and the fleet could never replace such a value.
    return (script, key, args) => client.customCommand(["EVAL", script, "1", key, ...args], { decoder: 0 });
  }
  // This check comes before the one for node-redis, because an ioredis client has a sendCommand too.
  if (has(client, "defineCommand")) return (script, key, args) => client.eval(script, 1, key, ...args);
  // node-redis 3 takes arguments one by one; given an array, it throws where nobody can catch it.
  if (has(client, "sendCommand") && "internal_send_command" in client) {
    throw new TypeError(`"client" must be a client of node-redis 4 or later, got one of an older version`);
  }
  // Calls eval and not sendCommand, whose arguments differ between a cluster, a sentinel and a single server.
  if (has(client, "sendCommand")) return (script, key, args) => client.eval(script, { keys: [key], arguments: args });
  throw notAClient(client);
}

function has<M extends string>(client: RedisLike, method: M): client is Extract<RedisLike, Record<M, unknown>> {
  return typeof (Object(client) as Record<string, unknown>)[method] === "function";
}

function notAClient(value: unknown): TypeError {
  const expected = "a client of ioredis, node-redis or valkey-glide, or a function (script, key, args) => Promise";
  return optionError("client", value, expected);
}

/** Converts the reply. With some clients and settings, numbers arrive as text or bigint, and text as bytes. */
function swapResult(reply: unknown): SwapResult {
  if (!Array.isArray(reply) || reply.length !== 4) throw malformed(kindOf(reply));
  const [done, value, version, ttl] = [Number(reply[0]), text(reply[1]), text(reply[2]), Number(reply[3])];
  const isVersion = version === "" || /^[0-9a-f]{40}$/.test(version);
  if ((done !== 0 && done !== 1) || !isVersion || !Number.isFinite(ttl)) throw malformed("an array of something else");
  if (done === 1) return { ok: true, version: version === "" ? undefined : version };
  return { ok: false, current: version === "" ? undefined : { value, version, ttl } };
}

function text(value: unknown): string {
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : String(value);
}

/** The message states the kind of the reply and never its content, which may be a record. */
function malformed(got: string): Error {
  return new Error(
    `Redis must answer the script with [0 or 1, value, version, milliseconds], got ${got}: ` +
      `does the client change replies on their way?`,
  );
}
