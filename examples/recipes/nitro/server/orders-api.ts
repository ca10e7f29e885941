/**
 * Nitro's own `$fetch` with tokens: local calls and the types of the routes stay as they are.
 *
 * @module
 */
import { clientCredentialsGrant, createTokenCache } from "remint";
import { createAuthOfetch } from "remint/ofetch";

const { TOKEN_ENDPOINT = "", CLIENT_SECRET = "", API_ORIGIN = "" } = process.env;

const tokens = createTokenCache({
  grant: clientCredentialsGrant({
    tokenEndpoint: TOKEN_ENDPOINT,
    clientId: "orders-service",
    clientSecret: CLIENT_SECRET,
  }),
  origins: [API_ORIGIN],
});

export const ordersApi = createAuthOfetch(tokens, { baseURL: API_ORIGIN }, { ofetch: $fetch });
