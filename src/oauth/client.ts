/**
 * The client of one authorization server: the options that every grant with a token endpoint has, checked before
 * anything is sent.
 *
 * Not here: parameters of the token request (`parameters.ts`), client authentication (`client-authentication.ts`), the
 * lookup of an issuer's endpoints (`discovery.ts`), and the request itself (`request.ts`).
 *
 * @module
 */
import { assertFunction, membersOf, optionError, stringList } from "../base/options.ts";
import { LruMap } from "../base/lru.ts";
import { isCredentialName } from "../base/redacted.ts";
import { endpointName, endpointUrl, urlText } from "../base/url.ts";
import { authenticatorOf } from "./client-authentication.ts";
import { discoveryOf, issuerUrl } from "./discovery.ts";
import { assertText } from "./sendable.ts";
import type { ProofKey } from "../core/types.ts";
import type { TokenFetch, TokenShape } from "./answer.ts";
import type {
  Authenticator,
  ClientAuthentication,
  ClientAuthenticationName,
  ClientSecret,
} from "./client-authentication.ts";
import type { Endpoints } from "./discovery.ts";

/** The options that every grant with a token endpoint has: the authorization server, and the client. */
export interface TokenEndpointOptions {
  /**
   * The URL of the token endpoint. It must be https. Plain http is allowed on loopback, and elsewhere with
   * {@link TokenEndpointOptions.allowHttp}. Set either this or {@link TokenEndpointOptions.issuer}.
   *
   * @see [RFC 6749 section 3.2](https://www.rfc-editor.org/rfc/rfc6749.html#section-3.2)
   */
  readonly tokenEndpoint?: string | URL | undefined;
  /**
   * The authorization server's issuer, written exactly as in its metadata. The first request looks up its endpoints
   * (OpenID Connect Discovery, then RFC 8414). The result is kept for an hour, for all grants, and looked up again when the
   * token endpoint seems to have moved. A failed lookup is not kept.
   *
   * @see [RFC 8414 section 3](https://www.rfc-editor.org/rfc/rfc8414.html#section-3)
   */
  readonly issuer?: string | undefined;
  /**
   * The URL of the revocation endpoint.
   *
   * @defaultValue what the issuer's metadata says; with `tokenEndpoint` there is none
   * @see [RFC 7009 section 2](https://www.rfc-editor.org/rfc/rfc7009.html#section-2)
   */
  readonly revocationEndpoint?: string | URL | undefined;
  /** The client's id at the authorization server. */
  readonly clientId: string;
  /** The client's secret, or a function that is called before every request, so that a rotated secret is picked up. */
  readonly clientSecret?: ClientSecret | undefined;
  /**
   * How the client authenticates. `"client_secret_basic"` sends the secret in the `Authorization` header,
   * `"client_secret_post"` in the body. `"none"` is for public clients. For other methods, set what `privateKeyJwt()`,
   * `clientAssertion()`, `tlsClientAuth()` or `clientSecretBasic()` returns.
   *
   * @defaultValue "client_secret_basic" if there is a `clientSecret`; otherwise the option is required
   * @see [RFC 6749 section 2.3](https://www.rfc-editor.org/rfc/rfc6749.html#section-2.3)
   */
  readonly clientAuthentication?: ClientAuthenticationName | ClientAuthentication | undefined;
  /**
   * The key to bind the tokens to; `dpop()` of `remint/dpop` makes one. Token requests, and requests with the tokens,
   * then carry a proof of it. A token that the server did not bind to the key is refused.
   *
   * With a key that has no thumbprint, the grant has no `key`, even if the option `key` is set: no other process could
   * use the tokens.
   *
   * @see [RFC 9449 section 5](https://www.rfc-editor.org/rfc/rfc9449.html#section-5)
   */
  readonly dpop?: ProofKey | undefined;
  /**
   * Further token types of this server that are sent as `Bearer` tokens, in any case: `"BearerToken"`, `"bot"`, `"JWT"`. An
   * answer with another type is refused, because a client must not use a token that it does not understand. A missing type
   * counts as `Bearer`. Tokens that are bound by `dpop` are of type `DPoP`, whatever this option says.
   *
   * @defaultValue none
   * @see [RFC 6749 section 7.1](https://www.rfc-editor.org/rfc/rfc6749.html#section-7.1)
   */
  readonly tokenType?: string | readonly string[] | undefined;
  /** Headers of the token request. `Authorization` cannot be among them: it is made from the client's credentials. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /**
   * Sends the requests to the authorization server. It must not follow redirects.
   *
   * @defaultValue `globalThis.fetch`, looked up at every request
   */
  readonly fetch?: TokenFetch | undefined;
  /** Allows plain http beyond loopback, where a trusted network protects it. @defaultValue false */
  readonly allowHttp?: boolean | undefined;
}

