/**
 * Tokens for any other HTTP client. A client seam tells `withToken` how the client sends a request and what its answer
 * says. Here the client is node:http. got, gRPC and WebSocket upgrades work the same way.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { finished } from "node:stream/promises";
import { clientCredentialsGrant, createTokenCache } from "remint";
import { type ClientSeam, type PolicyRequest, withToken } from "remint/policy";
import { startApi, startAuthServer } from "remint/testing";

interface Call extends PolicyRequest {
  readonly method: string;
  readonly body?: string;
}

const nodeHttp: ClientSeam<Call, IncomingMessage> = {
  send({ url, method, body, signal }, headers) {
    return new Promise((resolve, reject) => {
      const request = httpRequest(url, { method, signal, headers }, resolve);
      request.once("error", reject);
      request.end(body);
    });
  },
  status: (answer) => answer.statusCode ?? 0,
  header: (answer, name) => answer.headers[name.toLowerCase()]?.toString() ?? null,
  // The body is a string, which can be sent twice. A stream cannot.
  canResend: () => true,
  // Frees the connection before the new token is requested.
  async discard(answer) {
    answer.resume();
    await finished(answer);
  },
};

const auth = await startAuthServer();
const api = await startApi({ accepts: auth });
const tokens = createTokenCache({
  grant: clientCredentialsGrant({ tokenEndpoint: auth.tokenEndpoint, clientId: "worker", clientSecret: "s3cret" }),
  origins: [api.origin],
});

const order: Call = { url: `${api.origin}/orders`, method: "POST", body: "two apples" };
const statuses: unknown[] = [];
for (const revoked of [false, true]) {
  if (revoked) auth.revokeAll();
  const answer = await withToken(tokens, order, nodeHttp);
  answer.resume();
  statuses.push(answer.statusCode);
}

assert.deepEqual(statuses, [200, 200]);
assert.deepEqual(
  api.requests.map(({ status, text }) => [status, text]),
  [
    [200, "two apples"],
    [401, "two apples"],
    [200, "two apples"],
  ],
);
console.log(`node:http: ${api.requests.map(({ status }) => status).join(", ")}, mints: ${auth.mints}`);

await Promise.all([api.close(), auth.close()]);
