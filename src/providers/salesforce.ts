/**
 * `remint/salesforce`: the four grants of Salesforce, and the answers by which its APIs reject a token.
 *
 * - A token is used only if the answer's `instance_url` is the configured one. Otherwise it belongs to another org.
 * - Answers have no `expires_in`. How long a token lives depends on the org's settings and on its use. A token is kept
 *   for 30 minutes, and replaced earlier when an API rejects it.
 * - The server may return the same valid token again. That is not an error (C8).
 * - Of two refreshes at the same time the server refuses one with `invalid_grant`. That passes.
 *
 * Not here: the grants themselves (`grants/`), of which these are variants.
 *
 * @module
 */
import { tokenResponseError } from "../base/errors.ts";
import { assertAccessToken, assertOptions, assertString, duration, flag, optionError } from "../base/options.ts";
import { endpointUrl, withoutTrailingSlashes } from "../base/url.ts";
import { definitionOf, grantOf } from "../core/grant.ts";
import { clientCredentialsGrant } from "../grants/client-credentials.ts";
import { assertionGrant } from "../grants/jwt-bearer.ts";
import { refreshGrant } from "../grants/refresh-token.ts";
import { exchangeGrant } from "../grants/token-exchange.ts";
import { UNUSABLE_ANSWER } from "../oauth/answer.ts";
import { clientSecretBasic } from "../oauth/client-authentication.ts";
import { tokenClient } from "../oauth/client.ts";
import type { TokenEndpointError } from "../base/errors.ts";
import type { SigningKeyOptions } from "../base/keys.ts";
import type { Grant } from "../core/grant.ts";
import type { AccessToken, RejectionRule, TokenResponse } from "../core/types.ts";
import type { RefreshTokenGrantOptions } from "../grants/refresh-token.ts";
import type { TokenExchangeGrantOptions, TokenInput, TokenType } from "../grants/token-exchange.ts";
import type { ClientSecret } from "../oauth/client-authentication.ts";
import type { TokenEndpointOptions } from "../oauth/client.ts";
import type { GrantOptions } from "../oauth/parameters.ts";

/** The options that every Salesforce grant has. */
export interface SalesforceOptions extends Pick<TokenEndpointOptions, "headers" | "fetch" | "allowHttp"> {
  /** The URL where users of the org log in: its My Domain, or https://login.salesforce.com for grants that allow it. */
  readonly loginUrl: string | URL;
  /** The URL of the org's API: its My Domain. Its tokens are sent nowhere else. */
  readonly instanceUrl: string | URL;
  /** The consumer key of the connected app. */
  readonly clientId: string;
  /** The scopes to request: a list, or one string with spaces between them. @defaultValue none: the server decides */
  readonly scope?: string | readonly string[] | undefined;
  /** Milliseconds a token is kept. With 0 it is not kept. @defaultValue 1_800_000 (30 minutes) */
  readonly defaultTtl?: number | undefined;
  /** Says whose token this is, without a secret. See `GrantOptions.key`. */
  readonly key?: string | undefined;
  /**
   * Sends the token also in the header `X-SFDC-Session`, where the first Bulk API (`/services/async/`) reads it. fetch does
   * not remove this header on a redirect to another origin.
   *
   * @defaultValue false
   */
  readonly sessionHeader?: boolean | undefined;
}

/** {@link SalesforceOptions}, and the secret of the connected app. */
export interface SalesforceSecretOptions extends SalesforceOptions {
  /** The consumer secret, or a function that is called before every request. */
  readonly clientSecret: ClientSecret;
  /**
   * How the secret is sent: in the `Authorization` header, or in the body.
   *
   * @defaultValue "client_secret_basic", which Salesforce recommends
   */
  readonly clientAuthentication?: "client_secret_basic" | "client_secret_post" | undefined;
}

/** {@link SalesforceSecretOptions} for connected apps that may do without the secret. */
export interface SalesforceOptionalSecretOptions extends SalesforceOptions {
  /**
   * The consumer secret, or a function that is called before every request.
   *
   * @defaultValue none: the app is a public client
   */
  readonly clientSecret?: SalesforceSecretOptions["clientSecret"] | undefined;
  /**
   * How the secret is sent. Only with a `clientSecret`.
   *
   * @defaultValue "client_secret_basic", which Salesforce recommends
   */
  readonly clientAuthentication?: SalesforceSecretOptions["clientAuthentication"];
}

