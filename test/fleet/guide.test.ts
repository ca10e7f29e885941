/** What docs/fleet.md shows: its code runs as it stands, the key of a record is what it says, and records are as small. */
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { grantOf } from "../../src/core/grant.ts";
import { redisStore } from "../../src/fleet/redis.ts";
import { createTokenCache, type TokenCache } from "../../src/index.ts";
import { fakeGrant, startAuthServer } from "../../src/testing/index.ts";
import { codeBlocks, ROOT } from "../house/markdown.ts";
import { redisAvailable, RedisServer } from "./redis/redis-server.ts";

const PAGE = "docs/fleet.md";

/** The TypeScript block of the page with this text in it. */
function block(text: string): string {
  return codeBlocks(PAGE).find(({ info, code }) => info === "ts" && code.includes(text))!.code;
}

/** What the page's code declares and does not define: a database of sessions, and a server. */
const AROUND = `
import { createServer } from "node:http";
const table = new Map([["sid-1", process.env["REFRESH_TOKEN"]]]);
Object.assign(globalThis, {
  sessions: { refreshToken: async (sid) => table.get(sid) ?? null, save: async (sid, next) => void table.set(sid, next) },
  server: createServer().listen(0),
});
const { pool, redis } = await import("./set-up.mts");
Object.assign(globalThis, { pool, redis });
await pool.get("sid-1").get();
await import("./shut-down.mts");
process.on("exit", () => console.log(table.get("sid-1") === process.env["REFRESH_TOKEN"] ? "not saved" : "saved"));
process.kill(process.pid, "SIGTERM");
`;

async function rotated(cache: TokenCache, rotations: number): Promise<TokenCache> {
  for (let rotation = 0; rotation <= rotations; rotation++) await cache.invalidate((await cache.get()).value);
  await cache.get();
  return cache;
}

const text = (length: number): string => randomBytes(length).toString("base64url").slice(0, length);

describe.skipIf(!redisAvailable())("the guide for operators", { timeout: 60_000 }, () => {
  let server: RedisServer;
  let client: Redis;

  beforeAll(async () => {
    server = await RedisServer.start();
    client = new Redis({ port: server.port, maxRetriesPerRequest: 0, retryStrategy: () => null });
  });
  beforeEach(() => server.command("FLUSHALL"));
  afterAll(async () => {
    client.disconnect();
    await server[Symbol.asyncDispose]();
  });

  test("C16: its set-up serves a user, its shutdown ends the process by itself, and its line finds the record of the user", async () => {
    await using auth = await startAuthServer();
    mkdirSync(join(ROOT, ".tmp"), { recursive: true });
    const folder = mkdtempSync(join(ROOT, ".tmp/guide-"));
    try {
      for (const [name, code] of [
        ["set-up.mts", block("createTokenPool({")],
        ["shut-down.mts", block("SIGTERM")],
        ["main.mts", AROUND],
      ] as const) {
        writeFileSync(join(folder, name), code);
      }
      const child = spawn(process.execPath, ["--import", "tsx", join(folder, "main.mts")], {
        cwd: ROOT,
        stdio: ["ignore", "pipe", "pipe"],
        env: {
          ...process.env,
          REDIS_URL: `redis://127.0.0.1:${server.port}`,
          TOKEN_KEY: randomBytes(32).toString("base64"),
          TOKEN_ENDPOINT: auth.tokenEndpoint,
          CLIENT_SECRET: "secret of the portal",
          REFRESH_TOKEN: auth.signIn("alice").refresh_token,
        },
      });
      let [stdout, stderr] = ["", ""];
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
      child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
      const code = await new Promise((resolve) => child.once("close", resolve));
      expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "saved\n", stderr: "" });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    const line = /^printf .*$/m.exec(readFileSync(PAGE, "utf8"))![0];
    const { stdout: name } = spawnSync("sh", ["-c", line.replace("https://auth.example/token", auth.tokenEndpoint)]);
    expect(await server.command("KEYS", "*")).toEqual([`remint:{${String(name).trim()}}`]);
    expect(String(await server.command("GET", `remint:{${String(name).trim()}}`))).toMatch(/^1T[\w-]{8}\./);
  });

  test("C2: a refresh of a user takes two commands, and a valid token none", async () => {
    const cache = session({ access: 40, refresh: 40, key: "user" });
    const { value } = await cache.get();
    await server.resetCommands();
    cache.peek();
    expect((await server.commands()).get("eval")).toBeUndefined();
    await cache.invalidate(value);
    await cache.get();
    expect((await server.commands()).get("eval")).toEqual({ calls: 2, rejected: 0 });
  });

  const store = (): ReturnType<typeof redisStore> =>
    redisStore(client, { encryptionKey: randomBytes(32), callTimeout: 10_000 });
  const origins = ["https://api.example"];

  /** A session with tokens of these lengths. */
  function session({ access, refresh, key }: { access: number; refresh: number; key: string }): TokenCache {
    const grant = grantOf<string>({
      key,
      isRepeatable: false,
      source: { names: { load: "refreshToken", save: "onRotate" }, initial: () => text(refresh), check: String },
      mint: async () => ({
        response: { access_token: text(access), token_type: "Bearer", expires_in: 3600, scope: "openid orders:read" },
        next: { state: text(refresh) },
      }),
      signIn: (response) => ({ response: { ...response } }),
    });
    return createTokenCache({ grant, origins, warnings: false, store: store() });
  }

  async function service(length: number): Promise<void> {
    const grant = fakeGrant({ key: "orders", response: { access_token: text(length), expires_in: 3600 } });
    Object.defineProperty(grant, "signIn", { value: undefined });
    await createTokenCache({ grant, origins, store: store() }).get();
  }

  const key = "user";
  const ROWS: readonly [row: string, make: () => Promise<unknown>][] = [
    ["a service's token of 40", () => service(40)],
    ["a service's token of 1,000", () => service(1000)],
    ["first mint", () => session({ access: 40, refresh: 40, key }).get()],
    ["the same after 8", () => rotated(session({ access: 40, refresh: 40, key }), 8)],
    ["refresh token 40, access token 1,000", () => rotated(session({ access: 1000, refresh: 40, key }), 8)],
    ["refresh token 1,000", () => rotated(session({ access: 1000, refresh: 1000, key }), 8)],
    [
      "with 8 access tokens",
      async () => {
        const cache = await rotated(session({ access: 1000, refresh: 40, key }), 8);
        for (let api = 1; api < 10; api++) await cache.for({ resource: `https://api${api}.example` }).get();
      },
    ],
    [
      "that was signed out",
      async () => (await rotated(session({ access: 1000, refresh: 40, key }), 8)).signOut({ revoke: false }),
    ],
  ];

  test.each(ROWS)("the memory of a record is what the page says, within a fifth: %s", async (row, make) => {
    await make();
    const [record] = (await server.command("KEYS", "*")) as string[];
    const used = Number(await server.command("MEMORY", "USAGE", record!));
    const line = readFileSync(PAGE, "utf8")
      .split("\n")
      .find((each) => each.startsWith("|") && each.includes(row))!;
    const said = Number(/([\d,]+) B \|$/.exec(line)![1]!.replace(",", ""));
    expect(used).toBeGreaterThan(said * 0.8);
    expect(used).toBeLessThan(said * 1.2);
  });
});
