/**
 * The one port of the demo: the BFF, the usual BFF, and what only the demo has (`/demo`). In production there is the BFF alone.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import { createActions, NotNow, type Stage } from "./actions.ts";
import { Cookies } from "./bff/cookies.ts";
import { passes } from "./bff/csrf.ts";
import { onHead } from "./head.ts";
import { Lanes } from "./lanes.ts";
import type { Feed, Viewer } from "./feed.ts";
import type { Message } from "./page/messages.ts";
import type { PageFile } from "./files.ts";

/** What the port leads to. */
export interface FrontSettings extends Omit<Stage, "recheck" | "sessionCookie"> {
  readonly origin: string;
  readonly plainCookies: boolean;
  readonly bff: RequestListener;
  readonly usual: Hono;
  readonly files: ReadonlyMap<string, PageFile>;
}

/** Milliseconds between two requests that the demo sends for a viewer by itself. */
const BEAT = 1500;

/** Serves the port. Returns the function that stops the demo's own requests. */
export function serveFront(server: Server, settings: FrontSettings): () => void {
  const { origin, auth, apis, feed, driver, bff, usual } = settings;
  const cookies = new Cookies(settings.plainCookies);
  const lanes = new Lanes(apis, feed.listener);
  const demo = getRequestListener(createDemo(settings, cookies).fetch);
  const usualListener = getRequestListener(usual.fetch);

  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const { url = "/", method } = request;
    lanes.watch(request, response);
    if (url.startsWith("/bff/callback")) alsoSignInTheUsualWay(response, `${origin}/usual/login`);
    if (method === "POST" && url.startsWith("/bff/logout")) {
      response.once("finish", () => void recheck(settings, "You have signed out."));
    }
    if (url.startsWith("/demo/")) void demo(request, response);
    else if (url.startsWith("/usual/")) void usualListener(request, response);
    else bff(request, response);
  };
  server.on("request", answer);

  let beats = 0;
  const beat = setInterval(() => {
    beats++;
    const api = beats % 4 === 0 ? "billing" : "orders";
    for (const viewer of feed.viewers) {
      for (const lane of driver.lanes())
        if (viewer.signedIn[lane]) void driver.call(viewer, lane, { api, isBeat: true });
    }
  }, BEAT);
  auth.events.setMaxListeners(0);
  return () => clearInterval(beat);
}

/** The routes that only the demo has. Their guards are those of the BFF. */
function createDemo(settings: FrontSettings, cookies: Cookies): Hono {
  const { origin, feed, files } = settings;
  const sessionCookie = cookies.session;
  const actions = createActions({ ...settings, sessionCookie, recheck: (reason) => recheck(settings, reason) });
  const demo = new Hono();
  const recording = files.get("/demo/recording");
  demo.get("/demo/recording", () => new Response(recording?.body, { headers: { "content-type": "application/json" } }));
  demo.use("/demo/*", async ({ req }, next) => {
    const isFeed = req.path === "/demo/events";
    if (!passes(req.raw, isFeed ? "events" : "header", origin)) return problem(403, "Not a request of our own page");
    return next();
  });
  demo.get("/demo/state", async ({ req }) => Response.json(await helloFor(settings, req.raw)));
  demo.get("/demo/cookies", ({ req }) => Response.json(cookieFlags(req.raw, cookies)));
  demo.get("/demo/events", async ({ req: { raw } }) => {
    const viewer = await viewerOf(settings, raw);
    if (viewer === undefined) return problem(401, "Sign in first");
    return feed.open(viewer, hello(settings, viewer), raw.signal);
  });
  demo.post("/demo/actions/:name", async ({ req }) => {
    const action = actions[req.param("name")];
    if (action === undefined) return problem(404, "There is no such button");
    const own = await viewerOf(settings, req.raw);
    if (own === undefined) return problem(401, "Sign in first");
    // The open page of this browser, so that it is told what comes of the button.
    const viewer = feed.viewers.find(({ cookie }) => cookie === own.cookie) ?? own;
    try {
      return (await action(viewer)) ?? Response.json({}, { status: 202 });
    } catch (error) {
      if (error instanceof NotNow) return problem(409, error.message);
      throw error;
    }
  });
  demo.notFound(() => problem(404, "Not found"));
  demo.onError((error) => {
    console.error(`the demo failed: ${error.message}`);
    return problem(500, "The demo failed");
  });
  return demo;
}

