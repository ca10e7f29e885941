/**
 * Q2 Where a token may be sent: to an origin on the list, and nowhere else.
 *
 * @module
 */
import { RemintError } from "../base/errors.ts";
import { kindOf } from "../base/options.ts";
import { hasCredentials, originOf, parse, SELF } from "../base/url.ts";
import type { GrantDefinition } from "./grant.ts";
import type { AccessToken, Origins, RequestRules } from "./types.ts";

/**
 * The rules of a cache: its own `origins`, else the grant's.
 *
 * @throws {TypeError} When there are none, or one of them is not an origin.
 */
export function requestRules(own: unknown, grant: GrantDefinition, allowHttp: boolean): RequestRules {
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
