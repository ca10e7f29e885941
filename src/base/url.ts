/**
 * What a URL says: where it leads, and what of it may be printed.
 *
 * @module
 */
import { assertString, flag } from "./options.ts";

/** Stands for the server itself where there is no page: Nitro's local calls have URLs such as `/api/x`. */
export const SELF = "self";

/**
 * Relative URLs are resolved against a host that no request can name, to see whether they stay on it. Not http: a base
 * of the same scheme would take `http:evil.example`, which clients send to that host, for a path.
 */
export const NOWHERE = "ftp://self.invalid";

/** Where a URL leads: relative ones to the page in browsers, to {@link NOWHERE} elsewhere. */
export function parse(url: string): URL | undefined {
  try {
    return new URL(url, pageUrl() ?? NOWHERE);
  } catch {
    return undefined;
  }
}

export function originOf(target: URL): string {
  return target.origin === NOWHERE ? SELF : target.origin;
}

export function hasCredentials(target: URL): boolean {
  return target.username !== "" || target.password !== "";
}

export function pageUrl(): string | undefined {
  const href: unknown = (globalThis as { location?: { href?: unknown } }).location?.href;
  return typeof href === "string" && /^https?:/.test(href) ? href : undefined;
}

/** Whether a URL has no host of its own and there is no page that would give it one. */
export function isRelative(url: string): boolean {
  const target = parse(url);
  return target !== undefined && originOf(target) === SELF;
}

/** The keys of the storm guard for a URL. */
export function targetOf(url: string): { readonly origin: string; readonly path: string } {
  const target = parse(url);
  // What cannot be parsed may hold anything, so nothing of it is kept.
  return target === undefined
    ? { origin: SELF, path: "[not a URL]" }
    : { origin: originOf(target), path: target.pathname };
}

/** A URL as it may be printed: no query, no fragment, no credentials. */
export function printableUrl(url: string): string {
  const { origin, path } = targetOf(url);
  return origin === SELF ? path : origin + path;
}

/** Whether a request ended elsewhere than it was sent to (Q3). Unknown ends count as not left. */
export function leftOrigin(sentTo: string, endedAt: string | undefined): boolean {
  if (endedAt === undefined || endedAt === "") return false;
  const from = parse(sentTo);
  const to = parse(endedAt);
  return from !== undefined && to !== undefined && originOf(from) !== SELF && from.origin !== to.origin;
}

/** Hosts that never leave the machine: plain http is harmless there (S1). */
export function isLoopback(hostname: string): boolean {
  return (
    hostname === "localhost" ||
    hostname.endsWith(".localhost") ||
    hostname === "[::1]" ||
    /^127\.\d+\.\d+\.\d+$/.test(hostname)
  );
}

/**
 * The URL of an endpoint that gets secrets: https, or http on loopback, or http where `allowHttp` says the network is
 * trusted (S1).
 *
 * @throws {TypeError} When it is not an absolute URL, carries credentials, or is plain http elsewhere; when `allowHttp` is
 *   neither `true` nor `false`, whatever the URL is: the option of a user comes here as it is.
 */
export function endpointUrl(name: string, value: unknown, allowHttp: boolean): URL {
  flag("allowHttp", allowHttp);
  const text = value instanceof URL ? value.href : value;
  assertString(name, text);
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new TypeError(`"${name}" must be an absolute URL, got a string that is not one`);
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new TypeError(`"${name}" must be an https URL, got one with the scheme "${url.protocol}"`);
  }
  if (url.protocol === "http:" && !allowHttp && !isLoopback(url.hostname)) {
    throw new TypeError(
      `"${name}" must be an https URL, got http://${url.host}: secrets would travel in the clear. ` +
        `If a trusted network (a mesh that does TLS beneath) protects it, say so with allowHttp: true`,
    );
  }
  if (url.username !== "" || url.password !== "") {
    throw new TypeError(`"${name}" must not contain user:password@; pass the credentials as options`);
  }
  return url;
}

/** A URL or path without the slashes at its end. */
export function withoutTrailingSlashes(text: string): string {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 0x2f) end--;
  return text.slice(0, end);
}
