/** Koa 3. `@hono/node-server` makes a `Request` of Node's request, and sends the `Response`; it needs no Hono. */
import { getRequestListener } from "@hono/node-server";
import Koa from "koa";
import { proxy } from "./proxy.ts";

const listener = getRequestListener(proxy, { overrideGlobalObjects: false });

export const app = new Koa();
// Before a body parser, which would read the body.
app.use(async (context, next) => {
  const isForProxy = context.path.startsWith("/api/");
  context.respond = !isForProxy;
  await (isForProxy ? listener(context.req, context.res) : next());
});
