/**
 * Two APIs, orders and billing. Each takes only tokens for its own audience, checks their signature and expiry, and asks the
 * authorization server which were revoked. `/pay` needs a recent sign-in with a second factor (RFC 9470).
 *
 * They stand for the APIs that you have already, and are not part of the BFF.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { EventEmitter } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { calculateJwkThumbprint, createLocalJWKSet, EmbeddedJWK, type JWTPayload, jwtVerify } from "jose";
import type { AuthServer } from "./auth-server.ts";
import { RESOURCES } from "./provider.ts";

export type ApiName = keyof typeof RESOURCES;

/** A request that an API got. */
export interface Received {
  readonly api: ApiName;
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly status: number;
  /** The `jti` and the audience of the token, if it is one of the authorization server. */
  readonly jti: string | undefined;
  readonly audience: string | undefined;
}

interface Events {
  received: [Received];
}

/** Seconds that may have passed since the sign-in of a user who pays. */
const PAY_WITHIN = 300;
/** Milliseconds between two events of the stream. */
const EVENT_EVERY = 1000;

/** The two APIs, on loopback. Their paths begin with `/v1`. */
export class Apis {
  readonly events: EventEmitter<Events> = new EventEmitter<Events>();
  /** Answers 401 to everything, as a broken gateway does. */
  rejectsAll = false;
  /** Answers in place of an API, for tests. Resolves to whether it did. */
  fault: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  readonly #auth: AuthServer;
  readonly #keys: ReturnType<typeof createLocalJWKSet>;
  readonly #servers: Readonly<Record<ApiName, Server>>;

  private constructor(auth: AuthServer) {
    this.#auth = auth;
    this.#keys = createLocalJWKSet(auth.jwks);
    const serverOf = (api: ApiName): Server =>
      createServer((request, response) => {
        // A request that is cut off fails while its body is read.
        this.#answer(api, request, response).catch(() => response.destroy());
      });
    this.#servers = { orders: serverOf("orders"), billing: serverOf("billing") };
  }

  static async start(auth: AuthServer): Promise<Apis> {
    const apis = new Apis(auth);
    const listening = Object.values(apis.#servers).map(
      (server) => new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, resolve)),
    );
    await Promise.all(listening);
    return apis;
  }

  /** Where an API is, and what its tokens are for. */
  place(api: ApiName): { readonly url: string; readonly resource: string } {
    const { port } = this.#servers[api].address() as AddressInfo;
    return { url: `http://127.0.0.1:${port}/v1`, resource: RESOURCES[api] };
  }

  async close(): Promise<void> {
    const closing = Object.values(this.#servers).map((server) => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      return closed;
    });
    await Promise.all(closing);
  }

  async #answer(api: ApiName, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "GET", url: path = "/", headers } = request;
    const token = await this.#tokenOf(api, request);
    const tell = (status: number): void => {
      const { jti, aud } = token ?? {};
      const audience = typeof aud === "string" ? aud : undefined;
      this.events.emit("received", { api, method, path, headers, status, jti, audience });
    };
    // An API may answer before it has read the body.
    if (this.fault?.(request, response) === true) return tell(0);
    if (this.rejectsAll || token === undefined || token.isDead) {
      tell(401);
      request.resume();
      const challenge = 'Bearer error="invalid_token"';
      response.writeHead(401, { "www-authenticate": challenge, "content-type": "application/json" }).end("{}");
      return;
    }
    const route = `${method} ${path.split("?")[0]}`;
    if (api === "billing" && route === "POST /v1/pay" && !isStrong(token)) {
      tell(401);
      request.resume();
      const challenge = `Bearer error="insufficient_user_authentication", acr_values="mfa", max_age="${PAY_WITHIN}"`;
      response.writeHead(401, { "www-authenticate": challenge }).end();
      return;
    }
    tell(200);
    if (api === "orders" && route === "GET /v1/events") return stream(request, response);
    let bytes = 0;
    for await (const chunk of request) bytes += (chunk as Buffer).length;
    const answer = { api, user: token.sub, ...(method !== "GET" && { bytes }), at: new Date().toISOString() };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
  }

  /** The claims of a token that this authorization server has signed for this API, and that is not expired. */
  async #tokenOf(api: ApiName, request: IncomingMessage): Promise<(JWTPayload & { isDead: boolean }) | undefined> {
    const [scheme = "", token = ""] = (request.headers.authorization ?? "").split(" ");
    try {
      const { payload } = await jwtVerify(token, this.#keys, {
        issuer: this.#auth.issuer,
        audience: RESOURCES[api],
        typ: "at+jwt",
        requiredClaims: ["exp", "jti", "sub"],
      });
      const { cnf, jti = "" } = payload as JWTPayload & { readonly cnf?: { readonly jkt?: string } };
      const isBound = cnf?.jkt === undefined ? scheme === "Bearer" : await isProven(request, token, cnf.jkt);
      return isBound ? { ...payload, isDead: this.#auth.isDead(jti) } : undefined;
    } catch {
      return undefined;
    }
  }
}

function isStrong({ acr, auth_time: authTime }: JWTPayload): boolean {
  return acr === "mfa" && Date.now() / 1000 - Number(authTime) <= PAY_WITHIN;
}

/** Checks the proof that the sender has the key of a token (RFC 9449 section 4.3). */
async function isProven(request: IncomingMessage, token: string, jkt: string): Promise<boolean> {
  const { host = "", dpop } = request.headers;
  const { payload, protectedHeader } = await jwtVerify(String(dpop), EmbeddedJWK, { typ: "dpop+jwt", maxTokenAge: 60 });
  const path = (request.url ?? "/").split("?")[0];
  return (
    payload["ath"] === createHash("sha256").update(token).digest("base64url") &&
    payload["htm"] === request.method &&
    payload["htu"] === `http://${host}${path}` &&
    protectedHeader.jwk !== undefined &&
    (await calculateJwkThumbprint(protectedHeader.jwk)) === jkt
  );
}

/** Sends an event a second, until the other side goes away. */
function stream(request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  let count = Number(request.headers["last-event-id"] ?? 0);
  const send = (): void => {
    count++;
    response.write(`id: ${count}\ndata: ${JSON.stringify({ order: 1000 + count, at: Date.now() })}\n\n`);
  };
  send();
  const timer = setInterval(send, EVENT_EVERY);
  response.once("close", () => clearInterval(timer));
}
