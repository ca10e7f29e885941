/**
 * Where a grant asks for its tokens and as whom: the options every grant with a token endpoint has, checked.
 *
 * S1 https, or http on loopback, or where `allowHttp` says so: checked before anything is sent.
 *
 * @module
 */
import { assertFunction, assertString, optionError } from "../base/options.ts";
import { endpointUrl } from "../base/url.ts";
import { authenticatorOf } from "./client-authentication.ts";
import { Discovery, issuerUrl } from "./discovery.ts";
import { CREDENTIAL_NAME } from "./redaction.ts";
import type { ProofKey } from "../core/types.ts";
import type { TokenFetch } from "./answer.ts";
import type {
  Authenticator,
  ClientAuthentication,
  ClientAuthenticationName,
  ClientSecret,
} from "./client-authentication.ts";
import type { Endpoints } from "./discovery.ts";

/** Where a grant asks for its tokens, and as whom. */
export interface TokenEndpointOptions {
  /**
   * The token endpoint: https, or http on loopback, or http with {@link TokenEndpointOptions.allowHttp} (S1). Either this
   * or {@link TokenEndpointOptions.issuer}.
   */
  readonly tokenEndpoint?: string | URL | undefined;
  /**
   * The authorization server's issuer, exactly as its metadata writes it. Its endpoints are looked up by the first request
   * (OpenID Connect Discovery, then RFC 8414) and kept; a failed lookup is not.
   *
   * @see [RFC 8414 section 3](https://www.rfc-editor.org/rfc/rfc8414.html#section-3)
   */
  readonly issuer?: string | undefined;
  /** Where tokens are revoked (RFC 7009). @defaultValue what the issuer's metadata says; none for a `tokenEndpoint` */
  readonly revocationEndpoint?: string | URL | undefined;
  readonly clientId: string;
  /** The secret, or a function that is asked before every token request, so that a rotated secret is picked up. */
  readonly clientSecret?: ClientSecret | undefined;
  /**
   * How the client authenticates. By name: with its secret in the `Authorization` header, with its secret in the body for
   * servers that only know that, or not at all (`"none"`, public clients). Or what `privateKeyJwt()`,
   * `clientAssertion()`, `tlsClientAuth()` or `clientSecretBasic()` returns.
   *
   * @defaultValue "client_secret_basic" where there is a `clientSecret`; else it has to be said
   * @see [RFC 6749 section 2.3](https://www.rfc-editor.org/rfc/rfc6749.html#section-2.3)
   */
  readonly clientAuthentication?: ClientAuthenticationName | ClientAuthentication | undefined;
  /**
   * The key to bind the tokens to, as `dpop()` of `remint/dpop` makes it: the token request carries a proof of it, and so
   * does every request the tokens are sent with. A token that the server did not bind is refused.
   *
   * Tokens of a key that only this process has must not be shared: the grant has no `key` then, whatever the option says.
   *
   * @see [RFC 9449 section 5](https://www.rfc-editor.org/rfc/rfc9449.html#section-5)
   */
  readonly dpop?: ProofKey | undefined;
  /** Headers of the token request. `Authorization` is made from the client's credentials and cannot be among them. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Sends the token request, and the lookup; must not follow redirects. @defaultValue `globalThis.fetch`, looked up at every request */
  readonly fetch?: TokenFetch | undefined;
  /** Says that a trusted network protects plain http beyond loopback. @defaultValue false */
  readonly allowHttp?: boolean | undefined;
}

/** Checked {@link TokenEndpointOptions}: a copy, so that later changes of the caller's object change nothing. */
export interface TokenClient {
  /** The token endpoint, or the issuer: what there is to tell one server from another. */
  readonly url: URL;
  /** Origin and path of the token endpoint, or the issuer: what messages and keys may show of it. */
  readonly endpoint: string;
  readonly clientId: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: TokenFetch | undefined;
  readonly authenticator: Authenticator;
  readonly dpop: ProofKey | undefined;
  readonly server: Server;
  /** There is a revocation endpoint, or may be one in the issuer's metadata. */
  readonly mayRevoke: boolean;
}

/** The endpoints of a client's authorization server. */
export interface Server {
  endpoints(signal: AbortSignal): Promise<Endpoints>;
  /** They turned out to be out of date. */
  forget(): void;
}

/**
 * Checks the options that every grant with a token endpoint has.
 *
 * @throws {TypeError} When one of them is wrong; it names the option.
 */
