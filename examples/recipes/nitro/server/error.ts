/**
 * Nitro answers the status of an error of this package by itself. The headers, which have `Retry-After`, are added here. Nitro
 * then answers as ever.
 *
 * @module
 */
import { setResponseHeaders } from "h3";
import { defineNitroErrorHandler } from "nitropack/runtime";
import { findRemintError } from "remint";

export default defineNitroErrorHandler((error, event) => {
  setResponseHeaders(event, findRemintError(error)?.headers ?? {});
});
