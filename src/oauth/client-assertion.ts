/**
 * Clients that authenticate with a JWT: signed here with their own key, or made by somebody else.
 *
 * @module
 */
import type { ClientAuth } from "oauth4webapi";
import { assertFunction, assertOptions, assertString, optionError } from "../base/options.ts";
import { refuseSecret, type ClientAuthentication } from "./client-authentication.ts";
import { signedJwt } from "./signed-jwt.ts";
import { signingKey, type SigningKeyOptions } from "../base/keys.ts";

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

/** S4's alphabet; every JWT is written in it. */
const VISIBLE_ASCII = /^[\x21-\x7e]+$/;

/**
 * A JWT that the client signs with its private key: nothing secret is sent. Every request has a new one, with a `jti` of
 * its own, good for 60 s, and with the server as its only audience.
 *
 * @throws {TypeError} When the key can not sign; for older forms of PEM the message has the command that converts them.
 * @see [RFC 7523 section 2.2](https://www.rfc-editor.org/rfc/rfc7523.html#section-2.2)
 * @example
 * ```ts
 * const grant = clientCredentials({
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
 * const grant = clientCredentials({
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
          if (typeof assertion !== "string" || !VISIBLE_ASCII.test(assertion)) {
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
