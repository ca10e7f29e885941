/**
 * Which clients `redisSwap` accepts and refuses at compile time, each with the types of its own package and without a cast.
 * This file is compiled and never run.
 */
import * as ioredis6 from "ioredis";
import * as ioredis5 from "ioredis-5";
import * as redis6 from "redis";
import * as redis5 from "redis-5";
import { redisSwap } from "../../../src/fleet/redis-swap.ts";
import type { GlideClient, GlideClusterClient } from "@valkey/valkey-glide";

const sentinelOptions = { name: "primary", sentinelRootNodes: [] };

export function accepted(glide: GlideClient, glideCluster: GlideClusterClient): void {
  redisSwap(new ioredis6.Redis());
  redisSwap(new ioredis6.Redis({ keyPrefix: "app:", stringNumbers: true }));
  redisSwap(new ioredis6.Redis({ replyMapping: "resp3" }));
  redisSwap(new ioredis6.Cluster([]));
  redisSwap(new ioredis5.Redis());
  redisSwap(new ioredis5.Cluster([]));
  redisSwap(redis6.createClient());
  redisSwap(redis6.createClient({ RESP: 2 }));
  redisSwap(redis6.createClient({ RESP: 3 }));
  redisSwap(redis6.createClient().withTypeMapping({ [redis6.RESP_TYPES.BLOB_STRING]: Buffer }));
  redisSwap(redis6.createClientPool());
  redisSwap(redis6.createCluster({ rootNodes: [] }));
  redisSwap(redis6.createSentinel(sentinelOptions));
  redisSwap(redis5.createClient());
  redisSwap(redis5.createClient({ RESP: 3 }));
  redisSwap(redis5.createClient().withTypeMapping({ [redis5.RESP_TYPES.BLOB_STRING]: Buffer }));
  redisSwap(redis5.createClientPool());
  redisSwap(redis5.createCluster({ rootNodes: [] }));
  redisSwap(redis5.createSentinel(sentinelOptions));
  redisSwap(glide);
  redisSwap(glideCluster);
  redisSwap((script, key, args) => new ioredis6.Redis().eval(script, 1, key, ...args));
  redisSwap((script, key, args) => glide.customCommand(["EVAL", script, "1", key, ...args]));
}

export function refused(upstash: { eval(script: string, keys: string[], args: string[]): Promise<unknown> }): void {
  // @ts-expect-error: connect() returns a promise of a client.
  redisSwap(redis6.createClient().connect());
  // @ts-expect-error: the eval of Upstash has other parameters.
  redisSwap(upstash);
  // @ts-expect-error: a URL is not a client.
  redisSwap("redis://localhost");
}
