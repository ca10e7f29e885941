import { randomUUID } from "node:crypto";
import { type AuthServer, startAuthServer } from "remint/testing";

/** Stands for the identity provider. It accepts any code, rotates refresh tokens, and can end all sessions. */
export interface IdentityProvider {
  readonly server: AuthServer;
  /** Ends every session: the refresh tokens are refused from now on. */
  readonly endSignIns: () => void;
}

export async function startIdentityProvider(): Promise<IdentityProvider> {
  const refreshTokens = new Set<string>();
  const server = await startAuthServer();
  server.respondAlways(({ form }) => {
    const signingIn = form.get("grant_type") === "authorization_code";
    if (!signingIn && !refreshTokens.delete(form.get("refresh_token") ?? "")) {
      return { status: 400, body: { error: "invalid_grant" } };
    }
    const refreshToken = randomUUID();
    refreshTokens.add(refreshToken);
    const tokens = { access_token: randomUUID(), token_type: "Bearer", expires_in: 300, refresh_token: refreshToken };
    return { body: tokens };
  });
  return { server, endSignIns: () => refreshTokens.clear() };
}
