/** Hono, wherever it runs. */
import { Hono } from "hono";
import { proxy } from "./proxy.ts";

export const app = new Hono();
app.all("/api/*", (context) => proxy(context.req.raw));
