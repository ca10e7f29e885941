/** Redis Cluster and Sentinel out of servers that a test starts itself. */
import { RedisServer } from "./redis-server.ts";

const SLOTS = 16_384;
/** Far beyond what a busy machine needs; a test that gets here has failed. */
const PATIENCE = 25_000;
const MASTER_NAME = "primary";

export interface RedisCluster extends AsyncDisposable {
  readonly primaries: readonly RedisServer[];
  /** One for each of the first primaries. */
  readonly replicas: readonly RedisServer[];
  /** Where clients may begin. */
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
}

export interface RedisSentinel extends AsyncDisposable {
  /** What the sentinel calls the group. */
  readonly name: string;
  readonly primary: RedisServer;
  readonly replica: RedisServer;
  readonly sentinel: RedisServer;
}

/** Three primaries that share the slots, and replicas of the first ones; resolves when all say that all is well. */
export async function startCluster(options: { readonly replicas?: number } = {}): Promise<RedisCluster> {
  const { replicas: wanted = 0 } = options;
  const servers = await startAll(3 + wanted, { "cluster-enabled": "yes", "cluster-node-timeout": "2000" });
  const primaries = servers.slice(0, 3);
  const replicas = servers.slice(3);
  return whole(servers, async () => {
    await Promise.all(primaries.map((server, index) => giveSlots(server, index)));
    for (const { port } of servers.slice(1)) await servers[0]!.command("CLUSTER", "MEET", "127.0.0.1", port);
    await Promise.all(servers.map((server) => until("all nodes know each other", () => knows(server, servers.length))));
    await Promise.all(replicas.map((server, index) => replicate(server, primaries[index]!)));
    await Promise.all(servers.map((server) => until("the cluster is ok", () => isOk(server))));
    await Promise.all(replicas.map((server) => until("the replica is up to date", () => isLinked(server))));
    return { primaries, replicas, nodes: servers.map(({ port }) => ({ host: "127.0.0.1", port })) };
  });
}

/** A primary, a replica and a sentinel that watches them; resolves when the sentinel knows both. */
export async function startSentinel(): Promise<RedisSentinel> {
  const primary = await RedisServer.start({ config: { "repl-diskless-sync-delay": "0" } });
  const servers = [primary];
  return whole(servers, async () => {
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

/** Polls: Redis has no event for any of this. */
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

/** Completes the group with the means to end it, and ends it when it cannot be completed. */
async function whole<T>(servers: readonly RedisServer[], complete: () => Promise<T>): Promise<T & AsyncDisposable> {
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
  // One by one: ADDSLOTSRANGE came with Redis 7.
  await server.command("CLUSTER", "ADDSLOTS", ...Array.from({ length: end - first }, (_, slot) => first + slot));
  await server.command("CLUSTER", "SET-CONFIG-EPOCH", index + 1);
}

async function knows(server: RedisServer, count: number): Promise<boolean> {
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
