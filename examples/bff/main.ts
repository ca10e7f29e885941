/**
 * Starts everything: the authorization server, the two APIs, the BFF beside the usual BFF, and the page. Ctrl-C ends it.
 *
 * Options: `--replicas N` for several BFF processes (they need a Redis), `--plain-cookies` for browsers that refuse secure
 * cookies on http://localhost (Safari), `--once` for a scripted check without a browser. `PORT` is 3000 unless it is set.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { parseArgs } from "node:util";
import { getRequestListener } from "@hono/node-server";
import { fleetStore, memoryStore } from "remint/fleet";
import { startRedis } from "../fleet/redis-server.ts";
import { Apis } from "./apis.ts";
import { createApp } from "./app.ts";
import { AuthServer } from "./auth-server.ts";
import { memoryKeyValues } from "./bff/key-values.ts";
import { Driver } from "./driver.ts";
import { Feed } from "./feed.ts";
import { pageFiles } from "./files.ts";
import { serveFront } from "./front.ts";
import { runOnce } from "./once.ts";
import { RESOURCES, SCOPE } from "./provider.ts";
import { redisStores } from "./redis.ts";
import { Replicas } from "./replicas.ts";
import { createUsualBff } from "./usual/usual-bff.ts";

const { values } = parseArgs({
  options: {
    once: { type: "boolean", default: false },
    "plain-cookies": { type: "boolean", default: false },
    replicas: { type: "string", default: "1" },
  },
});
const count = Number(values.replicas);
if (!Number.isInteger(count) || count < 1 || count > 8) fail("--replicas takes a number from 1 to 8.");

const port = values.once ? 0 : Number(process.env["PORT"] ?? 3000);
const server = createServer();
server.listen({ host: "localhost", port, backlog: 4096 });
await once(server, "listening").catch((error: unknown) => {
  fail(`Port ${port} cannot be used (${(error as NodeJS.ErrnoException).code}). Choose another: PORT=3001 npm start`);
});
const origin = `http://localhost:${(server.address() as AddressInfo).port}`;

const redis = count > 1 ? await startRedis() : undefined;
if (count > 1 && redis === undefined) {
  fail("Several processes share their sessions in a Redis: set REDIS_URL, or install redis-server.");
}

const auth = await AuthServer.start({ origin });
const apis = await Apis.start(auth);
const places = { orders: apis.place("orders"), billing: apis.place("billing") };
const files = await pageFiles();
const secret = randomBytes(32);
const tokenKey = randomBytes(32).toString("base64");
const settings = {
  origin,
  issuer: auth.issuer,
  clientId: "bff",
  clientSecret: auth.secrets.bff,
  scope: SCOPE,
  resources: [RESOURCES.orders, RESOURCES.billing] as [string, string],
  apis: places,
  plainCookies: values["plain-cookies"],
};
const connection = redis && redisStores(redis.url, tokenKey);
const memory = { store: memoryKeyValues(), tokenStore: fleetStore(memoryStore(), { encryptionKey: "none" }) };
const app = createApp({ ...settings, ...(connection?.stores ?? memory), secret, files });
const feed = new Feed(auth);
const replicas =
  redis &&
  (await Replicas.start(
    count,
    { ...settings, redisUrl: redis.url, secret: secret.toString("base64"), tokenKey, files: [...files] },
    (id, alive) => feed.send({ type: "process", id, alive, at: Date.now() }),
  ));
const bff: RequestListener = replicas
  ? (request, response) => replicas.forward(request, response)
  : getRequestListener(app.hono.fetch);
const usual = createUsualBff({
  origin,
  issuer: auth.issuer,
  clientId: "usual",
  clientSecret: auth.secrets.usual,
  scope: SCOPE,
  apis: places,
});
const stop = serveFront(server, {
  origin,
  plainCookies: values["plain-cookies"],
  auth,
  apis,
  feed,
  driver: new Driver(origin),
  app,
  bff,
  usual: usual.hono,
  beginUsual: usual.begin,
  replicas,
  files,
});

async function close(): Promise<void> {
  stop();
  server.close();
  server.closeAllConnections();
  await replicas?.close();
  await Promise.all([app.tokens.close(), auth.close(), apis.close()]);
  connection?.close();
  await redis?.stop();
}

process.once("SIGINT", () => void close().then(() => process.exit(0)));
process.once("SIGTERM", () => void close().then(() => process.exit(0)));
if (values.once) {
  const isRight = await runOnce(origin, auth, apis);
  await close();
  process.exit(isRight ? 0 : 1);
}
console.log(`Open ${origin}`);

function fail(sentence: string): never {
  console.error(sentence);
  process.exit(1);
}
