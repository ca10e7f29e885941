/**
 * The entry point `remint/proxy`: the part of a server behind a web page (BFF) that passes requests on to APIs, with the
 * access token of the user who is signed in.
 *
 * The implementation is in `auth-proxy.ts`. Signing in and out, and who is signed in, is the application's.
 *
 * @module
 */
export { createAuthProxy } from "./auth-proxy.ts";
export type { AuthProxy, AuthProxyOptions, ProxyTokenSource } from "./auth-proxy.ts";
export type { CrossSiteOptions } from "./cross-site.ts";
export type { ProxyRoute } from "./routes.ts";
