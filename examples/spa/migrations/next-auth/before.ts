/** The jwt callback of next-auth as its guide for rotating refresh tokens has it. What it returns goes into the cookie. */
export interface Jwt {
  accessToken?: string;
  refreshToken?: string;
  expiresAt?: number;
  error?: string;
}
interface Account {
  readonly access_token: string;
  readonly refresh_token: string;
  readonly expires_in: number;
}

export const callbacksOf = (tokenEndpoint: string) => ({
  async jwt({ token, account }: { token: Jwt; account?: Account | null }): Promise<Jwt> {
    if (account) {
      return {
        accessToken: account.access_token,
        refreshToken: account.refresh_token,
        expiresAt: Date.now() + account.expires_in * 1000,
      };
    }
    if (Date.now() < (token.expiresAt ?? 0)) return token;
    try {
      const response = await fetch(tokenEndpoint, {
        method: "POST",
        body: new URLSearchParams({
          client_id: "portal",
          grant_type: "refresh_token",
          refresh_token: token.refreshToken ?? "",
        }),
      });
      const refreshed = (await response.json()) as Partial<Account>;
      if (!response.ok) throw refreshed;
      return {
        accessToken: refreshed.access_token!,
        refreshToken: refreshed.refresh_token ?? token.refreshToken!,
        expiresAt: Date.now() + refreshed.expires_in! * 1000,
      };
    } catch {
      return { ...token, error: "RefreshAccessTokenError" };
    }
  },
});

/** The API, called with the session's token. */
export const callerOf = () => (url: string, token: Jwt) =>
  fetch(url, { headers: { authorization: `Bearer ${token.accessToken}` } });
