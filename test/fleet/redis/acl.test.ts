/**
 * The rights that a fleet needs in Redis: the user of docs/fleet.md can do everything, a right less is an error that says so,
 * and what each client needs for itself.
 */
import { readFileSync } from "node:fs";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { redisStore } from "../../../src/fleet/redis.ts";
import { createTokenCache, isRemintError, type TokenCacheOptions } from "../../../src/index.ts";
import { fakeGrant } from "../../../src/testing/index.ts";
import { rejectionOf } from "../../core/cache-under-test.ts";
import { sessionGrant, SessionServer } from "../session-server.ts";
import { clientForms, type Topology } from "./clients.ts";
import { startCluster, type RedisCluster } from "./redis-cluster.ts";
import { redisAvailable, RedisServer } from "./redis-server.ts";
import type { RemintError, RemintEvent, TokenCache } from "../../../src/index.ts";

const PASSWORD = "secret";
/** The line of the guide that creates the user. */
const ACL_LINE = /^ACL SETUSER remint .*$/m.exec(readFileSync("docs/fleet.md", "utf8"))![0];
const WORDS = ACL_LINE.split(" ").slice(3);
const RIGHTS = WORDS.filter((word) => word.startsWith("+")).map((word) => word.slice(1));

const member = (entry: readonly unknown[], name: string): string => String(entry[entry.indexOf(name) + 1]);

/** What the server has denied: the command, and where it was called. */
async function denied(server: RedisServer): Promise<{ object: string; context: string; reason: string }[]> {
  const log = (await server.command("ACL", "LOG")) as unknown[][];
  return log.map((entry) => ({
    object: member(entry, "object"),
    context: member(entry, "context"),
    reason: member(entry, "reason"),
  }));
}

const told = (error: unknown): string => {
  const { hint, cause } = error as RemintError;
  return `${hint}: ${(cause as Error).message}`;
};

