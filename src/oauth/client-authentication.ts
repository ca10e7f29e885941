/**
 * How a client authenticates to the authorization server: with its secret, a signed JWT, its TLS certificate, or not at
 * all. A request uses one method only (RFC 6749 section 2.3).
 *
 * Not here: the keys that sign (`base/keys.ts`), and the request that is authenticated (`request.ts`).
 *
 * @module
 */
import { isVisibleAscii, toBase64, toBase64url, utf8 } from "../base/bytes.ts";
import { systemClock } from "../base/clock.ts";
import { RemintError } from "../base/errors.ts";
import { signingKey } from "../base/keys.ts";
import {
  requireFunction,
  assertOptions,
  assertString,
  assertStringSource,
  kindOf,
  optionError,
} from "../base/options.ts";
import { isSigner, jwtBySigner } from "../base/signer.ts";
import { callUserFunction } from "../base/user-function.ts";
import { assertSendable, assertSendableSource, sendable } from "./sendable.ts";
import type { ImportedKey, SigningKeyOptions } from "../base/keys.ts";
import type { StringSource } from "../base/options.ts";

/** A secret, or a function that is called before every request, so that a rotated secret is picked up. */
export type ClientSecret = StringSource;

/** The authentication methods that need no options, by their registered names. */
export type ClientAuthenticationName = "client_secret_basic" | "client_secret_post" | "none";

/**
 * A way to authenticate. {@link clientSecretBasic}, {@link privateKeyJwt}, {@link clientAssertion} and
 * {@link tlsClientAuth} make one.
 */
export interface ClientAuthentication {
  /** Its name in the IANA registry of token endpoint authentication methods. */
  readonly method: string;
  /**
   * Makes what authenticates the requests of one client.
   *
   * @throws {TypeError} When the client's other options do not fit the method.
   * @internal
   */
  readonly forClient: (client: ClientIdentity) => Authenticator;
}

/** The client that authenticates. */
interface ClientIdentity {
  /** Empty for a client that has no id. */
  readonly clientId: string;
  readonly clientSecret: ClientSecret | undefined;
}

/** Makes new credentials for every request: no assertion may be used twice. */
export interface Authenticator {
  /** A TLS certificate authenticates, so the metadata's `mtls_endpoint_aliases` are used (RFC 8705 section 5). */
  readonly certificate: boolean;
  /** The credentials are a JWT that is signed here, by this machine's clock. */
  readonly isSigned?: boolean | undefined;
  credentials(request: AuthenticatedRequest): Promise<Credentials>;
}

/** The request to authenticate. */
interface AuthenticatedRequest {
  /** The authorization server: its issuer where that is known, otherwise the URL of its token endpoint. */
  readonly audience: string;
  readonly signal: AbortSignal;
  /** Milliseconds that the server's clock is ahead of this machine's. */
  readonly skew: number;
}

/** What authenticates one request. */
interface Credentials {
  readonly headers?: Readonly<Record<string, string>>;
  /** Parameters of the request. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Texts that no error may show. */
  readonly secrets?: readonly string[];
  /** What else to check when the server refuses the client. */
  readonly toCheck?: string | undefined;
}

/** Options of {@link clientSecretBasic}. */
export interface ClientSecretBasicOptions {
  /**
   * `"form"` encodes the id and the secret before they are joined, as RFC 6749 says. `"raw"` does not. Some servers
   * never decode: with `"form"` they refuse a client whose secret contains characters such as `+`, `/` or `%`.
   *
   * @defaultValue "form"
   */
  readonly encoding?: "form" | "raw" | undefined;
}

/**
 * Authenticates with the client's id and secret in the `Authorization` header. With the default encoding it is the same
 * as `clientAuthentication: "client_secret_basic"`.
 *
 * @throws {TypeError} When an option is wrong.
 * @see [RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749.html#section-2.3.1)
 */
