/**
 * Every supported client in each of its forms. client-types.ts shows that each is accepted with its own types; here version 5
 * uses the types of version 6.
 */
import * as ioredis6 from "ioredis";
import * as ioredis5 from "ioredis-5";
import * as redis6 from "redis";
import * as redis5 from "redis-5";
import { Decoder, GlideClient, GlideClusterClient, Logger, ProtocolVersion } from "@valkey/valkey-glide";
import type { RedisLike } from "../../../src/fleet/redis.ts";
import type { Certificates } from "../../oauth/certificates.ts";
import type { RedisCluster, RedisSentinel } from "./redis-cluster.ts";
import type { RedisServer } from "./redis-server.ts";

/** The servers that the clients connect to. */
export interface Servers {
  readonly plain: RedisServer;
  /** The certificates of the plain server's TLS port, or `undefined` without `openssl`. */
  readonly certificates: Certificates | undefined;
  readonly cluster: RedisCluster;
  readonly sentinel: RedisSentinel;
}

export type Topology = "plain" | "cluster" | "sentinel";

export interface OpenClient {
  readonly client: RedisLike;
  close(): void;
}

export interface ClientForm {
  readonly name: string;
  readonly topology: Topology;
  /** The prefix that the client puts before every key. */
  readonly prefix?: string;
  readonly needsTls?: boolean;
  open(servers: Servers): Promise<OpenClient>;
}

// valkey-glide would print every error that a test provokes.
Logger.init("off");

const host = "127.0.0.1";
const prefix = "app:";

export const clientForms: readonly ClientForm[] = [
  ...ioredisForms(6),
  ...ioredisForms(5),
  ...nodeRedisForms(6),
  ...nodeRedisForms(5),
  ...glideForms(),
  {
    name: "a function",
    topology: "plain",
    open: async ({ plain }) => {
      const redis = new ioredis6.Redis(plain.port);
      const client: RedisLike = (script, key, args) => redis.call("EVAL", script, 1, key, ...args);
      return { client, close: () => redis.disconnect() };
    },
  },
];

function ioredisForms(version: 5 | 6): ClientForm[] {
  const { Redis, Cluster } = version === 6 ? ioredis6 : (ioredis5 as unknown as typeof ioredis6);
  const form = (
    name: string,
    topology: Topology,
    create: (servers: Servers) => InstanceType<typeof Redis | typeof Cluster>,
    more: Pick<ClientForm, "prefix" | "needsTls"> = {},
  ): ClientForm => ({
    name: `ioredis ${version}, ${name}`,
    topology,
    ...more,
    open: async (servers) => {
      const client = create(servers);
      return { client, close: () => client.disconnect() };
    },
  });
  return [
    form("plain", "plain", ({ plain }) => new Redis({ host, port: plain.port })),
    form("stringNumbers", "plain", ({ plain }) => new Redis({ host, port: plain.port, stringNumbers: true })),
    form("keyPrefix", "plain", ({ plain }) => new Redis({ host, port: plain.port, keyPrefix: prefix }), { prefix }),
    form("autopipelining", "plain", ({ plain }) => new Redis({ host, port: plain.port, enableAutoPipelining: true })),
    form(
      "TLS",
      "plain",
      ({ plain, certificates }) => new Redis({ host, port: plain.tlsPort, tls: { ca: certificates!.ca } }),
      { needsTls: true },
    ),
    form("Cluster", "cluster", ({ cluster }) => new Cluster([...cluster.nodes])),
    form(
      "Cluster that reads from replicas",
      "cluster",
      ({ cluster }) => new Cluster([...cluster.nodes], { scaleReads: "slave" }),
    ),
    form(
      "Cluster with keyPrefix",
      "cluster",
      ({ cluster }) => new Cluster([...cluster.nodes], { keyPrefix: prefix, scaleReads: "all" }),
      { prefix },
    ),
    form(
      "Sentinel",
      "sentinel",
      ({ sentinel }) => new Redis({ sentinels: [{ host, port: sentinel.sentinel.port }], name: sentinel.name }),
    ),
  ];
}

