/**
 * OAuth 2.0 Bearer tokens from one shared cache, for axios (`remint/axios`), ofetch (`remint/ofetch`), fetch
 * (`remint/fetch`) and any other client (`remint/policy`).
 *
 * @module
 */
export { createTokenCache } from "./create-token-cache.ts";
export { createTokenPool } from "./token-pool.ts";
export { clientCredentials } from "./grants/client-credentials.ts";
export { findRemintError, isRemintError, RemintError, TokenEndpointError } from "./errors.ts";

export type { AccessToken } from "./access-token.ts";
export type { TokenCacheOptions } from "./cache-options.ts";
export type { Bursts, Clock, Timer } from "./clock.ts";
export type { Rejection, RemintErrorCode, RemintErrorOptions, TokenEndpointErrorOptions } from "./errors.ts";
export type { ClientCredentialsOptions } from "./grants/client-credentials.ts";
export type {
  Grant,
  InitialToken,
  JudgedAnswer,
  MintContext,
  MintFunction,
  Origins,
  RejectionRule,
  TokenResponse,
} from "./grant.ts";
export type { TokenFetch } from "./grants/token-post.ts";
export type { EventListener, MintCause, RemintEvent } from "./telemetry/events.ts";
export type { TokenPool, TokenPoolOptions } from "./token-pool.ts";
export type {
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
