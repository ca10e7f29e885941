/**
 * The routes, and what is answered when something fails.
 *
 * @module
 */
import { Hono } from "hono";
import { isRemintError, type RemintError } from "remint";
import { ApiError, readInvoice, readOrder } from "./apis.ts";

export const app = new Hono();

app.get("/orders/:id", async (context) => {
  const id = context.req.param("id");
  const [order, invoice] = await Promise.all([readOrder(id), readInvoice(id)]);
  return context.json({ order, invoice });
});

app.onError((error, context) => {
  if (error instanceof ApiError && error.status === 404)
    return context.json({ message: "there is no such order" }, 404);
  console.error(error); // the stack of an error of remint has the hint: which server, and what to check
  if (isRemintError(error)) return unavailable(error);
  if (error instanceof ApiError) return context.json({ message: "an API failed" }, 502);
  if (error.name === "TimeoutError") return context.json({ message: "an API did not answer in time" }, 504);
  return context.json({ message: "something is wrong here" }, 500);
});

/** 503. `Retry-After` is what the authorization server has said; where it has said nothing, this server asks for a few seconds. */
function unavailable(error: RemintError): Response {
  const response = error.getResponse();
  if (!response.headers.has("retry-after")) response.headers.set("retry-after", error.retryable ? "5" : "30");
  return response;
}
