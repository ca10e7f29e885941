/**
 * The routes: sign-in and sign-out, the page, and the proxy to the API.
 *
 * @module
 */
import { getRequestListener } from "@hono/node-server";
import { RedisStore } from "connect-redis";
import express, { type Express } from "express";
import session from "express-session";
import { createAuthProxy } from "remint/proxy";
import { createSignInRoutes } from "./sign-in.ts";
import { settings } from "./settings.ts";
import { pool, redis } from "./tokens.ts";

const page = `<!doctype html><title>Orders</title>
<a href="/login">Sign in</a> <button onclick="fetch('/logout', { method: 'POST', headers: { 'x-bff': '1' } })">Sign out</button>
<button onclick="fetch('/api/orders', { headers: { 'x-bff': '1' } }).then((r) => r.text()).then((text) => orders.textContent = text)">Orders</button>
<pre id="orders"></pre>`;

/** `origin` is where browsers see this server. */
export async function createApp(origin: string): Promise<Express> {
  const app = express();
  app.disable("x-powered-by");
  const isSecure = origin.startsWith("https:");
  app.use(
    session({
      name: "session",
      secret: settings.sessionSecret,
      store: new RedisStore({ client: redis, prefix: "session:" }),
      resave: false,
      saveUninitialized: false,
      proxy: isSecure, // TLS ends at a reverse proxy
      cookie: { httpOnly: true, sameSite: "lax", secure: isSecure, maxAge: 8 * 3_600_000 },
    }),
  );
  app.use(await createSignInRoutes(origin));
  app.get("/", (_request, response) => response.send(page));

  /** The proxy has a `Request` of fetch, and Express's session is in the request of Node: this is the way from one to the other. */
  const signIns = new WeakMap<Request, string>();
  const proxy = createAuthProxy(
    (request) => {
      const signIn = signIns.get(request);
      return signIn === undefined ? null : pool.get(signIn);
    },
    {
      routes: { "/api": settings.apiUrl },
      csrf: { origin },
      onError: (error) => console.warn("proxy:", error),
    },
  );
  // `all` and not `use`, which would cut `/api` off the path. No body parser may run before it.
  app.all(
    "/api/*path",
    getRequestListener(
      (request, { incoming }) => {
        const { signIn } = (incoming as express.Request).session;
        if (signIn !== undefined) signIns.set(request, signIn);
        return proxy(request);
      },
      { overrideGlobalObjects: false },
    ),
  );
  return app;
}
