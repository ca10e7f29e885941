/**
 * `startAuthServer`: a token endpoint on loopback for the client credentials grant, which answers as a test says.
 *
 * Scripts, holds and records of requests are in scripted-server.ts. An API that accepts its tokens is in api.ts.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { assertOptions, assertString, optionError } from "../base/options.ts";
import { ScriptedServer } from "./scripted-server.ts";
import type { Answer, ReceivedHeaders, ReceivedRequest, Scripted } from "./scripted-server.ts";

/**
 * Starts a token endpoint on 127.0.0.1 that answers the client credentials grant with opaque tokens, and fails on
 * demand as token endpoints do.
 *
 * A token is live until it is revoked, whatever `expires_in` says, so no test has to wait for a token to expire. A
 * scripted answer whose body is an object with an `access_token` issues that token.
 *
 * @throws {TypeError} When an option is of the wrong kind, or `clientSecret` is given without `clientId`.
 * @see [RFC 6749 section 4.4](https://www.rfc-editor.org/rfc/rfc6749.html#section-4.4)
 * @example
 * ```ts
 * const auth = await startAuthServer({ clientId: "me", clientSecret: "s3cret" });
 * auth.respond({ status: 503, headers: { "retry-after": "2" } });
 * await auth.close();
 * ```
 */
export async function startAuthServer(options: AuthServerOptions = {}): Promise<AuthServer> {
  assertOptions("startAuthServer", options);
  return new LoopbackAuthServer(options).listen();
}

/** Options of {@link startAuthServer}: how the token endpoint answers requests that no script answers. */
export interface AuthServerOptions {
  /** The only client that gets tokens. @defaultValue every client gets tokens, authenticated or not */
  readonly clientId?: string | undefined;
  /** The secret of that client; needs `clientId`. @defaultValue the secret is not checked */
  readonly clientSecret?: string | undefined;
  /** `expires_in` of the answers, in seconds; `null` omits it. @defaultValue 3_600 (1 hour) */
  readonly expiresIn?: number | null | undefined;
  /** Milliseconds from a request to its answer. @defaultValue 0 */
  readonly latency?: number | undefined;
}

/** A token endpoint on loopback, and the means by which a test controls it. */
export interface AuthServer extends Scripted<TokenRequest>, AsyncDisposable {
  /** The URL of the token endpoint. */
  readonly tokenEndpoint: string;
  /** `expires_in` of the next answers, in seconds; `null` omits it. It does not limit how long a token is live. */
  expiresIn: number | null;
  /** The number of tokens that were issued, including those of scripted answers. */
  readonly mints: number;
  /** The access tokens that were issued, oldest first. */
  readonly issued: readonly string[];
  /** Returns whether this server issued the token and has not revoked it. */
  isLive(value: string): boolean;
  /** Revokes one token. */
  revoke(value: string): void;
  /** Revokes all tokens that were issued so far. */
  revokeAll(): void;
}

/** A request that the token endpoint received. */
export interface TokenRequest {
  /** The HTTP method. */
  readonly method: string;
  /** The path without the query. */
  readonly path: string;
  /** The headers, with names in lower case. */
  readonly headers: ReceivedHeaders;
  /** The body, decoded as UTF-8. */
  readonly body: string;
  /** The body, parsed as form parameters. */
  readonly form: URLSearchParams;
}

const TOKEN_PATH = "/token";

class LoopbackAuthServer extends ScriptedServer<TokenRequest> implements AuthServer {
  expiresIn: number | null;
  readonly issued: string[] = [];
  readonly #live = new Set<string>();
  readonly #client: Partial<ClientCredentials>;
  #minted = 0;

  constructor(options: AuthServerOptions) {
    super(options.latency);
    const { clientId, clientSecret, expiresIn = 3600 } = options;
    if (clientId !== undefined || clientSecret !== undefined) assertString("clientId", clientId);
    if (clientSecret !== undefined) assertString("clientSecret", clientSecret);
    if (expiresIn !== null && typeof expiresIn !== "number")
      throw optionError("expiresIn", expiresIn, "seconds or null");
    this.#client = { id: clientId, secret: clientSecret };
    this.expiresIn = expiresIn;
  }

  get tokenEndpoint(): string {
    return this.origin + TOKEN_PATH;
  }