/** Signs the browser in at the usual BFF too, without a question: the authorization server knows the user already. */
function alsoSignInTheUsualWay(response: ServerResponse, usualLogin: string): void {
  onHead(response, (status, headers) => {
    const isSignedIn = headers.getSetCookie().some((cookie) => cookie.includes("SameSite=Strict"));
    if (status === 303 && isSignedIn) headers.set("location", usualLogin);
  });
}

/** The user of a browser, as the BFF knows them. */
interface Known {
  readonly user: { readonly name: string } | null;
  readonly session?: { readonly claims: { readonly sid?: string } };
}

async function ask<T>(origin: string, path: string, cookie: string): Promise<T> {
  const response = await fetch(`${origin}${path}`, { headers: { cookie, "x-bff": "1" } });
  return (await response.json()) as T;
}

async function viewerOf({ origin, auth }: FrontSettings, request: Request): Promise<Viewer | undefined> {
  const cookie = request.headers.get("cookie") ?? "";
  const [{ user, session }, { signedIn }] = await Promise.all([
    ask<Known>(origin, "/bff/user", cookie),
    ask<{ signedIn: boolean }>(origin, "/usual/user", cookie),
  ]);
  const at = auth.sessionOf(session?.claims.sid ?? "");
  if (user === null || at === undefined) return undefined;
  const lanes = { remint: true, usual: signedIn };
  return { id: randomUUID(), cookie, name: user.name, session: at, signedIn: lanes };
}

async function helloFor(settings: FrontSettings, request: Request): Promise<Message> {
  return hello(settings, await viewerOf(settings, request));
}

function hello({ auth, apis, replicas }: FrontSettings, viewer: Viewer | undefined): Message {
  const now = Date.now();
  return {
    type: "hello",
    now,
    user: viewer === undefined ? null : { name: viewer.name },
    lanes: {
      usual: { signedIn: viewer?.signedIn.usual ?? false },
      remint: { signedIn: viewer?.signedIn.remint ?? false },
    },
    tokenLifetime: auth.lifetime,
    processes: replicas?.states ?? [{ id: 1, alive: true }],
    faults: { "as-down": auth.downUntil > now ? auth.downUntil : null, "api-401": apis.rejectsAll },
  };
}

/** Asks whether the sessions of the viewers still exist, and tells them if not. */
async function recheck(
  { origin, feed }: { readonly origin: string; readonly feed: Feed },
  reason: string,
): Promise<void> {
  await Promise.all(
    feed.viewers.map(async (viewer) => {
      const { user } = await ask<Known>(origin, "/bff/user", viewer.cookie);
      if (user === null) feed.signedOut(viewer, "remint", reason);
    }),
  );
}

/** The cookies that a browser has sent, with the flags that they were set with. */
function cookieFlags(request: Request, cookies: Cookies): { name: string; flags: string[] }[] {
  const names = (request.headers.get("cookie") ?? "").split(/; ?/).map((pair) => pair.split("=")[0] ?? "");
  return names.flatMap((name) => {
    if (name === "usual") return [{ name, flags: ["HttpOnly", "SameSite=Lax", "Path=/"] }];
    if (!name.startsWith(cookies.session)) return [];
    const sameSite = name === cookies.session ? "Strict" : "Lax";
    const [, ...flags] = cookies.set(name, "", { sameSite }).split("; ");
    return [{ name, flags }];
  });
}

function problem(status: number, detail: string): Response {
  const headers = { "content-type": "application/problem+json" };
  return Response.json({ type: "about:blank", status, title: detail, detail }, { status, headers });
}
