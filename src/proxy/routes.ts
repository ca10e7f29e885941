/**
 * The routes of a proxy: a fixed table from the beginnings of paths to APIs. What a browser sends can choose a route and what
 * comes after its prefix. It can change neither scheme, host and port of the API, nor leave the API's base path.
 *
 * Not here: which headers pass (`headers.ts`), and what the proxy answers (`answers.ts`).
 *
 * @module
 */
import { assertOptions, count, duration, flag, optionError } from "../base/options.ts";
import { hasCredentials, isWeb, parse, withoutTrailingSlashes } from "../base/url.ts";
import { headerNames } from "./headers.ts";
import type { TargetOptions } from "../core/types.ts";
import type { PassedHeaders } from "./headers.ts";

/** Where the requests of one prefix go. */
export interface ProxyRoute {
  /**
   * The API's URL, to which the rest of the path is added: `"https://orders.example/v1"`. An http or https URL without query
   * and credentials. The `origins` of the token cache have to allow it.
   */
  readonly target: string | URL;
  /**
   * The HTTP methods that pass; others are answered 405. `OPTIONS` cannot be one: no other site may call the proxy.
   *
   * @defaultValue GET, HEAD, POST, PUT, PATCH and DELETE
   */
  readonly methods?: readonly string[] | undefined;
  /**
   * The access token to use: what the method `for` of a token cache takes. Needed where a session has tokens for several APIs.
   *
   * @defaultValue the token of the cache itself
   */
  readonly for?: TargetOptions | undefined;
  /**
   * A GET that accepts `text/event-stream` passes without the CSRF header, which `EventSource` cannot set. It must then come
   * from the application's own origin, as `Sec-Fetch-Site` or `Origin` says.
   *
   * @defaultValue false
   */
  readonly events?: boolean | undefined;
  /**
   * `"private"` lets the browser keep answers and ask each time whether they are still valid
   * (`Cache-Control: private, no-cache`).
   *
   * @defaultValue nothing is kept (`Cache-Control: no-store`)
   */
  readonly cache?: "private" | undefined;
  /** Names of further request headers that pass to the API. @defaultValue none */
  readonly requestHeaders?: readonly string[] | undefined;
  /** Names of further response headers that pass to the browser. @defaultValue none */
  readonly responseHeaders?: readonly string[] | undefined;
  /** The longest request body, in bytes. A longer one is answered 413. @defaultValue no limit */
  readonly maxBody?: number | undefined;
  /**
   * Milliseconds in which the API has to begin its answer, counted from the end of the request's body. Then the answer is 504.
   * How long the answer's body takes does not matter.
   *
   * @defaultValue 60000
   */
  readonly timeout?: number | undefined;
}

/** A route as it was checked. */
export interface Route extends PassedHeaders {
  readonly prefix: string;
  /** The prefix as {@link asRead} reads it. */
  readonly readPrefix: string;
  readonly origin: string;
  /** Without a slash at its end. */
  readonly basePath: string;
  readonly methods: ReadonlySet<string>;
  readonly target: TargetOptions | undefined;
  readonly mayBeEvents: boolean;
  readonly isKept: boolean;
  readonly maxBody: number;
  readonly timeout: number;
}

/** A request that belongs to a route. */
export interface RouteMatch {
  readonly route: Route;
  /** The URL at the API. */
  readonly url: string;
}

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
/** What fetch refuses to send, and the question of other sites whether they may call. */
const NO_METHODS = /^(?:CONNECT|TRACE|TRACK|OPTIONS)$/;
/** One or more segments, without a slash at the end. */
const PREFIX = /^(?:\/[\w.~-]+)+$/;
const ROUTE_OPTIONS = [
  "target",
  "methods",
  "for",
  "events",
  "cache",
  "requestHeaders",
  "responseHeaders",
  "maxBody",
  "timeout",
] as const;

const EXAMPLE = 'an object such as { "/api": "https://api.example" }';

