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
import { RemintError, tokenResponseError } from "../base/errors.ts";
import { leaveState } from "../base/left-state.ts";
import { assertOptions, assertString, duration, optionError } from "../base/options.ts";
import { endpointUrl, withoutTrailingSlashes } from "../base/url.ts";
import { definitionOf, grantOf } from "../core/grant.ts";
import { clientCredentialsGrant } from "../grants/client-credentials.ts";
import { assertionGrant } from "../grants/jwt-bearer.ts";
import { refreshTokenGrant } from "../grants/refresh-token.ts";
import { exchangeGrant } from "../grants/token-exchange.ts";
import { clientSecretBasic } from "../oauth/client-authentication.ts";
import { tokenClient } from "../oauth/client.ts";
import type { SigningKeyOptions } from "../base/keys.ts";
import type { Grant } from "../core/grant.ts";
import type { AccessToken, RejectionRule, TokenResponse } from "../core/types.ts";
import type { RefreshTokenGrantOptions } from "../grants/refresh-token.ts";
import type { TokenInput, TokenType } from "../grants/token-exchange.ts";
import type { ClientSecret } from "../oauth/client-authentication.ts";
import type { TokenEndpointOptions } from "../oauth/client.ts";
import type { GrantOptions } from "../oauth/parameters.ts";

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
  readonly clientSecret: ClientSecret;
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

/** Options of {@link salesforceJwtBearerGrant}. */
export interface SalesforceJwtBearerGrantOptions extends SalesforceOptions {
  /** The user the token is for. */
  readonly username: string;
  /** The private key whose certificate the connected app has: a `CryptoKey`, a JWK or PEM (PKCS#8). */
  readonly privateKey: SigningKeyOptions["key"];
  /** @defaultValue `loginUrl` */
  readonly audience?: string | undefined;
}

/** Options of {@link salesforceRefreshTokenGrant}. */
export interface SalesforceRefreshTokenGrantOptions
  extends SalesforceOptionalSecretOptions, Pick<RefreshTokenGrantOptions, "refreshToken" | "onRotate" | "current"> {}

/** Options of {@link salesforceTokenExchangeGrant}. */
export interface SalesforceTokenExchangeGrantOptions extends SalesforceOptionalSecretOptions {
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
 *   grant: salesforceClientCredentialsGrant({
 *     loginUrl: "https://acme.my.salesforce.com",
 *     instanceUrl: "https://acme.my.salesforce.com",
 *     clientId: consumerKey,
 *     clientSecret: consumerSecret,
 *   }),
 * });
 * ```
 */
export function salesforceClientCredentialsGrant(options: SalesforceSecretOptions): Grant {
  const org = orgOf("salesforceClientCredentialsGrant", options);
  const { hostname } = new URL(org.loginUrl);
  if (SHARED_LOGIN_HOSTS.includes(hostname)) {
    throw new TypeError(
      `"loginUrl" must be the org's My Domain, such as https://acme.my.salesforce.com: ` +
        `${hostname} does not support client credentials`,
    );
  }
  return forOrg(org, clientCredentialsGrant(endpointOptions(org, options)));
}

/**
 * The JWT bearer grant: a token for a user who allowed it once, without the user. Signed with RS256, good for a minute.
 *
 * @throws {TypeError} When an option is wrong.
 */
