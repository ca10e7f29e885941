/** `createTokenPool` with a store: one record per user, and no user gets the token of another. */
import { spawn } from "node:child_process";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";
import { fleetStore, memoryStore, type Store } from "../../src/fleet/index.ts";
import { clientCredentialsGrant, createTokenCache, createTokenPool, refreshTokenGrant } from "../../src/index.ts";
import { manualClock, type ManualClock } from "../../src/testing/index.ts";
import { rejectionOf } from "../core/cache-under-test.ts";
import { ORIGIN } from "./fleet-under-test.ts";
import { writesTo } from "./records.ts";
import { during, SessionServer, sessionGrant } from "./session-server.ts";
import type { Grant, TokenCache, TokenPool } from "../../src/index.ts";

const LIFE = 300_000;
const ENDPOINT = {
  tokenEndpoint: "https://auth.example/token",
  clientId: "portal",
  clientAuthentication: "none",
} as const;

/** What the processes of these tests share. */
interface Users {
  readonly clock: ManualClock;
  readonly store: Store;
  readonly server: SessionServer;
  /** For each user, the first refresh token of their session. */
  readonly sessions: Map<string, string>;
  /** Starts a process and returns its pool. */
  readonly process: (options?: { grant?: (seed: string) => Grant; maxSize?: number; idleTtl?: number }) => TokenPool;
}

function users(): Users {
  const clock = manualClock();
  const store = memoryStore({ clock });
  const server = new SessionServer();
  const sessions = new Map<string, string>();
  const seedOf = (user: string): string => {
    if (!sessions.has(user)) sessions.set(user, server.signIn());
    return sessions.get(user)!;
  };
  return {
    clock,
    store,
    server,
    sessions,
    process({ grant = (seed: string): Grant => sessionGrant(server, seed, { key: undefined }), ...options } = {}) {
      const shared = fleetStore(store, { encryptionKey: "none" });
      return createTokenPool({
        ...options,
        clock,
        create: (user) => createTokenCache({ grant: grant(seedOf(user)), origins: [ORIGIN], clock, store: shared }),
      });
    },
  };
}

async function valueOf({ clock }: Users, pool: TokenPool, user: string): Promise<string> {
  const token = pool.get(user).get();
  token.catch(() => {});
  await clock.advance(2000);
  return (await token).value;
}

const bareFunction = async (): Promise<{ access_token: string }> => ({ access_token: "a" });

/**
 * Runs a module in a process of its own, in which `gc` can be called. The sources are bundled as they are published: what
 * compiles tests on the fly gives every function an object of its own, which would count as memory of a user.
 */
async function run(body: string): Promise<{ code: number | null; output: string }> {
  const bundle = await build({
    stdin: { contents: body, resolveDir: import.meta.dirname, loader: "ts" },
    bundle: true,
    format: "esm",
    platform: "node",
    write: false,
    logLevel: "error",
  });
  const child = spawn(process.execPath, ["--expose-gc", "--input-type=module", "-"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.end(bundle.outputFiles[0]!.text);
  let output = "";
  child.stdout.on("data", (chunk) => (output += String(chunk)));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output: output.trim() }));
  });
}