/** Options of {@link salesforceJwtBearerGrant}. */
export interface SalesforceJwtBearerGrantOptions extends SalesforceOptions {
  /** The name of the user the token is for. */
  readonly username: string;
  /**
   * The private key: a `CryptoKey`, a JWK or a PEM (PKCS#8). The connected app has its certificate. Other PEMs are read by
   * `privateKeyFromPem` and `privateKeyFromFile` of `remint/node`.
   */
  readonly privateKey: SigningKeyOptions["key"];
  /** The assertion's `aud` claim. @defaultValue `loginUrl` */
  readonly audience?: string | undefined;
}

/** Options of {@link salesforceRefreshTokenGrant}. */
export interface SalesforceRefreshTokenGrantOptions
  extends SalesforceOptionalSecretOptions, Pick<RefreshTokenGrantOptions, "refreshToken" | "onRotate"> {}

/** Options of {@link salesforceTokenExchangeGrant}. */
export interface SalesforceTokenExchangeGrantOptions extends SalesforceOptionalSecretOptions {
  /** The token of the identity provider. At most 10,000 characters. */
  readonly subjectToken: TokenInput;
  /** The type of the subject token. @defaultValue "access_token" */
  readonly subjectTokenType?: TokenType | undefined;
  /** When the subject token expires. See `TokenExchangeGrantOptions.subjectExpiresAt`. */
  readonly subjectExpiresAt?: TokenExchangeGrantOptions["subjectExpiresAt"];
  /** The Apex handler that maps the token to a user. @defaultValue the app's default handler */
  readonly tokenHandler?: string | undefined;
}

/** A grant for one Salesforce org. */
export type SalesforceGrant = Grant & {
  /** The URL of the org's API, known before there is a token. It has no slash at its end. */
  readonly instanceUrl: string;
};

/** The names of {@link SalesforceOptions}. */
const ORG_OPTIONS = [
  "loginUrl",
  "instanceUrl",
  "clientId",
  "scope",
  "defaultTtl",
  "key",
  "sessionHeader",
  "headers",
  "fetch",
  "allowHttp",
] as const;
/** The names that {@link SalesforceSecretOptions} has beyond that. */
const SECRET_OPTIONS = ["clientSecret", "clientAuthentication"] as const;

const KEY_NAMES = { key: "privateKey", kid: "privateKey" } as const;
const SHARED_LOGIN_HOSTS = ["login.salesforce.com", "test.salesforce.com"];

/**
 * Creates a client credentials grant: tokens for the integration user of the connected app.
 *
 * @throws {TypeError} When an option is wrong. For this grant `loginUrl` must be the org's My Domain.
 * @see [RFC 6749 section 4.4](https://www.rfc-editor.org/rfc/rfc6749.html#section-4.4)
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
export function salesforceClientCredentialsGrant(options: SalesforceSecretOptions): SalesforceGrant {
  assertOptions("salesforceClientCredentialsGrant", options, [...ORG_OPTIONS, ...SECRET_OPTIONS]);
  const org = orgOf(options);
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
 * Creates a JWT bearer grant: tokens for a user who has approved the app before and is not present. Each assertion is
 * signed with RS256 and valid for one minute.
 *
 * @throws {TypeError} When an option is wrong.
 * @see [RFC 7523 section 2.1](https://www.rfc-editor.org/rfc/rfc7523.html#section-2.1)
 */
export function salesforceJwtBearerGrant(options: SalesforceJwtBearerGrantOptions): SalesforceGrant {
  assertOptions("salesforceJwtBearerGrant", options, [...ORG_OPTIONS, "username", "privateKey", "audience"]);
  const org = orgOf(options);
  const { clientId, username, privateKey, audience = org.loginUrl } = options;
  assertString("clientId", clientId);
  assertString("username", username);
  assertString("audience", audience);
  const assertion = { key: privateKey, alg: "RS256", issuer: clientId, subject: username, audience } as const;
  return forOrg(org, assertionGrant({ ...publicOptions(org, options), assertion }, KEY_NAMES));
}

/**
 * Creates a refresh token grant: tokens for the user who signed in.
 *
 * If Salesforce says that another refresh is in progress, the request is repeated after a pause, as often as `mintRetries`
 * says, and the session goes on.
 *
 * @throws {TypeError} When an option is wrong.
 * @see [RFC 6749 section 6](https://www.rfc-editor.org/rfc/rfc6749.html#section-6)
 */
export function salesforceRefreshTokenGrant(options: SalesforceRefreshTokenGrantOptions): SalesforceGrant {
  assertOptions("salesforceRefreshTokenGrant", options, [
    ...ORG_OPTIONS,
    ...SECRET_OPTIONS,
    "refreshToken",
    "onRotate",
  ]);
  const org = orgOf(options);
  const { refreshToken, onRotate } = options;
  return forOrg(org, refreshGrant({ ...publicOptions(org, options), refreshToken, onRotate }, { isTransient }));
}

