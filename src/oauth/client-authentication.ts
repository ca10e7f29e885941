/**
 * How a client proves to the authorization server who it is (RFC 6749 section 2.3, RFC 7523 section 2.2, RFC 8705
 * section 2). One method per request, by construction.
 *
 * @module
 */
import { ClientSecretBasic, ClientSecretPost, modifyAssertion, None, PrivateKeyJwt, TlsClientAuth } from "oauth4webapi";
import { isVisibleAscii, toBase64, utf8 } from "../base/bytes.ts";
import { signingKey } from "../base/keys.ts";
import {
  assertFunction,
  assertOptions,
  assertString,
  assertStringSource,
  kindOf,
  optionError,
  stringOf,
} from "../base/options.ts";
import type { ClientAuth, JsonValue } from "oauth4webapi";
import type { ImportedKey, SigningKeyOptions } from "../base/keys.ts";
import type { StringSource } from "../base/options.ts";

/** A secret, or a function that is asked before every request, so that a rotated secret is picked up. */
export type ClientSecret = StringSource;

/** The methods that need nothing but a name. */
export type ClientAuthenticationName = "client_secret_basic" | "client_secret_post" | "none";

/** A way to authenticate, as `clientSecretBasic()`, `privateKeyJwt()`, `clientAssertion()` and `tlsClientAuth()` make it. */
export interface ClientAuthentication {
  /** Its name in the IANA registry of token endpoint authentication methods. */
  readonly method: string;
  /**
   * Makes what authenticates the requests of one client.
   *
   * @throws {TypeError} When the client's other options do not fit.
   * @internal
   */
  readonly forClient: (client: ClientIdentity) => Authenticator;
}

/** Who authenticates. */
export interface ClientIdentity {
  readonly clientId: string;
  readonly clientSecret: ClientSecret | undefined;
}

/** Makes the credentials of every request anew (T33). */
export interface Authenticator {
  /** RFC 8705: the connection's certificate authenticates, so metadata's `mtls_endpoint_aliases` are used. */
  readonly certificate: boolean;
  credentials(request: AuthenticatedRequest): Promise<Credentials>;
}

/** The request that is to be authenticated. */
export interface AuthenticatedRequest {
  /** The authorization server: its issuer where that is known, else the URL of its token endpoint. */
  readonly audience: string;
  readonly signal: AbortSignal;
}

/** What authenticates one request. */
export interface Credentials {
  readonly clientAuth: ClientAuth;
  /** What no error may show. */
  readonly secrets: readonly string[];
}

/**
 * The client's way to authenticate: what the option says, else `client_secret_basic` where there is a secret.
 *
 * @throws {TypeError} When there is none, or the client's other options do not fit it.
 */
