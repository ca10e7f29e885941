/**
 * Starts the demo, and says where it is. Ctrl-C ends it.
 *
 * Options: `--replicas N` for several BFF processes (they need a Redis), `--plain-cookies` for browsers that refuse secure
 * cookies on http://localhost (Safari), `--once` for a scripted check without a browser. `PORT` is 3000 unless it is set.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { startRedis } from "../fleet/redis-server.ts";
import { type Demo, startDemo } from "./demo.ts";
import { runOnce } from "./once.ts";

const { values } = parseArgs({
  options: {
    once: { type: "boolean", default: false },
    "plain-cookies": { type: "boolean", default: false },
    replicas: { type: "string", default: "1" },
  },
});
const count = Number(values.replicas);
if (!Number.isInteger(count) || count < 1 || count > 8) fail("--replicas takes a number from 1 to 8.");

const redis = count > 1 ? await startRedis() : undefined;
if (count > 1 && redis === undefined) {
  fail("Several processes share their sessions in a Redis: set REDIS_URL, or install redis-server.");
}
const port = values.once ? 0 : Number(process.env["PORT"] ?? 3000);
const demo = await startDemo({
  port,
  plainCookies: values["plain-cookies"],
  ...(redis && { replicas: { count, redisUrl: redis.url } }),
}).catch(async (error: NodeJS.ErrnoException): Promise<Demo> => {
  await redis?.stop();
  if (error.syscall !== "listen") throw error;
  fail(`Port ${port} cannot be used (${error.code}). Choose another: PORT=3001 npm start`);
});

async function end(code: number): Promise<never> {
  await demo.close();
  await redis?.stop();
  process.exit(code);
}
process.once("SIGINT", () => void end(0));
process.once("SIGTERM", () => void end(0));

if (values.once) await end((await runOnce(demo)) ? 0 : 1);
console.log(`Open ${demo.origin}`);

function fail(sentence: string): never {
  console.error(sentence);
  process.exit(1);
}
