/** Express 5. `@hono/node-server` makes a `Request` of Node's request, and sends the `Response`; it needs no Hono. */
import { getRequestListener } from "@hono/node-server";
import express from "express";
import { proxy } from "./proxy.ts";

export const app = express();
// `all` and not `use`: that would cut `/api` off the path. Before `express.json()`, which would read the body.
app.all("/api/*path", getRequestListener(proxy, { overrideGlobalObjects: false }));
