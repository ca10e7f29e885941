/**
 * Salesforce: its four grants at one login server, and what its APIs say when a session is over.
 *
 * - `instance_url` of an answer must be the configured one, or the token is not used: it belongs to another org.
 * - Answers have no `expires_in`: a session lives as long as the org's settings say, and longer while it is used. A token
 *   is kept for 30 minutes, and replaced before that when an API says that the session is over.
 * - The server may hand out the same live token again; that is no error (C8).
 *
 * @module
 */
import type { Grant } from "../core/types.ts";
import { clientSecretBasic } from "../oauth/client-authentication.ts";
import { clientCredentials } from "../grants/client-credentials.ts";
import { assertionGrant } from "../grants/jwt-bearer.ts";
import { refreshToken, type RefreshTokenOptions } from "../grants/refresh-token.ts";
import type { SigningKeyOptions } from "../base/keys.ts";
import type { GrantOptions } from "../oauth/parameters.ts";
import { tokenClient, type TokenEndpointOptions } from "../oauth/request.ts";
import { exchangeGrant, type TokenInput, type TokenType } from "../grants/token-exchange.ts";
import { assertString, optionError } from "../base/options.ts";
import { forOrg, orgOf, type Org } from "./salesforce-org.ts";
import { shortEnough } from "./salesforce-subject.ts";

export { salesforceToken } from "./salesforce-org.ts";
export type { SalesforceToken } from "./salesforce-org.ts";

/** What every Salesforce grant takes. */
export interface SalesforceOptions extends Pick<TokenEndpointOptions, "headers" | "fetch" | "allowHttp"> {
  /** Where users of the org log in: its My Domain, or https://login.salesforce.com for the grants that allow it. */
  readonly loginUrl: string | URL;
  /** The org's API base, its My Domain: the only place its tokens are sent to. */
  readonly instanceUrl: string | URL;
  /** The consumer key of the connected app. */
  readonly clientId: string;
  readonly scope?: string | readonly string[] | undefined;
  /** Milliseconds a token is kept; 0 does not keep it. @defaultValue 1_800_000 (30 minutes) */
  readonly defaultTtl?: number | undefined;
  /** Names whose token this is without any secret; see `GrantOptions.key`. */
  readonly key?: string | undefined;
}

/** {@link SalesforceOptions} with the connected app's secret. */
export interface SalesforceSecretOptions extends SalesforceOptions {
  /** The consumer secret, or a function that is asked for it before every token request. */
  readonly clientSecret: string | (() => string | Promise<string>);
  /** @defaultValue "client_secret_basic", which Salesforce recommends */
  readonly clientAuthentication?: "client_secret_basic" | "client_secret_post" | undefined;
}

/** {@link SalesforceSecretOptions}, for apps that need not prove who they are. */
export interface SalesforceOptionalSecretOptions extends SalesforceOptions {
  /** The consumer secret, or a function that is asked for it before every token request. */
  readonly clientSecret?: SalesforceSecretOptions["clientSecret"] | undefined;
  /** @defaultValue "client_secret_basic", which Salesforce recommends */
  readonly clientAuthentication?: SalesforceSecretOptions["clientAuthentication"];
}

/** Options of {@link salesforceJwtBearer}. */
export interface SalesforceJwtBearerOptions extends SalesforceOptions {
  /** The user the token is for. */
  readonly username: string;
  /** The private key whose certificate the connected app has: a `CryptoKey`, a JWK or PEM (PKCS#8). */
  readonly privateKey: SigningKeyOptions["key"];
  /** @defaultValue `loginUrl` */
  readonly audience?: string | undefined;
}

/** Options of {@link salesforceRefreshToken}. */
export interface SalesforceRefreshTokenOptions
  extends SalesforceOptionalSecretOptions, Pick<RefreshTokenOptions, "refreshToken" | "onRotate" | "current"> {}

/** Options of {@link salesforceTokenExchange}. */
export interface SalesforceTokenExchangeOptions extends SalesforceOptionalSecretOptions {
  /** The identity provider's token, at most 10,000 characters. */
  readonly subjectToken: TokenInput;
  /** @defaultValue "access_token" */
  readonly subjectTokenType?: TokenType | undefined;
  /** See `TokenExchangeOptions.subjectExpiresAt`. */
  readonly subjectExpiresAt?: number | Date | (() => number | Date | undefined) | undefined;
  /** The Apex handler that maps the token to a user. @defaultValue the app's default handler */
  readonly tokenHandler?: string | undefined;
}

const KEY_NAMES = { key: "privateKey", kid: "privateKey" } as const;
const SHARED_LOGIN_HOSTS = ["login.salesforce.com", "test.salesforce.com"];

