import { send, setResponseHeader, setResponseHeaders, setResponseStatus } from "h3";
import { defineNitroErrorHandler } from "nitropack/runtime";
import { findRemintError } from "remint";

const DEFAULT_RETRY_AFTER_SECONDS = 5;

/** Answers when there is no token. Nitro answers all other errors: a handler that sends nothing leaves them to it. */
export default defineNitroErrorHandler(async (error, event) => {
  const noToken = findRemintError(error);
  if (!noToken) return;
  console.error(noToken); // With the hint, which says what the token endpoint has answered.
  setResponseStatus(event, noToken.status);
  // `headers` has Retry-After where the token endpoint has named a time.
  if (noToken.retryable) setResponseHeader(event, "retry-after", DEFAULT_RETRY_AFTER_SECONDS);
  setResponseHeaders(event, noToken.headers);
  const detail = noToken.retryable
    ? "Invoices cannot be read at the moment."
    : "Invoices cannot be read. We know of it.";
  await send(event, JSON.stringify({ status: noToken.status, detail }), "application/problem+json");
});
