/**
 * undici: every fetch of the process sends the token, also that of an SDK which takes no `fetch` option.
 *
 * @module
 */
import assert from "node:assert/strict";
import { clientCredentialsGrant, createTokenCache } from "remint";
import { startApi, startAuthServer } from "remint/testing";
import { createAuthInterceptor } from "remint/undici";
import { Agent, interceptors, setGlobalDispatcher } from "undici";

const auth = await startAuthServer();
const api = await startApi({ accepts: auth });
const tokens = createTokenCache({
  grant: clientCredentialsGrant({ tokenEndpoint: auth.tokenEndpoint, clientId: "me", clientSecret: "secret" }),
  origins: [api.origin],
});

const dispatcher = new Agent().compose(
  createAuthInterceptor(tokens),
  interceptors.retry(), // after ours: each try gets the token of that moment
);
setGlobalDispatcher(dispatcher);

/** Code of somebody else, which calls fetch and knows nothing of tokens. */
async function saveOrder(order: object): Promise<number> {
  const response = await fetch(`${api.origin}/orders`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(order),
  });
  return response.status;
}

const statuses = [await saveOrder({ id: 1 })];
auth.revokeAll();
statuses.push(await saveOrder({ id: 2 }));

assert.deepEqual(
  api.requests.map(({ text, status }) => [text, status]),
  [
    ['{"id":1}', 200],
    ['{"id":2}', 401],
    ['{"id":2}', 200],
  ],
);
console.log(`undici: ${statuses.join(", ")}, mints: ${auth.mints}`);
await dispatcher.destroy();
await Promise.all([auth.close(), api.close()]);
