/**
 * URLs: the origin a URL leads to, what of a URL may be printed, and the check of endpoint URLs.
 *
 * Whether a token may be sent to a URL is decided in `core/origins.ts`.
 *
 * @module
 */
import { assertString, flag } from "./options.ts";

/**
 * The origin of relative URLs outside of browsers. There a relative URL means the server itself, as in the local calls
 * of Nitro (`/api/x`).
 */
export const SELF = "self";

/**
 * The base of relative URLs outside of browsers. No request can name this host, so a URL that resolves to it was
 * relative. The scheme is not http, because `http:evil.example` would be a relative URL of an http base, and clients
 * send it to `evil.example`.
 */
const RELATIVE_BASE = "ftp://self.invalid";

/** Parses a URL. A relative URL is resolved against the page in browsers, against {@link RELATIVE_BASE} elsewhere. */
export function parseUrl(url: string): URL | undefined {
  try {
    return new URL(url, pageUrl() ?? RELATIVE_BASE);
  } catch {
    return undefined;
  }
}

/** Returns the origin of a parsed URL; {@link SELF} for one that was relative. */
export function originOf(target: URL): string {
  return target.origin === RELATIVE_BASE ? SELF : target.origin;
}

/** Whether a URL contains `user:password@`. */
export function hasCredentials(target: URL): boolean {
  return target.username !== "" || target.password !== "";
}

/** Returns the URL of the page; `undefined` outside of browsers. */
function pageUrl(): string | undefined {
  const href: unknown = (globalThis as { location?: { href?: unknown } }).location?.href;
  return typeof href === "string" && /^https?:/.test(href) ? href : undefined;
}

/** Whether a URL is relative and there is no page to resolve it against. */
export function isRelative(url: string): boolean {
  const target = parseUrl(url);
  return target !== undefined && originOf(target) === SELF;
}

/** Returns the origin and path of a URL, by which the storm guard counts rejections. */
export function targetOf(url: string): { readonly origin: string; readonly path: string } {
  const target = parseUrl(url);
  // A text that is not a URL may hold secrets anywhere, so no part of it is kept.
  return target === undefined
    ? { origin: SELF, path: "[not a URL]" }
    : { origin: originOf(target), path: target.pathname };
}

/** Returns a URL without query, fragment and credentials, as it may be printed. */
export function printableUrl(url: string): string {
  const { origin, path } = targetOf(url);
  return origin === SELF ? path : origin + path;
}

/**
 * Whether redirects took a request to another origin than it was sent to (Q3). `false` when the final URL is unknown.
 */
export function leftOrigin(sentTo: string, finalUrl: string | undefined): boolean {
  if (finalUrl === undefined || finalUrl === "") return false;
  const from = parseUrl(sentTo);
  const to = parseUrl(finalUrl);
  return from !== undefined && to !== undefined && originOf(from) !== SELF && from.origin !== to.origin;
}

/** Whether a host is this machine. Plain http is safe there, because nothing leaves the machine (S1). */
export function isLoopback(hostname: string): boolean {
  return (
    hostname === "localhost" ||
    hostname.endsWith(".localhost") ||
    hostname === "[::1]" ||
    /^127\.\d+\.\d+\.\d+$/.test(hostname)
  );
}

/**
 * Checks and parses the URL of an endpoint that receives secrets. Allowed are https, http on this machine, and http
 * anywhere if `allowHttp` is set (S1).
 *
 * @param allowHttp The user's option, which is checked here.
 * @throws {TypeError} When the value is not an absolute URL, contains credentials, or is plain http without permission.
 *   When `allowHttp` is neither `true` nor `false`.
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
      `"${name}" must be an https URL, got http://${url.host}: secrets would be sent unencrypted. ` +
        `Set allowHttp: true if the network itself encrypts the connection (a service mesh)`,
    );
  }
  if (url.username !== "" || url.password !== "") {
    throw new TypeError(`"${name}" must not contain user:password@; pass the credentials as options`);
  }
  return url;
}

/** Returns a text without the slashes at its end. */
export function withoutTrailingSlashes(text: string): string {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 0x2f) end--;
  return text.slice(0, end);
}
