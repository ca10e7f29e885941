/**
 * What a proxy answers by itself, and what it makes of an API's answer.
 *
 * Its own answers are problem details with a `code` that the page can act on. 401 always means that the user has to sign in,
 * or to sign in with more. None of them holds a URL of an API, an error of the authorization server, or a token.
 *
 * @see [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457.html)
 * @module
 */
import { copiedHeaders } from "./headers.ts";
import { linksOf, redirectOf } from "./routes.ts";
import type { Route } from "./routes.ts";

/** What a problem is called, in the member `code` of its details. */
export type ProblemCode =
  | "path"
  | "sign-in"
  | "step-up"
  | "csrf"
  | "route"
  | "method"
  | "body"
  | "gone"
  | "upgrade"
  | "api"
  | "api-rejects"
  | "token"
  | "retry"
  | "timeout";

/** Status, title and text of each answer. The titles are the names of the statuses. */
const PROBLEMS: Readonly<Record<ProblemCode, readonly [status: number, title: string, detail: string]>> = {
  path: [400, "Bad Request", "The path of the request is not allowed."],
  "sign-in": [401, "Unauthorized", "Sign in to continue."],
  "step-up": [401, "Unauthorized", "Sign in again in the way that the request asks for."],
  csrf: [403, "Forbidden", "The request did not come from the application's own pages."],
  route: [404, "Not Found", "There is no API at this path."],
  method: [405, "Method Not Allowed", "The API does not take this method."],
  body: [413, "Content Too Large", "The body of the request is too long."],
  gone: [499, "Client Closed Request", "The client has gone away."],
  upgrade: [501, "Not Implemented", "The connection cannot be changed to another protocol."],
  api: [502, "Bad Gateway", "The API cannot be reached."],
  "api-rejects": [502, "Bad Gateway", "The API does not accept the access token."],
  token: [503, "Service Unavailable", "No access token can be had at the moment."],
  retry: [503, "Service Unavailable", "The access token was renewed. Send the request again."],
  timeout: [504, "Gateway Timeout", "The API did not answer in time."],
};

/** Makes the proxy's own answer. */
export function problem(
  code: ProblemCode,
  headers: Readonly<Record<string, string>> = {},
  more: Readonly<Record<string, unknown>> = {},
): Response {
  const [status, title, detail] = PROBLEMS[code];
  return new Response(JSON.stringify({ type: "about:blank", title, status, detail, code, ...more }), {
    status,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store", ...headers },
  });
}

/** Statuses whose answers have no body. */
const WITHOUT_BODY = new Set([204, 205, 304]);

/**
 * Makes the answer for the browser of the API's.
 *
 * @param timing The value of `Server-Timing`.
 */
export function passedOn(answer: Response, route: Route, url: string, timing: string): Response {
  const { status } = answer;
  const headers = copiedHeaders(answer.headers, route.responseHeaders);
  headers["cache-control"] = route.isKept ? "private, no-cache" : "no-store";
  headers["server-timing"] = timing;
  // What an API sends is data. A browser must not take it for something else.
  headers["x-content-type-options"] = "nosniff";
  const location = answer.headers.get("location");
  const to = location === null ? undefined : redirectOf(route, location, url);
  if (to !== undefined) headers["location"] = to;
  if (headers["link"] !== undefined) {
    const links = linksOf(route, headers["link"], url);
    if (links === "") delete headers["link"];
    else headers["link"] = links;
  }
  return new Response(WITHOUT_BODY.has(status) ? null : answer.body, { status, headers });
}
