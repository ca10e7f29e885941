/** Q17, S11, S12: wrong options of the proxy are a TypeError that names the option, when the proxy is created. */
import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { createTokenCache } from "remint";
import { createAuthProxy } from "remint/proxy";
import { fakeGrant } from "remint/testing";
import { expect, test } from "vitest";

const cache = createTokenCache({ grant: fakeGrant(), origins: "any" });
const target = "https://api.example";
const route = (options: object): object => ({ routes: { "/api": { target, ...options } } });

const wrong: readonly (readonly [what: string, options: unknown, message: string])[] = [
  ["no options", undefined, "createAuthProxy takes options"],
  ["no routes", {}, '"routes" must be an object'],
  [
    "an empty table",
    { routes: {} },
    '"routes" must be an object such as { "/api": "https://api.example" }, got an empty one',
  ],
  ["a prefix without a slash", { routes: { api: target } }, 'paths such as "/api/orders"'],
  ["a prefix with a slash at its end", { routes: { "/api/": target } }, "without a slash at the end"],
  ["the prefix /", { routes: { "/": target } }, 'paths such as "/api/orders"'],
  ["a prefix with dots", { routes: { "/api/..": target } }, 'paths such as "/api/orders"'],
  ["an encoded prefix", { routes: { "/a%2fb": target } }, 'paths such as "/api/orders"'],
  ["a target that is no URL", { routes: { "/api": "api.example" } }, 'routes["/api"].target'],
  ["an empty target, as of an unset variable", { routes: { "/api": "" } }, 'routes["/api"].target'],
  ["a target of another scheme", { routes: { "/api": "ftp://api.example" } }, "an http or https URL"],
  [
    "a target with credentials",
    { routes: { "/api": "https://u:p@api.example" } },
    "without query, fragment and credentials",
  ],
  [
    "a target with a query",
    { routes: { "/api": "https://api.example/?a=1" } },
    "without query, fragment and credentials",
  ],
  ["a target with two slashes", { routes: { "/api": "https://api.example/a//b" } }, "without empty segments"],
  ["a target with an encoded slash", { routes: { "/api": "https://api.example/a%2fb" } }, "without empty segments"],
  [
    "a route that is null",
    { routes: { "/api": null } },
    '"routes["/api"]" must be the URL of an API, or { target }, got null',
  ],
  [
    "a route that is an unset variable",
    { routes: { "/api": undefined } },
    "must be the URL of an API, or { target }, got undefined",
  ],
  ["a slip in a route", route({ method: ["GET"] }), 'did you mean "methods"?'],
  ["a slip in for", route({ for: { ressource: "x" } }), 'did you mean "resource"?'],
  ["no methods", route({ methods: [] }), "a list of HTTP methods"],
  ["methods in lower case", route({ methods: ["get"] }), "a list of HTTP methods"],
  ["OPTIONS", route({ methods: ["OPTIONS"] }), "a list of HTTP methods"],
  ["TRACE", route({ methods: ["TRACE"] }), "a list of HTTP methods"],
  ["events as text", route({ events: "yes" }), "events"],
  ["a public cache", route({ cache: "public" }), '"private"'],
  ["cookies to the API", route({ requestHeaders: ["Cookie"] }), 'must not contain "cookie"'],
  ["the page's own token", route({ requestHeaders: ["authorization"] }), 'must not contain "authorization"'],
  ["the API's cookies", route({ responseHeaders: ["Set-Cookie"] }), 'must not contain "set-cookie"'],
  [
    "CORS",
    route({ responseHeaders: ["Access-Control-Allow-Origin"] }),
    'must not contain "access-control-allow-origin"',
  ],
  ["a name that is no header", route({ requestHeaders: ["a b"] }), "a list of header names"],
  ["a negative length", route({ maxBody: -1 }), "maxBody"],
  ["an endless time", route({ timeout: Infinity }), "timeout"],
  ["csrf: true", { ...route({}), csrf: true }, '"csrf" must be false or { origin, header }'],
  ["csrf: null", { ...route({}), csrf: null }, '"csrf" must be false or { origin, header }'],
  ["an origin with a path", { ...route({}), csrf: { origin: "https://app.example/x" } }, "csrf.origin"],
  ["an origin that is no URL", { ...route({}), csrf: { origin: "app.example" } }, "csrf.origin"],
  ["a header name with a space", { ...route({}), csrf: { header: "x bff" } }, "csrf.header"],
  ["a fetch that is none", { ...route({}), fetch: "fetch" }, '"fetch" must be a function'],
  ["an onError that is none", { ...route({}), onError: {} }, '"onError" must be a function'],
];

test.each(wrong)("Q17, S11, S12: %s", (_, options, message) => {
  expect(() => createAuthProxy(() => cache, options as never)).toThrow(TypeError);
  expect(() => createAuthProxy(() => cache, options as never)).toThrow(message);
});

test("Q17: one cache in place of a function, which would give every user the same token", () => {
  expect(() => createAuthProxy(cache as never, { routes: { "/api": target } })).toThrow(
    "The first argument of createAuthProxy must be a function of the request that returns the token cache of the user who is signed in",
  );
});

test("Q17, S11: a URL object that is changed later changes no route", async () => {
  const url = new URL("https://api.example/v1");
  const seen: string[] = [];
  const proxy = createAuthProxy(() => cache, {
    routes: { "/api": url },
    csrf: false,
    fetch: async (to) => {
      seen.push(to);
      return new Response();
    },
  });
  url.host = "evil.example";
  await proxy(new Request("https://app.example/api/x"));
  expect(seen).toEqual(["https://api.example/v1/x"]);
});

test.each([
  ["a request of node:http, as Express and Koa have it", new IncomingMessage(new Socket()), "an object"],
  ["a context of Hono or Koa", { req: new Request("https://app.example/api/x") }, "an object"],
  ["nothing", undefined, "undefined"],
])("Q17: the proxy is called with %s: a TypeError that says what it takes", async (_, given, kind) => {
  const proxy = createAuthProxy(() => cache, { routes: { "/api": target } });
  await expect(proxy(given as never)).rejects.toThrow(
    new RegExp(`^"request" must be a Request \\(.*\\), got ${kind}$`),
  );
});
