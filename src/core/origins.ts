/**
 * Q2 Where a token may be sent: to an origin on the list, and nowhere else.
 *
 * @module
 */
import { kindOf } from "../base/options.ts";
import { RemintError } from "../base/errors.ts";
import type { AccessToken } from "./access-token.ts";
import type { Grant, Origins } from "./types.ts";
import type { RequestRules, Site } from "../policy/choose-cache.ts";

/** Stands for the server itself where there is no page: Nitro's local calls have URLs such as `/api/x`. */
const SELF = "self";
/**
 * Relative URLs are resolved against a host that no request can name, to see whether they stay on it. Not http: a base
 * of the same scheme would take `http:evil.example`, which clients send to that host, for a path.
 */
const NOWHERE = "ftp://self.invalid";

/**
 * The rules of a cache: its own `origins`, else the grant's.
 *
 * @throws {TypeError} When there are none, or one of them is not an origin.
 */
export function requestRules(own: unknown, grant: Grant, allowHttp: boolean): RequestRules {
  const origins = (own ?? grant.origins) as Origins | undefined;
  const headers = grant.headers === undefined ? undefined : (token: AccessToken) => grant.headers!(token);
  return {
    ...matcher(origins, allowHttp),
    ...(headers && { headers }),
    ...(grant.prove && { prove: (request) => grant.prove!(request) }),
    ...(grant.isRejected && { isRejected: grant.isRejected }),
    ...(grant.inspectStatuses && { inspectStatuses: grant.inspectStatuses }),
  };
}

type Matcher = Pick<RequestRules, "originsFromToken" | "allows">;

function matcher(origins: Origins | undefined, allowHttp: boolean): Matcher {
  if (origins === "any") return { originsFromToken: false, allows: (url) => isWeb(url, allowHttp) };
  if (typeof origins === "function") return matcherByToken(origins);
  if (!Array.isArray(origins) || origins.length === 0) {
    throw new TypeError(
      `"origins" must list the origins this token may be sent to, such as ["https://api.example"] ` +
        `(or "any" for every https origin), got ${kindOf(origins)}. Without it a token could reach any host a URL names`,
    );
  }
  return { originsFromToken: false, allows: listMatcher(origins.map(normalOrigin)) };
}

/** A list that depends on the token (a provider that names its hosts in the token response). */
function matcherByToken(origins: (token: AccessToken) => readonly string[]): Matcher {
  const known = new WeakMap<AccessToken, (url: string) => boolean>();
  return {
    originsFromToken: true,
    allows(url, token) {
      if (token === undefined) return true;
      let matches = known.get(token);
      if (matches === undefined) known.set(token, (matches = listMatcher(originsOf(token, origins))));
      return matches(url);
    },
  };
}

function originsOf(token: AccessToken, origins: (token: AccessToken) => readonly string[]): readonly string[] {
  try {
    return origins(token).map((text) => (text === SELF ? SELF : new URL(text).origin));
  } catch {
    throw new RemintError("ERR_ORIGIN", `The function given as "origins" did not return a list of absolute URLs`);
  }
}

/** A test of URLs against a list of origins. */
function listMatcher(list: readonly string[]): (url: string) => boolean {
  // The warm path, without the microsecond of parsing. Sound, because an origin ends where the path begins:
  // user:password@, other ports and backslashes all stand before that and fail here.
  const hosts = list.filter((origin) => origin !== SELF).map((origin) => origin.replace(/[.[\]]/g, "\\$&"));
  const plain = hosts.length > 0 ? new RegExp(`^(?:${hosts.join("|")})(?![^/?#])`) : undefined;
  // Clients with a base URL ask about the same string object every time.
  let last: string | undefined;
  return (url) => {
    if (url === last) return true;
    if (plain?.test(url) !== true && !isListed(url, list)) return false;
    last = url;
    return true;
  };
}

function isListed(url: string, list: readonly string[]): boolean {
  const target = parse(url);
  return target !== undefined && !hasCredentials(target) && list.includes(originOf(target));
}

/** The warm path of `"any"`: a host name and where it ends, nothing that needs a parser to be told apart. */
const PLAIN_HTTPS = /^https:\/\/[a-z\d.-]+(:\d+)?(?:[/?#]|$)/;

function isWeb(url: string, allowHttp: boolean): boolean {
  if (PLAIN_HTTPS.test(url)) return true;
  const target = parse(url);
  if (target === undefined || hasCredentials(target) || originOf(target) === SELF) return false;
  return target.protocol === "https:" || (allowHttp && target.protocol === "http:");
}

/** Where a URL leads: relative ones to the page in browsers, to {@link NOWHERE} elsewhere. */
function parse(url: string): URL | undefined {
  try {
    return new URL(url, pageUrl() ?? NOWHERE);
  } catch {
    return undefined;
  }
}

function originOf(target: URL): string {
  return target.origin === NOWHERE ? SELF : target.origin;
}

function hasCredentials(target: URL): boolean {
  return target.username !== "" || target.password !== "";
}

function pageUrl(): string | undefined {
  const href: unknown = (globalThis as { location?: { href?: unknown } }).location?.href;
  return typeof href === "string" && /^https?:/.test(href) ? href : undefined;
}

/** Whether a URL has no host of its own and there is no page that would give it one. */
export function isRelative(url: string): boolean {
  const target = parse(url);
  return target !== undefined && originOf(target) === SELF;
}

/** The keys of the storm guard for a URL. */
export function siteOf(url: string): Site {
  const target = parse(url);
  // What can not be parsed may hold anything, so nothing of it is kept.
  return target === undefined
    ? { origin: SELF, path: "[not a URL]" }
    : { origin: originOf(target), path: target.pathname };
}

/** A URL as it may be printed: no query, no fragment, no credentials. */
export function printableUrl(url: string): string {
  const { origin, path } = siteOf(url);
  return origin === SELF ? path : origin + path;
}

/** Whether a request ended elsewhere than it was sent to (Q3). Unknown ends count as not left. */
export function leftOrigin(sentTo: string, endedAt: string | undefined): boolean {
  if (endedAt === undefined || endedAt === "") return false;
  const from = parse(sentTo);
  const to = parse(endedAt);
  return from !== undefined && to !== undefined && originOf(from) !== SELF && from.origin !== to.origin;
}

function normalOrigin(text: unknown): string {
  if (text === SELF) return SELF;
  let url: URL | undefined;
  try {
    url = new URL(text as string);
  } catch {
    // Told below.
  }
  if (typeof text !== "string" || url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new TypeError(
      `"origins" must list http(s) origins such as "https://api.example", got ${kindOf(text)} that is not one`,
    );
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "" || hasCredentials(url)) {
    throw new TypeError(`"origins" must list origins without path, query or credentials: write "${url.origin}"`);
  }
  return url.origin;
}
