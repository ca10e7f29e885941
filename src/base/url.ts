/**
 * URLs: the origin a URL leads to, what of a URL may be printed, and the check of endpoint URLs.
 *
 * Whether a token may be sent to a URL is decided in `core/origins.ts`.
 *
 * @module
 */
import { assertString, flag, kindOf } from "./options.ts";

/**
 * The origin of relative URLs outside of browsers. There a relative URL means the server itself, as in the local calls
 * of Nitro (`/api/x`).
 */
export const SELF = "self";

/**
 * The base of relative URLs outside of browsers. No server can have this host. The scheme is not http, because
 * `http:evil.example` would be a relative URL of an http base, and clients send it to `evil.example`.
 */
const RELATIVE_BASE = "ftp://self.invalid";
/** Another base: only a relative URL leads to both. */
const OTHER_BASE = "https://other.invalid";

/** What a page or a worker has, and other runtimes do not. */
interface Page {
  readonly document?: { readonly baseURI?: unknown } | undefined;
  readonly location?: { readonly href?: unknown; readonly origin?: unknown } | undefined;
  readonly origin?: unknown;
}

/**
 * Parses a URL as a client of this runtime would. A relative URL is resolved against the page's base, which a
 * `<base href>` may have moved to another origin, or against the worker's script. Where neither is http(s), as outside of
 * browsers, it is resolved against {@link RELATIVE_BASE}.
 */
export function parseUrl(url: string): URL | undefined {
  return parse(url, relativeBase());
}

function relativeBase(): string | undefined {
  const { document, location } = globalThis as Page;
  const own = document?.baseURI;
  // An element named `baseURI` in the page hides the member: nobody knows then where a relative URL leads.
  if (own !== undefined && typeof own !== "string") return undefined;
  const base = own ?? location?.href;
  return isWebText(base) ? base : RELATIVE_BASE;
}

function isWebText(text: unknown): text is string {
  return typeof text === "string" && /^https?:/.test(text);
}

/** Parses a URL, and a relative one if there is a base. */
export function parse(url: string, base?: string): URL | undefined {
  try {
    return new URL(url, base);
  } catch {
    return undefined;
  }
}

/**
 * Returns the origin that `"self"` stands for: that of the page or the worker, and {@link SELF} where only relative URLs are
 * the application's own, as outside of browsers. `undefined` on a page that is a stranger to every origin, such as a
 * sandboxed one.
 */
export function selfOrigin(): string | undefined {
  const { location, origin } = globalThis as Page;
  const own = location?.origin;
  if (own === "null" || origin === "null") return undefined;
  return isWebText(own) ? own : SELF;
}

/** Returns the origin of a parsed URL; {@link SELF} for one that was relative. */
function originOf(target: URL): string {
  return target.origin === RELATIVE_BASE ? SELF : target.origin;
}

/** Whether a parsed URL can carry a token: it is http(s). `blob:` URLs have an http origin and are not. */
export function isWeb({ protocol }: URL): boolean {
  return protocol === "https:" || protocol === "http:";
}

/** Whether a URL contains `user:password@`. */
export function hasCredentials(target: URL): boolean {
  return target.username !== "" || target.password !== "";
}

/** Whether a URL is relative and there is no page to resolve it against. */
export function isRelative(url: string): boolean {
  if (relativeBase() !== RELATIVE_BASE) return false;
  return PATH.test(url) || [RELATIVE_BASE, OTHER_BASE].every((base) => parse(url, base)?.origin === base);
}

/** Matches the usual relative URL. Its second character tells it from "//host" without a parser. */
const PATH = /^\/\w/;

/** Returns the origin and path of a URL, by which the storm guard counts rejections. */
export function targetOf(url: string): { readonly origin: string; readonly path: string } {
  const target = parseUrl(url);
  // A text that is not a URL may hold secrets anywhere, and so may what follows a scheme such as `data:`.
  if (target === undefined) return { origin: SELF, path: "[not a URL]" };
  const origin = originOf(target);
  return origin === SELF || isWeb(target)
    ? { origin, path: target.pathname }
    : { origin: SELF, path: "[not an http URL]" };
}

/** Returns a URL without query, fragment and credentials, as it may be printed. */
export function printableUrl(url: string): string {
  const { origin, path } = targetOf(url);
  return origin === SELF ? path : origin + path;
}

/**
 * Whether redirects took a request to another origin than it was sent to (Q3). A client may report the final URL relative
 * to the one it was sent to, as mock adapters do. `false` when the final URL is unknown, or none that a redirect leads to.
 */