describe("C13: a pool over a store", () => {
  test("C13: two users in two processes: each user has one record, which both processes use", async () => {
    const fleet = users();
    const writes = writesTo(fleet);
    const [one, two] = [fleet.process(), fleet.process()];
    expect(await valueOf(fleet, one, "ann")).toBe("at-1-1");
    expect(await valueOf(fleet, two, "ann")).toBe("at-1-1");
    expect(await valueOf(fleet, two, "bob")).toBe("at-2-1");
    expect(await valueOf(fleet, one, "bob")).toBe("at-2-1");
    expect(new Set(writes.map(({ key }) => key)).size).toBe(2);
    expect(fleet.server.presented).toEqual(["rt-1-0", "rt-2-0"]);
  });

  test("C13: one user in two pools with different grants: a record for each pool", async () => {
    const fleet = users();
    const writes = writesTo(fleet);
    const purposes = ["orders", "billing"].map((key) =>
      fleet.process({ grant: () => sessionGrant(fleet.server, fleet.server.signIn(), { key }) }),
    );
    const values = [];
    for (const pool of purposes) values.push(await valueOf(fleet, pool, "ann"));
    // Each pool makes a session of its own. The user's first session is not used here.
    expect(new Set(values).size).toBe(2);
    expect(new Set(writes.map(({ key }) => key)).size).toBe(2);
  });

  test("C13: user keys with quotes and brackets, with and without a grant's key: five different records", async () => {
    const fleet = users();
    const writes = writesTo(fleet);
    const bare = fleet.process();
    const keyed = fleet.process({ grant: (seed) => sessionGrant(fleet.server, seed, { key: "ann" }) });
    const values = [];
    for (const [pool, user] of [
      [bare, "ann"],
      [bare, '["https://api.example"]'],
      [bare, 'ann","bob'],
      [keyed, "bob"],
      [keyed, 'bob"],["ann'],
    ] as const) {
      values.push(await valueOf(fleet, pool, user));
    }
    expect(new Set(values).size).toBe(5);
    expect(new Set(writes.map(({ key }) => key)).size).toBe(5);
  });

  test("C13: the name of a record shows neither the user's key nor a refresh token", async () => {
    const fleet = users();
    const writes = writesTo(fleet);
    await valueOf(fleet, fleet.process(), "ann@example.com");
    for (const { key } of writes) expect(key).toMatch(/^remint:\{[0-9a-f]{40}\}$/);
  });

  test("C13: a function as grant, with the origins in another order: the same record", async () => {
    const fleet = users();
    const writes = writesTo(fleet);
    let mints = 0;
    for (const origins of [
      ["https://b.example", "https://a.example"],
      ["https://a.example", "https://b.example"],
    ]) {
      const pool = createTokenPool({
        clock: fleet.clock,
        create: () =>
          createTokenCache({
            grant: async () => ({ access_token: `bare-${++mints}`, expires_in: 300 }),
            origins,
            clock: fleet.clock,
            store: fleetStore(fleet.store, { encryptionKey: "none" }),
          }),
      });
      expect(await valueOf(fleet, pool, "ann")).toBe("bare-1");
    }
    expect(new Set(writes.map(({ key }) => key)).size).toBe(1);
  });

  test("C13: a user was evicted and comes back: the state in the record is used", async () => {
    const fleet = users();
    const pool = fleet.process({ maxSize: 1 });
    for (let round = 1; round <= 3; round++) {
      expect(await valueOf(fleet, pool, "ann")).toBe(`at-1-${round}`);
      expect(await valueOf(fleet, pool, "bob")).toBe(`at-2-${round}`);
      await fleet.clock.advance(LIFE);
    }
    // A new pool is like a restarted process: it has no references to earlier caches.
    expect(await valueOf(fleet, fleet.process(), "ann")).toBe("at-1-4");
    expect(fleet.server.reused).toEqual([]);
  });

  test("C13: a user is released and comes back with another refresh token that nobody has said: the session goes on", async () => {
    const fleet = users();
    const pool = fleet.process();
    await valueOf(fleet, pool, "ann");
    await pool.release("ann");
    fleet.sessions.delete("ann");
    expect(await valueOf(fleet, pool, "ann")).toBe("at-1-1");
    await fleet.clock.advance(LIFE);
    expect(await valueOf(fleet, pool, "ann")).toBe("at-1-2");
  });

  test("C16: a user is released and signs in again: every process uses the new session when it looks", async () => {
    const fleet = users();
    const [one, two] = [fleet.process(), fleet.process()];
    await valueOf(fleet, one, "ann");
    await valueOf(fleet, two, "ann");
    await one.release("ann");
    await during(fleet.clock, one.signIn("ann", fleet.server.signInResponse()));
    expect(await valueOf(fleet, one, "ann")).toBe("at-2-0");
    expect(await valueOf(fleet, two, "ann")).toBe("at-1-1");
    await fleet.clock.advance(LIFE);
    expect(await rejectionOf(valueOf(fleet, two, "ann"))).toMatchObject({ code: "ERR_SESSION", status: 503 });
    expect(await valueOf(fleet, two, "ann")).toBe("at-2-1");
    expect(fleet.server.presented).toEqual(["rt-1-0", "rt-2-0"]);
  });

  test("C16: a user signs out in a process that never had the session: it ends in every process", async () => {
    const fleet = users();
    const [one, two] = [fleet.process(), fleet.process()];
    await valueOf(fleet, two, "ann");
    await during(fleet.clock, one.signOut("ann"));
    expect(fleet.server.revoked).toEqual(["rt-1-1", "at-1-1"]);
    await fleet.clock.advance(LIFE);
    for (const pool of [one, two]) {
      expect(await rejectionOf(valueOf(fleet, pool, "ann"))).toMatchObject({ code: "ERR_SESSION", status: 401 });
    }
    expect(await valueOf(fleet, two, "bob")).toBe("at-2-1");
  });
});

