/** The cookie of next-auth names the sign-in and nothing else. The tokens are in a pool on the server. */
import { randomUUID } from "node:crypto";
import { createTokenCache, createTokenPool, refreshTokenGrant } from "remint";
import { createAuthFetch } from "remint/fetch";

export interface Jwt {
  sid?: string;
}
interface Account {
  readonly access_token: string;
  readonly refresh_token: string;
  readonly expires_in: number;
}

// Your database. Several servers: `store: redisStore(client, { encryptionKey })` of remint/redis in its place.
const refreshTokens = new Map<string, string>();

const poolOf = (tokenEndpoint: string, api: string) =>
  createTokenPool({
    create: (sid) =>
      createTokenCache({
        grant: refreshTokenGrant({
          tokenEndpoint,
          clientId: "portal",
          clientAuthentication: "none",
          refreshToken: () => refreshTokens.get(sid) ?? null,
          onRotate: (next) => void refreshTokens.set(sid, next),
        }),
        origins: [api],
      }),
  });

export function createSessions(tokenEndpoint: string, api: string) {
  const pool = poolOf(tokenEndpoint, api);
  return {
    async jwt({ token, account }: { token: Jwt; account?: Account | null }): Promise<Jwt> {
      if (!account) return token;
      const sid = randomUUID();
      await pool.signIn(sid, account);
      return { sid };
    },
    /** In a route or a server component: `call(url, await getToken({ req }))`. */
    call: (url: string, { sid }: Jwt) => (sid === undefined ? fetch(url) : createAuthFetch(pool.get(sid))(url)),
  };
}
