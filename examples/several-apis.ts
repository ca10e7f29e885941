/**
 * One client for two APIs that need tokens for different audiences: give it an array of caches. Each request gets the
 * token of the first cache whose origins match. If no cache matches, it goes out without a token.
 *
 * @module
 */
import assert from "node:assert/strict";
import { clientCredentialsGrant, createTokenCache, type TokenCache } from "remint";
import { createAuthOfetch } from "remint/ofetch";
import { startApi, startAuthServer } from "remint/testing";

const auth = await startAuthServer();
const orders = await startApi({ accepts: auth });
const billing = await startApi({ accepts: auth });
const elsewhere = await startApi({ accepts: auth });

function tokensFor(audience: string, origin: string): TokenCache {
  const { tokenEndpoint } = auth;
  const grant = clientCredentialsGrant({ tokenEndpoint, clientId: "shop", clientSecret: "s3cret", audience });
  // The example asks a third API without a token on purpose.
  return createTokenCache({ grant, origins: [origin], warnings: false });
}

const $fetch = createAuthOfetch([tokensFor("orders", orders.origin), tokensFor("billing", billing.origin)]);

await $fetch(`${orders.origin}/orders/7`);
await $fetch(`${billing.origin}/invoices/7`);
await $fetch(`${orders.origin}/orders/8`);
await $fetch(`${elsewhere.origin}/weather`, { ignoreResponseError: true });

const [forOrders, forBilling] = auth.issued;
assert.deepEqual(
  auth.requests.map(({ form }) => form.get("audience")),
  ["orders", "billing"],
);
assert.ok(orders.requests.every(({ token }) => token === forOrders));
assert.ok(billing.requests.every(({ token }) => token === forBilling));
assert.deepEqual(
  elsewhere.requests.map(({ token }) => token),
  [undefined],
);
console.log(`two APIs, two audiences, mints: ${auth.mints}; a third API was asked without a token`);

await Promise.all([auth, orders, billing, elsewhere].map((server) => server.close()));