export function clientSecretBasic(options: ClientSecretBasicOptions = {}): ClientAuthentication {
  assertOptions("clientSecretBasic", options, ["encoding"]);
  const { encoding = "form" } = options;
  if (encoding === "form") return BY_NAME.client_secret_basic;
  if (encoding !== "raw") throw optionError("encoding", encoding, `"form" or "raw"`);
  return withSecret(
    "client_secret_basic",
    (clientId, secret) => basic(clientId, secret),
    (clientId) => {
      if (clientId.includes(":")) throw new TypeError(`"clientId" must not have a colon in it with encoding: "raw"`);
    },
  );
}

/** RFC 7617 section 2: id and secret in UTF-8, joined. */
function basic(clientId: string, secret: string): Credentials {
  return { headers: { authorization: `Basic ${toBase64(utf8(`${clientId}:${secret}`))}` }, secrets: [secret] };
}

/** RFC 6749 section 2.3.1: both are form-encoded first. */
function encodedBasic(clientId: string, secret: string): Credentials {
  const encoded = [clientId, secret].map(formEncoded) as [string, string];
  const isEncoded = encoded.join(":") !== `${clientId}:${secret}`;
  const toCheck = isEncoded
    ? `; the id or the secret has characters that are encoded, which some servers do not decode: ` +
      `try clientSecretBasic({ encoding: "raw" })`
    : undefined;
  return { ...basic(...encoded), secrets: [secret], toCheck };
}

