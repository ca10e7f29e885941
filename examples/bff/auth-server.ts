/**
 * The authorization server: oidc-provider with a sign-in page, a record of what it has issued, and switches for what can go
 * wrong. It stands for the server that you have already, and is not part of the BFF.
 *
 * It listens on `127.0.0.1`, and the BFF on `localhost`: two sites, as in production.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { EventEmitter } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, importJWK, type JSONWebKeySet, type JWK, type JWTPayload, SignJWT } from "jose";
import { createProvider, type Entries, newGrant, type Provider, RESOURCES, SCOPE, USERS } from "./provider.ts";
import { signInPage } from "./sign-in-page.ts";

/** The clients: one for each lane of the page. */
export type ClientName = "bff" | "usual";

/** What is known of an access token that was issued. It is not the token. */
export interface IssuedToken {
  readonly jti: string;
  readonly client: ClientName;
  readonly audience: string;
  readonly grantId: string | undefined;
  /** The session at this server in which the user signed in; `undefined` for users without a browser. */
  readonly session: string | undefined;
  /** Epoch milliseconds. */
  readonly expiresAt: number;
}

interface Events {
  /** The token endpoint has answered. */
  "token-request": [{ client: ClientName; status: number; session: string | undefined }];
  issued: [IssuedToken];
  /** A refresh token was presented a second time, so its whole family was revoked. */
  reuse: [{ client: ClientName; session: string | undefined }];
  /** Access tokens have become invalid before they expired. */
  dead: [{ tokens: readonly IssuedToken[]; why: "revoked" | "session-over" }];
}

/** Options of {@link AuthServer.start}. Durations are milliseconds. */
export interface AuthServerOptions {
  /** The origin of the BFF. */
  readonly origin: string;
  /** The public key of the client `bff`, when it authenticates with one. */
  readonly clientKey?: JWK | undefined;
  /** Binds the tokens of the client `bff` to a key (DPoP). */
  readonly dpop?: boolean | undefined;
  readonly tokenLifetime?: number | undefined;
  readonly refreshTokenLifetime?: number | undefined;
  /** Whether the server takes pushed authorization requests (PAR). @defaultValue true */
  readonly par?: boolean | undefined;
  /** Ignores `acr_values` and `max_age`, as a careless server does. */
  readonly ignoresStepUp?: boolean | undefined;
  /** The secret of the client `bff`. @defaultValue a random one */
  readonly clientSecret?: string | undefined;
  /** Further claims of every user. */
  readonly claims?: Readonly<Record<string, unknown>> | undefined;
  /** Is given every token and verifier, so that a test can look for them where they must not be. */
  readonly record?: ((kind: string, secret: string) => void) | undefined;
}

