/**
 * The packed package beside Redis clients of version 4: npm installs them together, the types accept them, and two caches
 * share one token through a real `redis-server`.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { redisAvailable, RedisServer } from "../fleet/redis/redis-server.ts";
import { node } from "./command.ts";

const { root, withOldRedis } = inject("consumers");
const canRun = redisAvailable();

const CLIENTS = {
  redis: {
    connect: 'import { createClient } from "redis"; const client = createClient({ url }); await client.connect();',
    end: "await client.quit();",
  },
  ioredis: {
    connect: 'import Redis from "ioredis"; const client = new Redis(url);',
    end: "client.disconnect();",
  },
};

const program = (name: keyof typeof CLIENTS, { connect, end } = CLIENTS[name]): string => `
import { createTokenCache, customGrant } from "remint";
import { redisStore } from "remint/redis";
const url = (globalThis as unknown as { redisUrl: string }).redisUrl;
${connect}
let mints = 0;
const cacheOf = () => createTokenCache({
  grant: customGrant({ key: "${name}", mint: () => ({ access_token: \`t\${++mints}\`, expires_in: 3600 }) }),
  origins: ["https://api.example"],
  store: redisStore(client, { encryptionKey: "none" }),
});
const [first, second] = [cacheOf(), cacheOf()];
const tokens = await Promise.all([first.get(), second.get()]);
console.log(JSON.stringify({ mints, values: tokens.map(({ value }) => value) }));
${end}
`;

describe.skipIf(!canRun)("a real redis-server", () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  test.each(["redis", "ioredis"] as const)("%s 4: the types compile, and two caches share one mint", async (name) => {
    const folder = withOldRedis[name];
    await writeFile(join(folder, "main.mts"), program(name));
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const options = ["--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext", "--esModuleInterop"];
    expect(await node([tsc, ...options, "main.mts"], folder)).toMatchObject({ status: 0, output: "" });
    const run = [
      "--input-type=module",
      "-e",
      `globalThis.redisUrl = "redis://127.0.0.1:${server.port}"; await import("./main.mjs");`,
    ];
    const { status, stdout, output } = await node(run, folder);
    expect(status, output).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ mints: 1, values: ["t1", "t1"] });
  });
});

test("node-redis 3 is refused: given an array, its eval throws where nobody can catch it", async () => {
  const script = `
    import { redisStore } from "remint/redis";
    const client = { eval() {}, sendCommand() {}, internal_send_command() {} };
    try { redisStore(client, { encryptionKey: "none" }); } catch (error) { console.log(error.message); }`;
  const { stdout } = await node(["--input-type=module", "-e", script], withOldRedis.redis);
  expect(stdout.trim()).toBe('"client" must be a client of node-redis 4 or later, got one of an older version');
});
