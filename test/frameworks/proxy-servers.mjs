// `node proxy-servers.mjs NAME FOLDER`: starts one of the servers that mount the proxy, from a copy of examples/proxy, and
// tells its parent the port. When the parent sends a message, garbage is collected: what only a weak reference holds must
// not be needed.
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const [name, folder] = process.argv.slice(2);
const load = (file) => import(pathToFileURL(`${folder}/${file}`).href);
const listen = (handler) => createServer(handler).listen(0, "127.0.0.1");

/** The servers: each starts to listen and returns itself, or the server of `node:http` that it uses. */
const SERVERS = {
  async hono() {
    const [{ app }, { serve }] = await Promise.all([load("hono.ts"), import("@hono/node-server")]);
    return serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" });
  },

  async express() {
    const { app } = await load("express.ts");
    return app.listen(0, "127.0.0.1");
  },

  async fastify() {
    const { app } = await load("fastify.ts");
    await app.listen({ port: 0, host: "127.0.0.1" });
    return app.server;
  },

  async koa() {
    const { app } = await load("koa.ts");
    return app.listen(0, "127.0.0.1");
  },

  async hapi() {
    const { app } = await load("hapi.ts");
    await app.start();
    return app.listener;
  },

  async h3() {
    const [{ app }, { toNodeHandler }] = await Promise.all([load("h3.ts"), import("h3-2")]);
    return listen(toNodeHandler(app));
  },

  // What Nitro 2 makes of its folder of routes.
  async "nitro-2"() {
    const { createApp, createRouter, toNodeListener } = await import("h3-1");
    const { default: handler } = await load("nitro-2/server/routes/api/[...path].ts");
    const app = createApp();
    app.use(createRouter().use("/api/**", handler));
    return listen(toNodeListener(app));
  },

  async next() {
    const { default: next } = await import("next");
    const app = next({ dev: false, dir: `${folder}/next` });
    await app.prepare();
    return listen(app.getRequestHandler());
  },

  async sveltekit() {
    const { handler } = await load("sveltekit/build/handler.js");
    return listen(handler);
  },
};

const server = await SERVERS[name]();
if (!server.listening) await new Promise((resolve) => server.once("listening", resolve));
process.on("message", () => {
  globalThis.gc();
  process.send("collected");
});
process.send(server.address().port);
