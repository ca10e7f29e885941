/**
 * A fleet: three processes share one token through a Redis. One of them mints at the start, and one after a revocation.
 *
 * Uses the Redis of `REDIS_URL`, or starts a `redis-server`.
 *
 * @module
 */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { startApi, startAuthServer } from "remint/testing";
import { startRedis } from "./redis-server.ts";

const PROCESSES = 3;
const CALLS = 50;

const redis = await startRedis();
if (redis === undefined) {
  console.log("no REDIS_URL, and no redis-server to start: nothing was shown");
  process.exit(0);
}
const auth = await startAuthServer();
const api = await startApi({ accepts: auth });
const settings = { REDIS_URL: redis.url, TOKEN_ENDPOINT: auth.tokenEndpoint, API: api.origin };
const fleet = Array.from({ length: PROCESSES }, () =>
  fork(fileURLToPath(new URL("worker.ts", import.meta.url)), { env: { ...process.env, ...settings } }),
);

for (const worker of fleet) {
  worker.once("exit", (code) => {
    if (code !== 0) throw new Error(`a process of the fleet ended with ${code}`);
  });
}

/** Lets every process call the API, all at the same time. Resolves to the statuses of the answers. */
async function callFromAll(): Promise<Set<number>> {
  const answers = await Promise.all(
    fleet.map(async (worker: ChildProcess) => {
      worker.send(CALLS);
      const [statuses] = (await once(worker, "message")) as [number[]];
      return statuses;
    }),
  );
  return new Set(answers.flat());
}

assert.deepEqual(await callFromAll(), new Set([200]));
const cold = auth.mints;
auth.revokeAll();
assert.deepEqual(await callFromAll(), new Set([200]));
assert.deepEqual([cold, auth.mints], [1, 2]);
console.log(
  `${PROCESSES} processes, ${2 * PROCESSES * CALLS} calls, mints: cold ${cold}, after a revocation ${auth.mints}`,
);

for (const worker of fleet) worker.disconnect();
await Promise.all(fleet.map((worker) => once(worker, "exit")));
await Promise.all([auth.close(), api.close()]);
await redis.stop();
