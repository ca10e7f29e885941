/** Issue C, item 7: `createTokenPool` over a store: one record per user, and users never mix. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { createTokenCache, createTokenPool, refreshTokenGrant } from "../../src/index.ts";
import { fleetStore, memoryStore, type Store } from "../../src/fleet/index.ts";
import { manualClock, type ManualClock } from "../../src/testing/index.ts";
import type { Grant, TokenCache, TokenPool } from "../../src/index.ts";
import { ORIGIN } from "./fleet-under-test.ts";
import { SessionServer, sessionGrant, writesTo } from "./session-server.ts";

const LIFE = 300_000;
const ENDPOINT = {
  tokenEndpoint: "https://auth.example/token",
  clientId: "portal",
  clientAuthentication: "none",
} as const;

/** Everything two processes have in common. */
interface Users {
  readonly clock: ManualClock;
  readonly store: Store;
  readonly server: SessionServer;
  /** The session of each user: its number, and the refresh token it began with. */
  readonly sessions: Map<string, string>;
  /** A process. */
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

const moduleOf = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);

/** Runs a module in a process of its own, with a garbage collector that can be called. */
function run(body: string): Promise<{ code: number | null; output: string }> {
  const program = `
    import { createTokenCache, createTokenPool } from ${moduleOf("../../src/index.ts")};
    import { fleetStore, memoryStore } from ${moduleOf("../../src/fleet/index.ts")};
    import { SessionServer, sessionGrant } from ${moduleOf("session-server.ts")};
    ${body}
  `;
  const args = ["--expose-gc", "--import", "tsx", "--input-type=module", "--eval", program];
  const cwd = fileURLToPath(new URL("../..", import.meta.url));
  const child = spawn(process.execPath, args, { cwd, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk) => (output += String(chunk)));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output: output.trim() }));
  });
}

