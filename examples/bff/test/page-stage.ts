/** The whole demo on one port, as main.ts starts it, for tests that open its page in Chromium. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { fleetStore, memoryStore } from "remint/fleet";
import { Apis, type Received } from "../apis.ts";
import { createApp } from "../app.ts";
import { AuthServer } from "../auth-server.ts";
import { memoryKeyValues } from "../bff/key-values.ts";
import { Driver } from "../driver.ts";
import { Feed } from "../feed.ts";
import { type PageFile, pageFiles } from "../files.ts";
import { serveFront } from "../front.ts";
import { RESOURCES, SCOPE } from "../provider.ts";
import { createUsualBff } from "../usual/usual-bff.ts";

export interface Demo {
  readonly origin: string;
  readonly auth: AuthServer;
  readonly feed: Feed;
  /** What the APIs got. */
  readonly received: readonly Received[];
  /** Every token, code and verifier that the authorization server has seen or issued, and what both sides keep secret. */
  readonly secrets: readonly { readonly kind: string; readonly value: string }[];
  /** What the app has logged. */
  readonly errors: unknown[];
  close(): Promise<void>;
}

let files: Promise<Map<string, PageFile>> | undefined;

export async function openDemo(): Promise<Demo> {
  const server = createServer();
  server.listen({ host: "localhost", port: 0, backlog: 4096 });
  await once(server, "listening");
  const origin = `http://localhost:${(server.address() as AddressInfo).port}`;
  const secrets: { kind: string; value: string }[] = [];
  const auth = await AuthServer.start({ origin, record: (kind, value) => secrets.push({ kind, value }) });
  const apis = await Apis.start(auth);
  const received: Received[] = [];
  apis.events.on("received", (request) => received.push(request));
  const places = { orders: apis.place("orders"), billing: apis.place("billing") };
  const secret = randomBytes(32);
  secrets.push(
    { kind: "client_secret", value: auth.secrets.bff },
    { kind: "client_secret", value: auth.secrets.usual },
    { kind: "cookie key", value: secret.toString("base64url") },
  );
  const client = { origin, issuer: auth.issuer, scope: SCOPE, apis: places };
  const errors: unknown[] = [];
  const pages = await (files ??= pageFiles());
  const app = createApp({
    ...client,
    clientId: "bff",
    clientSecret: auth.secrets.bff,
    resources: [RESOURCES.orders, RESOURCES.billing],
    secret,
    store: memoryKeyValues(),
    tokenStore: fleetStore(memoryStore(), { encryptionKey: "none" }),
    files: pages,
    onError: (error) => errors.push(error),
  });
  const usual = createUsualBff({ ...client, clientId: "usual", clientSecret: auth.secrets.usual });
  const feed = new Feed(auth);
  const stop = serveFront(server, {
    origin,
    plainCookies: false,
    auth,
    apis,
    feed,
    driver: new Driver(origin),
    app,
    bff: getRequestListener(app.hono.fetch),
    usual: usual.hono,
    beginUsual: usual.begin,
    replicas: undefined,
    files: pages,
  });
  return {
    origin,
    auth,
    feed,
    received,
    secrets,
    errors,
    async close() {
      stop();
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await Promise.all([closed, app.tokens.close({ within: 0 }), auth.close(), apis.close()]);
    },
  };
}