export function authenticatorOf(option: unknown, client: ClientIdentity): Authenticator {
  const { clientSecret } = client;
  if (clientSecret !== undefined) assertStringSource("clientSecret", clientSecret);
  if (option === undefined && clientSecret === undefined) {
    throw new TypeError(
      `"clientSecret" must be a non-empty string, or a function that returns one, got undefined. A client without a ` +
        `secret says how it authenticates: clientAuthentication: privateKeyJwt({ key }), clientAssertion(source), ` +
        `tlsClientAuth() or, if it is a public client, "none"`,
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

/** @throws {TypeError} When a secret is given that the method would not send. */
export function refuseSecret(method: string, { clientSecret }: ClientIdentity): void {
  if (clientSecret === undefined) return;
  throw new TypeError(
    `"clientSecret" must not be given with the client authentication "${method}", which does not send it, ` +
      `got ${kindOf(clientSecret)}`,
  );
}

/** A method that sends the client's secret. */
function withSecret(
  method: string,
  clientAuth: (secret: string) => ClientAuth,
  check?: (clientId: string) => void,
): ClientAuthentication {
  return {
    method,
    forClient({ clientId, clientSecret }) {
      assertStringSource("clientSecret", clientSecret);
      check?.(clientId);
      return {
        certificate: false,
        async credentials() {
          const secret = await stringOf("clientSecret", clientSecret!);
          return { clientAuth: clientAuth(secret), secrets: [secret] };
        },
      };
    },
  };
}

/** A method that sends the client's id, and no credentials of its own. */
function withoutSecret(method: string, clientAuth: ClientAuth, certificate: boolean): ClientAuthentication {
  return {
    method,
    forClient(client) {
      refuseSecret(method, client);
      return { certificate, credentials: async () => ({ clientAuth, secrets: [] }) };
    },
  };
}

const BY_NAME: Readonly<Record<ClientAuthenticationName, ClientAuthentication>> = {
  client_secret_basic: withSecret("client_secret_basic", ClientSecretBasic),
  client_secret_post: withSecret("client_secret_post", ClientSecretPost),
  none: withoutSecret("none", None(), false),
};

/** Options of {@link clientSecretBasic}. */
export interface ClientSecretBasicOptions {
  /**
   * `"form"` encodes id and secret before they are joined, as RFC 6749 says. `"raw"` does not, for servers that never
   * decoded: they refuse a correct client whose secret has characters such as `+`, `/` or `%` in it.
   *
   * @defaultValue "form"
   */
  readonly encoding?: "form" | "raw" | undefined;
}

/**
 * The client's id and secret in the `Authorization` header; `clientAuthentication: "client_secret_basic"` is the same
 * with the default encoding.
 *
 * @throws {TypeError} When an option is wrong.
 * @see [RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749.html#section-2.3.1)
 */
export function clientSecretBasic({ encoding = "form" }: ClientSecretBasicOptions = {}): ClientAuthentication {
  if (encoding === "form") return BY_NAME.client_secret_basic;
  if (encoding !== "raw") throw optionError("encoding", encoding, `"form" or "raw"`);
  return withSecret("client_secret_basic", rawBasic, (clientId) => {
    if (clientId.includes(":")) throw new TypeError(`"clientId" must not have a colon in it with encoding: "raw"`);
  });
}

/** RFC 7617 section 2.1: UTF-8, joined as they are. */
function rawBasic(secret: string): ClientAuth {
  return (_server, client, _body, headers) => {
    headers.set("authorization", `Basic ${toBase64(utf8(`${client.client_id}:${secret}`))}`);
  };
}

/**
 * The client's certificate authenticates it (`tls_client_auth`, `self_signed_tls_client_auth`): the request has the
 * client's id, and the connection has the certificate. Connections are made by your `fetch`: give the grant one that
 * presents the certificate (undici: `dispatcher: new Agent({ connect: { cert, key } })`).
 *
 * With `issuer`, the endpoints of the metadata's `mtls_endpoint_aliases` are used. Tokens may be bound to the certificate:
 * the APIs then want the same one, and a grant's `key` has to name it.
 *
 * @see [RFC 8705 section 2](https://www.rfc-editor.org/rfc/rfc8705.html#section-2)
 */
export function tlsClientAuth(): ClientAuthentication {
  return withoutSecret("tls_client_auth", TlsClientAuth(), true);
}

// MERGED Clients that authenticate with a JWT: signed here with their own key, or made by somebody else.
/** What an assertion has to say. */
export interface ClientAssertionContext {
  readonly clientId: string;
  /** Whom it is for: the issuer where that is known (`issuer` is given), else the URL of the token endpoint. */
  readonly audience: string;
  /** Fires when nobody waits any more. */
  readonly signal: AbortSignal;
}

/** Makes, or fetches, an assertion. Called for every request, because no assertion may be used twice. */
export type ClientAssertionSource = (context: ClientAssertionContext) => string | Promise<string>;

/** Options of {@link privateKeyJwt}. */
export interface PrivateKeyJwtOptions extends SigningKeyOptions {
  /**
   * The assertion's `aud`, for servers that want another than the default.
   *
   * @defaultValue the issuer where that is known (`issuer` is given), else the URL of the token endpoint
   */
  readonly audience?: string | undefined;
}

const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/**
 * A JWT that the client signs with its private key: nothing secret is sent. Every request has a new one, with a `jti` of
 * its own, good for 60 s, and with the server as its only audience.
 *
 * @throws {TypeError} When the key cannot sign; for older forms of PEM the message has the command that converts them.
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
  assertOptions("privateKeyJwt", options);
  const { audience } = options;
  if (audience !== undefined) assertString("audience", audience);
  const key = signingKey(options);
  return withAssertion("private_key_jwt", async ({ clientId, audience: server }) =>
    signedJwt(await key(), { iss: clientId, sub: clientId, aud: audience ?? server }),
  );
}

/**
 * A JWT that something else makes: a workload identity (`tokenFromFile` of `remint/node`), a key in a vault or an HSM.
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
  if (source === undefined) throw optionError("source", source, "a function that returns an assertion");
  assertFunction("source", source);
  return withAssertion("private_key_jwt", source);
}

function withAssertion(method: string, source: ClientAssertionSource): ClientAuthentication {
  return {
    method,
    forClient(client) {
      refuseSecret(method, client);
      const { clientId } = client;
      return {
        certificate: false,
        async credentials(request) {
          const assertion: unknown = await source({ clientId, ...request });
          if (typeof assertion !== "string" || !isVisibleAscii(assertion)) {
            throw optionError("clientAssertion", assertion, "a function that returns a JWT (visible ASCII, no spaces)");
          }
          return { clientAuth: sends(assertion), secrets: [] }; // what is sent by this name is known to be secret
        },
      };
    },
  };
}

function sends(assertion: string): ClientAuth {
  return (_server, client, body) => {
    body.set("client_id", client.client_id);
    body.set("client_assertion_type", ASSERTION_TYPE);
    body.set("client_assertion", assertion);
  };
}

/**
 * A JWT of these claims; `jti`, `iat`, `nbf` and `exp` (60 s) are new in every one, unless the claims say otherwise.
 * A claim that is `undefined` is left out.
 */
export async function signedJwt(
  { key, alg, kid }: ImportedKey,
  claims: Readonly<Record<string, JsonValue | undefined>>,
): Promise<string> {
  const body = new URLSearchParams();
  const sign = PrivateKeyJwt(kid === undefined ? { key } : { key, kid }, {
    [modifyAssertion](header, payload) {
      header["alg"] = alg; // for Ed25519 keys, oauth4webapi writes the name that few servers know yet
      Object.assign(payload, claims);
    },
  });
  // A client assertion is the one JWT oauth4webapi signs; what makes it one, the claims replace.
  await sign({ issuer: "" }, { client_id: "" }, body, new Headers());
  return body.get("client_assertion") ?? "";
}
