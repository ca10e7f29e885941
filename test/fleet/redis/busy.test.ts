import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { redisStore } from "../../../src/fleet/redis.ts";
import { createTokenCache } from "../../../src/index.ts";
import { fakeGrant } from "../../../src/testing/index.ts";
import { redisAvailable, RedisServer } from "./redis-server.ts";
import type { FleetStore } from "../../../src/core/supply.ts";
import type { EvalFunction } from "../../../src/fleet/redis.ts";
import type { RemintEvent } from "../../../src/index.ts";

/** A process that is too busy to read Redis' answer in time has no reason to think that Redis failed. */

const CALL_TIMEOUT = 100;
const BUSY = 3 * CALL_TIMEOUT;

/** The answer is there long before the process looks. */
function busyStore(client: Redis): FleetStore {
  const evaluate: EvalFunction = (script, key, args) => {
    const reply = client.eval(script, 1, key, ...args);
    // When everything has been done that is done at once: the time limit of the call has begun.
    queueMicrotask(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BUSY));
    return reply;
  };
  return redisStore(evaluate, { encryptionKey: "none", callTimeout: CALL_TIMEOUT });
}

describe.skipIf(!redisAvailable())("fleet: a busy process", () => {
  let server: RedisServer;
  let client: Redis;

  beforeAll(async () => {
    server = await RedisServer.start();
    client = new Redis({ port: server.port });
  });

  afterAll(async () => {
    client.disconnect();
    await server[Symbol.asyncDispose]();
  });

  it("fleet: takes no answer that waits for it for one that is late", async () => {
    const events: RemintEvent["name"][] = [];
    await using tokens = createTokenCache({
      grant: fakeGrant({ key: "orders" }),
      origins: ["https://api.example"],
      store: busyStore(client),
      onEvent: ({ name }) => void events.push(name),
    });
    await tokens.get();
    expect(events).toEqual(["minted"]);
    expect(await server.command("DBSIZE")).toBe(1);
  });
});
