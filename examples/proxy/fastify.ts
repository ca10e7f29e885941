/** Fastify 5. `@hono/node-server` makes a `Request` of Node's request, and sends the `Response`; it needs no Hono. */
import { getRequestListener } from "@hono/node-server";
import createFastify from "fastify";
import { proxy } from "./proxy.ts";

const listener = getRequestListener(proxy, { overrideGlobalObjects: false });

export const app = createFastify();
void app.register(async (routes) => {
  // Fastify reads the body of every request, except of those whose parser does nothing.
  routes.removeAllContentTypeParsers();
  routes.addContentTypeParser("*", (_request, _body, done) => done(null));
  routes.all("/api/*", (request, reply) => {
    reply.hijack();
    return listener(request.raw, reply.raw);
  });
});
