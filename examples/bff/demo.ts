/**
 * Puts everything together: the authorization server, the two APIs, the BFF beside the usual BFF, and the page. `main.ts`
 * starts it for a user, the tests start it for themselves.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { fleetStore, memoryStore } from "remint/fleet";
import { Apis } from "./apis.ts";
import { type App, createApp } from "./app.ts";
import { AuthServer, type AuthServerOptions } from "./auth-server.ts";
import { memoryKeyValues } from "./bff/key-values.ts";
import { Driver } from "./driver.ts";
import { Feed } from "./feed.ts";
import { pageFiles } from "./files.ts";
import { serveFront } from "./front.ts";
import { RESOURCES, SCOPE } from "./provider.ts";
import { redisStores } from "./redis.ts";
import { Replicas } from "./replicas.ts";
import { createUsualBff } from "./usual/usual-bff.ts";

/** Options of {@link startDemo}. */
export interface DemoOptions {
  /** 0 is any free port. */
  readonly port: number;
  readonly plainCookies?: boolean;
  /** How many BFF processes there are, and the Redis in which they keep their sessions. @defaultValue this process alone */
  readonly replicas?: { readonly count: number; readonly redisUrl: string };
  /** The key of the sign-in cookies. @defaultValue a random one */
  readonly secret?: Uint8Array<ArrayBuffer>;
  /** Further options of the authorization server. */
  readonly auth?: Omit<AuthServerOptions, "origin">;
}

/** The demo, while it runs. */
export interface Demo {
  readonly origin: string;
  readonly auth: AuthServer;
  readonly apis: Apis;
  readonly app: App;
  readonly feed: Feed;
  readonly replicas: Replicas | undefined;
  close(): Promise<void>;
}

/**
 * Starts the demo.
 *
 * @throws {Error} With the code of the socket's error, when the port cannot be used.
 */
export async function startDemo(options: DemoOptions): Promise<Demo> {
  const { port, plainCookies = false, replicas: fleet, secret = randomBytes(32), auth: more } = options;
  const server = createServer();
  server.listen({ host: "localhost", port, backlog: 4096 });
  await once(server, "listening");
  const origin = `http://localhost:${(server.address() as AddressInfo).port}`;

  const auth = await AuthServer.start({ ...more, origin });
  const apis = await Apis.start(auth);
  const files = await pageFiles();
  const tokenKey = randomBytes(32).toString("base64");
  const settings = {
    origin,
    issuer: auth.issuer,
    clientId: "bff",
    clientSecret: auth.secrets.bff,
    scope: SCOPE,
    resources: [RESOURCES.orders, RESOURCES.billing] as [string, string],
    apis: { orders: apis.place("orders"), billing: apis.place("billing") },
    plainCookies,
  };
  const redis = fleet && redisStores(fleet.redisUrl, tokenKey);
  const memory = { store: memoryKeyValues(), tokenStore: fleetStore(memoryStore(), { encryptionKey: "none" }) };
  const app = createApp({ ...settings, ...(redis?.stores ?? memory), secret, files });
  const feed = new Feed(auth);
  const shared = { secret: Buffer.from(secret).toString("base64"), tokenKey, files: [...files] };
  const replicas =
    fleet &&
    (await Replicas.start(fleet.count, { ...settings, ...shared, redisUrl: fleet.redisUrl }, (id, alive) =>
      feed.send({ type: "process", id, alive, at: Date.now() }),
    ));
  const own = getRequestListener(app.hono.fetch);
  const bff: RequestListener = (request, response) => {
    if (replicas === undefined) void own(request, response);
    else replicas.forward(request, response);
  };
  const { clientId: _bff, ...same } = settings;
  const usual = createUsualBff({ ...same, clientId: "usual", clientSecret: auth.secrets.usual });
  const stop = serveFront(server, {
    origin,
    plainCookies,
    auth,
    apis,
    feed,
    driver: new Driver(origin),
    app,
    bff,
    usual: usual.hono,
    beginUsual: usual.begin,
    replicas,
    files,
  });
  return {
    origin,
    auth,
    apis,
    app,
    feed,
    replicas,
    async close() {
      stop();
      server.close();
      server.closeAllConnections();
      await replicas?.close();
      await Promise.all([app.tokens.close({ within: 1000 }), auth.close(), apis.close()]);
      redis?.close();
    },
  };
}