describe("a grant without a key", () => {
  const store = fleetStore(memoryStore(), { encryptionKey: "none" });
  const grants = { bare: bareFunction, refreshToken: refreshTokenGrant({ ...ENDPOINT, refreshToken: "rt" }) };

  test.each(["bare", "refreshToken"] as const)("C13: %s with a store and without a pool: a TypeError", (name) => {
    const create = (): unknown => createTokenCache({ grant: grants[name], origins: [ORIGIN], store });
    expect(create).toThrow(TypeError);
    expect(create).toThrow(/"store".*"key".*createTokenPool/s);
    expect(create).not.toThrow(/rt\b/);
  });

  test.each(["bare", "refreshToken"] as const)(
    "C13: %s with a store is accepted in a pool, and refused outside of the pool afterwards",
    (name) => {
      const create = (): ReturnType<typeof createTokenCache> =>
        createTokenCache({ grant: grants[name], origins: [ORIGIN], store });
      const pool = createTokenPool({ create });
      expect(pool.get("ann")).toBe(pool.get("ann"));
      expect(create).toThrow(TypeError);
    },
  );

  test("C13: it is refused outside of a pool, also after a `create` that threw and after a pool in a pool", () => {
    const another = fleetStore(memoryStore(), { encryptionKey: "none" });
    const unnamed = (): TokenCache => createTokenCache({ grant: bareFunction, origins: [ORIGIN], store: another });
    const failing = createTokenPool({
      create() {
        throw new Error("no such user");
      },
    });
    expect(() => failing.get("ann")).toThrow("no such user");
    expect(unnamed).toThrow(TypeError);
    const inner = createTokenPool({ create: unnamed });
    const outer = createTokenPool({
      create(key) {
        inner.get(`${key}'s own`);
        return unnamed();
      },
    });
    expect(outer.get("ann")).toBeDefined();
    expect(unnamed).toThrow(TypeError);
  });
});

describe("10,000 users in two processes", () => {
  test("C13: at most 7 kB of heap per user and process, one use of each refresh token, no timer and no controller", async () => {
    const { output, code } = await run(`
      import { queryObjects } from "node:v8";
      import { fleetStore, memoryStore } from "../../src/fleet/index.ts";
      import { createTokenCache, createTokenPool } from "../../src/index.ts";
      import { SessionServer, sessionGrant } from "./session-server.ts";

      const users = Array.from({ length: 10_000 }, (_, index) => "user-" + index);
      const server = new SessionServer();
      const seeds = new Map(users.map((user) => [user, server.signIn()]));
      const store = memoryStore();
      const used = () => (globalThis.gc(), process.memoryUsage().heapUsed);
      const poolOf = () => {
        const shared = fleetStore(store, { encryptionKey: "none" });
        const create = (user) => {
          const grant = sessionGrant(server, seeds.get(user), { key: undefined });
          return createTokenCache({ grant, origins: ["https://api.example"], store: shared });
        };
        return createTokenPool({ create });
      };
      const fill = async (pool, chosen) => {
        for (let at = 0; at < chosen.length; at += 250) {
          await Promise.all(chosen.slice(at, at + 250).map((user) => pool.get(user).get()));
        }
      };
      const [one, two] = [poolOf(), poolOf()];
      const [evens, odds] = [0, 1].map((rest) => users.filter((_, index) => index % 2 === rest));
      await Promise.all([fill(one, evens), fill(two, odds)]);
      const before = used();
      await Promise.all([fill(one, odds), fill(two, evens)]);
      const bytes = Math.round((used() - before) / users.length);
      if (one.size + two.size !== 2 * users.length) throw new Error("a user was evicted");
      const timers = process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
      const controllers = queryObjects(AbortController, { format: "count" });
      const { presented, reused } = server;
      console.log(JSON.stringify({ bytes, timers, controllers, requests: presented.length, reused: reused.length }));
    `);
    expect(code).toBe(0);
    const { bytes, ...rest } = JSON.parse(output) as Record<string, number>;
    console.log(`${bytes} bytes of heap per user and process`);
    expect(rest).toEqual({ timers: 0, controllers: 0, requests: 10_000, reused: 0 });
    expect(bytes).toBeGreaterThan(500);
    expect(bytes).toBeLessThanOrEqual(7000);
  }, 120_000);
});

test("C13: a list of origins whose owner adds to it later, and one with URL objects: every process names the token alike", async () => {
  const engine = memoryStore();
  let mints = 0;
  const valueAt = async (origins: (string | URL)[], change = (): void => {}): Promise<string> => {
    const store = fleetStore(engine, { encryptionKey: "none" });
    // The grant has no name, because a header of its requests is a credential.
    const grant = clientCredentialsGrant({
      ...ENDPOINT,
      headers: { "x-api-key": "one" },
      fetch: async () => Response.json({ access_token: `a-${++mints}`, token_type: "Bearer", expires_in: 3600 }),
    });
    const pool = createTokenPool({ create: () => createTokenCache({ grant, origins, store }) });
    const cache = pool.get("ada");
    change();
    return (await cache.for({ scope: "orders" }).get()).value;
  };
  const changed: (string | URL)[] = [ORIGIN];
  expect(await valueAt(changed, () => void changed.push("https://other.example"))).toBe("a-1");
  expect(await valueAt([new URL(ORIGIN)])).toBe("a-1");
  expect(await valueAt([`${ORIGIN}/`])).toBe("a-1");
  expect(await valueAt([ORIGIN, "https://other.example"])).toBe("a-2");
});
