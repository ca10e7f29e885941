/**
 * One primary of a real Redis Cluster freezes, as when its machine is suspended: its connections stay open and nothing is
 * answered. The users whose records it has wait or are refused; the users of the other primaries must notice nothing.
 *
 * The clock of the caches stands still unless a test moves it, and the servers and clients run in real time. So whoever is
 * served while the clock stands has waited for no pause and no time limit of the fleet.
 *
 * The same rules with a scripted store are in ../isolation.test.ts. Slots that move and replicas that take over are in
 * cluster.test.ts.
 */
import { GlideClusterClient, Logger } from "@valkey/valkey-glide";
import { Cluster } from "ioredis";
import { createCluster } from "redis";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { redisStore, type RedisLike } from "../../../src/fleet/redis.ts";
import { createTokenCache, createTokenPool, type RemintEvent, type TokenPool } from "../../../src/index.ts";
import { manualClock, type ManualClock } from "../../../src/testing/index.ts";
import { watch, type Watched } from "../../core/cache-under-test.ts";
import { ORIGIN } from "../fleet-under-test.ts";
import { sessionGrant, SessionServer } from "../session-server.ts";
import { primaryOf, startCluster, untilFailed, untilWhole, type RedisCluster } from "./redis-cluster.ts";
import { redisAvailable, type RedisServer } from "./redis-server.ts";

const USERS = 30;
const CALL_TIMEOUT = 2000;
/** Milliseconds after which every pause is over: of a key of the store, and of a failed mint. */
const PAUSES = 20_000;
/** Milliseconds to wait for real servers and clients: far more than a busy machine needs. */
const PATIENCE = { timeout: 20_000 };
const TEST = 60_000;
const encryptionKey = new Uint8Array(32).fill(7);

interface OpenClient {
  readonly client: RedisLike;
  readonly close: () => void;
}

// valkey-glide would print every error that the tests provoke.
Logger.init("off");

/** The clients with the options that docs/fleet.md gives them for a cluster. */
const CLIENTS: Readonly<Record<string, (cluster: RedisCluster) => Promise<OpenClient>>> = {
  async ioredis({ nodes }) {
    const client = new Cluster([...nodes], { enableReadyCheck: false });
    client.on("error", () => {});
    return { client, close: () => client.disconnect() };
  },
  async "node-redis"({ nodes }) {
    const client = createCluster({
      rootNodes: nodes.map(({ host, port }) => ({ url: `redis://${host}:${port}` })),
      minimizeConnections: true,
      defaults: { pingInterval: 1000, socket: { socketTimeout: 3000 } },
    });
    client.on("error", () => {});
    await client.connect();
    return { client, close: () => client.destroy() };
  },
  async "valkey-glide"({ nodes }) {
    const client = await GlideClusterClient.createClient({
      addresses: [...nodes],
      lazyConnect: true,
      advancedConfiguration: { connectionTimeout: 1000 },
    });
    return { client, close: () => client.close() };
  },
};

/** One process: a pool of users over a client of its own. */
interface Process {
  readonly pool: TokenPool;
  readonly events: RemintEvent[];
  /** The keys of the commands that were given to the client, oldest first. */
  readonly sent: string[];
  /** How many of them have no answer yet. */
  readonly unanswered: () => number;
}

/** A user, with the number of the session at the authorization server. */
interface User {
  readonly name: string;
  readonly session: number;
  readonly primary: RedisServer;
}

