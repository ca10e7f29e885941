/**
 * Where a token may be sent: to the origins that the cache or the grant allows, and nowhere else; and to none of the
 * grant's own endpoints (Q2). Also collects the other rules of a grant that the request policy needs.
 *
 * How a URL is parsed, and which origins there can be, is in `base/url.ts`. When the rules are asked is in
 * `policy/request-policy.ts`.
 *
 * @module
 */
import { RemintError } from "../base/errors.ts";
import { LruMap } from "../base/lru.ts";
import { kindOf } from "../base/options.ts";
import {
  copiedOrigins,
  endpointName,
  hasCredentials,
  isLoopback,
  isRelative,
  isWeb,
  originUrl,
  parseUrl,
  SELF,
  selfOrigin,
} from "../base/url.ts";
import type { GrantDefinition } from "./grant.ts";
import type { AccessToken, Origins, RequestRules } from "./types.ts";

/**
 * Returns the rules of a cache. Its own `origins` win over the grant's.
 *
 * @throws {TypeError} When neither has `origins`, or when one of them is not an origin.
 */
export function requestRules(own: unknown, grant: GrantDefinition, allowHttp: boolean): RequestRules {
  return new GrantRules(grant, placesOf((own ?? grant.origins) as Origins | undefined, allowHttp));
}

/** The rules for the tokens of one grant. A class, because there is one per user of a pool. */
class GrantRules implements RequestRules {
  readonly originsFromToken: boolean;
  readonly allows: Places["allows"];
  readonly resembles: Places["resembles"];
  readonly headers: RequestRules["headers"];
  readonly prove: RequestRules["prove"];
  readonly isRejected: RequestRules["isRejected"];
  readonly inspectStatuses: RequestRules["inspectStatuses"];
  readonly #grant: GrantDefinition;
  readonly #mayAllow: Places["mayAllow"];
  /** The endpoints that {@link GrantRules.#judge} is made of. */
  #endpoints: readonly string[] | undefined;
  #judge: RequestRules["isOwn"];

  constructor(grant: GrantDefinition, places: Places) {
    this.originsFromToken = places.originsFromToken;
    this.allows = places.allows;
    this.resembles = places.resembles;
    this.#mayAllow = places.mayAllow;
    this.#grant = grant;
    // Called as methods of the grant, so that a function with `this` works.
    this.headers = grant.headers && ((token) => grant.headers!(token));
    this.prove = grant.prove && ((request) => grant.prove!(request));
    this.isRejected = grant.isRejected;
    this.inspectStatuses = grant.inspectStatuses;
  }

  get isOwn(): RequestRules["isOwn"] {
    const endpoints = this.#grant.endpoints?.();
    if (endpoints !== this.#endpoints) {
      this.#endpoints = endpoints;
      this.#judge = endpointJudge(endpoints!.filter((name) => this.#mayAllow(new URL(name).origin)));
    }
    return this.#judge;
  }
}

/** Where the tokens of one cache may go. */
interface Places extends Pick<RequestRules, "originsFromToken" | "allows" | "resembles"> {
  /** Whether a URL of this origin may be allowed at all. */
  readonly mayAllow: (origin: string) => boolean;
}

function placesOf(origins: Origins | undefined, allowHttp: boolean): Places {
  if (origins === "any") return everywhere(allowHttp);
  if (typeof origins === "function") return placesFromToken(origins);
  if (!Array.isArray(origins) || origins.length === 0) {
    throw new TypeError(
      `"origins" must list the origins this token may be sent to, such as ["https://api.example"] ` +
        `(or "any" for every https origin), got ${kindOf(origins)}. Without it a token could reach any host a URL names`,
    );
  }
  return { originsFromToken: false, ...sharedList(copiedOrigins(origins).map(listedOrigin)) };
}

const UNSET_VARIABLE = "an environment variable (process.env) may be unset";
const UNSET_MEMBER = "the token response may not have what the function reads";

/** Checks one origin of a list. Returns it as a URL's `origin` is written: in lower case, without a default port. */
function listedOrigin(value: unknown, index: number): string {
  if (value === SELF) return SELF;
  return originUrl({ value, index, mayHavePath: false, unset: UNSET_VARIABLE }).origin;
}

