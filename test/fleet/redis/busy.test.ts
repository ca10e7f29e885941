/** A process that is too busy to read Redis' answer in time. It must not conclude that Redis failed. */
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { redisStore } from "../../../src/fleet/redis.ts";
import { createTokenCache } from "../../../src/index.ts";
import { fakeGrant } from "../../../src/testing/index.ts";
import { redisAvailable, RedisServer } from "./redis-server.ts";
import type { FleetStore } from "../../../src/core/supply.ts";
import type { EvalFunction } from "../../../src/fleet/redis.ts";
import type { RemintEvent } from "../../../src/index.ts";

const CALL_TIMEOUT = 400;
const BUSY = 3 * CALL_TIMEOUT;

/** Creates a store over a client whose process is blocked after each call. The answer arrives long before it is read. */
function busyStore(client: Redis): FleetStore {
  const evaluate: EvalFunction = (script, key, args) => {
    const reply = client.eval(script, 1, key, ...args);
    // A microtask runs after the call has set its time limit.
    queueMicrotask(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BUSY));
    return reply;
  };
  return redisStore(evaluate, { encryptionKey: "none", callTimeout: CALL_TIMEOUT });
}

describe.skipIf(!redisAvailable())("a busy process", () => {
  let server: RedisServer;
  let client: Redis;

  beforeAll(async () => {
    server = await RedisServer.start();
    client = new Redis({ port: server.port });
    // A client that still connects sends nothing before the process is blocked: no answer would be waiting then.
    await client.ping();
  });

  afterAll(async () => {
    client.disconnect();
    await server[Symbol.asyncDispose]();
  });

  it("blocked for three times the time limit, with the answer waiting: no store failure, and one mint", async () => {
    const events: RemintEvent["name"][] = [];
    await using tokens = createTokenCache({
      grant: fakeGrant({ key: "orders" }),
      origins: ["https://api.example"],
      store: busyStore(client),
      onEvent: ({ name }) => void events.push(name),
    });
    await tokens.get();
    expect(events).toEqual(["mint-started", "minted"]);
    expect(await server.command("DBSIZE")).toBe(1);
  });
});