/**
 * Creates a token exchange grant: tokens for the user whom a token of an identity provider stands for.
 *
 * @throws {TypeError} When an option is wrong.
 * @see [RFC 8693 section 2](https://www.rfc-editor.org/rfc/rfc8693.html#section-2)
 */
export function salesforceTokenExchangeGrant(options: SalesforceTokenExchangeGrantOptions): SalesforceGrant {
  assertOptions("salesforceTokenExchangeGrant", options, [
    ...ORG_OPTIONS,
    ...SECRET_OPTIONS,
    "subjectToken",
    "subjectTokenType",
    "subjectExpiresAt",
    "tokenHandler",
  ]);
  const org = orgOf(options);
  const { subjectToken, subjectTokenType, subjectExpiresAt, tokenHandler } = options;
  if (tokenHandler !== undefined) assertString("tokenHandler", tokenHandler);
  const endpoint = publicOptions(org, options);
  const exchange = {
    ...endpoint,
    subjectToken: checkedLength(subjectToken),
    subjectTokenType,
    subjectExpiresAt,
    ...(tokenHandler !== undefined && { parameters: { token_handler: tokenHandler } }),
  };
  // The answer is not checked: Salesforce documents answers without `issued_token_type`.
  return forOrg(
    org,
    exchangeGrant(tokenClient(endpoint), exchange, () => {}),
  );
}

/**
 * Whether a refusal of a refresh token only says that another refresh is in progress. Salesforce documents both texts for
 * it, the second one for older releases.
 */
function isTransient({ error, errorDescription = "" }: TokenEndpointError): boolean {
  return error === "invalid_grant" && CONCURRENT_REFRESH.test(errorDescription);
}

const CONCURRENT_REFRESH = /token request is already being processed|expired authorization code/i;

/** What Salesforce's token response says beside the token. */
export interface SalesforceToken {
  /** The URL of the org's API. */
  readonly instanceUrl: string | undefined;
  /** The identity URL of the user. */
  readonly id: string | undefined;
  /** When the token was issued. Epoch milliseconds. */
  readonly issuedAt: number | undefined;
}

/** Returns what Salesforce's token response said beside the token. For tokens of these grants. */
export function salesforceToken(token: AccessToken): SalesforceToken {
  assertAccessToken(token);
  const { instance_url: instanceUrl, id, issued_at: issued } = token.response;
  const issuedAt = typeof issued === "string" && /^\d+$/.test(issued) ? Number(issued) : undefined;
  return {
    instanceUrl: typeof instanceUrl === "string" ? withoutTrailingSlashes(instanceUrl) : undefined,
    id: typeof id === "string" ? id : undefined,
    issuedAt,
  };
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

/** Salesforce documents Basic credentials without form encoding, and consumer keys contain dots. */
function authentication({
  clientAuthentication = "client_secret_basic",
}: Pick<
  SalesforceOptionalSecretOptions,
  "clientSecret" | "clientAuthentication"
>): GrantOptions["clientAuthentication"] {
  const isBasic = clientAuthentication === "client_secret_basic";
  return isBasic ? clientSecretBasic({ encoding: "raw" }) : clientAuthentication;
}

/** Options for grants that an app without a secret may use too: the assertion or the token is enough. */
function publicOptions(org: Org, options: SalesforceOptionalSecretOptions): GrantOptions {
  const endpoint = endpointOptions(org, options);
  const { clientSecret, clientAuthentication } = options;
  if (clientSecret !== undefined) return endpoint;
  // A caller that says how the secret is sent means to send one. Most often its environment variable is not set.
  if (clientAuthentication !== undefined)
    throw optionError("clientSecret", clientSecret, "given when clientAuthentication is");
  return { ...endpoint, clientAuthentication: "none" };
}

/** The options that describe the org. */
type OrgOptions = Pick<SalesforceOptions, "loginUrl" | "instanceUrl" | "defaultTtl" | "sessionHeader" | "allowHttp">;

/** Checked {@link OrgOptions}. The URLs have no slash at the end. */
interface Org {
  readonly loginUrl: string;
  readonly instanceUrl: string;
  readonly defaultTtl: number;
  readonly sessionHeader: boolean;
}

const HALF_AN_HOUR = 30 * 60_000;

/** @throws {TypeError} When a URL is missing or wrong. */
function orgOf(options: OrgOptions): Org {
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
    sessionHeader: flag("sessionHeader", options.sessionHeader),
  };
}

function baseUrl({ origin, pathname }: URL): string {
  return withoutTrailingSlashes(origin + pathname);
}

