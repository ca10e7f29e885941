/**
 * `startAuthServer`: an authorization server on loopback, which answers as a test says. It knows the client credentials
 * grant, sign-ins with refresh tokens, the code flow with PKCE, revocation and its own metadata.
 *
 * Scripts, holds and records of requests are in scripted-server.ts. What was issued is in issued-tokens.ts, the
 * authorize page in authorization.ts, the log in auth-log.ts. An API that accepts the tokens is in api.ts.
 *
 * @module
 */
import { systemClock } from "../base/clock.ts";
import { assertClock, assertOptions, assertString, duration, flag, optionError } from "../base/options.ts";
import { AuthLog } from "./auth-log.ts";
import { authenticatedClient } from "./client-check.ts";
import { Endpoints, PATHS } from "./endpoints.ts";
import { targetIn } from "./issued-tokens.ts";
import { ScriptedServer } from "./scripted-server.ts";
import type { Clock } from "../base/clock.ts";
import type { AuthLogEntry, LoggedRequest } from "./auth-log.ts";
import type { Settings, SignInAnswer, TokenRequest } from "./endpoints.ts";
import type { IssuedTokens, SignIn, Target, TokenInfo } from "./issued-tokens.ts";
import type { Answer, Outcome, ReceivedRequest, Scripted } from "./scripted-server.ts";

/**
 * Starts an authorization server on 127.0.0.1 that issues opaque tokens, and fails on demand as authorization servers
 * do.
 *
 * The token endpoint answers the client credentials grant, the refresh token grant and the authorization code grant.
 * Every use of a refresh token replaces it. If a replaced refresh token is presented again, its sign-in ends with all
 * its tokens.
 *
 * An access token is live until it is revoked or its sign-in ends, whatever `expires_in` says, so no test has to wait
 * for a token to expire. A scripted answer whose body is an object with an `access_token` issues that token.
 *
 * @throws {TypeError} When an option is unknown or of the wrong kind, or `clientSecret` is given without `clientId`.
 * @see [RFC 6749 section 4.4](https://www.rfc-editor.org/rfc/rfc6749.html#section-4.4)
 * @see [RFC 6749 section 6](https://www.rfc-editor.org/rfc/rfc6749.html#section-6)
 * @example
 * ```ts
 * const auth = await startAuthServer({ clientId: "me", clientSecret: "s3cret" });
 * const { refresh_token } = auth.signIn("alice");
 * auth.respond({ status: 503, headers: { "retry-after": "2" } });
 * auth.respond({ lost: true });
 * await auth.close();
 * ```
 */
export async function startAuthServer(options: AuthServerOptions = {}): Promise<AuthServer> {
  assertOptions("startAuthServer", options, [
    "clientId",
    "clientSecret",
    "expiresIn",
    "latency",
    "rotation",
    "gracePeriod",
    "user",
    "clock",
  ]);
  return new LoopbackAuthServer(options).listen();
}

/** Options of {@link startAuthServer}: how the server answers requests that no script answers. */
export interface AuthServerOptions {
  /** The only client that gets tokens. @defaultValue every client gets tokens, authenticated or not */
  readonly clientId?: string | undefined;
  /** The secret of that client; needs `clientId`. @defaultValue the secret is not checked */
  readonly clientSecret?: string | undefined;
  /** `expires_in` of the answers, in seconds; `null` omits it. @defaultValue 3_600 (1 hour) */
  readonly expiresIn?: number | null | undefined;
  /** Milliseconds from a request to its answer. @defaultValue 0 */
  readonly latency?: number | undefined;
  /**
   * Whether every use of a refresh token replaces it. If not, it can be used any number of times.
   *
   * @defaultValue true
   */
  readonly rotation?: boolean | undefined;
  /**
   * Milliseconds, from the first use of a refresh token, in which it is accepted once more. It is not accepted once the
   * refresh token that replaced it was used. Both refresh tokens that replaced it are valid.
   *
   * @defaultValue 0: a second use ends the sign-in
   */
  readonly gracePeriod?: number | undefined;
  /** The user who signs in at the authorize page; `null`: the user says no (`access_denied`). @defaultValue "user" */
  readonly user?: string | null | undefined;
  /** The clock of the log and of the grace period. @defaultValue the system's clock */
  readonly clock?: Clock | undefined;
}

