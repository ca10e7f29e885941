/**
 * The BFF: its routes, the proxy to the APIs, and the page.
 *
 * @module
 */
import { Hono } from "hono";
import type { TokenCache, TokenPool } from "remint";
import { createAuthProxy } from "remint/proxy";
import { clientOf } from "./bff/client.ts";
import { Cookies } from "./bff/cookies.ts";
import { passes } from "./bff/csrf.ts";
import { pageResponse } from "./bff/pages.ts";
import { bffRoutes, type Route } from "./bff/routes.ts";
import { type Session, Sessions } from "./bff/sessions.ts";
import type { Settings } from "./bff/settings.ts";
import { SignIns } from "./bff/sign-in.ts";
import { SignOuts } from "./bff/sign-out.ts";
import { createTokens } from "./bff/tokens.ts";

/** The settings of this app: those of the BFF, its APIs, and the files of the page. */
export interface AppSettings extends Settings {
  readonly apis: { readonly orders: Api; readonly billing: Api };
  /** The files of the page, by path: the same for everybody. */
  readonly files?: ReadonlyMap<string, { readonly type: string; readonly body: string | Uint8Array<ArrayBuffer> }>;
  /** Receives errors that are nobody's answer. Never a token. */
  readonly onError?: (error: unknown) => void;
}

/** An API: where it is, and the resource indicator that its tokens are for. */
export interface Api {
  readonly url: string;
  readonly resource: string;
}

/** The app, and what a process has to close. */
export interface App {
  readonly hono: Hono;
  readonly routes: readonly Route[];
  readonly sessions: Sessions;
  readonly tokens: TokenPool;
}

/** Creates the BFF. */
export function createApp(settings: AppSettings): App {
  const { origin, apis, files = new Map<string, never>(), onError = () => {} } = settings;
  const cookies = new Cookies(settings.plainCookies);
  const tokens = createTokens(settings, [new URL(apis.orders.url).origin]);
  const sessions = new Sessions(settings, cookies, tokens);
  const client = clientOf(settings);
  const signIns = new SignIns(settings, cookies, sessions, client);
  const signOuts = new SignOuts(settings, cookies, sessions, client);

  const pages = [...files].map(([path, { type, body }]): Route => {
    const answer = (): Response => new Response(body, { headers: { "content-type": type } });
    return { method: "GET", path, guard: "anonymous", answer };
  });
  const routes = [...bffRoutes({ sessions, signIns, signOuts }), ...pages];

  const hono = new Hono();
  const pageHeaders = headersOf(settings.issuer);
  hono.use(async (context, next) => {
    await next();
    for (const [name, value] of pageHeaders) if (!context.res.headers.has(name)) context.res.headers.set(name, value);
  });

  for (const { method, path, guard, answer } of routes) {
    hono.on(method, path, (context) => {
      const request = context.req.raw;
      return passes(request, guard, origin) ? answer(request) : forbidden(request);
    });
    hono.all(path, ({ req }) => (req.method === "OPTIONS" ? forbidden(req.raw) : wrongMethod(method)));
  }

  hono.all("/api/*", createApiHandler(settings, sessions, tokens));
  hono.notFound(() => problem(404, "Not found"));
  hono.onError((error) => {
    onError(error);
    return problem(500, "Something went wrong");
  });
  return { hono, routes, sessions, tokens };
}

/** Passes requests on to the APIs, each with the token of the session for that API. */
function createApiHandler(
  { apis, origin, onError = () => {} }: AppSettings,
  sessions: Sessions,
  tokens: TokenPool,
): (context: { readonly req: { readonly raw: Request } }) => Promise<Response> {
  const { orders, billing } = apis;
  const caches = new WeakMap<Request, TokenCache>();
  const proxy = createAuthProxy((request) => caches.get(request), {
    routes: {
      // Its tokens are those of the sign-in: see `resources`.
      "/api/orders": { target: orders.url, events: true },
      "/api/billing": {
        target: billing.url,
        for: { resource: billing.resource, origins: [new URL(billing.url).origin] },
      },
    },
    csrf: { origin },
    onError,
  });

  /** The proxy says "sign in" where the authorization server does not renew the tokens of a session any more: it is over. */
  async function answerIn(session: Session, request: Request): Promise<Response> {
    caches.set(request, tokens.get(session.key));
    const answer = await proxy(request);
    if (answer.status !== 401) return answer;
    const { code } = (await answer.clone().json()) as { readonly code?: string };
    if (code === "sign-in") await sessions.end(session.key, { revoke: false });
    return answer;
  }

  return async ({ req: { raw: request } }) => {
    const isStream = /\btext\/event-stream\b/.test(request.headers.get("accept") ?? "");
    const session = await sessions.find(request, { slides: !isStream });
    if (session === undefined) return proxy(request);
    if (!isStream) return answerIn(session, request);
    const { signal, release } = sessions.watch(session.key);
    const watched = new Request(request, { signal: AbortSignal.any([request.signal, signal]) });
    try {
      return withEnd(await answerIn(session, watched), release);
    } catch (error) {
      release();
      throw error;
    }
  };
}

/** Calls a function when the body of a response has ended, whatever the reason is. */
function withEnd(response: Response, ended: () => void): Response {
  if (response.body === null) {
    ended();
    return response;
  }
  const reader = response.body.getReader();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (value !== undefined) return controller.enqueue(value);
        if (done) controller.close();
      } catch {
        // The session is over, or the API has gone. An `EventSource` connects again, and learns which.
        controller.close();
      }
      ended();
    },
    async cancel(reason) {
      ended();
      await reader.cancel(reason);
    },
  });
  return new Response(body, response);
}

/** What every page of ours is sent with. Where an answer has one of them already, that one stays. */
function headersOf(issuer: string): [name: string, value: string][] {
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self'",
    // The sign-out form is answered with a redirect to the authorization server.
    `form-action 'self' ${new URL(issuer).origin}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ];
  return [
    ["content-security-policy", policy.join("; ")],
    ["cross-origin-opener-policy", "same-origin"],
    ["cross-origin-resource-policy", "same-origin"],
    ["x-content-type-options", "nosniff"],
    // With "no-referrer" the browser sends the sign-out form with `Origin: null`, which the guard refuses.
    ["referrer-policy", "same-origin"],
    ["cache-control", "no-store"],
  ];
}

function forbidden(request: Request): Response {
  if (request.headers.get("sec-fetch-mode") !== "navigate")
    return problem(403, "Not a request of our own page", "csrf");
  return pageResponse({
    status: 403,
    title: "One more click",
    text: "Another site has sent you here. To go on, please press the button yourself.",
    button: { label: "Open the app", href: "/" },
  });
}

function wrongMethod(allowed: string): Response {
  const response = problem(405, "Wrong method", "method");
  response.headers.set("allow", allowed === "GET" ? "GET, HEAD" : allowed);
  return response;
}

function problem(status: number, title: string, code?: string): Response {
  const body = { type: "about:blank", title, status, ...(code !== undefined && { code }) };
  return Response.json(body, { status, headers: { "content-type": "application/problem+json" } });
}