/**
 * Returns the grant with the facts of Salesforce: where its tokens may be sent, which answers reject a token, and that
 * a token of another org is refused.
 */
function forOrg(org: Org, grant: Grant): SalesforceGrant {
  const definition = definitionOf(grant);
  const signIn = definition.signIn?.bind(definition);
  const ofOrg = grantOf({
    ...definition,
    origins: [new URL(org.instanceUrl).origin],
    defaultTtl: org.defaultTtl,
    isRejected: isTokenRejected,
    inspectStatuses: REJECTION_STATUSES,
    ...(org.sessionHeader && { headers: (token: AccessToken) => ({ "X-SFDC-Session": token.value }) }),
    async mint(context) {
      const step = await definition.mint(context);
      if (!("response" in step)) return step;
      const { next } = step;
      try {
        return { ...step, response: checkedToken(step.response, org) };
      } catch (error) {
        return { error, next };
      }
    },
    ...(signIn && {
      signIn(given) {
        const signedIn = signIn(given);
        return { ...signedIn, response: checkedToken(signedIn.response, org) };
      },
    }),
  });
  return Object.assign(ofOrg, { instanceUrl: org.instanceUrl });
}

/** Returns a token response without its signature. @throws {RemintError} When the token is for another org. */
function checkedToken(response: TokenResponse, org: Org): TokenResponse {
  const { signature: _signature, ...token } = response;
  checkInstance(token, org);
  return token;
}

function checkInstance(token: TokenResponse, { instanceUrl }: Org): void {
  const given = token["instance_url"];
  try {
    if (baseUrl(new URL(given as string)).toLowerCase() === instanceUrl.toLowerCase()) return;
  } catch {
    // Not a URL. The error below covers this too.
  }
  const hint = `the token is for another org: its "instance_url" is not the configured instanceUrl ${instanceUrl}`;
  throw tokenResponseError(UNUSABLE_ANSWER, hint);
}

const LONGEST_SUBJECT_TOKEN = 10_000;

/**
 * Refuses a subject token that is too long for Salesforce before it is sent. A function's answer is checked when it
 * comes.
 *
 * @throws {TypeError} When the token is a string that is too long.
 */
function checkedLength(input: TokenInput): TokenInput {
  if (typeof input === "function") {
    return async (context) => {
      const token = await input(context);
      assertLength(token);
      return token;
    };
  }
  assertLength(input);
  return input;
}

function assertLength(token: unknown): void {
  if (typeof token !== "string" || token.length <= LONGEST_SUBJECT_TOKEN) return;
  throw new TypeError(
    `"subjectToken" is too long: a subject token must not be longer than ${LONGEST_SUBJECT_TOKEN} characters for ` +
      `Salesforce`,
  );
}

/** Whether an answer of a Salesforce API rejects the token. */
const isTokenRejected: RejectionRule = async ({ status, text }) => {
  const body = await text(LONGEST_ERROR);
  if (status === 400) return BULK_REJECTION.test(body);
  if (status === 403) return IDENTITY_REJECTION.test(body);
  if (status === 500) return SOAP_REJECTION.test(body);
  if (status !== 401) return undefined;
  return OTHER_REASONS.some((reason) => body.includes(reason)) ? false : undefined;
};

/** Statuses other than 401 by which some APIs reject a token. */
const REJECTION_STATUSES: readonly number[] = [400, 403, 500];

/** In bytes. Errors are shorter than this. */
const LONGEST_ERROR = 16_384;

/** Texts of 401 answers that a new token would not change: the app, the user or the network is not allowed. */
const OTHER_REASONS = [
  "Connected app is not attached to Agent",
  "This session is not valid for use with the REST API",
  "BlackTab users cannot perform API operations",
];

/** The Bulk API v1 rejects a token with status 400, in XML or JSON. */
const BULK_REJECTION = /<exceptionCode>\s*InvalidSessionId\s*<|"exceptionCode"\s*:\s*"InvalidSessionId"/;
/**
 * The identity URL and the userinfo endpoint reject a token with status 403, as text, or in JSON or XML. Their other 403s
 * are about a missing token or a missing permission.
 */
const IDENTITY_REJECTION =
  /^\s*"?Bad_OAuth_Token"?\s*$|"(?:error|errorCode)"\s*:\s*"Bad_OAuth_Token"|<(?:error|errorCode)>\s*Bad_OAuth_Token\s*</;
/** The SOAP API rejects a token with status 500. The fault code may have any namespace prefix. */
const SOAP_REJECTION = /<(?:[\w.-]+:)?faultcode>\s*(?:[\w.-]+:)?INVALID_SESSION_ID\s*</;