export function leftOrigin(sentTo: string, finalUrl: string | undefined): boolean {
  if (finalUrl === undefined || finalUrl === "") return false;
  const from = parseUrl(sentTo);
  if (from === undefined || !isWeb(from)) return false;
  const to = parse(finalUrl, from.href);
  return to !== undefined && isWeb(to) && from.origin !== to.origin;
}

/**
 * Returns origin and path of a URL, the same for every spelling of it that RFC 3986 section 6.2.2 makes equal. Whatever the
 * query is, the request goes to the same endpoint.
 */
export function endpointName({ origin, pathname }: URL): string {
  return origin + pathname.replace(/%[\da-f]{2}/gi, unescaped);
}

function unescaped(escape: string): string {
  const character = String.fromCharCode(parseInt(escape.slice(1), 16));
  return /[\w.~-]/.test(character) ? character : escape.toUpperCase();
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
  const text = urlText(value);
  assertString(name, text);
  const url = parse(text);
  if (url === undefined) throw new TypeError(`"${name}" must be an absolute URL, got a string that is not one`);
  if (!isWeb(url)) {
    throw new TypeError(`"${name}" must be an https URL, got one with the scheme "${url.protocol}"`);
  }
  if (url.protocol === "http:" && !allowHttp && !isLoopback(url.hostname)) {
    throw new TypeError(
      `"${name}" must be an https URL, got http://${url.host}: secrets would be sent unencrypted. ` +
        `Set allowHttp: true if the network itself encrypts the connection (a service mesh)`,
    );
  }
  if (hasCredentials(url)) {
    throw new TypeError(`"${name}" must not contain user:password@; pass the credentials as options`);
  }
  return url;
}

/** Hosts that a server can have, as a URL has them: names in ASCII, IPv4 and IPv6 addresses. */
const HOST = /^(?:[\w-]+(?:\.[\w-]+)*\.?|\[[\da-f:.]+\])$/;

const NO_PATTERN = "wildcards and patterns do not work, list every host";

/** An entry of a list of origins. */
interface OriginEntry {
  readonly value: unknown;
  /** Its place in the list, for the message. */
  readonly index: number;
  /** It may be the URL of a service, with path and query. */
  readonly mayHavePath: boolean;
  /** Says in the message why there may be no value. */
  readonly unset: string;
}

/**
 * Checks and parses an origin to which tokens may be sent, as a user or a server wrote it.
 *
 * @throws {TypeError} When it is no http(s) URL, has a host that no server can have, credentials, or a path that it must
 *   not have. The message does not show the value, except for its origin.
 */
export function originUrl({ value, index, mayHavePath, unset }: OriginEntry): URL {
  const refused = (found: string, reason?: string): TypeError =>
    new TypeError(
      `"origins" must list http(s) origins such as "https://api.example", got ${found} as origins[${index}]` +
        (reason === undefined ? "" : `: ${reason}`),
    );
  if (value === undefined || value === "") throw refused(kindOf(value), unset);
  if (typeof value !== "string") throw refused(kindOf(value), value instanceof RegExp ? NO_PATTERN : undefined);
  const url = parse(value);
  if (url === undefined || !isWeb(url)) {
    throw refused("a string that is no http(s) URL", value.includes("*") ? NO_PATTERN : undefined);
  }
  const { origin, hostname, pathname, search, hash } = url;
  // What `https://${process.env.HOST}` becomes.
  if (hostname === "undefined" || hostname === "null") throw refused(`the host "${hostname}"`, unset);
  if (!HOST.test(hostname)) throw refused("a host that no server can have", NO_PATTERN);
  if (hasCredentials(url) || (!mayHavePath && pathname + search + hash !== "/")) {
    throw new TypeError(
      `"origins" must list origins without path, query or credentials, origins[${index}] has some: write "${origin}"`,
    );
  }
  return url;
}

/** Copies a list of origins. URL objects become text, because they can be changed later as the list can. */
export function copiedOrigins(list: readonly unknown[]): readonly unknown[] {
  return Array.from(list, urlText);
}

/** Returns the text of a URL object, also of another realm; any other value as it is. */
export function urlText(value: unknown): unknown {
  return (Object(value) as { readonly href?: unknown }).href ?? value;
}

/** Returns a text without the slashes at its end. */
export function withoutTrailingSlashes(text: string): string {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 0x2f) end--;
  return text.slice(0, end);
}
