/**
 * The store's `swap` on Redis or Valkey, through whatever client the user already has: one script, one key, one round
 * trip.
 *
 * The script is sent with EVAL, not EVALSHA: Redis keeps it after the first time either way, and a server that was
 * restarted or failed over answers EVALSHA with an error. It may write, so clients and clusters send it to a primary,
 * whatever they do with reads.
 *
 * A version is the SHA-1 of the stored bytes, taken in Redis. Values compared as text would not do: bytes that are no
 * UTF-8 reach the client as something else, which then never equals what is stored and could never be replaced.
 *
 * @module
 */
import { kindOf, optionError } from "../base/options.ts";
import type { Store, SwapResult } from "./store.ts";

/** KEYS: the key. ARGV: the version expected, "" for none; to store a value, it and its milliseconds. */
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

/** Runs a Lua script on the one key, on the primary, and resolves with its reply. */
export type EvalFunction = (script: string, key: string, args: string[]) => Promise<unknown>;

/** As much of a client of ioredis (5 and 6: `Redis` or `Cluster`) as is used. */
export interface IoredisLike {
  /** Tells it from other clients; not called. */
  defineCommand(...args: never[]): unknown;
  /** Runs a script. */
  eval(script: string, numberOfKeys: number, ...keyAndArgs: string[]): Promise<unknown>;
}

/** As much of a client of node-redis (5 and 6: client, pool, cluster or sentinel) as is used. */
export interface NodeRedisLike {
  /** Tells it from other clients; not called. */
  sendCommand(...args: never[]): unknown;
  /** Runs a script. */
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
}

/** As much of a client of valkey-glide (`GlideClient` or `GlideClusterClient`) as is used; 0 is its `Decoder.Bytes`. */
export interface ValkeyGlideLike {
  /** Runs any command. */
  customCommand(args: string[], options: { decoder: 0 }): Promise<unknown>;
}

/**
 * A client of Redis or Valkey: of ioredis, of node-redis (the package `redis`), of valkey-glide, or, for any other, a
 * function that runs a script: `(script, key, args) => client.eval(script, [key], args)`.
 *
 * The function must hand the reply back as Redis gave it; where a client parses replies (Upstash:
 * `automaticDeserialization`), that has to be switched off.
 */
export type RedisLike = IoredisLike | NodeRedisLike | ValkeyGlideLike | EvalFunction;

/**
 * Makes a {@link Store} of a Redis client. It holds values as they are given to it: the fleet seals them before.
 *
 * The client stays the user's: it is not connected, configured or closed here, and its errors reject `swap` unchanged.
 *
 * @throws {TypeError} When `client` is none of {@link RedisLike}.
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

function evalFunction(client: RedisLike): EvalFunction {
  if (typeof client === "function") return client;
  if (has(client, "customCommand")) {
    // As bytes: glide rejects a reply that is no UTF-8, and what lies at the key could never be read and replaced.
    return (script, key, args) => client.customCommand(["EVAL", script, "1", key, ...args], { decoder: 0 });
  }
  // Before node-redis: an ioredis client has a sendCommand too.
  if (has(client, "defineCommand")) return (script, key, args) => client.eval(script, 1, key, ...args);
  // Not its sendCommand: that takes other arguments on a cluster than on a sentinel or a single server.
  if (has(client, "sendCommand")) return (script, key, args) => client.eval(script, { keys: [key], arguments: args });
  throw notAClient(client);
}

function has<M extends string>(client: RedisLike, method: M): client is Extract<RedisLike, Record<M, unknown>> {
  return typeof (Object(client) as Record<string, unknown>)[method] === "function";
}

function notAClient(value: unknown): TypeError {
  const expected = "a client of ioredis, node-redis or valkey-glide, or a function (script, key, args) => Promise";
  if (typeof (Object(value) as { then?: unknown }).then !== "function") return optionError("client", value, expected);
  // createClient() of valkey-glide and connect() of node-redis give one.
  return new TypeError(`"client" must be ${expected}, got a promise: await it first`);
}

/** Replies differ between clients and their settings: numbers as text or bigint, text as bytes. */
function swapResult(reply: unknown): SwapResult {
  if (!Array.isArray(reply) || reply.length !== 4) throw malformed(kindOf(reply));
  const [done, value, version, ttl] = [Number(reply[0]), text(reply[1]), text(reply[2]), Number(reply[3])];
  const known = version === "" || /^[0-9a-f]{40}$/.test(version);
  if ((done !== 0 && done !== 1) || !known || !Number.isFinite(ttl)) throw malformed("an array of something else");
  if (done === 1) return { ok: true, version: version === "" ? undefined : version };
  return { ok: false, current: version === "" ? undefined : { value, version, ttl } };
}

function text(value: unknown): string {
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : String(value);
}

/** Says what kind of thing came, never what was in it. */
function malformed(got: string): Error {
  return new Error(
    `Redis must answer the script with [0 or 1, value, version, milliseconds], got ${got}: ` +
      `does the client change replies on their way?`,
  );
}
