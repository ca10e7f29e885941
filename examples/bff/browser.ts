/**
 * A browser in a few lines, for the scripted check and the tests: it keeps cookies, follows redirects, and says with every
 * request where it comes from, as browsers do.
 *
 * It is no Chromium. What depends on a real browser is tested in one.
 *
 * @module
 */

import { request as httpRequest } from "node:http";
import { Readable } from "node:stream";

/** Sends one request. */
export type Send = (
  url: URL,
  init: {
    readonly method: string;
    readonly headers: Headers;
    readonly body?: string | Readable;
    readonly signal?: AbortSignal;
  },
) => Promise<Response>;

/** A cookie, as a browser keeps it. */
export interface KeptCookie {
  readonly value: string;
  readonly path: string;
  readonly isStrict: boolean;
  /** The attributes in lower case: `httponly`, `samesite=strict`, ... */
  readonly attributes: readonly string[];
  readonly until: number;
}

/** An answer, and how the browser came to it. */
export interface Visit {
  readonly response: Response;
  readonly url: URL;
  readonly body: string;
  /** The URLs of the redirects, the first request included. */
  readonly chain: readonly string[];
}

/** How a request is sent. */
export interface VisitOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Readable | URLSearchParams;
  readonly signal?: AbortSignal;
  /** Stops before a redirect to this path is followed: the visit then ends with its URL. */
  readonly stopAt?: string;
  /** The origin of the page that the request comes from. @defaultValue none: the user typed the address */
  readonly from?: string;
}

/** One browser, with its cookies. */
export class Browser {
  /** By host, whatever the port is, and by name. A cookie for some paths only has the path behind its name. */
  readonly cookies = new Map<string, Map<string, KeptCookie>>();
  /** The host whose cookies the browser does not store. */
  refusesCookiesOf: string | undefined;
  readonly #send: Send;

  /** @param send Sends the requests: `app.request`, for an app that does not listen. */
  constructor(send: Send = sendByHttp) {
    this.#send = send;
  }

  /** Sends a request as the script of a page does: no redirect is followed. */
  async request(url: string | URL, options: VisitOptions = {}): Promise<Response> {
    const target = new URL(url);
    const from = options.from ?? target.origin;
    const headers = this.#headers(target, options, {
      mode: "cors",
      dest: "empty",
      from,
      isStrictSent: isSameSite(from, target),
    });
    return this.#sent(target, options, headers);
  }

  /** Opens a page, or sends a form, and follows the redirects. */
  async visit(url: string | URL, options: VisitOptions = {}): Promise<Visit> {
    let target = new URL(url);
    let { method = "GET", body } = options;
    const chain: string[] = [];
    // A strict cookie is sent only if every step of the way was on the same site.
    let isOwnWay = options.from === undefined || isSameSite(options.from, target);
    for (let step = 0; step < 20; step++) {
      chain.push(target.href);
      const mode = { mode: "navigate", dest: "document", from: options.from, isStrictSent: isOwnWay };
      const headers = this.#headers(target, { ...options, method }, mode, isOwnWay);
      const response = await this.#sent(target, { method, ...(body !== undefined && { body }) }, headers);
      const location = response.headers.get("location");
      if (response.status < 300 || response.status > 399 || location === null) {
        return { response, url: target, body: await response.text(), chain };
      }
      await response.body?.cancel();
      const next = new URL(location, target);
      if (next.pathname === options.stopAt) return { response, url: next, body: "", chain };
      isOwnWay &&= isSameSite(target.origin, next);
      if (response.status === 303 || (method === "POST" && response.status < 307)) [method, body] = ["GET", undefined];
      target = next;
    }
    throw new Error(`more than 20 redirects: ${chain.slice(0, 4).join(" ")}`);
  }

  /** The value of a cookie. */
  cookie(host: string, name: string): string | undefined {
    const kept = this.cookies.get(host)?.get(name);
    return kept !== undefined && kept.until > Date.now() ? kept.value : undefined;
  }

  #headers(
    target: URL,
    { headers: own = {}, method = "GET" }: VisitOptions,
    how: { mode: string; dest: string; from: string | undefined; isStrictSent: boolean },
    isOwnWay = true,
  ): Headers {
    const { mode, dest, from, isStrictSent } = how;
    const site = from === undefined ? "none" : siteOf(from, target);
    const headers = new Headers({
      "sec-fetch-mode": mode,
      "sec-fetch-dest": dest,
      "sec-fetch-site": isOwnWay ? site : "cross-site",
    });
    if (method !== "GET" && method !== "HEAD") headers.set("origin", from ?? target.origin);
    const sent = [...(this.cookies.get(target.hostname) ?? [])]
      .filter(([, { isStrict, until }]) => until > Date.now() && (isStrictSent || !isStrict))
      .filter(([, { path }]) => target.pathname.startsWith(path))
      .map(([name, { value }]) => `${name.split(" ")[0]}=${value}`);
    if (sent.length > 0) headers.set("cookie", sent.join("; "));
    for (const [name, value] of Object.entries(own)) headers.set(name, value);
    return headers;
  }

  async #sent(target: URL, { method = "GET", body, signal }: VisitOptions, headers: Headers): Promise<Response> {
    if (body instanceof URLSearchParams) headers.set("content-type", "application/x-www-form-urlencoded");
    const response = await this.#send(target, {
      method,
      headers,
      ...(body !== undefined && { body: body instanceof URLSearchParams ? String(body) : body }),
      ...(signal !== undefined && { signal }),
    });
    if (this.refusesCookiesOf === target.hostname) return response;
    for (const line of response.headers.getSetCookie()) this.#keep(target.hostname, line);
    return response;
  }

  #keep(host: string, line: string): void {
    const [pair = "", ...rest] = line.split(";").map((part) => part.trim());
    const [name = "", ...value] = pair.split("=");
    const attributes = rest.map((each) => (/^path=/i.test(each) ? `path=${each.slice(5)}` : each.toLowerCase()));
    const age = attributes.find((each) => each.startsWith("max-age="))?.slice(8);
    const expires = attributes.find((each) => each.startsWith("expires="))?.slice(8);
    const byDate = expires === undefined ? Infinity : Date.parse(expires);
    const until = age === undefined ? byDate : Date.now() + Number(age) * 1000;
    const path = attributes.find((each) => each.startsWith("path="))?.slice(5) ?? "/";
    const key = path === "/" ? name : `${name} ${path}`;
    const jar = this.cookies.get(host) ?? new Map<string, KeptCookie>();
    this.cookies.set(host, jar);
    const isStrict = attributes.includes("samesite=strict");
    if (until <= Date.now()) jar.delete(key);
    else jar.set(key, { value: value.join("="), path, isStrict, attributes, until });
  }
}