/** Checked {@link TokenEndpointOptions}. They are a copy, so a later change of the caller's object has no effect. */
export interface TokenClient {
  /** The URL of the token endpoint, or of the issuer. It tells one server from another. */
  readonly url: URL;
  /** Origin and path of the token endpoint, or the issuer: the part that hints and grant keys may show. */
  readonly endpoint: string;
  /** Empty for a client that has no id. */
  readonly clientId: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: TokenFetch | undefined;
  readonly authenticator: Authenticator;
  readonly dpop: ProofKey | undefined;
  readonly server: Server;
  readonly shape: TokenShape;
  /** Requests are sent as JSON, not as a form. */
  readonly json: boolean;
  /** There is a revocation endpoint, or the issuer's metadata may have one. */
  readonly mayRevoke: boolean;
  /** Returns the names of the endpoints that are known by now. The same list, until more are found. */
  readonly endpoints: () => readonly string[];
}

/** The endpoints of a client's authorization server. */
interface Server {
  endpoints(signal: AbortSignal): Promise<Endpoints>;
  /** The endpoints are out of date: the next request looks them up again. */
  forget(): void;
  /** See {@link TokenClient.endpoints}. */
  names(): readonly string[];
}

/**
 * Checks the options that every grant with a token endpoint has.
 *
 * @throws {TypeError} When one of them is wrong. The message names the option.
 */
export function tokenClient(options: TokenEndpointOptions, more: UncommonOptions = {}): TokenClient {
  const { headers, tokenType, ...others } = options;
  // Checked first: what is wrong with them must not have the name of what is right.
  const taken = { ...others, headers: checkedHeaders(headers), tokenType: stringList("tokenType", tokenType) };
  const name = JSON.stringify([nameOf(taken), taken.headers, taken.tokenType, more]);
  let client = clients.use(name);
  if (client === undefined) clients.set(name, (client = newClient(taken, more)));
  return client;
}

/** Options whose headers and token types are checked. */
interface TakenOptions extends TokenEndpointOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly tokenType: readonly string[];
}

/** What only servers need that do not keep to RFC 6749. */
interface UncommonOptions {
  /** The client has no id. */
  readonly isAnonymous?: boolean | undefined;
  readonly tokenMember?: string | undefined;
  readonly json?: boolean | undefined;
}

/** The id of a client that has none. */
export const NO_CLIENT = "";

/** The clients that were used last. The grants of a pool's users have one client, with one look-up of its endpoints. */
const clients = new LruMap<string, TokenClient>(64);
/** Numbers for functions and objects, which only are themselves. */
const numbers = new WeakMap<object, number>();
let lastNumber = 0;

/** The same for two sets of options that say the same, apart from what {@link TakenOptions} has. */
function nameOf(options: TokenEndpointOptions): unknown[] {
  const { tokenEndpoint, issuer, revocationEndpoint, clientId, clientSecret, clientAuthentication } = options;
  const { dpop, fetch, allowHttp } = options;
  return [
    tokenEndpoint,
    issuer,
    revocationEndpoint,
    clientId,
    clientSecret,
    clientAuthentication,
    dpop,
    fetch,
    allowHttp,
  ].map(partOf);
}

function partOf(part: unknown): unknown {
  const text = urlText(part);
  if (text !== part) return text;
  if ((typeof part !== "object" || part === null) && typeof part !== "function")
    return `${typeof part} ${String(part)}`;
  let number = numbers.get(part);
  if (number === undefined) numbers.set(part, (number = ++lastNumber));
  return number;
}

