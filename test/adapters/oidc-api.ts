/**
 * An API that really checks its tokens. JWTs: issuer, audience, expiry, signature, and a list of revoked ones, because
 * the server cannot revoke a JWT. Opaque tokens: introspection.
 */
import { createRemoteJWKSet, decodeJwt, jwtVerify } from "jose";
import { type Api, startApi } from "remint/testing";
import { type OidcProvider, RESOURCES, type TokenFormat } from "./oidc-provider.ts";

export interface OidcApi extends Api {
  /** Revokes a token: a JWT at this API, an opaque token at the authorization server. */
  revoke(token: string): Promise<void>;
}

export async function startOidcApi(provider: OidcProvider, format: TokenFormat): Promise<OidcApi> {
  const keys = createRemoteJWKSet(new URL(provider.jwksUri));
  const denied = new Set<string>();

  const isGoodJwt = async (token: string): Promise<boolean> => {
    try {
      const options = { issuer: provider.issuer, audience: RESOURCES.jwt, requiredClaims: ["exp", "jti"] };
      const { payload } = await jwtVerify(token, keys, options);
      return !denied.has(String(payload.jti));
    } catch {
      return false;
    }
  };
  const isGoodOpaque = async (token: string): Promise<boolean> => {
    const { active, aud } = await provider.introspect(token);
    return active === true && aud === RESOURCES.opaque;
  };

  const isGood = format === "jwt" ? isGoodJwt : isGoodOpaque;
  const api = await startApi({ accepts: () => true });
  api.respondAlways(async ({ token }) => {
    if (token === undefined || (await isGood(token))) return undefined;
    return { status: 401, headers: { "www-authenticate": 'Bearer error="invalid_token"' } };
  });
  return Object.assign(api, {
    async revoke(token: string): Promise<void> {
      if (format === "jwt") denied.add(String(decodeJwt(token).jti));
      else await provider.revoke(token);
    },
  });
}
