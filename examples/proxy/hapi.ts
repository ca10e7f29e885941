/** hapi 21. `@hono/node-server` makes a `Request` of Node's request, and sends the `Response`; it needs no Hono. */
import { getRequestListener } from "@hono/node-server";
import hapi from "@hapi/hapi";
import { proxy } from "./proxy.ts";

const listener = getRequestListener(proxy, { overrideGlobalObjects: false });

export const app = hapi.server({ port: process.env["PORT"] ?? 3000, host: "127.0.0.1" });
app.route({
  method: "*",
  path: "/api/{path*}",
  // Without these, hapi reads the body, and refuses one that is longer than 1 MiB.
  options: { payload: { parse: false, output: "stream", maxBytes: Number.MAX_SAFE_INTEGER } },
  async handler({ raw }, toolkit) {
    await listener(raw.req, raw.res);
    return toolkit.abandon;
  },
});