  get mints(): number {
    return this.issued.length;
  }

  isLive(value: string): boolean {
    return this.#live.has(value);
  }

  revoke(value: string): void {
    this.#live.delete(value);
  }

  revokeAll(): void {
    this.#live.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  protected override record({ method, url, headers, body }: ReceivedRequest): TokenRequest {
    const text = new TextDecoder().decode(body);
    return { method, path: url.replace(/\?.*$/s, ""), headers, body: text, form: new URLSearchParams(text) };
  }

  protected override normalAnswer(request: TokenRequest): Answer {
    if (request.path !== TOKEN_PATH) return refusal(404, "not_found");
    if (request.method !== "POST") return refusal(405, "invalid_request", { allow: "POST" });
    if (!this.#isClient(request)) {
      // RFC 6749 section 5.2: the answer names the scheme if the client used the Authorization header.
      const basic = request.headers.authorization !== undefined;
      return refusal(401, "invalid_client", basic ? { "www-authenticate": 'Basic realm="token"' } : {});
    }
    if (!isForm(request) || request.form.get("grant_type") !== "client_credentials") {
      return refusal(400, "unsupported_grant_type");
    }
    const scope = request.form.get("scope");
    const body = {
      access_token: `at-${++this.#minted}-${randomBytes(24).toString("base64url")}`,
      token_type: "Bearer",
      ...(this.expiresIn === null ? {} : { expires_in: this.expiresIn }),
      ...(scope === null ? {} : { scope }),
    };
    return { body };
  }

  protected override beforeAnswer(_request: TokenRequest, answer: Answer): Answer {
    const value = (answer.status ?? 200) < 300 ? accessTokenIn(answer.body) : undefined;
    if (value !== undefined) {
      this.issued.push(value);
      this.#live.add(value);
    }
    return {
      ...answer,
      headers: { "content-type": "application/json", "cache-control": "no-store", ...answer.headers },
    };
  }

  #isClient(request: TokenRequest): boolean {
    if (this.#client.id === undefined) return true;
    const given = credentialsOf(request.headers.authorization, request.form);
    if (given?.id !== this.#client.id) return false;
    return this.#client.secret === undefined || given.secret === this.#client.secret;
  }
}

function refusal(status: number, error: string, headers: Answer["headers"] = {}): Answer {
  return { status, headers, body: { error } };
}

function isForm({ headers }: TokenRequest): boolean {
  return /^application\/x-www-form-urlencoded *(;|$)/i.test(String(headers["content-type"]));
}

function accessTokenIn(body: Answer["body"]): string | undefined {
  if (typeof body !== "object" || !("access_token" in body)) return undefined;
  return typeof body.access_token === "string" ? body.access_token : undefined;
}

/** The credentials that a client sent; `undefined` where it sent none. */
interface ClientCredentials {
  readonly id: string | undefined;
  readonly secret: string | undefined;
}

/**
 * Reads the credentials of `client_secret_basic`, or otherwise of `client_secret_post`. Returns `undefined` when they
 * are malformed, or when the request uses both methods.
 *
 * @see [RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749.html#section-2.3.1)
 */
function credentialsOf(authorization: string | undefined, form: URLSearchParams): ClientCredentials | undefined {
  const posted = { id: form.get("client_id") ?? undefined, secret: form.get("client_secret") ?? undefined };
  if (authorization === undefined) return posted;
  // RFC 6749 section 2.3: a request must not use more than one method.
  if (posted.secret !== undefined) return undefined;
  const [, encoded] = /^Basic +([A-Za-z0-9+/]+=*)$/i.exec(authorization) ?? [];
  if (encoded === undefined) return undefined;
  const pair = Buffer.from(encoded, "base64").toString("utf8");
  const colon = pair.indexOf(":");
  if (colon === -1) return undefined;
  try {
    return { id: formDecoded(pair.slice(0, colon)), secret: formDecoded(pair.slice(colon + 1)) };
  } catch {
    return undefined;
  }
}

/** @throws {URIError} When a percent sign is not followed by two hexadecimal digits, or the bytes are not UTF-8. */
function formDecoded(text: string): string {
  return decodeURIComponent(text.replaceAll("+", " "));
}
