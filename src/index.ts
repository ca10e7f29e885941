/**
 * OAuth 2.0 Bearer tokens from one shared cache, for axios (`remint/axios`), ofetch (`remint/ofetch`), fetch
 * (`remint/fetch`) and any other client (`remint/policy`).
 *
 * @module
 */
export { createTokenCache } from "./core/create-token-cache.ts";
export { createTokenPool } from "./core/pool.ts";
export { clientAssertion, privateKeyJwt } from "./oauth/client-assertion.ts";
export { clientSecretBasic, tlsClientAuth } from "./oauth/client-authentication.ts";
export { clientCredentials } from "./grants/client-credentials.ts";
export { customGrant } from "./grants/custom.ts";
export { jwtBearer } from "./grants/jwt-bearer.ts";
export { refreshToken } from "./grants/refresh-token.ts";
export { tokenExchange } from "./grants/token-exchange.ts";
export { findRemintError, isRemintError, RemintError, TokenEndpointError } from "./base/errors.ts";

export type { AccessToken } from "./core/access-token.ts";
export type { TokenCacheOptions } from "./core/options.ts";
export type { Bursts, Clock, Timer } from "./base/clock.ts";
export type { Rejection, RemintErrorCode, RemintErrorOptions, TokenEndpointErrorOptions } from "./base/errors.ts";
export type { ClientAssertionContext, ClientAssertionSource, PrivateKeyJwtOptions } from "./oauth/client-assertion.ts";
export type {
  ClientAuthentication,
  ClientAuthenticationName,
  ClientSecret,
  ClientSecretBasicOptions,
} from "./oauth/client-authentication.ts";
export type { ClientCredentialsOptions } from "./grants/client-credentials.ts";
export type {
  CustomGrantOptions,
  CustomToken,
  DatedToken,
  PlainTokenResponse,
  TimestampedToken,
} from "./grants/custom.ts";
export type { JwtBearerOptions, SignedAssertion } from "./grants/jwt-bearer.ts";
export type { GrantOptions } from "./oauth/parameters.ts";
export type { RefreshTokenOptions, RotatedToken } from "./grants/refresh-token.ts";
export type { TokenExchangeOptions, TokenInput, TokenType } from "./grants/token-exchange.ts";
export type {
  Grant,
  InitialToken,
  JudgedAnswer,
  MintContext,
  MintFunction,
  Origins,
  RejectionRule,
  RevokeContext,
  TokenResponse,
} from "./core/types.ts";
export type { SigningAlgorithm, SigningKey, SigningKeyOptions } from "./base/keys.ts";
export type { TokenEndpointOptions } from "./oauth/client.ts";
export type { TokenFetch } from "./oauth/token-post.ts";
export type { EventListener, MintCause, RemintEvent } from "./core/events.ts";
export type { TokenPool, TokenPoolOptions } from "./core/pool.ts";
export type {
  CloseOptions,
  Renewal,
  RenewedToken,
  RequestOverride,
  RequestOverrideOptions,
  RequestRules,
  Site,
  SkipReason,
  TokenCache,
  TokenSource,
} from "./policy/choose-cache.ts";