describe.skipIf(!redisAvailable())("the rights of a fleet in Redis", { timeout: 60_000 }, () => {
  let server: RedisServer;
  const clients: Redis[] = [];

  beforeAll(async () => {
    server = await RedisServer.start();
  });
  beforeEach(async () => {
    await server.command("FLUSHALL");
    await server.command("ACL", "LOG", "RESET");
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.disconnect();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  /** Creates the user as the guide does, without some of its words and with others. */
  async function createUser(without: readonly string[] = [], more: readonly string[] = []): Promise<void> {
    const words = WORDS.filter((word) => !without.includes(word)).map((word) =>
      word[0] === ">" ? `>${PASSWORD}` : word,
    );
    await server.command("ACL", "SETUSER", "remint", "reset", ...words, ...more);
  }

  /** A process of the fleet, connected as this user. */
  function join(options: Pick<TokenCacheOptions, "grant">): { cache: TokenCache; events: RemintEvent[] } {
    const client = new Redis({
      port: server.port,
      username: "remint",
      password: PASSWORD,
      // It asks with INFO, which the fleet does not need.
      enableReadyCheck: false,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
    });
    client.on("error", () => {});
    clients.push(client);
    const events: RemintEvent[] = [];
    const onEvent = (event: RemintEvent): void => void events.push(event);
    // The time limit is long, so that no call fails on a busy machine.
    const store = redisStore(client, { encryptionKey: "none", callTimeout: 5000 });
    return { cache: createTokenCache({ ...options, origins: ["https://api.example"], onEvent, store }), events };
  }

  test("the guide grants no more than five commands, on its own keys", () => {
    expect(RIGHTS).toEqual(["eval", "get", "set", "del", "pttl"]);
    expect(WORDS).toEqual(expect.arrayContaining(["resetkeys", "~remint:*", "resetchannels", "-@all"]));
  });

  test("C2, C16: the user of the guide: cold start, warm, renewal, sign-in and sign-out work, and nothing is denied", async () => {
    await createUser();
    const provider = new SessionServer();
    const seed = provider.signIn();
    const [one, two] = [1, 2].map(() => join({ grant: sessionGrant(provider, seed) })) as [
      ReturnType<typeof join>,
      ReturnType<typeof join>,
    ];
    expect((await one.cache.get()).value).toBe("at-1-1");
    expect((await two.cache.get()).value).toBe("at-1-1");
    await server.resetCommands();
    for (const { cache } of [one, two]) expect(cache.peek()?.value).toBe("at-1-1");
    expect([...(await server.commands()).keys()]).toEqual([]);
    for (const { cache } of [one, two]) await cache.invalidate("at-1-1");
    expect((await one.cache.get()).value).toBe("at-1-2");
    expect((await two.cache.get()).value).toBe("at-1-2");
    await one.cache.signIn(provider.signInResponse());
    expect((await one.cache.get()).value).toBe("at-2-0");
    await one.cache.signOut();
    expect(await rejectionOf(two.cache.invalidate("at-1-2").then(() => two.cache.get()))).toMatchObject({
      status: 401,
    });
    expect(provider.presented).toEqual(["rt-1-0", "rt-1-1"]);
    for (const { events } of [one, two]) expect(events.map(({ name }) => name)).not.toContain("store-failed");
    expect(await denied(server)).toEqual([]);
  });

  test("C12: the user of the guide: a lease that is given back before anything was minted is deleted", async () => {
    await createUser();
    expect(await keysAfterClose()).toEqual([]);
    expect(await denied(server)).toEqual([]);
  });

  /** Closes a process of a service during its first mint, and returns the keys that are left. */
  async function keysAfterClose(): Promise<unknown> {
    const grant = fakeGrant({ key: "orders" });
    Object.defineProperty(grant, "signIn", { value: undefined });
    grant.hold();
    const { cache } = join({ grant });
    const got = rejectionOf(cache.get());
    while (grant.mints === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await cache.close();
    await got;
    return server.command("KEYS", "*");
  }

  /** Asks for a token where none is stored, and then where one is. @returns The first error. */
  async function firstError(): Promise<unknown> {
    const provider = new SessionServer();
    const seed = provider.signIn();
    for (let process = 0; process < 2; process++) {
      const { cache } = join({ grant: sessionGrant(provider, seed) });
      try {
        await cache.get();
      } catch (error) {
        return error;
      }
    }
    return undefined;
  }

  test.each(["eval", "get", "set", "pttl"])(
    "Q17: without the right to %s: callers get a retryable ERR_STORE with what Redis said, and ACL LOG names the command",
    async (right) => {
      await createUser([`+${right}`]);
      const error = await firstError();
      expect(isRemintError(error)).toBe(true);
      expect(error).toMatchObject({ code: "ERR_STORE", retryable: true, status: 503 });
      expect(told(error)).toMatch(/the store failed/);
      expect(told(error)).toMatch(/NOPERM|can't run this command/);
      expect(await denied(server)).toContainEqual({
        object: right,
        context: right === "eval" ? "toplevel" : "lua",
        reason: "command",
      });
    },
  );

  test("without the right to DEL: a lease that is given back stays until its end, and ACL LOG names the command", async () => {
    await createUser(["+del"]);
    expect(await keysAfterClose()).toHaveLength(1);
    expect(await denied(server)).toContainEqual({ object: "del", context: "lua", reason: "command" });
  });

  test("Q17: without the right to its keys, because of another prefix: ERR_STORE with what Redis said", async () => {
    await createUser(["~remint:*"], ["~shop:*"]);
    const error = await firstError();
    expect(error).toMatchObject({ code: "ERR_STORE", retryable: true });
    expect(told(error)).toMatch(/NOPERM.* keys/);
  });

  test("Q17: with a wrong password: ERR_STORE, and neither the password nor the key of the record is in it", async () => {
    await createUser();
    await server.command("ACL", "SETUSER", "remint", "resetpass", ">another");
    const error = await firstError();
    expect(error).toMatchObject({ code: "ERR_STORE", retryable: true });
    expect(`${told(error)} ${String((error as Error).stack)}`).not.toMatch(/secret|remint:\{/);
  });

  test("C11: a service without sessions, and no rights: each process mints for itself, and store-failed says what Redis said", async () => {
    await createUser(RIGHTS.map((right) => `+${right}`));
    const grant = fakeGrant({ key: "orders" });
    Object.defineProperty(grant, "signIn", { value: undefined });
    const [one, two] = [join({ grant }), join({ grant })];
    expect((await one.cache.get()).value).toBe("fake-1");
    expect((await two.cache.get()).value).toBe("fake-2");
    for (const { events } of [one, two]) {
      const failed = events.find(({ name }) => name === "store-failed") as { error: RemintError } | undefined;
      expect(told(failed!.error)).toMatch(/NOPERM.*eval/);
    }
  });
});

/** What a client needs beside the rights of the fleet, by topology. The guide has the same table. */
const OWN_RIGHTS: readonly [client: RegExp, Partial<Record<Topology, readonly string[]>>][] = [
  // Without the right to INFO a single server is used as well, and the client prints a line.
  [/^(ioredis|a function)/, { plain: ["+info"], cluster: ["+cluster|slots", "+cluster|info", "+info"] }],
  [/^node-redis/, { plain: [], cluster: ["+cluster|slots"] }],
  [/^valkey-glide, cluster that reads/, { cluster: ["+cluster|slots", "+ping", "+readonly"] }],
  [/^valkey-glide/, { plain: ["+info"], cluster: ["+cluster|slots", "+ping"] }],
];

describe.skipIf(!redisAvailable())("what each client needs beside them", { timeout: 60_000 }, () => {
  let plain: RedisServer;
  let cluster: RedisCluster;

  beforeAll(async () => {
    [plain, cluster] = await Promise.all([RedisServer.start(), startCluster()]);
    // The clients connect as the default user. From now on the test is another one.
    for (const server of [plain, ...cluster.primaries]) {
      await server.command("ACL", "SETUSER", "admin", "on", "nopass", "~*", "&*", "+@all");
      await server.command("AUTH", "admin", "any");
    }
  }, 60_000);
  afterAll(async () => {
    await plain[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  const forms = clientForms.filter(({ topology, needsTls }) => topology !== "sentinel" && needsTls !== true);

  test.each(forms.map((form) => [form.name, form] as const))("C2: %s: two stores share a token", async (_, form) => {
    const own = OWN_RIGHTS.find(([name]) => name.test(form.name))![1][form.topology]!;
    const words = WORDS.filter((word) => word[0] !== ">").map((word) =>
      word === "~remint:*" ? `~${form.prefix ?? ""}remint:*` : word,
    );
    for (const server of [plain, ...cluster.primaries]) {
      await server.command("ACL", "SETUSER", "default", "reset", "nopass", ...words, ...own);
    }
    const servers = { plain, cluster, certificates: undefined, sentinel: undefined as never };
    const open = await form.open(servers);
    try {
      const grant = fakeGrant({ key: form.name });
      const store = redisStore(open.client, { encryptionKey: "none", callTimeout: 5000 });
      const again = redisStore(open.client, { encryptionKey: "none", callTimeout: 5000 });
      const caches = [store, again].map((each) =>
        createTokenCache({ grant, origins: ["https://api.example"], store: each }),
      );
      for (const cache of caches) expect((await cache.get()).value).toBe("fake-1");
    } finally {
      open.close();
    }
  });
});