/** Answers a token request in place of the server. Resolves to whether it did. */
export type TokenFault = (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>;

/** An authorization server on loopback. */
export class AuthServer {
  readonly events: EventEmitter<Events> = new EventEmitter<Events>();
  readonly secrets: Readonly<Record<ClientName, string>>;
  readonly lifetime: number;
  /** Until when every request is answered 503: epoch milliseconds. */
  downUntil = 0;
  tokenFault: TokenFault | undefined;
  /** The headers of the requests of browsers, for tests. */
  readonly seenHeaders: IncomingMessage["headers"][] = [];
  readonly #options: AuthServerOptions;
  readonly #server: Server;
  readonly #entries: Entries = new Map();
  readonly #issued = new Map<string, IssuedToken>();
  readonly #dead = new Set<string>();
  /** The refresh token that was used up last, by client and session. */
  readonly #usedUp = new Map<string, string>();
  /** The sessions that token requests belong to, once the provider knows. */
  readonly #sessionOfRequest = new WeakMap<IncomingMessage, string>();
  #jwks: JSONWebKeySet = { keys: [] };
  #signingKey!: JWK;
  #provider!: Provider;
  #listener: RequestListener | undefined;

  private constructor(options: AuthServerOptions) {
    this.#options = options;
    this.secrets = { bff: options.clientSecret ?? newSecret(), usual: newSecret() };
    this.lifetime = options.tokenLifetime ?? 60_000;
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  /** @param port 0 is any free port. */
  static async start(options: AuthServerOptions, port = 0): Promise<AuthServer> {
    const auth = new AuthServer(options);
    await new Promise<void>((resolve, reject) => {
      auth.#server.once("error", reject);
      auth.#server.listen({ host: "127.0.0.1", port, backlog: 4096 }, resolve);
    });
    await auth.#createProvider();
    return auth;
  }

  get issuer(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The public keys of the access tokens. */
  get jwks(): JSONWebKeySet {
    return this.#jwks;
  }

  /** Whether an access token was revoked, or its session is over. An API asks this beside checking the signature. */
  isDead(jti: string): boolean {
    return this.#dead.has(jti);
  }

  /** The access tokens that are alive: all, those of one session, or those of one session and audience. */
  alive(session?: string, audience?: string): IssuedToken[] {
    const now = Date.now();
    return [...this.#issued.values()].filter(
      (token) =>
        !this.#dead.has(token.jti) &&
        token.expiresAt > now &&
        (session === undefined || token.session === session) &&
        (audience === undefined || token.audience === audience),
    );
  }

  /** Makes access tokens invalid at the APIs. The refresh tokens stay valid. */
  kill(tokens: readonly IssuedToken[], why: "revoked" | "session-over" = "revoked"): void {
    for (const { jti } of tokens) this.#dead.add(jti);
    if (tokens.length > 0) this.events.emit("dead", { tokens, why });
  }

  /** The session that a client knows by this `sid`. */
  sessionOf(sid: string): string | undefined {
    for (const { payload } of this.#entries.values()) {
      if (Object.values(payload.authorizations ?? {}).some((each) => each.sid === sid)) return payload.uid;
    }
    return undefined;
  }

  /** Ends a session, and tells the clients that want to be told (back-channel logout). */
  async endSession(uid: string): Promise<void> {
    const session = await this.#provider.Session.findByUid(uid);
    if (session === undefined) return;
    await session.destroy();
    this.kill(this.alive(uid), "session-over");
    for (const [id, { sid }] of Object.entries(session.authorizations ?? {})) {
      const client = await this.#provider.Client.find(id);
      if (client?.backchannelLogoutUri !== undefined) await client.backchannelLogout(session.accountId, sid);
    }
  }

  /** Presents a refresh token that was used up, as a thief would. Resolves to whether there was one. */
  async replay(client: ClientName, session: string): Promise<boolean> {
    const used = this.#usedUp.get(`${client} ${session}`);
    if (used === undefined) return false;
    await this.#requestToken(client, { grant_type: "refresh_token", refresh_token: used });
    return true;
  }

  /** Signs a user in without a browser. Resolves to the token response. */
  async signInDirectly(client: ClientName, accountId: string): Promise<Record<string, unknown>> {
    const grant = newGrant(this.#provider, accountId, client);
    const token = new this.#provider.RefreshToken({
      accountId,
      client: await this.#provider.Client.find(client),
      grantId: await grant.save(),
      gty: "authorization_code",
      scope: SCOPE,
      resource: Object.values(RESOURCES),
      authTime: Math.floor(Date.now() / 1000),
      acr: "pwd",
      rotations: 0,
    });
    const form = { grant_type: "refresh_token", refresh_token: await token.save(), resource: RESOURCES.orders };
    return this.#requestToken(client, form);
  }

  /** Signs any claims with the key of this server, for tests. */
  async sign(claims: JWTPayload, header: Readonly<Record<string, unknown>>): Promise<string> {
    const jwt = new SignJWT(claims).setProtectedHeader({ alg: "RS256", kid: "demo", ...header });
    return jwt.sign(await importJWK(this.#signingKey, "RS256"));
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? "/").split("?")[0] ?? "/";
    if (path === "/token") this.#watch(request, response);
    else this.seenHeaders.push(request.headers);
    const wait = this.downUntil - Date.now();
    if (wait > 0) {
      request.resume();
      response.writeHead(503, { "retry-after": String(Math.min(2, Math.ceil(wait / 1000))) }).end();
      return;
    }
    if (path === "/token" && (await this.tokenFault?.(request, response)) === true) return;
    if (path.startsWith("/interaction/")) await this.#interact(request, response);
    else this.#listener?.(request, response);
  }

  /** Shows the sign-in page, and takes its buttons. */
  async #interact(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const { prompt } = await this.#provider.interactionDetails(request, response);
      if (request.method !== "POST") {
        const { html, headers } = signInPage(prompt.reasons, this.#options.origin);
        response.writeHead(200, headers).end(html);
        return;
      }
      const [user = "", factor] = ((await formOf(request)).get("as") ?? "").split("+");
      const acr = factor ?? "pwd";
      const login = { accountId: user, acr, amr: factor === undefined ? ["pwd"] : ["pwd", "otp"] };
      const result = user in USERS ? { login } : { error: "access_denied" };
      await this.#provider.interactionFinished(request, response, result);
    } catch {
      response
        .writeHead(400, { "content-type": "text/plain" })
        .end("This sign-in is over. Go back to the application.\n");
    }
  }

  /** Tells of a token request when it was answered. */
  #watch(request: IncomingMessage, response: ServerResponse): void {
    if (this.#options.record !== undefined) recordSecrets(request, response, this.#options.record);
    const [type, credentials = ""] = (request.headers.authorization ?? "").split(" ");
    const name = type === "Basic" ? Buffer.from(credentials, "base64").toString().split(":")[0] : "bff";
    const client = name === "usual" ? "usual" : "bff";
    // Requests of the demo itself belong to no lane.
    if (request.headers["x-demo"] !== undefined) return;
    response.once("finish", () => {
      const session = this.#sessionOfRequest.get(request);
      this.events.emit("token-request", { client, status: response.statusCode, session });
    });
  }

  async #requestToken(client: ClientName, form: Record<string, string>): Promise<Record<string, unknown>> {
    const authorization = `Basic ${Buffer.from(`${client}:${this.secrets[client]}`).toString("base64")}`;
    const body = new URLSearchParams(form);
    const response = await fetch(`${this.issuer}/token`, {
      method: "POST",
      headers: { authorization, "x-demo": "1" },
      body,
    });
    return (await response.json()) as Record<string, unknown>;
  }

  async #createProvider(): Promise<void> {
    const { origin, clientKey, dpop, claims = {}, refreshTokenLifetime = 86_400_000 } = this.#options;
    const { par = true, ignoresStepUp = false } = this.#options;
    const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
    const use = { alg: "RS256", use: "sig", kid: "demo" };
    this.#jwks = { keys: [{ ...(await exportJWK(publicKey)), ...use }] };
    this.#signingKey = { ...(await exportJWK(privateKey)), ...use };
    this.#provider = await createProvider({
      issuer: this.issuer,
      signingKey: this.#signingKey,
      par,
      ignoresStepUp,
      clients: [
        { id: "bff", secret: this.secrets.bff, base: `${origin}/bff`, key: clientKey, dpop, hasBackChannel: true },
        { id: "usual", secret: this.secrets.usual, base: `${origin}/usual`, hasBackChannel: false },
      ],
      tokenLifetime: this.lifetime,
      refreshTokenLifetime,
      claims,
      entries: this.#entries,
    });
    this.#listen();
    this.#listener = this.#provider.callback();
  }

  /** Keeps the record of what the provider issues and revokes. */
  #listen(): void {
    const provider = this.#provider;
    provider.on("server_error", (_context, error) => console.error(`authorization server: ${error.message}`));
    provider.on("access_token.issued", ({ jti, clientId, aud, grantId, sessionUid }) => {
      for (const [key, { expiresAt }] of this.#issued) {
        if (expiresAt < Date.now()) this.#forget(key);
      }
      const token: IssuedToken = {
        jti,
        client: clientId as ClientName,
        audience: aud ?? "",
        grantId,
        session: sessionUid,
        expiresAt: Date.now() + this.lifetime,
      };
      this.#issued.set(jti, token);
      this.events.emit("issued", token);
    });
    provider.on("refresh_token.consumed", ({ jti, clientId, sessionUid }) => {
      if (sessionUid !== undefined) this.#usedUp.set(`${clientId} ${sessionUid}`, jti);
    });
    provider.on("grant.revoked", (_context, grantId) => {
      this.kill(
        this.alive().filter((token) => token.grantId === grantId),
        "session-over",
      );
    });
    for (const event of ["grant.success", "grant.error"] as const) {
      provider.on(event, ({ req, oidc: { entities } }, error) => {
        const source = entities["RefreshToken"] ?? entities["AuthorizationCode"];
        const session = source?.sessionUid;
        if (session !== undefined) this.#sessionOfRequest.set(req, session);
        if (error?.error_detail !== "refresh token already used") return;
        this.events.emit("reuse", { client: source?.clientId as ClientName, session });
      });
    }
  }

  #forget(jti: string): void {
    this.#issued.delete(jti);
    this.#dead.delete(jti);
  }
}