/** Sends a request with node:http: fetch does not let its caller say what `Sec-Fetch-Mode` is. */
export const sendByHttp: Send = (url, { method, headers, body, signal }) =>
  new Promise((resolve, reject) => {
    const options = { method, headers: Object.fromEntries(headers), ...(signal !== undefined && { signal }) };
    const request = httpRequest(url, options, (answer) => {
      const { statusCode = 500, rawHeaders } = answer;
      const received = new Headers();
      for (let at = 0; at < rawHeaders.length; at += 2) received.append(rawHeaders[at]!, rawHeaders[at + 1]!);
      const hasBody = ![204, 205, 304].includes(statusCode);
      const stream = hasBody ? (Readable.toWeb(answer) as ReadableStream<Uint8Array>) : null;
      resolve(new Response(stream, { status: statusCode, headers: received }));
    });
    request.once("error", reject);
    if (body instanceof Readable) body.pipe(request);
    else request.end(body);
  });

/** Signs a user in: opens the sign-in, presses the button, and follows the redirects. */
export async function signIn(browser: Browser, origin: string, as = "alice", query = ""): Promise<Visit> {
  const page = await browser.visit(`${origin}/bff/login?returnTo=/${query}`, { from: origin });
  return pressButton(browser, page, as);
}

/** Presses a button of the sign-in page. Returns the page itself if it is another one. */
export async function pressButton(browser: Browser, page: Visit, as: string, stopAt?: string): Promise<Visit> {
  if (!page.url.pathname.startsWith("/interaction/")) return page;
  const { origin, href } = page.url;
  const body = new URLSearchParams({ as });
  const stop = stopAt === undefined ? {} : { stopAt };
  const pressed = await browser.visit(href, { method: "POST", body, from: origin, ...stop });
  return confirmed(browser, { ...pressed, chain: [...page.chain, ...pressed.chain] });
}

/** Sends the user's sign-out form, and confirms at the authorization server. */
export async function signOut(browser: Browser, origin: string): Promise<Visit> {
  return confirmed(browser, await browser.visit(`${origin}/bff/logout`, { method: "POST", from: origin }));
}

/** Sends the form with which the authorization server ends a session there. Returns other pages as they are. */
async function confirmed(browser: Browser, page: Visit): Promise<Visit> {
  const [, action, xsrf] = /<form[^>]*action="([^"]+)"[\s\S]*?name="xsrf" value="([^"]+)"/.exec(page.body) ?? [];
  if (action === undefined || xsrf === undefined) return page;
  const body = new URLSearchParams({ xsrf, logout: "yes" });
  const last = await browser.visit(action, { method: "POST", body, from: page.url.origin });
  return { ...last, chain: [...page.chain, ...last.chain] };
}

function siteOf(from: string, target: URL): string {
  if (from === target.origin) return "same-origin";
  return isSameSite(from, target) ? "same-site" : "cross-site";
}

/** On this machine the host is the site, whatever the port is. */
function isSameSite(from: string, target: URL): boolean {
  return new URL(from).hostname === target.hostname;
}
