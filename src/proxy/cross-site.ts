/**
 * Tells the requests of the application's own pages from those that another site makes a browser send (CSRF). A cookie with
 * `SameSite=Strict` does not: another port or subdomain is the same site.
 *
 * @see [RFC 10017 section 6.1.3.3](https://www.rfc-editor.org/rfc/rfc10017.html#section-6.1.3.3)
 * @module
 */
import { assertOptions, optionError } from "../base/options.ts";
import { isWeb, parse } from "../base/url.ts";
import type { Route } from "./routes.ts";

/** How a proxy recognizes requests of the application's own pages. */
export interface CrossSiteOptions {
  /**
   * The origin of the pages, such as `"https://app.example"`. Needed behind a reverse proxy that ends TLS or changes `Host`.
   *
   * @defaultValue the origin of the request's own URL
   */
  readonly origin?: string | URL | undefined;
  /**
   * The header that the pages send with every request, with the value `1`. Another origin cannot set it without asking first,
   * and the proxy never allows that.
   *
   * @defaultValue "x-bff"
   */
  readonly header?: string | undefined;
}

/** Whether another site may have sent a request. */
export type CrossSiteRule = (request: Request, url: URL, route: Route) => boolean;

/**
 * Checks the option `csrf`.
 *
 * @throws {TypeError} When it is neither `false` nor an object with these options.
 */
export function crossSiteRule(csrf: false | CrossSiteOptions | undefined): CrossSiteRule {
  if (csrf === false) return () => false;
  const options = csrf === undefined ? {} : csrf;
  if (typeof options !== "object" || options === null) throw optionError("csrf", csrf, "false or { origin, header }");
  assertOptions("csrf", options, ["origin", "header"]);
  const { header = "x-bff" } = options;
  if (typeof header !== "string" || !/^[\w-]+$/.test(header)) throw optionError("csrf.header", header, "a header name");
  const own = options.origin === undefined ? undefined : ownOrigin(options.origin);
  return (request, url, route) => isCrossSite(request, own ?? url.origin, header, route);
}

function ownOrigin(value: unknown): string {
  const text = value instanceof URL ? value.href : value;
  const url = typeof text === "string" ? parse(text) : undefined;
  if (url === undefined || !isWeb(url) || url.href !== `${url.origin}/`) {
    throw optionError("csrf.origin", value, 'an origin such as "https://app.example"');
  }
  return url.origin;
}

/** What a browser says of a request must fit, and something must show that the application's own code made it. */
function isCrossSite({ headers, method }: Request, own: string, header: string, route: Route): boolean {
  const site = headers.get("sec-fetch-site");
  const origin = headers.get("origin");
  if (site !== null && site !== "same-origin") return true;
  if (origin !== null && origin !== own) return true;
  if (headers.get(header) === "1") return false;
  const isEventSource = route.mayBeEvents && method === "GET" && headers.get("accept") === "text/event-stream";
  return !(isEventSource && (site !== null || origin !== null));
}
