// The API of the invoices, called with a token of this server. All routes share the one token cache.
import assert from "node:assert/strict";
import { clientCredentialsGrant, createTokenCache } from "remint";
import { createAuthOfetch } from "remint/ofetch";

const { TOKEN_ENDPOINT, CLIENT_ID, CLIENT_SECRET, BILLING_URL } = process.env;
assert(TOKEN_ENDPOINT, "Set TOKEN_ENDPOINT, such as https://auth.example/token");
assert(CLIENT_ID, "Set CLIENT_ID, the id of this server at the authorization server");
assert(CLIENT_SECRET, "Set CLIENT_SECRET, the secret of that client");
assert(BILLING_URL, "Set BILLING_URL, such as https://billing.example");

const tokens = createTokenCache({
  grant: clientCredentialsGrant({ tokenEndpoint: TOKEN_ENDPOINT, clientId: CLIENT_ID, clientSecret: CLIENT_SECRET }),
  origins: [new URL(BILLING_URL).origin],
});

export const billing = createAuthOfetch(tokens, { baseURL: BILLING_URL }, { ofetch: $fetch });