/** Unreserved characters (RFC 3986 section 2.3) stay as they are, because some servers do not decode. */
function formEncoded(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, (found) => `%${found.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%20", "+");
}

/** Options of {@link privateKeyJwt}. */
export interface PrivateKeyJwtOptions extends SigningKeyOptions {
  /**
   * The assertion's `aud` claim, for servers that expect another value than the default.
   *
   * @defaultValue the issuer where it is known (`issuer` is set), otherwise the URL of the token endpoint
   */
  readonly audience?: string | undefined;
}

/**
 * Authenticates with a JWT that the client signs with its private key. No secret is sent. Every request has a new JWT
 * with a new `jti`, valid for 60 seconds, with the server as its only audience.
 *
 * @throws {TypeError} When the key cannot sign. For older PEM forms the message has the command that converts the key.
 * @see [RFC 7523 section 2.2](https://www.rfc-editor.org/rfc/rfc7523.html#section-2.2)
 * @example
 * ```ts
 * const grant = clientCredentialsGrant({
 *   issuer: "https://auth.example",
 *   clientId: "orders-service",
 *   clientAuthentication: privateKeyJwt({ key: secretFromFile("/run/secrets/client-key.pem"), kid: "2026-01" }),
 * });
 * ```
 */
export function privateKeyJwt(options: PrivateKeyJwtOptions): ClientAuthentication {
  assertOptions("privateKeyJwt", options, ["key", "alg", "kid", "header", "audience"]);
  const { audience } = options;
  if (audience !== undefined) assertString("audience", audience);
  const key = signingKey(options);
  return withAssertion(
    "private_key_jwt",
    async ({ clientId, audience: server, signal, skew }) => {
      const claims = { iss: clientId, sub: clientId, aud: audience ?? server };
      return signedJwt(await key(signal), claims, { skew, signal });
    },
    true,
  );
}

/** What the source of a client assertion is given. */
export interface ClientAssertionContext {
  /** The client's id: the assertion's `iss` and `sub` claims. */
  readonly clientId: string;
  /**
   * The assertion's `aud` claim: the issuer where it is known (`issuer` is set), otherwise the URL of the token
   * endpoint.
   */
  readonly audience: string;
  /** Aborts when the assertion is no longer needed. */
  readonly signal: AbortSignal;
}

/** Makes or fetches an assertion. Called for every request, because no assertion may be used twice. */
export type ClientAssertionSource = (context: ClientAssertionContext) => string | Promise<string>;

/**
 * Authenticates with a JWT that something else makes: a workload identity (`tokenFromFile` of `remint/node`), or a key
 * in a vault or an HSM.
 *
 * @throws {TypeError} When `source` is not a function.
 * @see [RFC 7523 section 2.2](https://www.rfc-editor.org/rfc/rfc7523.html#section-2.2)
 * @example
 * ```ts
 * const grant = clientCredentialsGrant({
 *   issuer: "https://login.example/tenant",
 *   clientId: "orders-service",
 *   clientAuthentication: clientAssertion(tokenFromFile("/var/run/secrets/tokens/identity")),
 * });
 * ```
 */
export function clientAssertion(source: ClientAssertionSource): ClientAuthentication {
  requireFunction("source", source, "a function that returns an assertion");
  return withAssertion("private_key_jwt", (context) =>
    callUserFunction("clientAssertion", context.signal, async () => {
      const { clientId, audience, signal } = context;
      const assertion: unknown = await source({ clientId, audience, signal });
      if (typeof assertion !== "string" || !isVisibleAscii(assertion)) {
        throw optionError("clientAssertion", assertion, "a function that returns a JWT (visible ASCII, no spaces)");
      }
      assertSendable("clientAssertion", assertion, "token");
      return assertion;
    }),
  );
}

/**
 * Authenticates with the client's TLS certificate (`tls_client_auth`, `self_signed_tls_client_auth`). The request
 * carries the client's id only. The connection presents the certificate, and your `fetch` makes the connection: set the
 * option `fetch` to one that presents the certificate (undici: `dispatcher: new Agent({ connect: { cert, key } })`).
 *
 * With `issuer`, the endpoints in the metadata's `mtls_endpoint_aliases` are used. Tokens may be bound to the
 * certificate. An API then expects the same certificate, and the grant's `key` must name it.
 *
 * @throws {TypeError} When it is given something, such as the certificate.
 * @see [RFC 8705 section 2](https://www.rfc-editor.org/rfc/rfc8705.html#section-2)
 */
export function tlsClientAuth(): ClientAuthentication;
export function tlsClientAuth(options?: unknown): ClientAuthentication {
  if (options !== undefined) {
    throw new TypeError('tlsClientAuth takes no options: what presents the certificate is the grant\'s option "fetch"');
  }
  return withoutSecret("tls_client_auth", true);
}

/**
 * Returns the client's way to authenticate: the one the option names, otherwise `client_secret_basic` if there is a
 * secret.
 *
 * @throws {TypeError} When there is neither, or when the client's other options do not fit.
 */
export function authenticatorOf(option: unknown, client: ClientIdentity): Authenticator {
  const { clientSecret } = client;
  if (clientSecret !== undefined) assertSendableSource("clientSecret", clientSecret, "secret");
  if (option === undefined && clientSecret === undefined) {
    throw new TypeError(
      `"clientSecret" must be a non-empty string, or a function that returns one, got undefined: is an environment ` +
        `variable unset? For a client without a secret, set clientAuthentication: privateKeyJwt({ key }), ` +
        `clientAssertion(source), tlsClientAuth() or, if it is a public client, "none"`,
    );
  }
  if (typeof option === "string" && Object.hasOwn(BY_NAME, option)) {
    return BY_NAME[option as ClientAuthenticationName].forClient(client);
  }
  if (isClientAuthentication(option)) return option.forClient(client);
  if (option === undefined) return BY_NAME.client_secret_basic.forClient(client);
  throw optionError(
    "clientAuthentication",
    option,
    `"client_secret_basic", "client_secret_post", "none" or what clientSecretBasic(), privateKeyJwt(), ` +
      `clientAssertion() or tlsClientAuth() return`,
  );
}

function isClientAuthentication(value: unknown): value is ClientAuthentication {
  return typeof value === "object" && value !== null && typeof (value as ClientAuthentication).forClient === "function";
}

/** Makes a method that sends the client's secret. */
function withSecret(
  method: string,
  credentialsOf: (clientId: string, secret: string) => Credentials,
  check?: (clientId: string) => void,
): ClientAuthentication {
  return {
    method,
    forClient({ clientId, clientSecret }) {
      assertStringSource("clientSecret", clientSecret);
      assertString("clientId", clientId);
      check?.(clientId);
      return {
        certificate: false,
        credentials: async ({ signal }) =>
          credentialsOf(clientId, await sendable("clientSecret", clientSecret!, "secret", signal)),
      };
    },
  };
}

/** Makes a method that sends the client's id and no credentials. */
function withoutSecret(method: string, certificate: boolean): ClientAuthentication {
  return {
    method,
    forClient(client) {
      refuseSecret(method, client);
      const parameters = idOf(client.clientId);
      return { certificate, credentials: async () => ({ parameters }) };
    },
  };
}

function idOf(clientId: string): Record<string, string> {
  return clientId === "" ? {} : { client_id: clientId };
}

/** Makes a method that sends an assertion. */
function withAssertion(
  method: string,
  source: (context: AuthenticatedRequest & { readonly clientId: string }) => Promise<string>,
  isSigned = false,
): ClientAuthentication {
  return {
    method,
    forClient(client) {
      refuseSecret(method, client);
      const { clientId } = client;
      assertString("clientId", clientId);
      return {
        certificate: false,
        isSigned,
        async credentials(request) {
          const client_assertion = await source({ clientId, ...request });
          // Nothing in `secrets`: the parameter's name, `client_assertion`, marks its value as a secret.
          return { parameters: { client_id: clientId, client_assertion_type: ASSERTION_TYPE, client_assertion } };
        },
      };
    },
  };
}

const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/** @throws {TypeError} When the client has a secret that the method would not send. */
function refuseSecret(method: string, { clientSecret }: ClientIdentity): void {
  if (clientSecret === undefined) return;
  throw new TypeError(
    `"clientSecret" must not be given with the client authentication "${method}", which does not send it, ` +
      `got ${kindOf(clientSecret)}`,
  );
}

const BY_NAME: Readonly<Record<ClientAuthenticationName, ClientAuthentication>> = {
  client_secret_basic: withSecret("client_secret_basic", encodedBasic),
  client_secret_post: withSecret("client_secret_post", (clientId, secret) => ({
    parameters: { client_id: clientId, client_secret: secret },
  })),
  none: withoutSecret("none", false),
};

/** How a JWT is signed. */
interface Signing {
  /** Seconds the JWT is valid for. */
  readonly lifetime?: number;
  /** Milliseconds that the server's clock is ahead of this machine's. */
  readonly skew?: number;
  readonly signal?: AbortSignal;
  /** The option that the key was given as. */
  readonly name?: string;
}

/**
 * Signs a JWT with these claims. `jti`, `iat` and `exp` are new in every JWT, because a server may refuse an assertion that
 * it has seen before. There is no `nbf`, because the server's clock may be behind.
 *
 * @throws {RemintError} `ERR_GRANT` when the package `jose` is not installed.
 */
export async function signedJwt(
  { key, alg, header }: ImportedKey,
  claims: Readonly<Record<string, unknown>>,
  { lifetime = 60, skew = 0, signal, name = "key" }: Signing = {},
): Promise<string> {
  const iat = Math.floor((systemClock.now() + skew) / 1000);
  const jti = toBase64url(globalThis.crypto.getRandomValues(new Uint8Array(16)));
  const complete = { jti, ...claims, iat, exp: iat + lifetime };
  if (isSigner(key)) return jwtBySigner(name, key, { header, claims: complete }, signal);
  const { SignJWT } = await jose();
  return new SignJWT(complete).setProtectedHeader({ ...header, alg }).sign(key);
}

async function jose(): Promise<typeof import("jose")> {
  try {
    return await import("jose");
  } catch {
    const hint = 'a JWT is signed with the package "jose", which could not be loaded: npm install jose';
    throw new RemintError("ERR_GRANT", "no token is available: the grant failed", { hint });
  }
}