function newClient(
  options: TakenOptions,
  { tokenMember, json = false, isAnonymous = false }: UncommonOptions,
): TokenClient {
  const { clientId, clientSecret, fetch, headers } = options;
  const address = addressOf(options);
  if (!isAnonymous) assertText("clientId", clientId);
  assertFunction("fetch", fetch);
  const tokenTypes = options.tokenType.map((type) => type.toLowerCase());
  const authenticator = authenticatorOf(options.clientAuthentication, { clientId, clientSecret });
  const server = serverOf(options, address, authenticator);
  return {
    ...address,
    clientId,
    headers,
    fetch,
    authenticator,
    dpop: checkedProofKey(options.dpop, headers),
    server,
    shape: { tokenTypes, tokenMember },
    json,
    mayRevoke: options.issuer !== undefined || options.revocationEndpoint !== undefined,
    endpoints: () => server.names(),
  };
}

/**
 * Whether a grant's key can tell its tokens from others without holding a secret. It cannot where a parameter or a
 * header is a credential, or where a certificate authenticates that only the user's `fetch` knows: two grants with
 * different credentials would have the same key, and would share a token.
 */
export function isNameable(client: TokenClient, form: URLSearchParams): boolean {
  const names = [...client.url.searchParams.keys(), ...form.keys(), ...Object.keys(client.headers)];
  return !client.authenticator.certificate && !names.some((name) => isCredentialName(name));
}

type Address = Pick<TokenClient, "url" | "endpoint">;

function addressOf({ tokenEndpoint, issuer, allowHttp = false }: TokenEndpointOptions): Address {
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

function serverOf(options: TokenEndpointOptions, { url }: Address, { certificate }: Authenticator): Server {
  const { issuer, revocationEndpoint, allowHttp = false, fetch } = options;
  const given =
    revocationEndpoint === undefined ? undefined : endpointUrl("revocationEndpoint", revocationEndpoint, allowHttp);
  const known = given === undefined ? [] : [endpointName(given)];
  if (issuer === undefined) {
    const endpoints: Endpoints = { issuer: undefined, token: url, revocation: () => given };
    const names = [endpointName(url), ...known];
    return { endpoints: async () => endpoints, forget: () => undefined, names: () => names };
  }
  const discovery = discoveryOf({ issuer, fetch, allowHttp });
  let found: readonly string[] = [];
  let names: readonly string[] = known;
  return {
    async endpoints(signal) {
      const endpoints = await discovery.endpoints(signal, certificate);
      return given === undefined ? endpoints : { ...endpoints, revocation: () => given };
    },
    forget: () => discovery.forget(),
    names() {
      if (found !== discovery.names) names = [...(found = discovery.names), ...known];
      return names;
    },
  };
}

function checkedHeaders(value: unknown = {}): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [name, text] of membersOf("headers", value)) {
    if (typeof text !== "string") throw optionError(`headers.${name}`, text, "a string");
    try {
      new Headers().append(name, text);
    } catch {
      // Thrown anew, because the runtime's own message quotes the value.
      throw new TypeError(`"headers" must be valid header names and values; "${name}" is not`);
    }
    headers[name.toLowerCase()] = text;
  }
  if (Object.hasOwn(headers, "authorization")) {
    throw new TypeError(`"headers" must not have "authorization": it is made from clientId and clientSecret`);
  }
  return headers;
}

/**
 * The DPoP key of a client. Only its shape is checked, so that a key of another copy of this package, or of the user's
 * own, fits.
 *
 * @throws {TypeError} When `value` is not a key, or when there is a proof among the headers already.
 */
function checkedProofKey(value: unknown, headers: Readonly<Record<string, string>>): ProofKey | undefined {
  if (value === undefined) return undefined;
  if (typeof (Object(value) as Partial<ProofKey>).prove !== "function") {
    throw optionError("dpop", value, `what dpop() of "remint/dpop" returns`);
  }
  if (Object.hasOwn(headers, "dpop"))
    throw new TypeError(`"headers" must not have "dpop": it is made by the option "dpop"`);
  return value as ProofKey;
}
