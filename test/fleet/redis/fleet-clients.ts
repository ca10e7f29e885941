/** The Redis clients of a mixed fleet, opened with the defaults of each package. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis as Redis5 } from "ioredis-5";
import type { Redis as Redis6 } from "ioredis";
import type { RedisClientType as NodeRedis6 } from "redis";
import type { RedisClientType as NodeRedis5 } from "redis-5";
import type { RedisLike } from "../../../src/fleet/redis.ts";

/** The address to which a client connects. */
export interface Address {
  readonly port: number;
  readonly password?: string | undefined;
}

/** An open client of any package. */
export interface OpenClient {
  readonly client: RedisLike;
  /** Resolves when the client is connected. */
  readonly connected: Promise<unknown>;
  /** Sends PING until Redis answers, and then resolves. */
  readonly reaches: () => Promise<void>;
  readonly close: () => void;
}

const RETRY_PAUSE = 50;

const host = "127.0.0.1";

/** The clients that the processes use in turn. A process loads only its own, because all together take a second to load. */
const CLIENTS: readonly ((address: Address) => Promise<OpenClient>)[] = [
  async (address) => ofIoredis(new (await import("ioredis")).Redis({ host, ...address })),
  async (address) => ofIoredis(new (await import("ioredis-5")).Redis({ host, ...address })),
  async (address) => ofNodeRedis((await import("redis")).createClient(forNodeRedis(address)) as NodeRedis6),
  async (address) => ofNodeRedis((await import("redis-5")).createClient(forNodeRedis(address)) as NodeRedis5),
];

export async function openClient(number: number, address: Address): Promise<OpenClient> {
  return CLIENTS[number % CLIENTS.length]!(address);
}

function ofIoredis(client: Redis6 | Redis5): OpenClient {
  client.on("error", () => {});
  const connected = new Promise((resolve) => client.once("ready", resolve));
  return { client, connected, reaches: () => waitForAnswer(client), close: () => client.disconnect() };
}

function forNodeRedis({ port, password }: Address): { socket: { host: string; port: number }; password?: string } {
  return { socket: { host, port }, ...(password !== undefined && { password }) };
}

function ofNodeRedis(client: NodeRedis6 | NodeRedis5): OpenClient {
  client.on("error", () => {});
  const connected = client.connect();
  connected.catch(() => {});
  return { client, connected, reaches: () => waitForAnswer(client), close: () => client.destroy() };
}

async function waitForAnswer(client: { ping(): Promise<unknown> }): Promise<void> {
  while ((await client.ping().catch(() => undefined)) === undefined) await sleep(RETRY_PAUSE);
}