export function salesforceJwtBearerGrant(options: SalesforceJwtBearerGrantOptions): Grant {
  const org = orgOf("salesforceJwtBearerGrant", options);
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
export function salesforceRefreshTokenGrant(options: SalesforceRefreshTokenGrantOptions): Grant {
  const org = orgOf("salesforceRefreshTokenGrant", options);
  const { refreshToken: first, onRotate, current } = options;
  return forOrg(org, refreshTokenGrant({ ...publicOptions(org, options), refreshToken: first, onRotate, current }));
}

/**
 * The token exchange grant: a session for the user an identity provider's token speaks of.
 *
 * @throws {TypeError} When an option is wrong.
 */
export function salesforceTokenExchangeGrant(options: SalesforceTokenExchangeGrantOptions): Grant {
  const org = orgOf("salesforceTokenExchangeGrant", options);
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

// MERGED What all Salesforce grants have in common: the org their tokens belong to.
const HALF_AN_HOUR = 30 * 60_000;

/** What Salesforce says about a token beside its value. */
export interface SalesforceToken {
  readonly instanceUrl: string | undefined;
  /** The identity URL of the user. */
  readonly id: string | undefined;
  /** Epoch milliseconds. */
  readonly issuedAt: number | undefined;
}

/** The org, as the options describe it. */
interface OrgOptions {
  readonly loginUrl: string | URL;
  readonly instanceUrl: string | URL;
  readonly defaultTtl?: number | undefined;
  readonly allowHttp?: boolean | undefined;
}

/** {@link OrgOptions}, checked: URLs without a slash at the end. */
interface Org {
  readonly loginUrl: string;
  readonly instanceUrl: string;
  readonly defaultTtl: number;
}

/** @throws {TypeError} When a URL is missing or wrong. */
function orgOf(where: string, options: OrgOptions): Org {
  assertOptions(where, options);
  const { allowHttp = false } = options;
  const loginUrl = baseUrl(endpointUrl("loginUrl", options.loginUrl, allowHttp));
  const instance = endpointUrl("instanceUrl", options.instanceUrl, allowHttp);
  if (instance.hostname.endsWith(".lightning.force.com")) {
    throw new TypeError(
      `"instanceUrl" must be the org's My Domain, such as https://acme.my.salesforce.com: ` +
        `${instance.hostname} serves pages, not the API`,
    );
  }
  return {
    loginUrl,
    instanceUrl: baseUrl(instance),
    defaultTtl: duration("defaultTtl", options.defaultTtl, HALF_AN_HOUR),
  };
}

function baseUrl({ origin, pathname }: URL): string {
  return withoutTrailingSlashes(origin + pathname);
}

/** The grant with what is Salesforce's: where its tokens go, when they are over, which are not the org's. */
function forOrg(org: Org, grant: Grant): Grant {
  const definition = definitionOf(grant);
  return grantOf({
    ...definition,
    origins: [new URL(org.instanceUrl).origin],
    defaultTtl: org.defaultTtl,
    isRejected: isSessionOver,
    inspectStatuses: SESSION_STATUSES,
    async mint(context) {
      const { signature: _signature, ...token } = await definition.mint(context);
      checkInstance(token, org);
      return token;
    },
  });
}

function checkInstance(token: TokenResponse, { instanceUrl }: Org): void {
  const given = token["instance_url"];
  try {
    if (baseUrl(new URL(given as string)).toLowerCase() === instanceUrl.toLowerCase()) return;
  } catch {
    // Not a URL at all: told below.
  }
  const message = `the token is for another org: its "instance_url" is not the configured instanceUrl ${instanceUrl}`;
  throw leaveState(tokenResponseError(message), token["state"]);
}

/** What Salesforce said about a token that one of these grants obtained. */
export function salesforceToken({ response }: AccessToken): SalesforceToken {
  const { instance_url: instanceUrl, id, issued_at: issued } = response;
  const issuedAt = typeof issued === "string" && /^\d+$/.test(issued) ? Number(issued) : undefined;
  return {
    instanceUrl: typeof instanceUrl === "string" ? withoutTrailingSlashes(instanceUrl) : undefined,
    id: typeof id === "string" ? id : undefined,
    issuedAt,
  };
}

const LONGEST_SUBJECT_TOKEN = 10_000;

/**
 * A subject token that Salesforce would not take is refused before it is sent.
 *
 * @throws {TypeError} When it is given, and too long.
 */
function shortEnough(input: TokenInput): TokenInput {
  const message = `a subject token must not be longer than ${LONGEST_SUBJECT_TOKEN} characters for Salesforce`;
  if (typeof input === "function") {
    return async (context) => {
      const token = await input(context);
      if (typeof token === "string" && token.length > LONGEST_SUBJECT_TOKEN)
        throw new RemintError("ERR_GRANT", message);
      return token;
    };
  }
  if (typeof input === "string" && input.length > LONGEST_SUBJECT_TOKEN) {
    throw new TypeError(`"subjectToken" is too long: ${message}`);
  }
  return input;
}

// MERGED How Salesforce's APIs say that a session is over, and how they say other things that look like it.
/** Statuses beside 401 under which a session that is over may hide. */
const SESSION_STATUSES: readonly number[] = [400, 500];

/** Errors are short; what comes after this is somebody's data. */
const LONGEST_ERROR = 16_384;

/** 401 bodies no new token helps against: the app, the user or the network is what is not allowed. */
const NOT_THE_SESSION = [
  "Connected app is not attached to Agent",
  "This session is not valid for use with the REST API",
  "BlackTab users cannot perform API operations",
];

/** Bulk API v1: XML or JSON. */
const BULK_EXPIRED = /<exceptionCode>\s*InvalidSessionId\s*<|"exceptionCode"\s*:\s*"InvalidSessionId"/;
/** SOAP: the fault's code with whatever prefix its namespace has. */
const SOAP_EXPIRED = /<(?:[\w.-]+:)?faultcode>\s*(?:[\w.-]+:)?INVALID_SESSION_ID\s*</;

/** Whether an answer of a Salesforce API says that the session is over. */
const isSessionOver: RejectionRule = async ({ status, text }) => {
  const body = await text(LONGEST_ERROR);
  if (status === 400) return BULK_EXPIRED.test(body);
  if (status === 500) return SOAP_EXPIRED.test(body);
  if (status !== 401) return undefined;
  return NOT_THE_SESSION.some((reason) => body.includes(reason)) ? false : undefined;
};
