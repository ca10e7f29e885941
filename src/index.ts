/**
 * OAuth 2.0 access tokens from one shared cache: the cache, the pool, the grants, the errors and their types.
 *
 * Everything else has a subpath of its own: clients (`remint/axios`, `remint/ofetch`, `remint/fetch`, and
 * `remint/policy` for any other client), stores (`remint/redis`, `remint/fleet`), providers (`remint/chalk`,
 * `remint/salesforce`), `remint/dpop`, `remint/node` and `remint/testing`.
 *
 * @module
 */
export { findRemintError, isRemintError, RemintError, TokenEndpointError } from "./base/errors.ts";
export { createTokenPool } from "./core/pool.ts";
export { createTokenCache } from "./core/token-cache.ts";
export { clientCredentialsGrant } from "./grants/client-credentials.ts";
export { customGrant } from "./grants/custom.ts";
export { genericGrant } from "./grants/generic.ts";
export { jwtBearerGrant } from "./grants/jwt-bearer.ts";
export { refreshTokenGrant } from "./grants/refresh-token.ts";
export { tokenExchangeGrant } from "./grants/token-exchange.ts";
export { clientAssertion, clientSecretBasic, privateKeyJwt, tlsClientAuth } from "./oauth/client-authentication.ts";

export type { Clock } from "./base/clock.ts";
export type { Rejection, RemintErrorCode } from "./base/errors.ts";
export type { SigningAlgorithm, Signer, SigningKey, SigningKeyOptions } from "./base/keys.ts";
export type { CustomToken, MintFunction } from "./core/custom-grant.ts";
export type { Grant, MintContext, RevokeContext, SaveContext } from "./core/grant.ts";
export type { TokenCacheOptions } from "./core/options.ts";
export type { PoolCloseReport, TokenPool, TokenPoolOptions } from "./core/pool.ts";
export type {
  AccessToken,
  CloseOptions,
  CloseReport,
  EventListener,
  FailureOwner,
  GetOptions,
  GrantHeaders,
  InitialToken,
  JudgedAnswer,
  KeyDescription,
  MintCause,
  Origins,
  PoolEventListener,
  RejectionRule,
  RemintEvent,
  SignInResponse,
  SignOutOptions,
  SkipReason,
  TargetOptions,
  TargetParameters,
  TokenCache,
  TokenResponse,
} from "./core/types.ts";
export type { ClientCredentialsGrantOptions } from "./grants/client-credentials.ts";
export type { CustomGrantOptions, StatefulCustomGrantOptions } from "./grants/custom.ts";
export type { GenericGrantOptions } from "./grants/generic.ts";
export type { JwtBearerGrantOptions, SignedAssertion } from "./grants/jwt-bearer.ts";
export type { IsTerminal } from "./grants/refusals.ts";
export type { RefreshTokenGrantOptions, RotatedToken } from "./grants/refresh-token.ts";
export type { TokenExchangeGrantOptions, TokenInput, TokenType } from "./grants/token-exchange.ts";
export type {
  ClientAssertionContext,
  ClientAssertionSource,
  ClientAuthentication,
  ClientAuthenticationName,
  ClientSecret,
  ClientSecretBasicOptions,
  PrivateKeyJwtOptions,
} from "./oauth/client-authentication.ts";
export type { TokenEndpointOptions } from "./oauth/client.ts";
export type { GrantOptions } from "./oauth/parameters.ts";
export type { TokenFetch } from "./oauth/answer.ts";
export type { RequestOverride, RequestOverrideOptions, TokenSource } from "./policy/choose-cache.ts";
