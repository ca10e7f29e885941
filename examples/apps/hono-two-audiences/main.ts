/**
 * Starts the server, and ends it at SIGTERM when the requests are answered.
 *
 * @module
 */
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import { tokens } from "./apis.ts";
import { app } from "./app.ts";

const server = createAdaptorServer({ fetch: app.fetch }) as Server; // of node:http, because no other one was asked for
server.listen(Number(process.env["PORT"] ?? 3000), () =>
  console.log(`Listening on http://localhost:${(server.address() as AddressInfo).port}`),
);

process.once("SIGTERM", async () => {
  // No new connections. Those that are kept alive would go on to bring requests: each is closed once it is idle.
  const idle = setInterval(() => server.closeIdleConnections(), 100);
  await new Promise((resolve) => server.close(resolve));
  clearInterval(idle);
  await tokens.close();
});
