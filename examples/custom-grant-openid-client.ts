/**
 * `openid-client` as the grant: it knows the protocol, this package shares the token and handles the 401.
 *
 * `openid-client` is not installed here. The class below has the shape its documentation gives (version 6:
 * `clientCredentialsGrant(config, parameters)` resolves with the token response and the method `expiresIn()`); with the
 * real one, delete it and import `* as client from "openid-client"`.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createTokenCache, customGrant } from "remint";
import { createAuthFetch } from "remint/fetch";
import { startApi, startAuthServer } from "remint/testing";

interface TokenEndpointResponse {
  readonly access_token: string;
  readonly token_type: string;
  readonly expires_in?: number;
  expiresIn(): number | undefined;
}

/** A look-alike of `openid-client`. */
const client = {
  async clientCredentialsGrant(config: URL, parameters: Record<string, string>): Promise<TokenEndpointResponse> {
    const body = new URLSearchParams({ grant_type: "client_credentials", ...parameters });
    const response = await fetch(config, { method: "POST", body });
    if (!response.ok) throw Object.assign(new Error("server responded with an error"), { status: response.status });
    const token = (await response.json()) as Omit<TokenEndpointResponse, "expiresIn">;
    return { ...token, expiresIn: () => token.expires_in };
  },
};

const auth = await startAuthServer();
const api = await startApi({ accepts: auth });

const config = new URL(auth.tokenEndpoint); // client.discovery(issuer, clientId, clientSecret)
const tokens = createTokenCache({
  grant: customGrant({
    key: "orders",
    mint: () => client.clientCredentialsGrant(config, { scope: "orders:read" }),
  }),
  origins: [api.origin],
});
const authFetch = createAuthFetch(tokens);

auth.respond({ status: 503 }); // repeated by remint, because the error has a status
const cold = await Promise.all(["/a", "/b", "/c"].map((path) => authFetch(api.origin + path)));
auth.revokeAll();
const afterwards = await authFetch(`${api.origin}/d`);

assert.deepEqual(
  [...cold, afterwards].map(({ status }) => status),
  [200, 200, 200, 200],
);
assert.equal(tokens.peek()?.scope, "orders:read");
console.log(`openid-client's shape: calls: 4, mints: ${auth.mints}, token requests: ${auth.requests.length}`);

await Promise.all([api.close(), auth.close()]);