export function tokenClient(options: TokenEndpointOptions): TokenClient {
  const { clientId, clientSecret, fetch } = options;
  const where = placeOf(options);
  assertString("clientId", clientId);
  assertFunction("fetch", fetch);
  const authenticator = authenticatorOf(options.clientAuthentication, { clientId, clientSecret });
  const headers = checkedHeaders(options.headers);
  return {
    ...where,
    clientId,
    headers,
    fetch,
    authenticator,
    dpop: checkedProofKey(options.dpop, headers),
    server: serverOf(options, where, authenticator),
    mayRevoke: options.issuer !== undefined || options.revocationEndpoint !== undefined,
  };
}

/**
 * Whether the token can be named without a secret: nothing that makes it another token is a credential, or a certificate
 * that only the user's fetch knows. Where it cannot, two grants with equal keys could share what is not the same.
 */
export function isNameable(client: TokenClient, form: URLSearchParams): boolean {
  const names = [...client.url.searchParams.keys(), ...form.keys(), ...Object.keys(client.headers)];
  return !client.authenticator.certificate && !names.some((name) => CREDENTIAL_NAME.test(name));
}

type Place = Pick<TokenClient, "url" | "endpoint">;

function placeOf({ tokenEndpoint, issuer, allowHttp = false }: TokenEndpointOptions): Place {
  if (issuer !== undefined && tokenEndpoint !== undefined) {
    throw new TypeError(
      `"issuer" must not be given together with "tokenEndpoint": its metadata has the token endpoint`,
    );
  }
  if (issuer !== undefined) return { url: issuerUrl(issuer, allowHttp), endpoint: issuer };
  if (tokenEndpoint === undefined) {
    throw optionError("tokenEndpoint", tokenEndpoint, `an absolute URL (or "issuer" be given, to look it up)`);
  }
  const url = endpointUrl("tokenEndpoint", tokenEndpoint, allowHttp);
  if (url.hash !== "") throw new TypeError(`"tokenEndpoint" must not have a fragment (RFC 6749 section 3.2)`);
  return { url, endpoint: url.origin + url.pathname };
}

function serverOf(options: TokenEndpointOptions, { url }: Place, { certificate }: Authenticator): Server {
  const { issuer, revocationEndpoint, allowHttp = false, fetch } = options;
  const given =
    revocationEndpoint === undefined ? undefined : endpointUrl("revocationEndpoint", revocationEndpoint, allowHttp);
  if (issuer === undefined) {
    const endpoints: Endpoints = { issuer: undefined, token: url, revocation: () => given };
    return { endpoints: async () => endpoints, forget: () => undefined };
  }
  const discovery = new Discovery({ issuer, fetch, allowHttp, certificate });
  return {
    async endpoints(signal) {
      const found = await discovery.endpoints(signal);
      return given === undefined ? found : { ...found, revocation: () => given };
    },
    forget: () => discovery.forget(),
  };
}

function checkedHeaders(value: unknown = {}): Readonly<Record<string, string>> {
  if (typeof value !== "object" || value === null) throw optionError("headers", value, "an object of strings");
  const headers: Record<string, string> = {};
  for (const [name, text] of Object.entries(value) as [string, unknown][]) {
    if (typeof text !== "string") throw optionError(`headers.${name}`, text, "a string");
    try {
      new Headers().append(name, text);
    } catch {
      // The platform's own message quotes the value.
      throw new TypeError(`"headers" must be valid header names and values; "${name}" is not`);
    }
    headers[name.toLowerCase()] = text;
  }
  if (Object.hasOwn(headers, "authorization")) {
    throw new TypeError(`"headers" must not have "authorization": it is made from clientId and clientSecret`);
  }
  return headers;
}

// MERGED Token requests that carry a proof of the key their token is to be bound to (DPoP), and what their answers must say.
// MERGED
// MERGED A server that asks for a nonce gets the request once more with it: within the attempt of the mint, because nothing has
// MERGED failed (C9, C11) and no refresh token was used up.
/** @throws {TypeError} When `value` is given and no key, or there is a proof among the headers already. */
export function checkedProofKey(value: unknown, headers: Readonly<Record<string, string>>): ProofKey | undefined {
  if (value === undefined) return undefined;
  // Structural: two copies of this package agree, and a key may be a user's own.
  if (typeof (Object(value) as Partial<ProofKey>).prove !== "function") {
    throw optionError("dpop", value, `what dpop() of "remint/dpop" returns`);
  }
  if (Object.hasOwn(headers, "dpop"))
    throw new TypeError(`"headers" must not have "dpop": it is made by the option "dpop"`);
  return value as ProofKey;
}