function nodeRedisForms(version: 5 | 6): ClientForm[] {
  const redis = version === 6 ? redis6 : (redis5 as unknown as typeof redis6);
  const form = (
    name: string,
    topology: Topology,
    create: (servers: Servers) => RedisLike & NodeRedisClient,
    more: Pick<ClientForm, "prefix" | "needsTls"> = {},
  ): ClientForm => ({
    name: `node-redis ${version}, ${name}`,
    topology,
    ...more,
    open: async (servers) => {
      const client = create(servers);
      client.on("error", () => {});
      await client.connect();
      return { client, close: () => void client.destroy() };
    },
  });
  return [
    form("plain", "plain", ({ plain }) => redis.createClient({ socket: { host, port: plain.port } })),
    form("RESP 2", "plain", ({ plain }) => redis.createClient({ socket: { host, port: plain.port }, RESP: 2 })),
    form("RESP 3", "plain", ({ plain }) => redis.createClient({ socket: { host, port: plain.port }, RESP: 3 })),
    form("pool", "plain", ({ plain }) => redis.createClientPool({ socket: { host, port: plain.port } })),
    form("text as bytes", "plain", ({ plain }) =>
      redis
        .createClient({ socket: { host, port: plain.port } })
        .withTypeMapping({ [redis.RESP_TYPES.BLOB_STRING]: Buffer }),
    ),
    form(
      "TLS",
      "plain",
      ({ plain, certificates }) =>
        redis.createClient({ socket: { host, port: plain.tlsPort, tls: true, ca: certificates!.ca } }),
      { needsTls: true },
    ),
    form("cluster", "cluster", ({ cluster }) => redis.createCluster({ rootNodes: urls(cluster) })),
    form("cluster that reads from replicas", "cluster", ({ cluster }) =>
      redis.createCluster({ rootNodes: urls(cluster), useReplicas: true }),
    ),
    form("sentinel", "sentinel", ({ sentinel }) => redis.createSentinel(sentinelOptions(sentinel))),
    form("sentinel that reads from replicas", "sentinel", ({ sentinel }) =>
      redis.createSentinel({ ...sentinelOptions(sentinel), replicaPoolSize: 1 }),
    ),
  ];
}

interface NodeRedisClient {
  on(event: "error", listener: () => void): unknown;
  connect(): Promise<unknown>;
  destroy(): unknown;
}

function urls({ nodes }: RedisCluster): { url: string }[] {
  return nodes.map(({ port }) => ({ url: `redis://${host}:${port}` }));
}

function sentinelOptions({ name, sentinel }: RedisSentinel): {
  name: string;
  sentinelRootNodes: { host: string; port: number }[];
} {
  return { name, sentinelRootNodes: [{ host, port: sentinel.port }] };
}

function glideForms(): ClientForm[] {
  return [
    glideForm("plain", "plain", (servers) => GlideClient.createClient(addresses(servers))),
    glideForm("RESP 2", "plain", (servers) =>
      GlideClient.createClient({ ...addresses(servers), protocol: ProtocolVersion.RESP2 }),
    ),
    glideForm("text as bytes", "plain", (servers) =>
      GlideClient.createClient({ ...addresses(servers), defaultDecoder: Decoder.Bytes }),
    ),
    glideForm("cluster", "cluster", ({ cluster }) =>
      GlideClusterClient.createClient({ addresses: [...cluster.nodes] }),
    ),
    glideForm("cluster that reads from replicas", "cluster", ({ cluster }) =>
      GlideClusterClient.createClient({ addresses: [...cluster.nodes], readFrom: "preferReplica" }),
    ),
  ];
}

function glideForm(
  name: string,
  topology: Topology,
  create: (servers: Servers) => Promise<GlideClient | GlideClusterClient>,
): ClientForm {
  return {
    name: `valkey-glide, ${name}`,
    topology,
    open: async (servers) => {
      const client = await create(servers);
      return { client, close: () => client.close() };
    },
  };
}

function addresses({ plain }: Servers): { addresses: { host: string; port: number }[] } {
  return { addresses: [{ host, port: plain.port }] };
}