/** An authorization server on loopback, and the means by which a test controls it. */
export interface AuthServer extends Scripted<TokenRequest>, AsyncDisposable {
  /** The issuer: the origin of the server. Its metadata has the endpoints (RFC 8414, OpenID Connect Discovery). */
  readonly issuer: string;
  /** The URL of the token endpoint. */
  readonly tokenEndpoint: string;
  /** The URL of the revocation endpoint (RFC 7009). */
  readonly revocationEndpoint: string;
  /** The URL of the authorize page, which redirects back at once. */
  readonly authorizationEndpoint: string;
  /** `expires_in` of the next answers, in seconds; `null` omits it. It does not limit how long a token is live. */
  expiresIn: number | null;
  /** Whether every use of a refresh token replaces it. */
  rotation: boolean;
  /** Milliseconds in which a refresh token that was used is accepted once more. */
  gracePeriod: number;
  /** The user who signs in at the authorize page; `null`: the user says no. */
  user: string | null;
  /** The number of access tokens that were issued, including those of `signIn` and of scripted answers. */
  readonly mints: number;
  /** The access tokens that were issued, oldest first. */
  readonly issued: readonly string[];
  /** What the server received, committed and answered, oldest first. */
  readonly log: readonly AuthLogEntry[];
  /**
   * Resolves when the log has this many entries with this step.
   *
   * @throws {TypeError} When there is no such step, or `total` is not a non-negative integer.
   * @throws {Error} When the server is closed before.
   */
  waitForLog(step: AuthLogEntry["step"], total: number): Promise<void>;
  /**
   * Signs a user in without a browser, and returns what a token endpoint answers to it.
   *
   * @param subject The user. @defaultValue the option `user`
   * @throws {TypeError} When the subject is of the wrong kind, or an option is unknown or of the wrong kind.
   */
  signIn(subject?: string, options?: SignInOptions): SignInAnswer;
  /** Ends all sign-ins, or those of one user: their refresh tokens are refused, their access tokens are not live. */
  endSignIns(subject?: string): void;
  /** Returns what the server knows of an access token or a refresh token; `undefined` if it did not issue the token. */
  tokenInfo(value: string): TokenInfo | undefined;
  /** Returns whether this server issued the access token and has not revoked it. */
  isLive(value: string): boolean;
  /** Revokes one access token, or a refresh token with its whole sign-in. */
  revoke(value: string): void;
  /** Revokes all access tokens that were issued so far. Refresh tokens stay valid. */
  revokeAll(): void;
}

/** Options of {@link AuthServer.signIn}: what the user has granted, and to whom. */
export interface SignInOptions {
  /**
   * The scope that the user has granted, as space-separated words. A refresh may ask for a part of it.
   *
   * @defaultValue "read write" is in the answer, and a refresh may ask for every scope
   */
  readonly scope?: string | undefined;
  /** The resources that a refresh may ask for (RFC 8707). @defaultValue every resource */
  readonly resource?: string | readonly string[] | undefined;
  /** The audiences of a token if the refresh names none. @defaultValue none */
  readonly audience?: string | readonly string[] | undefined;
  /** The only client that may use the refresh token. @defaultValue the server's `clientId`, or else every client */
  readonly clientId?: string | undefined;
}

class LoopbackAuthServer extends ScriptedServer<TokenRequest> implements AuthServer {
  expiresIn: number | null;
  rotation: boolean;
  gracePeriod: number;
  user: string | null;
  readonly #clientId: string | undefined;
  readonly #clock: Clock;
  readonly #log: AuthLog;
  readonly #logged = new WeakMap<TokenRequest, LoggedRequest>();
  readonly #endpoints: Endpoints;