describe.skipIf(!redisAvailable())("one of three primaries of a Redis Cluster is frozen", () => {
  let cluster: RedisCluster;
  const open: (() => unknown)[] = [];

  beforeAll(async () => {
    // Otherwise the whole cluster refuses when one primary without a replica counts as failed.
    cluster = await startCluster({ config: { "cluster-require-full-coverage": "no" } });
  });
  afterEach(async () => {
    cluster.primaries[0]!.thaw();
    for (const close of open.splice(0)) await close();
    await untilWhole(cluster);
    for (const primary of cluster.primaries) await primary.command("FLUSHALL");
  }, TEST);
  afterAll(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  /** Starts a process. `seedOf` returns the refresh token with which a user's session begins. */
  async function start(
    client: keyof typeof CLIENTS,
    { clock, server, seedOf }: { clock: ManualClock; server: SessionServer; seedOf: (user: string) => string },
  ): Promise<Process> {
    const opened = await CLIENTS[client]!(cluster);
    const process = poolOver(opened.client, { clock, server, seedOf });
    open.push(async () => {
      opened.close();
      await process.pool.close({ within: 0 });
    });
    return process;
  }

  /** Users whose sessions are at a server with reuse detection, each with the primary that has the record. */
  async function signUp(prefix: string): Promise<{
    clock: ManualClock;
    server: SessionServer;
    seedOf: (user: string) => string;
    frozen: User[];
    others: User[];
  }> {
    const clock = manualClock();
    const server = new SessionServer();
    const seeds = new Map(Array.from({ length: USERS }, (_, index) => [`${prefix}-${index}`, server.signIn()]));
    const seedOf = (name: string): string => seeds.get(name)!;
    const { pool } = await start("ioredis", { clock, server, seedOf });
    const users: User[] = [];
    for (const name of seeds.keys()) {
      const { record } = await pool.describe(name);
      users.push({ name, session: users.length + 1, primary: await primaryOf(cluster, record!) });
    }
    const frozen = users.filter(({ primary }) => primary === cluster.primaries[0]);
    const others = users.filter(({ primary }) => primary !== cluster.primaries[0]);
    expect(new Set(users.map(({ primary }) => primary)).size).toBe(3);
    expect(frozen.length).toBeGreaterThanOrEqual(6);
    return { clock, server, seedOf, frozen, others };
  }

  /** The primary goes on, and does what it was sent meanwhile. Resolves when the leases that it gave too late are given back. */
  async function thaw(unanswered: () => number): Promise<void> {
    const [primary] = cluster.primaries;
    primary!.thaw();
    await untilWhole(cluster);
    await vi.waitFor(async () => {
      expect(unanswered()).toBe(0);
      const keys = (await primary!.command("KEYS", "remint*")) as string[];
      const records = await Promise.all(keys.map((key) => primary!.command("GET", key)));
      expect(records.filter((record) => String(record).startsWith("1L"))).toEqual([]);
    }, PATIENCE);
  }

  test.each(["ioredis", "node-redis"])(
    "C9: %s, and requests go on: the users of the others are served, minted and renewed without a wait, and those of the frozen one are refused until it works again",
    async (client) => {
      const { clock, server, seedOf, frozen, others } = await signUp(`busy-${client}`);
      const { pool, events, sent, unanswered } = await start(client, { clock, server, seedOf });
      const ask = askIn(pool);
      const renew = ({ name }: User): Watched<string> => {
        const cache = pool.get(name);
        const renewed = cache.invalidate(cache.peek()!.value).then(() => cache.get());
        return watch(renewed.then(({ value }) => value));
      };
      const [warmFrozen, coldFrozen] = [frozen.slice(0, 2), frozen.slice(2)];
      const [warm, cold] = [others.slice(0, 8), others.slice(8)];
      await served([...warmFrozen, ...warm], ask, 1);
      expect(sent).toHaveLength(2 * (warmFrozen.length + warm.length));

      cluster.primaries[0]!.freeze();
      // Those of the frozen primary come first.
      sent.length = 0;
      const refused = coldFrozen.map(ask);
      await vi.waitFor(() => expect(sent).toHaveLength(coldFrozen.length), PATIENCE);
      await clock.advance(1);
      sent.length = 0;
      await served(cold, ask, 1);
      await served(warm, renew, 2);
      // Taking the lease and publishing the token: no look in between, and no second try.
      expect(sent).toHaveLength(2 * others.length);
      expect(refused.map(({ state }) => state)).toEqual(refused.map(() => "pending"));
      // A valid token is served, without a command.
      expect(warmFrozen.map(({ name }) => pool.get(name).peek()?.value)).toEqual(warmFrozen.map(tokenOf(1)));
      expect(storeEvents(events)).toEqual([]);

      await clock.advance(CALL_TIMEOUT);
      await refusedBy(refused);
      expect(storeEvents(events)).toEqual(["store-failed"]);
      // They are refused at once now. More than three keys got no answer, and the store is not down: others got one.
      sent.length = 0;
      await refusedBy(coldFrozen.map(ask));
      expect(sent).toEqual([]);
      await served(others, renew, undefined);
      expect(sent).toHaveLength(2 * others.length);

      // Also when the cluster has noticed.
      await untilFailed(cluster.primaries[1]!, cluster.primaries[0]!);
      await clock.advance(PAUSES);
      sent.length = 0;
      const again = coldFrozen.map(ask);
      await vi.waitFor(() => expect(sent).toHaveLength(coldFrozen.length), PATIENCE);
      await clock.advance(1);
      await served(others, renew, undefined);
      await clock.advance(CALL_TIMEOUT);
      await refusedBy(again);
      expect(warmFrozen.map(({ name }) => pool.get(name).peek()?.value)).toEqual(warmFrozen.map(tokenOf(1)));
      expect(storeEvents(events)).toEqual(["store-failed"]);

      await thaw(unanswered);
      await clock.advance(PAUSES);
      await servedInTime(clock, coldFrozen, ask);
      await served(others, renew, undefined);
      await servedInTime(clock, warmFrozen, renew);
      expect(storeEvents(events)).toEqual(["store-failed", "store-recovered"]);
      expect(server.reused).toEqual([]);
    },
    TEST,
  );

  test.each(["ioredis", "node-redis"])(
    "C9: %s, and three of its users got no answer while nobody else asked: the next user of another primary is served, and after that all of them at once",
    async (client) => {
      const { clock, server, seedOf, frozen, others } = await signUp(`quiet-${client}`);
      const { pool, events, sent, unanswered } = await start(client, { clock, server, seedOf });
      const ask = askIn(pool);
      await served(others.slice(0, 1), ask, 1);
      cluster.primaries[0]!.freeze();
      await clock.advance(1);
      const first = frozen.slice(0, 3).map(ask);
      await vi.waitFor(() => expect(new Set(sent.slice(2)).size).toBe(3), PATIENCE);
      await clock.advance(CALL_TIMEOUT);
      await refusedBy(first);
      expect(storeEvents(events)).toEqual(["store-failed"]);
      // The store counts as down: at most four calls at a time. The other three of the frozen primary take three of them.
      sent.length = 0;
      const next = frozen.slice(3, 6).map(ask);
      await vi.waitFor(() => expect(sent).toHaveLength(3), PATIENCE);
      await served(others.slice(1, 2), ask, 1);
      await served(others.slice(2), ask, 1);
      expect(sent).toHaveLength(3 + 2 * (others.length - 1));
      await clock.advance(CALL_TIMEOUT);
      await refusedBy(next);
      await thaw(unanswered);
      await clock.advance(PAUSES);
      await servedInTime(clock, frozen, ask);
      expect(storeEvents(events)).toEqual(["store-failed", "store-recovered"]);
      expect(server.reused).toEqual([]);
    },
    TEST,
  );

  test.each(Object.keys(CLIENTS))(
    "C9: six processes with %s start meanwhile: the users of the others are served",
    async (client) => {
      const { clock, server, seedOf, others } = await signUp(`starting-${client}`);
      cluster.primaries[0]!.freeze();
      const processes = Array.from({ length: 6 }, () => start(client, { clock, server, seedOf }));
      // The client may take its time to find a primary that answers; the clock does not move meanwhile.
      await Promise.all(
        processes.map(async (starting, index) => {
          const { pool } = await starting;
          const [one] = others.slice(index);
          expect((await pool.get(one!.name).get()).value).toBe(tokenOf(1)(one!));
        }),
      );
      expect(server.reused).toEqual([]);
    },
    TEST,
  );
});

/** Asks a pool for the token of a user. */
function askIn(pool: TokenPool): (user: User) => Watched<string> {
  return ({ name }) =>
    watch(
      pool
        .get(name)
        .get()
        .then(({ value }) => value),
    );
}

/** A pool of sessions over a client, which counts the commands that the client is given. */
function poolOver(
  client: RedisLike,
  { clock, server, seedOf }: { clock: ManualClock; server: SessionServer; seedOf: (user: string) => string },
): Process {
  const events: RemintEvent[] = [];
  const sent: string[] = [];
  let pending = 0;
  const method = "eval" in client ? "eval" : "customCommand";
  const evaluate = (client as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>)[method]!;
  Object.assign(client, {
    async [method](...args: unknown[]) {
      const [, second, third] = args as [unknown, { keys?: string[] } | undefined, string];
      sent.push(second?.keys?.[0] ?? third);
      pending++;
      try {
        return await evaluate.apply(client, args);
      } finally {
        pending--;
      }
    },
  });
  const store = redisStore(client, { encryptionKey, callTimeout: CALL_TIMEOUT });
  const onEvent = (event: RemintEvent): void => void events.push(event);
  const pool = createTokenPool({
    clock,
    create(user) {
      const grant = sessionGrant(server, seedOf(user), { key: undefined });
      return createTokenCache({ origins: [ORIGIN], onEvent, grant, clock, store });
    },
  });
  return { pool, events, sent, unanswered: () => pending };
}

/** The access token of a user's own session after so many refreshes. */
function tokenOf(rotations: number): (user: User) => string {
  return ({ session }) => `at-${session}-${rotations}`;
}

/**
 * Expects that all of these are served, each with a token of the own session, while the clock stands still. `rotations`: how
 * often the session was refreshed; `undefined`: any number.
 */
async function served(users: readonly User[], ask: (user: User) => Watched<string>, rotations: number | undefined) {
  const asked = users.map(ask);
  await vi.waitFor(() => expect(asked.filter(({ state }) => state === "pending")).toEqual([]), PATIENCE);
  expectOwn(users, asked, rotations);
}

/** The same, where time has to pass: a lease that was taken too late is given back first. */
async function servedInTime(clock: ManualClock, users: readonly User[], ask: (user: User) => Watched<string>) {
  const asked = users.map(ask);
  await vi.waitFor(async () => {
    await clock.advance(100);
    expect(asked.filter(({ state }) => state === "pending")).toEqual([]);
  }, PATIENCE);
  expectOwn(users, asked, undefined);
}

function expectOwn(users: readonly User[], asked: readonly Watched<string>[], rotations: number | undefined): void {
  expect(asked.map(({ reason }) => reason)).toEqual(users.map(() => undefined));
  for (const [index, { value }] of asked.entries()) {
    const { session } = users[index]!;
    expect(value).toMatch(new RegExp(`^at-${session}-${rotations ?? "\\d+"}$`));
  }
}

async function refusedBy(asked: readonly Watched<string>[]): Promise<void> {
  await vi.waitFor(() => expect(asked.filter(({ state }) => state === "pending")).toEqual([]), PATIENCE);
  for (const { reason } of asked) expect(reason).toMatchObject({ code: "ERR_STORE", retryable: true, status: 503 });
}

function storeEvents(events: readonly RemintEvent[]): string[] {
  return events.map(({ name }) => name).filter((name) => name.startsWith("store-"));
}
