/**
 * Where a token may be sent: to the origins that the cache or the grant allows, and nowhere else (Q2). Also collects
 * the other rules of a grant that the request policy needs.
 *
 * How a URL is parsed is in `base/url.ts`. When the rules are asked is in `policy/request-policy.ts`.
 *
 * @module
 */
import { RemintError } from "../base/errors.ts";
import { LruMap } from "../base/lru.ts";
import { kindOf } from "../base/options.ts";
import { hasCredentials, originOf, parseUrl, SELF } from "../base/url.ts";
import type { GrantDefinition } from "./grant.ts";
import type { AccessToken, Origins, RequestRules } from "./types.ts";

/**
 * Returns the rules of a cache. Its own `origins` win over the grant's.
 *
 * @throws {TypeError} When neither has `origins`, or when one of them is not an origin.
 */
export function requestRules(own: unknown, grant: GrantDefinition, allowHttp: boolean): RequestRules {
  const origins = (own ?? grant.origins) as Origins | undefined;
  const headers = grant.headers === undefined ? undefined : (token: AccessToken) => grant.headers!(token);
  return {
    ...originMatcher(origins, allowHttp),
    ...(headers && { headers }),
    ...(grant.prove && { prove: (request) => grant.prove!(request) }),
    ...(grant.isRejected && { isRejected: grant.isRejected }),
    ...(grant.inspectStatuses && { inspectStatuses: grant.inspectStatuses }),
  };
}

const MOST_LISTS = 64;

type OriginMatcher = Pick<RequestRules, "originsFromToken" | "allows">;

function originMatcher(origins: Origins | undefined, allowHttp: boolean): OriginMatcher {
  if (origins === "any") return { originsFromToken: false, allows: (url) => isWebUrl(url, allowHttp) };
  if (typeof origins === "function") return matcherFromToken(origins);
  if (!Array.isArray(origins) || origins.length === 0) {
    throw new TypeError(
      `"origins" must list the origins this token may be sent to, such as ["https://api.example"] ` +
        `(or "any" for every https origin), got ${kindOf(origins)}. Without it a token could reach any host a URL names`,
    );
  }
  return { originsFromToken: false, allows: sharedMatcher(origins.map(normalOrigin)) };
}

/** For origins that depend on the token: some providers name their hosts in the token response. */
function matcherFromToken(origins: (token: AccessToken) => readonly string[]): OriginMatcher {
  const matchers = new WeakMap<AccessToken, (url: string) => boolean>();
  return {
    originsFromToken: true,
    allows(url, token) {
      if (token === undefined) return true;
      let matches = matchers.get(token);
      if (matches === undefined) matchers.set(token, (matches = listMatcher(originsOf(token, origins))));
      return matches(url);
    },
  };
}

/** Calls the user's function. @throws {RemintError} `ERR_ORIGIN` when it fails or returns something else than URLs. */
function originsOf(token: AccessToken, origins: (token: AccessToken) => readonly string[]): readonly string[] {
  try {
    const list = origins(token);
    // An async function is wrong here; what it rejects with must not end the process.
    if (!Array.isArray(list)) Promise.resolve(list).catch(() => {});
    return list.map((text) => (text === SELF ? SELF : new URL(text).origin));
  } catch {
    throw new RemintError("ERR_ORIGIN", `the function given as "origins" did not return a list of absolute URLs`);
  }
}

/** The matchers of the lists that were used last: the caches of a pool mostly have the same list. */
const matchers = new LruMap<string, (url: string) => boolean>(MOST_LISTS);

function sharedMatcher(list: readonly string[]): (url: string) => boolean {
  const name = list.join(" ");
  let matcher = matchers.use(name);
  if (matcher === undefined) matchers.set(name, (matcher = listMatcher(list)));
  return matcher;
}

/** Returns a function that tells whether a URL's origin is on the list. */
function listMatcher(list: readonly string[]): (url: string) => boolean {
  // Most URLs are matched as text, because parsing costs a microsecond. This is safe: after the origin the pattern
  // accepts only "/", "?", "#" or the end of the text. A URL with user:password@, another port or a backslash is
  // parsed.
  const hosts = list.filter((origin) => origin !== SELF).map((origin) => origin.replace(/[.[\]]/g, "\\$&"));
  const pattern = hosts.length > 0 ? new RegExp(`^(?:${hosts.join("|")})(?![^/?#])`) : undefined;
  // Clients with a base URL pass the same string every time.
  let lastAllowed: string | undefined;
  return (url) => {
    if (url === lastAllowed) return true;
    if (pattern?.test(url) !== true && !isListed(url, list)) return false;
    lastAllowed = url;
    return true;
  };
}

function isListed(url: string, list: readonly string[]): boolean {
  const target = parseUrl(url);
  return target !== undefined && !hasCredentials(target) && list.includes(originOf(target));
}

/** Matches https URLs whose host can be recognized without a parser. All other URLs are parsed. */
const PLAIN_HTTPS = /^https:\/\/[a-z\d.-]+(:\d+)?(?:[/?#]|$)/;

function isWebUrl(url: string, allowHttp: boolean): boolean {
  if (PLAIN_HTTPS.test(url)) return true;
  const target = parseUrl(url);
  if (target === undefined || hasCredentials(target) || originOf(target) === SELF) return false;
  return target.protocol === "https:" || (allowHttp && target.protocol === "http:");
}

/** Checks one origin of a list. Returns it as a URL's `origin` is written: in lower case, without a default port. */
function normalOrigin(text: unknown): string {
  if (text === SELF) return SELF;
  let url: URL | undefined;
  try {
    url = new URL(text as string);
  } catch {
    // The check below reports it.
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
