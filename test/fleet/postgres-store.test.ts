/** The example store for another engine, on a real PostgreSQL. It shows that the store contract suffices to write one. */
import { Client, Pool } from "pg";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { CREATE_TABLE, postgresStore } from "../../examples/fleet/postgres-store.ts";
import { storeContract } from "../../src/fleet/store-contract.ts";
import type { Store } from "../../src/fleet/store.ts";

/** Users that a PostgreSQL server on a development machine usually has. */
const USERS = ["postgres", "root"];
const server = { host: "127.0.0.1", port: 5432, database: "test", connectionTimeoutMillis: 2000 };

/** Returns the first user who can connect, or `undefined` if there is no server. */
async function findUser(): Promise<string | undefined> {
  for (const user of USERS) {
    const client = new Client({ ...server, user });
    try {
      await client.connect();
      await client.end();
      return user;
    } catch {
      // The next user is tried.
    }
  }
  console.log("skipped: cannot connect to a PostgreSQL at 127.0.0.1:5432 (database test, no password)");
  return undefined;
}

const user = await findUser();
const schema = `remint_${crypto.randomUUID().replaceAll("-", "")}`;

describe.skipIf(user === undefined)("the example postgresStore", () => {
  let pool: Pool;
  let store: Store;

  beforeAll(async () => {
    // The pool gives each of the racing swaps a connection of its own.
    pool = new Pool({ ...server, user, max: 8, options: `-c search_path=${schema}` });
    await pool.query(`CREATE SCHEMA ${schema}`);
    await pool.query(CREATE_TABLE);
    store = postgresStore(pool);
  });

  afterAll(async () => {
    await pool.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
    await pool.end();
  });

  describe("keeps the store contract", () => {
    for (const { name, run } of storeContract(() => store)) it(name, run);
  });

  it("needs one query for a write, and two if another value is stored", async () => {
    const query = vi.spyOn(pool, "query");
    await store.swap("once", undefined, "value", 60_000);
    expect(query).toHaveBeenCalledTimes(1);
    await store.swap("once", undefined, "other", 60_000);
    expect(query).toHaveBeenCalledTimes(3);
    query.mockRestore();
  });

  it("a client whose clock is an hour ahead writes: the value expires by the server's clock", async () => {
    const now = vi.spyOn(Date, "now").mockImplementation(() => performance.timeOrigin + performance.now() + 3_600_000);
    await store.swap("clock", undefined, "value", 60_000);
    now.mockRestore();
    const result = await store.swap("clock", "-", "value", 60_000);
    expect(result).toMatchObject({ ok: false, current: { value: "value" } });
    expect(result.ok ? undefined : result.current?.ttl).toBeLessThanOrEqual(60_000);
  });

  it("the expected version is written between its two statements: it writes again and succeeds", async () => {
    const { rows } = await pool.query("SELECT nextval('remint_tokens_version_seq') AS next");
    const expected = String(Number(rows[0].next) + 1);
    let statements = 0;
    const raced = postgresStore({
      async query(text, values) {
        statements++;
        // Right before the SELECT, another process writes the expected version.
        if (statements === 2) await store.swap("raced", undefined, "first", 60_000);
        return pool.query(text, values);
      },
    });
    expect(await raced.swap("raced", expected, "second", 60_000)).toMatchObject({ ok: true });
    expect(statements).toBe(3);
  });

  it("rejects if the server cannot be reached", async () => {
    const nowhere = new Pool({ ...server, port: 1, user });
    await expect(postgresStore(nowhere).swap("key", undefined, "value", 1000)).rejects.toThrow();
    await nowhere.end();
  });
});
