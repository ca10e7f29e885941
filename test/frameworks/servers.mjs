// `node servers.mjs NAME`: starts one server in production mode, as the documentation of its framework writes it, and tells
// its parent the port. Its only route, /CLIENT/FAILURE, makes a call that fails and lets the error escape; where the
// framework would answer 500, it answers what the error says, and /uncaught/CLIENT/FAILURE lets the error escape.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { isRemintError } from "remint";
import { createCalls } from "./calls.mjs";

const call = createCalls(process.env.TOKEN_SERVER);

/** The servers: each starts to listen and returns itself, or the server of `node:http` that it uses. */
const SERVERS = {
  async "express-4"() {
    const { default: express } = await import("express-4");
    const app = express();
    app.get("/:client/:failure", ({ params }, response, next) => {
      void call(params.client, params.failure).then((answer) => response.json(answer), next);
    });
    return app.listen(0, "127.0.0.1");
  },

  async "express-5"() {
    const { default: express } = await import("express-5");
    const app = express();
    app.get("/:client/:failure", async ({ params }, response) => {
      response.json(await call(params.client, params.failure));
    });
    return app.listen(0, "127.0.0.1");
  },

  "koa-2": () => koa("koa-2"),
  "koa-3": () => koa("koa-3"),
  "fastify-4": () => fastify("fastify-4"),
  "fastify-5": () => fastify("fastify-5"),

  async "hono-4"() {
    const [{ Hono }, { serve }] = await Promise.all([import("hono"), import("@hono/node-server")]);
    const app = new Hono();
    app.get("/:client/:failure", async (context) => {
      const { client, failure } = context.req.param();
      return context.json(await call(client, failure));
    });
    return serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" });
  },

  async "h3-1"() {
    const { createApp, createRouter, defineEventHandler, getRouterParams, toNodeListener } = await import("h3-1");
    const router = createRouter();
    const route = defineEventHandler((event) => {
      const { client, failure } = getRouterParams(event);
      return call(client, failure);
    });
    router.get("/:client/:failure", route);
    const app = createApp();
    app.use(router);
    return createServer(toNodeListener(app)).listen(0, "127.0.0.1");
  },

  async "h3-2"() {
    const { H3, toNodeHandler } = await import("h3-2");
    const app = new H3();
    app.get("/:client/:failure", (event) => call(event.context.params.client, event.context.params.failure));
    return createServer(toNodeHandler(app)).listen(0, "127.0.0.1");
  },

  "nest-10": () => nest("nest-10"),
  "nest-11": () => nest("nest-11"),
  "nest-12": () => nest("nest-12"),

  async "hapi-21"() {
    const { default: hapi } = await import("@hapi/hapi");
    const server = hapi.server({ port: 0, host: "127.0.0.1" });
    server.route({
      method: "GET",
      path: "/{client}/{failure}",
      async handler({ params }, h) {
        try {
          return await call(params.client, params.failure);
        } catch (error) {
          if (isRemintError(error)) return h.response().code(error.status);
          throw error;
        }
      },
    });
    server.route({
      method: "GET",
      path: "/uncaught/{client}/{failure}",
      handler: ({ params }) => call(params.client, params.failure),
    });
    await server.start();
    return server.listener;
  },

  // The routes are in next/app.
  async "next-16"() {
    const { default: next } = await import("next");
    const app = next({ dev: false, dir: fileURLToPath(new URL("next", import.meta.url)) });
    await app.prepare();
    return createServer(app.getRequestHandler()).listen(0, "127.0.0.1");
  },

  http() {
    const server = createServer(async ({ url }, response) => {
      try {
        const [, client, failure] = url.split("/");
        response.end(JSON.stringify(await call(client, failure)));
      } catch (error) {
        response.writeHead(error.status, error.headers).end();
      }
    });
    return server.listen(0, "127.0.0.1");
  },
};

async function koa(version) {
  const { default: Koa } = await import(version);
  const app = new Koa();
  app.use(async (context) => {
    const [, client, failure] = context.path.split("/");
    context.body = await call(client, failure);
  });
  return app.listen(0, "127.0.0.1");
}

async function fastify(version) {
  const { default: createFastify } = await import(version);
  const app = createFastify({ logger: { level: "error" } });
  app.get("/:client/:failure", ({ params }) => call(params.client, params.failure));
  await app.listen({ port: 0, host: "127.0.0.1" });
  return app.server;
}

/** Nest with Express. The decorators are called as functions, because Node.js has none. */
async function nest(version) {
  // Each version has a folder of its own, because its parts look for each other by their names.
  const require = createRequire(new URL(`${version}/package.json`, import.meta.url));
  const { Controller, Get, Module, Param } = require("@nestjs/common");
  const { NestFactory } = require("@nestjs/core");
  class Orders {
    list(client, failure) {
      return call(client, failure);
    }
  }
  Get(":client/:failure")(Orders.prototype, "list", Object.getOwnPropertyDescriptor(Orders.prototype, "list"));
  Param("client")(Orders.prototype, "list", 0);
  Param("failure")(Orders.prototype, "list", 1);
  Controller()(Orders);
  Module({ controllers: [Orders] })(App);
  const app = await NestFactory.create(App, { logger: ["error"] });
  await app.listen(0, "127.0.0.1");
  return app.getHttpServer();
}

/** Nest wants a class for each module. */
function App() {}

const server = await SERVERS[process.argv[2]]();
if (!server.listening) await new Promise((resolve) => server.once("listening", resolve));
process.send(server.address().port);
