/** The store contract through every supported client, against real servers, clusters and sentinels. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { redisSwap } from "../../../src/fleet/redis-swap.ts";
import { storeContract } from "../../../src/fleet/store-contract.ts";
import { hasOpenssl, makeCertificates } from "../../oauth/certificates.ts";
import { clientForms } from "./clients.ts";
import { startCluster, startSentinel } from "./redis-cluster.ts";
import { redisAvailable, RedisServer } from "./redis-server.ts";
import type { Store, StoreEntry } from "../../../src/fleet/store.ts";
import type { OpenClient, Servers, Topology } from "./clients.ts";

const hasRedis = redisAvailable();
if (hasRedis && !hasOpenssl) console.log("skipped: TLS, there is no openssl on the PATH to make certificates");

let servers: Servers;

interface Nodes {
  readonly primaries: readonly RedisServer[];
  readonly replicas: readonly RedisServer[];
}

function nodesOf(topology: Topology): Nodes {
  const { plain, cluster, sentinel } = servers;
  if (topology === "plain") return { primaries: [plain], replicas: [] };
  return topology === "cluster" ? cluster : { primaries: [sentinel.primary], replicas: [sentinel.replica] };
}

/** Returns how many scripts a server ran, refused or redirected. */
async function scriptsRun(server: RedisServer): Promise<number> {
  const counts = [...(await server.commands())].filter(([name]) => name.startsWith("eval"));
  return counts.reduce((sum, [, { calls, rejected }]) => sum + calls + rejected, 0);
}

/** Runs a command on the server that has the key, without the client under test. */
async function command(nodes: Nodes, ...args: [name: string, ...(string | Buffer)[]]): Promise<unknown> {
  for (const primary of nodes.primaries) {
    try {
      return await primary.command(...args);
    } catch (error) {
      if (!String(error).includes("MOVED")) throw error;
    }
  }
  throw new Error("no server has the key");
}

async function read(store: Store, key: string): Promise<StoreEntry | undefined> {
  const result = await store.swap(key, "-", "read", 1000);
  if (result.ok) throw new Error("the store accepted a version that it never returned");
  return result.current;
}

/**
 * Returns the failures of the store contract. Its tests run at the same time, because most of their time is waiting for
 * values to expire.
 */
async function contractFailures(store: Store): Promise<string[]> {
  const cases = storeContract(() => store);
  const outcomes = await Promise.allSettled(cases.map(({ run }) => run()));
  return outcomes.flatMap((outcome, index) =>
    outcome.status === "rejected" ? [`${cases[index]!.name}: ${String(outcome.reason)}`] : [],
  );
}

describe.skipIf(!hasRedis)("redisSwap through every client", () => {
  beforeAll(async () => {
    const certificates = hasOpenssl ? makeCertificates() : undefined;
    const [plain, cluster, sentinel] = await Promise.all([
      RedisServer.start({ tls: certificates }),
      startCluster({ replicas: 3 }),
      startSentinel(),
    ]);
    servers = { plain, certificates, cluster, sentinel };
  });

  afterAll(async () => {
    const { plain, cluster, sentinel } = servers;
    await Promise.all([plain, cluster, sentinel].map((group) => group[Symbol.asyncDispose]()));
  });

  describe.each(clientForms.filter(({ needsTls }) => hasOpenssl || needsTls !== true))("$name", (form) => {
    let nodes: Nodes;
    let open: OpenClient;
    let store: Store;

    beforeAll(async () => {
      nodes = nodesOf(form.topology);
      open = await form.open(servers);
      store = redisSwap(open.client);
      await Promise.all([...nodes.primaries, ...nodes.replicas].map((server) => server.resetCommands()));
    });

    afterAll(() => open.close());

    it("keeps the store contract", async () => {
      expect(await contractFailures(store)).toEqual([]);
    });

    it("asks primaries only", async () => {
      // With 60 keys every primary has some.
      for (let key = 0; key < 60; key++) await read(store, `{${key}}`);
      expect(Math.min(...(await Promise.all(nodes.primaries.map(scriptsRun))))).toBeGreaterThan(0);
      expect(await Promise.all(nodes.replicas.map(scriptsRun))).toEqual(nodes.replicas.map(() => 0));
    });

    it("passes the key as a key, so that the client's prefix applies", async () => {
      const key = `{${form.name}} key`;
      await store.swap(key, undefined, "value", 60_000);
      expect(await command(nodes, "GET", `${form.prefix ?? ""}${key}`)).toBe("value");
    });

    it("bytes that are not text can be replaced by their version", async () => {
      const key = `{${form.name}} garbage`;
      await command(nodes, "SET", `${form.prefix ?? ""}${key}`, Buffer.from([0x00, 0xff, 0xfe, 0x01]));
      const current = await read(store, key);
      expect(current).toMatchObject({ version: expect.stringMatching(/^[0-9a-f]{40}$/), ttl: -1 });
      expect(await store.swap(key, current?.version, "value", 60_000)).toMatchObject({ ok: true });
      expect(await read(store, key)).toMatchObject({ value: "value" });
    });

    it("a list under the key: rejects, and the list stays", async () => {
      const key = `{${form.name}} list`;
      await command(nodes, "RPUSH", `${form.prefix ?? ""}${key}`, "a");
      await expect(store.swap(key, undefined, "value", 1000)).rejects.toThrow(/WRONGTYPE/);
      await expect(read(store, key)).rejects.toThrow(/WRONGTYPE/);
      expect(await command(nodes, "LLEN", `${form.prefix ?? ""}${key}`)).toBe(1);
    });
  });
});
