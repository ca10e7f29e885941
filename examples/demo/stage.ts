import { clientCredentialsGrant, createTokenCache, type TokenCache } from "remint";
import { OrdersApi } from "./api.ts";
import { AUDIENCE, AuthServer, CLIENT } from "./auth-server.ts";
import { createClients, type Send } from "./clients.ts";

/** What every scenario uses: real servers, and three clients that share one token cache. */
export interface Stage {
  readonly auth: AuthServer;
  readonly api: OrdersApi;
  readonly tokens: TokenCache;
  readonly clients: readonly Send[];
  close(): Promise<void>;
}

export async function openStage(): Promise<Stage> {
  const auth = await AuthServer.start();
  const api = await OrdersApi.start(auth);
  const tokens = createTokenCache({
    grant: clientCredentialsGrant({
      tokenEndpoint: auth.tokenEndpoint,
      ...CLIENT,
      scope: "orders:read",
      resource: AUDIENCE,
    }),
    origins: [api.origin],
  });
  return {
    auth,
    api,
    tokens,
    clients: createClients(tokens, api.origin),
    async close() {
      await Promise.all([tokens.close(), api.close(), auth.close()]);
    },
  };
}