/** Checks one origin that a function returned. What a token response names is the URL of a service, with a path. */
function returnedOrigin(value: unknown, index: number): string {
  if (value === SELF) return SELF;
  return originUrl({ value, index, mayHavePath: true, unset: UNSET_MEMBER }).origin;
}

function everywhere(allowHttp: boolean): Places {
  return {
    originsFromToken: false,
    allows: (url) => PLAIN_HTTPS.test(url) || leadsTo(url, "https:") || (allowHttp && leadsTo(url, "http:")),
    resembles: (url) => leadsTo(url, "http:"),
    mayAllow: () => true,
  };
}

/** Whether a URL has this scheme, and no credentials. */
function leadsTo(url: string, protocol: "https:" | "http:"): boolean {
  const target = parseUrl(url);
  return target !== undefined && target.protocol === protocol && !hasCredentials(target);
}

/**
 * Matches https URLs whose host and port a parser accepts for sure. All others are parsed, such as IPv4 addresses and names
 * in Punycode.
 */
const PLAIN_HTTPS = /^https:\/\/(?:(?!xn--)[a-z\d-]+\.)*(?!xn--)[a-z][a-z\d-]*(?::\d{1,4})?(?:[/?#]|$)/;

type OriginFunction = Exclude<Origins, string | readonly unknown[]>;

/** For origins that depend on the token: some providers name their hosts in the token response. */
function placesFromToken(origins: OriginFunction): Places {
  const listOf = new WeakMap<AccessToken, OriginList>();
  let lastList: OriginList | undefined;
  return {
    originsFromToken: true,
    allows(url, token) {
      if (token === undefined) return true;
      let list = listOf.get(token);
      if (list === undefined) listOf.set(token, (list = sharedList(originsOf(token, origins))));
      lastList = list;
      return list.allows(url);
    },
    resembles: (url) => (lastList === undefined ? isRelative(url) : lastList.resembles(url)),
    mayAllow: () => true,
  };
}

/** Calls the user's function. @throws {RemintError} `ERR_ORIGIN` when it fails or returns something else than URLs. */
function originsOf(token: AccessToken, origins: OriginFunction): readonly string[] {
  let list: unknown;
  let entries: readonly unknown[] | undefined;
  try {
    list = origins(token);
    if (Array.isArray(list)) entries = copiedOrigins(list);
    // An async function is wrong here; what it rejects with must not end the process.
    else Promise.resolve(list).catch(() => {});
  } catch {
    throw originError("it threw an error, or returned a list that cannot be read");
  }
  if (entries === undefined) throw originError(`it returned ${kindOf(list)}`);
  try {
    return entries.map(returnedOrigin);
  } catch (error) {
    throw originError((error as TypeError).message);
  }
}

function originError(hint: string): RemintError {
  const message = `the function given as "origins" did not return a list of absolute URLs`;
  return new RemintError("ERR_ORIGIN", message, { hint });
}

/** Some origins. Holds nothing of a cache, so that caches with the same list share it. */
type OriginList = Omit<Places, "originsFromToken">;

const MOST_LISTS = 64;

/** The lists that were used last: the caches of a pool mostly have the same one. */
const lists = new LruMap<string, OriginList>(MOST_LISTS);

function sharedList(listed: readonly string[]): OriginList {
  const name = listed.join(" ");
  let list = lists.use(name);
  if (list === undefined) lists.set(name, (list = originList(listed)));
  return list;
}

/** @param listed Origins as a URL's `origin` is written, and {@link SELF}. */
function originList(listed: readonly string[]): OriginList {
  const origins = new Set(listed);
  const hasSelf = origins.delete(SELF);
  const beginsWithOrigin = prefixMatcher(origins);
  const mayAllow = (origin: string): boolean => origins.has(origin) || (hasSelf && origin === selfOrigin());
  const leadsToOrigin = (url: string): boolean => {
    if (hasSelf && isRelative(url)) return selfOrigin() === SELF;
    const target = parseUrl(url);
    return target !== undefined && isWeb(target) && !hasCredentials(target) && mayAllow(target.origin);
  };
  let lastAllowed: string | undefined;
  return {
    mayAllow,
    allows(url) {
      // Clients with a base URL pass the same string every time.
      if (url === lastAllowed) return true;
      const isPlain = beginsWithOrigin(url);
      if (!isPlain && !leadsToOrigin(url)) return false;
      // Where a relative URL leads, and what "self" is, depends on the page.
      if (isPlain || (!hasSelf && ABSOLUTE.test(url))) lastAllowed = url;
      return true;
    },
    resembles(url) {
      const target = parseUrl(url);
      if (target === undefined || hasCredentials(target)) return false;
      if (isRelative(url)) return true;
      const page = hasSelf ? selfOrigin() : undefined;
      const meant = page === undefined || page === SELF ? [...origins] : [...origins, page];
      return meant.some((origin) => isNear(target.hostname, new URL(origin).hostname));
    },
  };
}

/**
 * Returns a function that tells whether the text before a URL's path is one of these origins. Most URLs are matched like
 * this, because parsing costs a microsecond. It is safe: all that stands before the first "/" of the path is compared. A URL
 * with user:password@, a backslash, a tab or an unusual spelling does not match, and is parsed.
 *
 * The length of that text and one character of it leave one candidate in most lists.
 */
function prefixMatcher(origins: ReadonlySet<string>): (url: string) => boolean {
  const byLength: SameLength[] = [];
  for (const { length } of origins) byLength[length] ??= groupOf([...origins].filter((one) => one.length === length));
  return (url) => {
    const slash = url.indexOf("/", "https://".length);
    const group = byLength[slash < 0 ? url.length : slash];
    const candidates = group?.byCode[url.charCodeAt(group.at)];
    if (candidates === undefined) return false;
    // Not `startsWith`, which is three times slower in V8.
    for (const origin of candidates) if (url.indexOf(origin) === 0) return true;
    return false;
  };
}

/** Origins of one length, by the character at one position. */
interface SameLength {
  readonly at: number;
  readonly byCode: readonly (readonly string[] | undefined)[];
}

/** Takes the position at which the origins differ most. */
function groupOf(origins: readonly string[]): SameLength {
  const positions = Array.from(origins[0]!, (_, at) => ({ at, kinds: new Set(origins.map((one) => one[at])).size }));
  const { at } = positions.reduce((best, position) => (position.kinds > best.kinds ? position : best));
  const byCode: string[][] = [];
  for (const origin of origins) (byCode[origin.charCodeAt(at)] ??= []).push(origin);
  return { at, byCode };
}

/** Matches URLs that lead to the same place on every page. */
const ABSOLUTE = /^https?:\/\//i;

/** Whether somebody who means one of these hosts may have written the other. */
function isNear(one: string, other: string): boolean {
  const [a, b] = [one, other].map((host) => `.${host.replace(/\.$/, "")}`) as [string, string];
  return a.endsWith(b) || b.endsWith(a) || (isLoopback(one) && isLoopback(other));
}

/** Tells whether a URL leads to one of these endpoints. `undefined` when there are none. */
function endpointJudge(names: readonly string[]): ((url: string) => boolean) | undefined {
  if (names.length === 0) return undefined;
  const paths = names.map((name) => new URL(name).pathname);
  let lastOther: string | undefined;
  return (url) => {
    if (url === lastOther) return false;
    // A URL that is written as a parser writes it leads to a path only if it contains the path.
    const isOther = PLAIN.test(url) && !url.includes("/.") && !paths.some((path) => url.includes(path));
    if (!isOther) {
      const target = parseUrl(url);
      if (target !== undefined && names.includes(endpointName(target))) return true;
    }
    if (isOther || ABSOLUTE.test(url)) lastOther = url;
    return false;
  };
}

/** Matches absolute URLs of characters that a parser leaves as they are, up to the query. */
const PLAIN = /^https?:\/\/[\w.~:@!$&'()*+,;=/[\]-]*(?:[?#]|$)/;