  constructor(options: AuthServerOptions) {
    super(options.latency);
    const { clientId, clientSecret, expiresIn = 3600, user = "user", clock = systemClock } = options;
    if (clientId !== undefined || clientSecret !== undefined) assertString("clientId", clientId);
    if (clientSecret !== undefined) assertString("clientSecret", clientSecret);
    if (expiresIn !== null && typeof expiresIn !== "number")
      throw optionError("expiresIn", expiresIn, "seconds or null");
    if (user !== null) assertString("user", user);
    assertClock(clock);
    this.#clientId = clientId;
    this.#clock = clock;
    this.#log = new AuthLog(clock);
    this.expiresIn = expiresIn;
    this.rotation = flag("rotation", options.rotation, true);
    this.gracePeriod = duration("gracePeriod", options.gracePeriod, 0);
    this.user = user;
    this.#endpoints = new Endpoints({
      client: { id: clientId, secret: clientSecret },
      log: this.#log,
      loggedOf: (request) => this.#loggedOf(request),
      settings: () => this.#settings,
    });
  }

  get issuer(): string {
    return this.origin;
  }

  get tokenEndpoint(): string {
    return this.origin + PATHS.token;
  }

  get revocationEndpoint(): string {
    return this.origin + PATHS.revocation;
  }

  get authorizationEndpoint(): string {
    return this.origin + PATHS.authorization;
  }

  get mints(): number {
    return this.issued.length;
  }

  get issued(): readonly string[] {
    return this.#tokens.values;
  }

  get log(): readonly AuthLogEntry[] {
    return this.#log.entries;
  }

  signIn(subject: string = this.user ?? "user", options: SignInOptions = {}): SignInAnswer {
    assertString("subject", subject);
    assertOptions("signIn", options, ["scope", "resource", "audience", "clientId"]);
    const { scope, clientId = this.#clientId } = options;
    if (scope !== undefined) assertString("scope", scope);
    if (clientId !== undefined) assertString("clientId", clientId);
    const resource = listOf("resource", options.resource);
    const granted: Target = { scope, resource, audience: listOf("audience", options.audience) };
    return this.#endpoints.signIn({ subject, clientId, granted });
  }

  endSignIns(subject?: string): void {
    const isMeant = (signIn: SignIn): boolean => subject === undefined || signIn.subject === subject;
    for (const signIn of this.#tokens.signIns.filter(isMeant)) this.#endpoints.end(signIn, "ended by the server");
  }

  tokenInfo(value: string): TokenInfo | undefined {
    return this.#tokens.info(value, this.#settings.rules);
  }

  isLive(value: string): boolean {
    return this.#tokens.isLive(value);
  }

  revoke(value: string): void {
    this.#endpoints.revoke(value);
  }

  revokeAll(): void {
    for (const value of this.#tokens.liveAccessTokens()) this.revoke(value);
  }

  waitForLog(step: AuthLogEntry["step"], total: number): Promise<void> {
    return this.#log.reaches(step, total);
  }

  override async close(): Promise<void> {
    try {
      await super.close();
    } finally {
      this.#log.close();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  protected override record({ method, url, headers, body }: ReceivedRequest): TokenRequest {
    const text = new TextDecoder().decode(body);
    const [, path = "", query = ""] = /^([^?]*)\??(.*)$/s.exec(url) ?? [];
    const form = new URLSearchParams(text);
    const request = { method, path, query: new URLSearchParams(query), headers, body: text, form };
    // A revocation request has the token in the parameter `token`.
    const known = this.#tokens.refreshToken(form.get("refresh_token") ?? form.get("token") ?? "");
    const logged: LoggedRequest = {
      request: this.requests.length,
      path,
      grantType: form.get("grant_type") ?? undefined,
      refreshToken: form.get("refresh_token") ?? known?.value,
      signIn: known?.signIn.number,
    };
    this.#logged.set(request, logged);
    this.#log.add("received", logged);
    return request;
  }

  protected override normalAnswer(request: TokenRequest): Answer {
    return this.#endpoints.answer(request);
  }

  protected override scriptedAnswer(request: TokenRequest, answer: Answer): void {
    const logged = this.#loggedOf(request);
    const error = memberOf(answer.body, "error");
    const accessToken = (answer.status ?? 200) < 300 ? memberOf(answer.body, "access_token") : undefined;
    if (accessToken !== undefined) {
      const clientId = authenticatedClient(request, { id: undefined, secret: undefined })?.id;
      this.#tokens.record(accessToken, { target: targetIn(request.form), clientId, signIn: undefined });
      logged.issued = { accessToken };
      this.#log.add("committed", logged);
    } else if (error !== undefined) this.#log.add("refused", logged, { error });
  }

  protected override beforeAnswer(_request: TokenRequest, answer: Answer): Answer {
    return {
      ...answer,
      headers: { "content-type": "application/json", "cache-control": "no-store", ...answer.headers },
    };
  }

  protected override afterAnswer(request: TokenRequest, { status, changed }: Outcome): void {
    const step = status === undefined ? "lost" : "answered";
    this.#log.add(step, this.#loggedOf(request), { status, changed: changed || undefined });
  }

  get #tokens(): IssuedTokens {
    return this.#endpoints.tokens;
  }

  get #settings(): Settings {
    const { origin, expiresIn, rotation, gracePeriod, user } = this;
    return { origin, expiresIn, rotation, user, rules: { now: this.#clock.now(), gracePeriod } };
  }

  #loggedOf(request: TokenRequest): LoggedRequest {
    return this.#logged.get(request) ?? {};
  }
}

/** Returns a member of a body that is sent as JSON, if it is a string. */
function memberOf(body: Answer["body"], name: string): string | undefined {
  const value = typeof body === "object" ? (body as Readonly<Record<string, unknown>>)[name] : undefined;
  return typeof value === "string" ? value : undefined;
}

/**
 * Returns an option that is one string or a list of them.
 *
 * @throws {TypeError} When it is neither, or when one of the strings is empty.
 */
function listOf(name: string, value: unknown): readonly string[] {
  if (value === undefined) return [];
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.map((each) => {
    assertString(name, each);
    return each;
  });
}
