/**
 * Which headers a proxy passes on: those of a list, and no others. So the API gets neither the browser's cookie nor what it
 * claims about its own address, and the browser gets no cookie, no policy and no encoding that is not true any more.
 *
 * @module
 */
import { optionError } from "../base/options.ts";

/** The headers that pass in both directions, by lower-case names. */
export interface PassedHeaders {
  readonly requestHeaders: ReadonlySet<string>;
  readonly responseHeaders: ReadonlySet<string>;
}

const TO_API: ReadonlySet<string> = new Set([
  "accept",
  "accept-language",
  "content-type",
  "content-language",
  // The body passes as it is. Without this an API would take a compressed one for something else.
  "content-encoding",
  "if-match",
  "if-none-match",
  "if-modified-since",
  "if-unmodified-since",
  "if-range",
  "range",
  "idempotency-key",
  "prefer",
  "last-event-id",
  "traceparent",
  "tracestate",
  "x-request-id",
]);

const TO_BROWSER: ReadonlySet<string> = new Set([
  "content-type",
  "content-language",
  "content-disposition",
  "content-range",
  "accept-ranges",
  "etag",
  "last-modified",
  "link",
  "retry-after",
  "deprecation",
  "sunset",
  "ratelimit",
  "ratelimit-policy",
  "ratelimit-limit",
  "ratelimit-remaining",
  "ratelimit-reset",
]);

/** What the proxy sets itself, what belongs to one connection, and what would give one side power over the other. */
const NEVER: Readonly<Record<"request" | "response", RegExp>> = {
  request:
    /^(?:authorization|cookie2?|dpop|host|connection|content-length|keep-alive|te|trailer|transfer-encoding|upgrade|expect|proxy-.*|origin|sec-.*|access-control-.*)$/,
  response:
    /^(?:set-cookie2?|clear-site-data|access-control-.*|content-(?:length|encoding|security-policy.*)|strict-transport-security|www-authenticate|location|cache-control|server-timing|connection|keep-alive|trailer|transfer-encoding|upgrade|proxy-.*)$/,
};

const NAME = /^[\w!#$%&'*+.^`|~-]+$/;

/**
 * Returns the names of the headers that pass in one direction.
 *
 * @param more Those that the user adds.
 * @throws {TypeError} When it is no list of header names, or when one of them must never pass.
 */
export function headerNames(option: string, more: unknown, direction: keyof typeof NEVER): ReadonlySet<string> {
  const usual = direction === "request" ? TO_API : TO_BROWSER;
  if (more === undefined) return usual;
  if (!Array.isArray(more) || !more.every((name) => typeof name === "string" && NAME.test(name))) {
    throw optionError(option, more, "a list of header names");
  }
  const names = more.map((name: string) => name.toLowerCase());
  const never = names.find((name) => NEVER[direction].test(name));
  if (never !== undefined) throw new TypeError(`"${option}" must not contain "${never}": the proxy never passes it on`);
  return new Set([...usual, ...names]);
}

/**
 * Copies the headers of these names. A plain object, because `fetch` and `Response` copy what they are given into headers of
 * their own.
 */
export function copiedHeaders(from: Headers, names: ReadonlySet<string>): Record<string, string> {
  const copy: Record<string, string> = {};
  let connection: string | undefined;
  // One walk: asking for each name takes twice the time.
  from.forEach((value, name) => {
    if (names.has(name)) copy[name] = value;
    else if (name === "connection") connection = value;
  });
  // What is named there belongs to one connection (RFC 9110 section 7.6.1).
  if (connection === undefined || connection === "keep-alive") return copy;
  for (const name of connection.split(",")) delete copy[name.trim().toLowerCase()];
  return copy;
}
