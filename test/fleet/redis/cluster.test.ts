/** A fleet on a Redis Cluster whose slots move and whose replica takes over. */
import { Cluster } from "ioredis";
import { createCluster } from "redis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { policyHalf } from "../../../src/core/types.ts";
import { redisStore, type RedisLike } from "../../../src/fleet/redis.ts";
import { createTokenCache, type TokenCache } from "../../../src/index.ts";
import { fakeGrant, type FakeGrant } from "../../../src/testing/index.ts";
import { startCluster, type RedisCluster } from "./redis-cluster.ts";
import { redisAvailable, type RedisServer } from "./redis-server.ts";

const TARGET = { origin: "https://api.example", path: "/orders" };
/** Milliseconds to wait for the cluster: far more than a busy machine needs. */
const PATIENCE = 20_000;

describe.runIf(redisAvailable())("a fleet on a Redis Cluster", () => {
  let cluster: RedisCluster;
  let grant: FakeGrant;
  let caches: readonly TokenCache[];
  const open: (() => unknown)[] = [];

  beforeAll(async () => {
    cluster = await startCluster({ replicas: 3 });
    grant = fakeGrant({ key: "orders" });
    const one = new Cluster([...cluster.nodes]);
    const rootNodes = cluster.nodes.map(({ host, port }) => ({ url: `redis://${host}:${port}` }));
    const other = await createCluster({ rootNodes })
      .on("error", () => {})
      .connect();
    open.push(
      () => one.disconnect(),
      () => other.destroy(),
    );
    caches = [one, other].map((client) => cacheOver(client, grant));
  });

  afterAll(async () => {
    for (const close of open) close();
    await cluster[Symbol.asyncDispose]();
  });

  test("two clients share one token", async () => {
    const tokens = await Promise.all(caches.map((cache) => cache.get()));
    expect(new Set(tokens.map(({ value }) => value)).size).toBe(1);
    expect(grant.mints).toBe(1);
  });

  test("the slot of the record has moved to another node: a rejected token takes one mint", async () => {
    const { key, holder } = await recordOf(cluster);
    const target = cluster.primaries.find((primary) => primary !== holder)!;
    const before = grant.mints;
    await moveSlot(cluster, key, holder, target);
    expect(await target.command("EXISTS", key)).toBe(1);
    expect(new Set(await renewAll(caches)).size).toBe(1);
    expect(grant.mints).toBe(before + 1);
    expect((await recordOf(cluster)).holder).toBe(target);
  });

  test("a replica has taken over from its primary: a rejected token takes one mint", async () => {
    const { key, holder } = await recordOf(cluster);
    const replica = cluster.replicas[cluster.primaries.indexOf(holder)]!;
    const before = grant.mints;
    expect(Number(await holder.command("WAIT", 1, PATIENCE))).toBeGreaterThanOrEqual(1);
    // TAKEOVER does not ask the other nodes. They may refuse for a while, because a slot has just moved.
    await replica.command("CLUSTER", "FAILOVER", "TAKEOVER");
    await until(async () => String(await replica.command("ROLE")).startsWith("master"));
    await until(async () => String(await holder.command("ROLE")).startsWith("slave"));
    expect(new Set(await renewAll(caches)).size).toBe(1);
    expect(grant.mints).toBe(before + 1);
    expect(await replica.command("EXISTS", key)).toBe(1);
  });
});

/** Creates a cache over a client. The time limit is long, because the client itself follows redirects and reconnects. */
function cacheOver(client: RedisLike, grant: FakeGrant): TokenCache {
  const store = redisStore(client, { encryptionKey: new Uint8Array(32).fill(1), callTimeout: PATIENCE });
  return createTokenCache({ grant, origins: [TARGET.origin], store });
}

/** Rejects the token of every cache, and returns the tokens that they renewed it to. */
function renewAll(caches: readonly TokenCache[]): Promise<string[]> {
  return Promise.all(
    caches.map(async (cache) => {
      const renewal = policyHalf(cache).rejected(await cache.get(), TARGET);
      return (await renewal!.next()).token.value;
    }),
  );
}

/** Finds the one record and the primary that has it. */
async function recordOf({ primaries }: RedisCluster): Promise<{ key: string; holder: RedisServer }> {
  for (const holder of primaries) {
    if (!String(await holder.command("ROLE")).startsWith("master")) continue;
    const [key] = (await holder.command("KEYS", "remint*")) as string[];
    if (key !== undefined) return { key, holder };
  }
  throw new Error("no node has a record");
}

/** Moves a slot as an administrator does. The key is still on the old node when its slot starts to move. */
async function moveSlot(cluster: RedisCluster, key: string, from: RedisServer, to: RedisServer): Promise<void> {
  const slot = Number(await from.command("CLUSTER", "KEYSLOT", key));
  const [source, target] = [String(await from.command("CLUSTER", "MYID")), String(await to.command("CLUSTER", "MYID"))];
  await to.command("CLUSTER", "SETSLOT", slot, "IMPORTING", source);
  await from.command("CLUSTER", "SETSLOT", slot, "MIGRATING", target);
  await from.command("MIGRATE", "127.0.0.1", to.port, key, 0, 5000);
  for (const node of [to, from]) await node.command("CLUSTER", "SETSLOT", slot, "NODE", target);
  const others = cluster.primaries.filter((node) => node !== from && node !== to);
  for (const node of others) {
    await until(async () => String(await node.command("CLUSTER", "NODES")).includes(`${target} `));
  }
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error("gave up waiting for the cluster");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
