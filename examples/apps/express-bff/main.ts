/**
 * Starts the server, and ends it at SIGTERM when the requests are answered.
 *
 * @module
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createApp } from "./app.ts";
import { settings } from "./settings.ts";
import { pool, redis } from "./tokens.ts";

await redis.connect();
const server = createServer().listen(settings.port);
await once(server, "listening");
const origin = settings.origin ?? `http://localhost:${(server.address() as AddressInfo).port}`;
server.on("request", await createApp(origin));
console.log(`Listening on ${origin}`);

process.once("SIGTERM", async () => {
  // No new connections. Those that are kept alive would go on to bring requests: each is closed once it is idle.
  const idle = setInterval(() => server.closeIdleConnections(), 100);
  await new Promise((resolve) => server.close(resolve));
  clearInterval(idle);
  const { inFlight, unsaved } = await pool.close({ within: 10_000 });
  if (inFlight.length + unsaved.length > 0) console.warn("sessions that may be lost:", inFlight.length, unsaved.length);
  await redis.close(); // after the pool: it may still have something to write
});