/**
 * The client credentials grant: a token for the integration user of the connected app.
 *
 * @throws {TypeError} When an option is wrong; `loginUrl` must be the org's My Domain here.
 * @example
 * ```ts
 * const tokens = createTokenCache({
 *   grant: salesforceClientCredentials({
 *     loginUrl: "https://acme.my.salesforce.com",
 *     instanceUrl: "https://acme.my.salesforce.com",
 *     clientId: consumerKey,
 *     clientSecret: consumerSecret,
 *   }),
 * });
 * ```
 */
export function salesforceClientCredentials(options: SalesforceSecretOptions): Grant {
  const org = orgOf("salesforceClientCredentials", options);
  const { hostname } = new URL(org.loginUrl);
  if (SHARED_LOGIN_HOSTS.includes(hostname)) {
    throw new TypeError(
      `"loginUrl" must be the org's My Domain, such as https://acme.my.salesforce.com: ` +
        `${hostname} does not support client credentials`,
    );
  }
  return forOrg(org, clientCredentials(endpointOptions(org, options)));
}

/**
 * The JWT bearer grant: a token for a user who allowed it once, without the user. Signed with RS256, good for a minute.
 *
 * @throws {TypeError} When an option is wrong.
 */
export function salesforceJwtBearer(options: SalesforceJwtBearerOptions): Grant {
  const org = orgOf("salesforceJwtBearer", options);
  const { clientId, username, privateKey, audience = org.loginUrl } = options;
  assertString("clientId", clientId);
  assertString("username", username);
  assertString("audience", audience);
  const assertion = { key: privateKey, alg: "RS256", issuer: clientId, subject: username, audience } as const;
  return forOrg(org, assertionGrant({ ...publicOptions(org, options), assertion }, KEY_NAMES));
}

/**
 * The refresh token grant.
 *
 * @throws {TypeError} When an option is wrong.
 */
export function salesforceRefreshToken(options: SalesforceRefreshTokenOptions): Grant<string> {
  const org = orgOf("salesforceRefreshToken", options);
  const { refreshToken: first, onRotate, current } = options;
  return forOrg(org, refreshToken({ ...publicOptions(org, options), refreshToken: first, onRotate, current }));
}

/**
 * The token exchange grant: a session for the user an identity provider's token speaks of.
 *
 * @throws {TypeError} When an option is wrong.
 */
export function salesforceTokenExchange(options: SalesforceTokenExchangeOptions): Grant {
  const org = orgOf("salesforceTokenExchange", options);
  const { subjectToken, subjectTokenType, subjectExpiresAt, tokenHandler } = options;
  if (tokenHandler !== undefined) assertString("tokenHandler", tokenHandler);
  const endpoint = publicOptions(org, options);
  const exchange = {
    ...endpoint,
    subjectToken: shortEnough(subjectToken),
    subjectTokenType,
    subjectExpiresAt,
    ...(tokenHandler !== undefined && { parameters: { token_handler: tokenHandler } }),
  };
  // Its documented answers have no `issued_token_type`.
  return forOrg(
    org,
    exchangeGrant(tokenClient(endpoint), exchange, () => {}),
  );
}

function endpointOptions({ loginUrl }: Org, options: SalesforceOptionalSecretOptions): GrantOptions {
  const { clientId, clientSecret, scope, key, headers, fetch, allowHttp } = options;
  return {
    tokenEndpoint: `${loginUrl}/services/oauth2/token`,
    revocationEndpoint: `${loginUrl}/services/oauth2/revoke`,
    clientId,
    clientSecret,
    clientAuthentication: clientSecret === undefined ? undefined : authentication(options),
    scope,
    key,
    headers,
    fetch,
    allowHttp,
  };
}

/** Salesforce documents Basic credentials that are not form-encoded first; consumer keys have dots in them. */
function authentication({
  clientAuthentication = "client_secret_basic",
}: Pick<
  SalesforceOptionalSecretOptions,
  "clientSecret" | "clientAuthentication"
>): GrantOptions["clientAuthentication"] {
  const isBasic = clientAuthentication === "client_secret_basic";
  return isBasic ? clientSecretBasic({ encoding: "raw" }) : clientAuthentication;
}

/** For grants that an app without a secret may use too: who knows the assertion or the token needs no more. */
function publicOptions(org: Org, options: SalesforceOptionalSecretOptions): GrantOptions {
  const endpoint = endpointOptions(org, options);
  const { clientSecret, clientAuthentication } = options;
  if (clientSecret !== undefined) return endpoint;
  // Whoever says how the secret goes means to send one: most often a variable that is not set.
  if (clientAuthentication !== undefined)
    throw optionError("clientSecret", clientSecret, "given for clientAuthentication");
  return { ...endpoint, clientAuthentication: "none" };
}