function newSecret(): string {
  return randomBytes(24).toString("base64url");
}

/** Gives the secrets of a token request and its answer to a test. */
function recordSecrets(
  request: IncomingMessage,
  response: ServerResponse,
  record: (kind: string, secret: string) => void,
): void {
  const body: Buffer[] = [];
  // A listener would begin to read, and the provider would miss the beginning.
  const emit = request.emit.bind(request) as (name: string, ...values: unknown[]) => boolean;
  request.emit = (name: string, ...values: unknown[]) => {
    if (name === "data") body.push(values[0] as Buffer);
    return emit(name, ...values);
  };
  response.once("finish", () => {
    const form = new URLSearchParams(Buffer.concat(body).toString());
    for (const name of ["code", "code_verifier", "client_assertion"])
      if (form.has(name)) record(name, form.get(name) ?? "");
  });
  const end = response.end.bind(response) as (...values: unknown[]) => ServerResponse;
  response.end = (...values: unknown[]) => {
    const answer = parsed(String(values[0])) as Record<string, unknown>;
    for (const name of ["access_token", "refresh_token", "id_token"]) {
      if (typeof answer[name] === "string") record(name, answer[name]);
    }
    return end(...values);
  };
}

function parsed(text: string): object {
  try {
    return Object(JSON.parse(text)) as object;
  } catch {
    return {};
  }
}

async function formOf(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return new URLSearchParams(Buffer.concat(chunks).toString());
}
