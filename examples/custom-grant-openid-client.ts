/**
 * A grant that gets its tokens from `openid-client`. That package speaks the protocol; remint shares the token and
 * renews it after a 401.
 *
 * `openid-client` is not installed here. The object below has the shape that its documentation gives. In version 6,
 * `clientCredentialsGrant(config, parameters)` resolves to the token response, with the method `expiresIn()`. With the
 * real package, delete the object and import `* as client from "openid-client"`.
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

/** Stands for `openid-client`. */
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

// With the real package: await client.discovery(issuer, clientId, clientSecret).
const config = new URL(auth.tokenEndpoint);
const tokens = createTokenCache({
  grant: customGrant({
    key: "orders",
    // Permits to repeat the call. Client credentials use nothing up; a call that uses up a refresh token is not repeated.
    mintRetries: 2,
    mint: () => client.clientCredentialsGrant(config, { scope: "orders:read" }),
  }),
  origins: [api.origin],
});
const authFetch = createAuthFetch(tokens);

auth.respond({ status: 503 }); // remint repeats the call, because the error has the status 503.
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
