/**
 * Testing your own service with msw. Nothing has to be injected: `fetch` is looked up at every call, so token requests
 * and API requests go through msw although the client was created before msw listened. `resetHandlers()` does not empty the token cache:
 * create the cache in the test when the token endpoint is to be asked in each.
 *
 * @module
 */
import assert from "node:assert/strict";
import { http, HttpResponse } from "msw";
import { setupServer } from "msw/node";
import { clientCredentialsGrant, createTokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";

// The service under test, as it is in production.
const authFetch = createAuthFetch(
  createTokenCache({
    grant: clientCredentialsGrant({
      tokenEndpoint: "https://auth.example/token",
      clientId: "orders-service",
      clientSecret: "s3cret",
    }),
    origins: ["https://api.example"],
  }),
);

async function openOrders(): Promise<number> {
  const response = await authFetch("https://api.example/orders?state=open");
  return ((await response.json()) as unknown[]).length;
}

// The test.
const minted: string[] = [];
const revoked = new Set<string>();
const server = setupServer(
  http.post("https://auth.example/token", () => {
    const token = `token-${minted.length + 1}`;
    minted.push(token);
    return HttpResponse.json({ access_token: token, token_type: "Bearer", expires_in: 3600 });
  }),
  http.get("https://api.example/orders", ({ request }) => {
    const token = request.headers.get("authorization")?.replace("Bearer ", "");
    if (token === undefined || revoked.has(token)) return new HttpResponse(null, { status: 401 });
    return HttpResponse.json([{ id: 1 }, { id: 2 }]);
  }),
);
server.listen({ onUnhandledRequest: "error" });

assert.deepEqual(await Promise.all([openOrders(), openOrders(), openOrders()]), [2, 2, 2]);
revoked.add("token-1");
assert.equal(await openOrders(), 2);
assert.deepEqual(minted, ["token-1", "token-2"]);
console.log(`msw: the service survived a revoked token, mints: ${minted.length}`);

server.close();