describe("C13: a pool over a store", () => {
  test("C13: one user in two processes is one record; two users are two", async () => {
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

  test("C13: the same user in pools with other grants has a record for each", async () => {
    const fleet = users();
    const writes = writesTo(fleet);
    const purposes = ["orders", "billing"].map((family) =>
      fleet.process({
        grant: () => sessionGrant(fleet.server, fleet.server.signIn(), { key: undefined, family }),
      }),
    );
    const values = [];
    for (const pool of purposes) values.push(await valueOf(fleet, pool, "ann"));
    // The session of "ann" itself is the first and is not used here.
    expect(new Set(values).size).toBe(2);
    expect(new Set(writes.map(({ key }) => key)).size).toBe(2);
  });

  test("C13: keys of users and of grants do not run into each other", async () => {
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

  test("C13: no key of a user, and no refresh token, can be read in the name of a record", async () => {
    const fleet = users();
    const writes = writesTo(fleet);
    await valueOf(fleet, fleet.process(), "ann@example.com");
    for (const { key } of writes) expect(key).toMatch(/^remint1:\{[0-9a-f]{40}\}:plain$/);
  });

  test("C13: a list of origins in another order is the same record for a bare function", async () => {
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

  test("C13: a user who was evicted and comes back goes on with the state in the record", async () => {
    const fleet = users();
    const pool = fleet.process({ maxSize: 1 });
    for (let round = 1; round <= 3; round++) {
      expect(await valueOf(fleet, pool, "ann")).toBe(`at-1-${round}`);
      expect(await valueOf(fleet, pool, "bob")).toBe(`at-2-${round}`);
      await fleet.clock.advance(LIFE);
    }
    // A new object every time, as after a restart: the pool's weak references do not outlive this process's.
    expect(await valueOf(fleet, fleet.process(), "ann")).toBe("at-1-4");
    expect(fleet.server.reused).toEqual([]);
  });

  test("C13: a sign-out and a new sign-in begin a new session, in every process", async () => {
    const fleet = users();
    const [one, two] = [fleet.process(), fleet.process()];
    await valueOf(fleet, one, "ann");
    await valueOf(fleet, two, "ann");
    fleet.server.end();
    await one.release("ann");
    fleet.sessions.delete("ann");
    expect(await valueOf(fleet, one, "ann")).toBe("at-2-1");
    await fleet.clock.advance(LIFE);
    expect(await valueOf(fleet, two, "ann")).toBe("at-2-2");
  });
});

describe("whose token it is has to be said", () => {
  const store = fleetStore(memoryStore(), { encryptionKey: "none" });
  const unnamed = (): TokenCache => createTokenCache({ grant: bareFunction, origins: [ORIGIN], store });
  const grants = { bare: bareFunction, refreshToken: refreshTokenGrant({ ...ENDPOINT, refreshToken: "rt" }) };

  test.each(["bare", "refreshToken"] as const)("C13: %s with a store, without a key or a pool: TypeError", (name) => {
    const create = (): unknown => createTokenCache({ grant: grants[name], origins: [ORIGIN], store });
    expect(create).toThrow(TypeError);
    expect(create).toThrow(/"store".*"key".*createTokenPool/s);
    expect(create).not.toThrow(/rt\b/);
  });

  test.each(["bare", "refreshToken"] as const)("C13: %s is fine in a pool, and outside of it refused again", (name) => {
    const create = (): ReturnType<typeof createTokenCache> =>
      createTokenCache({ grant: grants[name], origins: [ORIGIN], store });
    const pool = createTokenPool({ create });
    expect(pool.get("ann")).toBe(pool.get("ann"));
    expect(create).toThrow(TypeError);
  });

  test("C13: also after a create that failed, and after a pool in a pool", () => {
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

describe("revoking what others use", () => {
  test("C13: close({ revoke: true }) is refused with a store, and nothing has happened", async () => {
    const fleet = users();
    const pool = fleet.process();
    await valueOf(fleet, pool, "ann");
    const cache = pool.get("ann");
    await expect(cache.close({ revoke: true })).rejects.toThrow(TypeError);
    expect((await cache.get()).value).toBe("at-1-1");
  });

  test("C13: pool.delete(key, { revoke: true }) too", async () => {
    const fleet = users();
    const pool = fleet.process();
    await valueOf(fleet, pool, "ann");
    const cache = pool.get("ann");
    await expect(pool.release("ann", { revoke: true })).rejects.toThrow(/other processes may be using/);
    expect(pool.size).toBe(1);
    expect(pool.get("ann")).toBe(cache);
    expect((await cache.get()).value).toBe("at-1-1");
    expect(await pool.release("nobody", { revoke: true })).toBe(false);
  });
});

describe("10,000 users over two processes", () => {
  test("C13: each costs a process less than 8 kB, presents its refresh token once and leaves no timer", async () => {
    const { output, code } = await run(`
      const users = Array.from({ length: 10_000 }, (_, index) => "user-" + index);
      const server = new SessionServer();
      const seeds = new Map(users.map((user) => [user, server.signIn()]));
      const store = memoryStore();
      const used = () => (globalThis.gc(), process.memoryUsage().heapUsed);
      const poolOf = () => {
        const shared = fleetStore(store, { encryptionKey: "none" });
        const create = (user) => {
          const grant = { ...sessionGrant(server, seeds.get(user)), key: undefined };
          return createTokenCache({ grant, origins: ["https://api.example"], store: shared });
        };
        return createTokenPool({ create });
      };
      const fill = async (pool, chosen) => void (await Promise.all(chosen.map((user) => pool.get(user).get())));
      const [one, two] = [poolOf(), poolOf()];
      const [evens, odds] = [0, 1].map((rest) => users.filter((_, index) => index % 2 === rest));
      await Promise.all([fill(one, evens), fill(two, odds)]);
      const before = used();
      await Promise.all([fill(one, odds), fill(two, evens)]);
      const bytes = Math.round((used() - before) / users.length);
      if (one.size + two.size !== 2 * users.length) throw new Error("somebody was evicted");
      const timers = process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
      console.log(JSON.stringify({ bytes, timers, requests: server.presented.length, reused: server.reused.length }));
    `);
    expect(code).toBe(0);
    const { bytes, ...rest } = JSON.parse(output) as Record<string, number>;
    expect(rest).toEqual({ timers: 0, requests: 10_000, reused: 0 });
    expect(bytes).toBeGreaterThan(500);
    expect(bytes).toBeLessThan(8000);
    console.log(`${bytes} bytes of heap per user and process`);
  }, 120_000);
});
