/**
 * The tokens of all sessions: a cache for each, which refreshes its tokens and shares them with other processes.
 *
 * @module
 */
import { createTokenCache, createTokenPool, privateKeyJwt, refreshTokenGrant, type TokenPool } from "remint";
import { dpop } from "remint/dpop";
import type { Settings } from "./settings.ts";

/** Creates the pool of token caches. Its keys are the keys of sessions. */
export function createTokens(settings: Settings, origins: readonly string[]): TokenPool {
  const { issuer, clientId, clientSecret, clientKey, dpopKey, tokenStore } = settings;
  const boundTo = dpopKey && dpop({ privateKey: dpopKey });
  return createTokenPool({
    create: () =>
      createTokenCache({
        grant: refreshTokenGrant({
          issuer,
          clientId,
          ...(clientKey === undefined ? { clientSecret } : { clientAuthentication: privateKeyJwt(clientKey) }),
          ...(boundTo && { dpop: boundTo }),
          resource: settings.resources[0],
          // A session begins with `signIn`. From then on the store has its refresh token.
          refreshToken: () => null,
        }),
        origins,
        store: tokenStore,
      }),
  });
}