const TARGET_OPTIONS = ["resource", "scope", "audience", "origins"] as const;

/**
 * Checks the table.
 *
 * @returns The routes, the longest prefix first.
 * @throws {TypeError} When it is empty, or when a prefix or an option is wrong. The message names the route.
 */
export function checkedRoutes(routes: unknown): readonly Route[] {
  if (typeof routes !== "object" || routes === null) throw optionError("routes", routes, EXAMPLE);
  const entries = Object.entries(routes as Readonly<Record<string, string | URL | ProxyRoute>>);
  if (entries.length === 0) throw new TypeError(`"routes" must be ${EXAMPLE}, got an empty one`);
  const checked = entries.map(([prefix, route]) => checkedRoute(prefix, route));
  // oxlint-disable-next-line unicorn/no-array-sort -- the array was just made, and ES2022 has no other
  return checked.sort((a, b) => b.prefix.length - a.prefix.length);
}

function checkedRoute(prefix: string, given: string | URL | ProxyRoute): Route {
  if (!PREFIX.test(prefix) || isUnsafePath(prefix)) {
    throw new TypeError(`"routes" must have paths such as "/api/orders" as names, without a slash at the end`);
  }
  const where = `routes["${prefix}"]`;
  const options = typeof given === "string" || given instanceof URL ? { target: given } : given;
  if (typeof options !== "object" || options === null)
    throw optionError(where, given, "the URL of an API, or { target }");
  assertOptions(where, options, ROUTE_OPTIONS);
  const { origin, pathname } = targetUrl(where, options.target);
  if (options.for !== undefined) assertOptions(`${where}.for`, options.for, TARGET_OPTIONS);
  const { cache, methods = METHODS } = options;
  if (cache !== undefined && cache !== "private") throw optionError(`${where}.cache`, cache, '"private"');
  if (!Array.isArray(methods) || methods.length === 0 || !methods.every(isMethod)) {
    throw optionError(`${where}.methods`, methods, 'a list of HTTP methods such as ["GET", "POST"]');
  }
  return {
    prefix,
    readPrefix: prefix.toLowerCase(),
    origin,
    basePath: withoutTrailingSlashes(pathname),
    methods: new Set(methods),
    target: options.for,
    mayBeEvents: flag(`${where}.events`, options.events),
    isKept: cache === "private",
    requestHeaders: headerNames(`${where}.requestHeaders`, options.requestHeaders, "request"),
    responseHeaders: headerNames(`${where}.responseHeaders`, options.responseHeaders, "response"),
    maxBody: options.maxBody === undefined ? Infinity : count(`${where}.maxBody`, options.maxBody, 0),
    timeout: duration(`${where}.timeout`, options.timeout, 60_000),
  };
}

function isMethod(value: unknown): boolean {
  return typeof value === "string" && /^[A-Z]+$/.test(value) && !NO_METHODS.test(value);
}

function targetUrl(where: string, value: unknown): URL {
  const text = value instanceof URL ? value.href : value;
  const url = typeof text === "string" && text !== "" ? parse(text) : undefined;
  // A path that is refused in a request is no base for others either.
  if (url === undefined || !isWeb(url) || hasCredentials(url) || url.search + url.hash !== "") {
    throw optionError(`${where}.target`, value, "an http or https URL without query, fragment and credentials");
  }
  if (isUnsafePath(withoutTrailingSlashes(url.pathname))) {
    throw new TypeError(`"${where}.target" must have a path without empty segments and encoded slashes`);
  }
  return url;
}

/**
 * Returns the route of a path, and the URL at its API; otherwise what is wrong. The prefix ends where a segment ends.
 *
 * A path that an API could read as one of another route is refused: what the other route does not allow must not be had by
 * writing its path differently.
 */
