/**
 * h3 1: Nitro 2 and Nuxt. Its `toWebRequest` makes requests whose signal never aborts. `@hono/node-server` makes a better
 * `Request` of Node's request, and sends the `Response`; it needs no Hono.
 *
 * @module
 */
import { getRequestListener } from "@hono/node-server";
import { defineEventHandler, type EventHandler } from "h3";
import { proxy } from "../../../../proxy.ts";

const listener = getRequestListener(proxy, { overrideGlobalObjects: false });

const handler: EventHandler = defineEventHandler(({ node }) => listener(node.req, node.res));
export default handler;
