/**
 * OAuth 2.0 Bearer tokens from one shared cache, for axios (`remint/axios`), ofetch (`remint/ofetch`), fetch
 * (`remint/fetch`) and any other client (`remint/policy`).
 *
 * @module
 */
export { createTokenCache } from "./create-token-cache.ts";
export { createTokenPool } from "./token-pool.ts";
export { clientAssertion, privateKeyJwt } from "./grants/client-assertion.ts";
export { clientSecretBasic, tlsClientAuth } from "./grants/client-authentication.ts";
export { clientCredentials } from "./grants/client-credentials.ts";
export { customGrant } from "./grants/custom-grant.ts";
export { jwtBearer } from "./grants/jwt-bearer.ts";
export { refreshToken } from "./grants/refresh-token.ts";
export { tokenExchange } from "./grants/token-exchange.ts";
export { findRemintError, isRemintError, RemintError, TokenEndpointError } from "./errors.ts";

export type { AccessToken } from "./access-token.ts";
export type { TokenCacheOptions } from "./cache-options.ts";
export type { Bursts, Clock, Timer } from "./clock.ts";
export type { Rejection, RemintErrorCode, RemintErrorOptions, TokenEndpointErrorOptions } from "./errors.ts";
export type { ClientAssertionContext, ClientAssertionSource, PrivateKeyJwtOptions } from "./grants/client-assertion.ts";
export type {
  ClientAuthentication,
  ClientAuthenticationName,
  ClientSecret,
  ClientSecretBasicOptions,
} from "./grants/client-authentication.ts";
export type { ClientCredentialsOptions } from "./grants/client-credentials.ts";
export type {
  CustomGrantOptions,
  CustomToken,
  DatedToken,
  PlainTokenResponse,
  TimestampedToken,
} from "./grants/custom-grant.ts";
export type { JwtBearerOptions, SignedAssertion } from "./grants/jwt-bearer.ts";
export type { GrantOptions } from "./grants/parameters.ts";
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
} from "./grant.ts";
export type { SigningAlgorithm, SigningKey, SigningKeyOptions } from "./grants/signing-key.ts";
export type { TokenEndpointOptions } from "./grants/token-client.ts";
export type { TokenFetch } from "./grants/token-post.ts";
export type { EventListener, MintCause, RemintEvent } from "./telemetry/events.ts";
export type { TokenPool, TokenPoolOptions } from "./token-pool.ts";
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
} from "./token-source.ts";
