/**
 * The proxy that every other file of this folder mounts, one for each framework. A framework gives the proxy a `Request` and
 * sends the `Response`. Three things have to be right where it is mounted:
 *
 * - The proxy gets the whole path, with `/api`.
 * - Nobody reads the body before: no body parser runs for these routes.
 * - `request.signal` aborts when the browser goes away. Then the request to the API ends too.
 *
 * @module
 */
import { createAuthProxy } from "remint/proxy";
import { tokensOf } from "./sessions.ts";

const { ORDERS_API = "https://orders.example/v1", APP_ORIGIN = "http://localhost:3000" } = process.env;

export const proxy = createAuthProxy(tokensOf, {
  routes: { "/api/orders": { target: ORDERS_API, events: true } },
  csrf: { origin: APP_ORIGIN },
  onError: (error) => console.error(error),
});
