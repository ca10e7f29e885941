/** What the tests of this example use: the real BFF on a real port, beside the real authorization server and the APIs. */
import { randomBytes } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { exportJWK, generateKeyPair, type JWK } from "jose";
import { fleetStore, memoryStore } from "remint/fleet";
import { Apis } from "../apis.ts";
import { type App, type AppSettings, createApp } from "../app.ts";
import { AuthServer, type AuthServerOptions, type TokenFault } from "../auth-server.ts";
import { memoryKeyValues } from "../bff/key-values.ts";
import { Browser, signIn, type VisitOptions } from "../browser.ts";
import { RESOURCES, SCOPE } from "../provider.ts";

/** How the BFF authenticates at the authorization server, and what its tokens are bound to. */
export type ClientKind = "client secret" | "private_key_jwt" | "private_key_jwt and DPoP";
export const CLIENT_KINDS: readonly ClientKind[] = ["client secret", "private_key_jwt", "private_key_jwt and DPoP"];

/** The header that the page sends with every request. */
export const OWN: Readonly<Record<string, string>> = { "x-bff": "1" };

export interface StageOptions {
  readonly client?: ClientKind;
  readonly auth?: Partial<AuthServerOptions>;
  readonly app?: Partial<AppSettings>;
  /** Another authorization server than that of the stage. */
  readonly issuer?: (origin: string) => Promise<string>;
}

export interface Stage {
  readonly origin: string;
  readonly auth: AuthServer;
  readonly apis: Apis;
  readonly app: App;
  /** What the app has logged. */
  readonly errors: unknown[];
  /** Requests of the client `bff` to the token endpoint, with their statuses. */
  readonly tokenRequests: number[];
  close(): Promise<void>;
}

export async function openStage(options: StageOptions = {}): Promise<Stage> {
  const { client = "client secret" } = options;
  const server = createServer();
  server.listen(0, "localhost");
  await once(server, "listening");
  const origin = `http://localhost:${(server.address() as AddressInfo).port}`;
  const pair = client === "client secret" ? undefined : await generateKeyPair("ES256", { extractable: true });
  const clientKey: JWK | undefined = pair && { ...(await exportJWK(pair.publicKey)), kid: "client", alg: "ES256" };
  const isBound = client === "private_key_jwt and DPoP";
  const dpopPair = isBound ? await generateKeyPair("ES256", { extractable: true }) : undefined;
  const auth = await AuthServer.start({ origin, clientKey, dpop: isBound, ...options.auth });
  const apis = await Apis.start(auth);
  const errors: unknown[] = [];
  const app = createApp({
    origin,
    issuer: (await options.issuer?.(origin)) ?? auth.issuer,
    clientId: "bff",
    ...(pair === undefined
      ? { clientSecret: auth.secrets.bff }
      : { clientKey: { key: pair.privateKey, kid: "client" } }),
    ...(dpopPair && { dpopKey: await exportJWK(dpopPair.privateKey) }),
    scope: SCOPE,
    resources: [RESOURCES.orders, RESOURCES.billing],
    secret: randomBytes(32),
    store: memoryKeyValues(),
    tokenStore: fleetStore(memoryStore(), { encryptionKey: "none" }),
    apis: { orders: apis.place("orders"), billing: apis.place("billing") },
    files: new Map([["/", { type: "text/html; charset=utf-8", body: "<!doctype html><title>the app</title>" }]]),
    onError: (error) => errors.push(error),
    ...options.app,
  });
  const listener = getRequestListener(app.hono.fetch);
  server.on("request", (request: IncomingMessage, response: ServerResponse) => void listener(request, response));
  const tokenRequests: number[] = [];
  auth.events.on("token-request", ({ client: name, status }) => name === "bff" && tokenRequests.push(status));
  return {
    origin,
    auth,
    apis,
    app,
    errors,
    tokenRequests,
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await Promise.all([closed, app.tokens.close({ within: 0 }), auth.close(), apis.close()]);
    },
  };
}

/** A browser in which somebody is signed in. */
export async function signedIn({ origin }: Stage, as = "alice"): Promise<Browser> {
  const browser = new Browser();
  const { url, response } = await signIn(browser, origin, as);
  if (url.href !== `${origin}/` || response.status !== 200) throw new Error(`not signed in: ${url.href}`);
  return browser;
}

/** Sends a request of the page. */
export function call(browser: Browser, url: string, options: VisitOptions = {}): Promise<Response> {
  return browser.request(url, { ...options, headers: { ...OWN, ...options.headers } });
}

/** Sends a request of the page. Resolves to the status, and the code of the problem if the answer is one. */
export async function outcome(browser: Browser, url: string, options?: VisitOptions): Promise<string> {
  const response = await call(browser, url, options);
  const text = await response.text();
  const { code } = (text.startsWith("{") ? JSON.parse(text) : {}) as { code?: string };
  return code === undefined ? String(response.status) : `${response.status} ${code}`;
}

/** Who is signed in, as `/bff/user` says. */
export async function userIn(browser: Browser, origin: string): Promise<string | null> {
  const { user } = (await (await call(browser, `${origin}/bff/user`)).json()) as { user: { sub: string } | null };
  return user?.sub ?? null;
}

/** The session at the authorization server of whoever is signed in. */
export async function sessionOf(browser: Browser, { origin, auth }: Stage): Promise<string> {
  const answer = (await (await call(browser, `${origin}/bff/user`)).json()) as { session: { claims: { sid: string } } };
  return auth.sessionOf(answer.session.claims.sid) ?? "";
}

/** A token endpoint that holds requests until they are let go. */
export interface Hold {
  /** Resolves when a request is held. */
  readonly arrived: Promise<void>;
  readonly release: () => void;
  readonly fault: TokenFault;
}

export function holdTokens(): Hold {
  const events = new EventEmitter();
  const gate = once(events, "release");
  return {
    arrived: once(events, "arrived").then(() => undefined),
    release: () => events.emit("release"),
    async fault() {
      events.emit("arrived");
      await gate;
      return false;
    },
  };
}
