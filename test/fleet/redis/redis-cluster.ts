/** A Redis Cluster and a Redis Sentinel from servers that a test starts itself. */
import { RedisServer } from "./redis-server.ts";

const SLOTS = 16_384;
/** Milliseconds to wait for the servers: far more than a busy machine needs. */
const PATIENCE = 25_000;
const MASTER_NAME = "primary";

export interface RedisCluster extends AsyncDisposable {
  readonly primaries: readonly RedisServer[];
  /** The replicas of the first primaries, in the same order. */
  readonly replicas: readonly RedisServer[];
  /** The addresses of all nodes. */
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
}

export interface RedisSentinel extends AsyncDisposable {
  /** The name of the group in the sentinel. */
  readonly name: string;
  readonly primary: RedisServer;
  readonly replica: RedisServer;
  readonly sentinel: RedisServer;
}

export interface ClusterOptions {
  readonly replicas?: number;
  /** Further settings of each node's `redis.conf`. */
  readonly config?: Readonly<Record<string, string>>;
}

/** Starts three primaries that share the slots, and replicas of the first ones. Resolves when every node reports "ok". */
export async function startCluster(options: ClusterOptions = {}): Promise<RedisCluster> {
  const { replicas: wanted = 0, config } = options;
  const servers = await startAll(3 + wanted, {
    "cluster-enabled": "yes",
    "cluster-node-timeout": "2000",
    ...config,
  });
  const primaries = servers.slice(0, 3);
  const replicas = servers.slice(3);
  return disposable(servers, async () => {
    await Promise.all(primaries.map((server, index) => giveSlots(server, index)));
    for (const { port } of servers.slice(1)) await servers[0]!.command("CLUSTER", "MEET", "127.0.0.1", port);
    await Promise.all(
      servers.map((server) => until("all nodes know each other", () => knowsNodes(server, servers.length))),
    );
    await Promise.all(replicas.map((server, index) => replicate(server, primaries[index]!)));
    await Promise.all(servers.map((server) => until("the cluster is ok", () => isOk(server))));
    await Promise.all(replicas.map((server) => until("the replica is up to date", () => isLinked(server))));
    return { primaries, replicas, nodes: servers.map(({ port }) => ({ host: "127.0.0.1", port })) };
  });
}

/** Resolves when every primary reports "ok", and all slots are served. */
export async function untilWhole({ primaries }: RedisCluster): Promise<void> {
  await Promise.all(primaries.map((server) => until("the cluster is ok", () => isOk(server))));
}

/** Resolves when this primary counts another one as failed. Redis takes `cluster-node-timeout` for it. */
export async function untilFailed(primary: RedisServer, other: RedisServer): Promise<void> {
  await until("the other primary counts as failed", async () => {
    const nodes = String(await primary.command("CLUSTER", "NODES")).split("\n");
    return nodes.some((node) => node.includes(`:${other.port}@`) && /[ ,]fail[ ,]/.test(node));
  });
}

/** Returns the primary that has a key, if no slot has moved. */
export async function primaryOf({ primaries }: RedisCluster, key: string): Promise<RedisServer> {
  const slot = Number(await primaries[0]!.command("CLUSTER", "KEYSLOT", key));
  return primaries[Math.floor((slot * primaries.length) / SLOTS)]!;
}

/** Starts a primary, a replica and a sentinel that watches them. Resolves when the sentinel knows both. */
export async function startSentinel(): Promise<RedisSentinel> {
  const primary = await RedisServer.start({ config: { "repl-diskless-sync-delay": "0" } });
  const servers = [primary];
  return disposable(servers, async () => {
    const replica = await RedisServer.start({ config: { replicaof: `127.0.0.1 ${primary.port}` } });
    servers.push(replica);
    await until("the replica is up to date", () => isLinked(replica));
    const sentinel = await RedisServer.start({}, ["--sentinel"]);
    servers.push(sentinel);
    await sentinel.command("SENTINEL", "MONITOR", MASTER_NAME, "127.0.0.1", primary.port, 1);
    await sentinel.command("SENTINEL", "SET", MASTER_NAME, "down-after-milliseconds", 1000);
    await until("the sentinel knows the replica", () => hasReplica(sentinel));
    return { name: MASTER_NAME, primary, replica, sentinel };
  });
}

/** Polls until the check succeeds, because Redis has no event for these states. */
async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`gave up waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function startAll(count: number, config: Readonly<Record<string, string>>): Promise<RedisServer[]> {
  const started = Array.from({ length: count }, () =>
    RedisServer.start({ config: { "repl-diskless-sync-delay": "0", ...config } }),
  );
  const outcomes = await Promise.allSettled(started);
  const servers = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed === undefined) return servers;
  await disposeAll(servers);
  throw failed.reason;
}

/** Completes a group of servers and adds its disposal. Ends the servers if the group cannot be completed. */
async function disposable<T>(
  servers: readonly RedisServer[],
  complete: () => Promise<T>,
): Promise<T & AsyncDisposable> {
  try {
    return { ...(await complete()), [Symbol.asyncDispose]: () => disposeAll(servers) };
  } catch (error) {
    await disposeAll(servers);
    throw error;
  }
}

async function disposeAll(servers: readonly RedisServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
}

async function giveSlots(server: RedisServer, index: number): Promise<void> {
  const first = Math.ceil((SLOTS * index) / 3);
  const end = Math.ceil((SLOTS * (index + 1)) / 3);
  // ADDSLOTSRANGE needs Redis 7, so every slot is named.
  await server.command("CLUSTER", "ADDSLOTS", ...Array.from({ length: end - first }, (_, slot) => first + slot));
  await server.command("CLUSTER", "SET-CONFIG-EPOCH", index + 1);
}

async function knowsNodes(server: RedisServer, count: number): Promise<boolean> {
  const nodes = String(await server.command("CLUSTER", "NODES"))
    .trim()
    .split("\n");
  return nodes.length === count && nodes.every((node) => !node.includes("handshake"));
}

async function replicate(replica: RedisServer, primary: RedisServer): Promise<void> {
  await replica.command("CLUSTER", "REPLICATE", String(await primary.command("CLUSTER", "MYID")));
}

async function isOk(server: RedisServer): Promise<boolean> {
  const info = String(await server.command("CLUSTER", "INFO"));
  return info.includes("cluster_state:ok") && info.includes(`cluster_slots_ok:${SLOTS}`);
}

async function isLinked(replica: RedisServer): Promise<boolean> {
  return String(await replica.command("INFO", "replication")).includes("master_link_status:up");
}

async function hasReplica(sentinel: RedisServer): Promise<boolean> {
  const replicas = await sentinel.command("SENTINEL", "REPLICAS", MASTER_NAME);
  return Array.isArray(replicas) && replicas.length > 0;
}