export function matchOf(routes: readonly Route[], { pathname, search }: URL): RouteMatch | "path" | "route" {
  const read = asRead(pathname);
  if (read === undefined) return "path";
  const route = routes.find(({ prefix }) => isBelow(pathname, prefix));
  if (route === undefined) return "route";
  const other = routes.find(({ readPrefix }) => isBelow(read, readPrefix));
  if (other?.readPrefix !== route.readPrefix) return "path";
  return { route, url: route.origin + route.basePath + pathname.slice(route.prefix.length) + search };
}

function isBelow(path: string, base: string): boolean {
  return path.startsWith(base) && (path.length === base.length || path[base.length] === "/");
}

/**
 * Returns where a redirect of the API leads, as a URL of the proxy. `undefined` when it leads out of the API's base path: the
 * browser is not told where.
 *
 * @param url What the answer came from.
 */
export function redirectOf(route: Route, location: string, url: string): string | undefined {
  const to = parse(location, url);
  return to?.origin === route.origin ? pathOf(route, to) : undefined;
}

/** A link of the header `Link` (RFC 8288 section 3): what stands in angle brackets, then parameters, which may be quoted. */
const LINK = /\s*<([^>]*)>((?:"(?:[^"\\]|\\.)*"|[^",<>])*)(?:,|$)/gy;

/**
 * Returns the links of an API, those to itself as URLs of the proxy: the page cannot follow others. One that leads out of the
 * base path is left out. Links to other servers stay as they are.
 *
 * @param url What the answer came from.
 */
export function linksOf(route: Route, links: string, url: string): string {
  const kept: string[] = [];
  for (const [, target, parameters] of links.matchAll(LINK)) {
    const to = parse(target!, url);
    const own = to?.origin === route.origin ? pathOf(route, to) : target;
    if (own !== undefined) kept.push(`<${own}>${parameters}`);
  }
  return kept.join(", ");
}

/** Returns the path at the proxy of a URL of the API. `undefined` when it is not below the base path. */
function pathOf({ basePath, prefix }: Route, { pathname, search, hash }: URL): string | undefined {
  if (!isBelow(pathname, basePath) || isUnsafePath(pathname)) return undefined;
  return prefix + pathname.slice(basePath.length) + search + hash;
}

/** How often a path is decoded: servers and their gateways may each do it once. */
const DECODINGS = 3;

/**
 * Whether a server could read a path in another way than it was matched: as one with other segments. A parsed URL has no
 * dot segments and no backslashes any more. What it may still have is empty segments, encoded slashes and backslashes, dots
 * beside an encoded slash, a `;` at the beginning of a segment or after dots, from which some servers cut a segment off, control characters, and all that encoded once more.
 */
function isUnsafePath(pathname: string): boolean {
  return asRead(pathname) === undefined;
}

/**
 * Returns a path as the most trusting server reads it: decoded until nothing is left to decode, without what follows a `;` in
 * a segment, in lower case. `undefined` when servers could read other segments.
 */
function asRead(pathname: string): string | undefined {
  if (ODD.test(pathname) || !canBeDecoded(pathname)) return undefined;
  let path = pathname;
  for (let times = 0; times < DECODINGS; times++) {
    const decoded = decodedOnce(path);
    if (decoded === path) return (path.includes(";") ? path.replace(/;[^/]*/g, "") : path).toLowerCase();
    if (ODD.test(decoded) || segmentsIn(decoded) !== segmentsIn(path)) return undefined;
    path = decoded;
  }
  // Whoever encodes so often hides something.
  return undefined;
}

/** Decodes each escape to one character, whatever the bytes stand for. */
function decodedOnce(path: string): string {
  if (!path.includes("%")) return path;
  return path.replace(/%([\da-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}

/** Not every server reads an escape that stands for nothing in the same way. */
function canBeDecoded(path: string): boolean {
  if (!path.includes("%")) return true;
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

/** Matches what {@link asRead} refuses: no slash at the beginning, an odd segment, a control character, a backslash. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const ODD = /^[^/]|\/\/|\/\.{0,2};|\/\.{1,2}(?:\/|$)|[\u0000-\u001f\u007f\\]/;

function segmentsIn(path: string): number {
  return path.split("/").length;
}
