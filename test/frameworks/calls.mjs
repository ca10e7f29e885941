// Calls that fail because no token can be had: through each client of this package, for each way in which a token
// endpoint fails. They are what the routes of servers.mjs and of next/ do, and where the errors of tools.test.ts come from.
import { clientCredentialsGrant, createTokenCache, refreshTokenGrant } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { createAuthFetch } from "remint/fetch";
import { createAuthOfetch } from "remint/ofetch";
import axios from "axios";

export const CLIENTS = ["axios", "ofetch", "fetch"];

/** The answers of the token endpoint, by the path at which it is asked. */
export const ANSWERS = {
  "/unavailable": {
    status: 503,
    headers: { "retry-after": "7" },
    body: { error: "temporarily_unavailable", error_description: "db7.internal is down" },
  },
  "/refused": {
    status: 401,
    body: { error: "invalid_client", error_description: "client-7 is not known to db7.internal" },
  },
  "/unreachable": { reset: true },
  "/ended": { status: 400, body: { error: "invalid_grant", error_description: "client-7 has signed out" } },
};

/** What no body and no log may show. */
export const SECRETS = ["s3cret-7", "refresh-7", Buffer.from("client-7:s3cret-7").toString("base64")];

/** Nothing listens there: no request gets as far as the API. */
const API = "http://127.0.0.1:9";

/**
 * Returns a function that calls an API through a client and rejects as `failure` says. Calls with the same client and
 * the same failure share one cache, so that the second one is told of a failure that is remembered.
 *
 * @param tokenServer The origin of the token endpoint.
 * @param clock The clock of the caches. @defaultValue the machine's
 */
export function createCalls(tokenServer, clock) {
  const ways = new Map();
  return (client, failure) => {
    const key = `${client} ${failure}`;
    if (!ways.has(key)) ways.set(key, WAYS[client](cacheThatFails(failure, tokenServer, clock)));
    return ways.get(key)();
  };
}

const WAYS = {
  axios(tokens) {
    const client = axios.create({ baseURL: API });
    client.interceptors.request.use(createAuthInterceptor(tokens));
    return () => client.get("/orders");
  },
  ofetch(tokens) {
    const client = createAuthOfetch(tokens, { baseURL: API });
    return () => client("/orders");
  },
  fetch(tokens) {
    const client = createAuthFetch(tokens);
    return () => client(`${API}/orders`);
  },
};

function cacheThatFails(failure, tokenServer, clock) {
  const client = { tokenEndpoint: `${tokenServer}/${failure}`, clientId: "client-7", clientSecret: "s3cret-7" };
  const grant =
    failure === "ended"
      ? refreshTokenGrant({ ...client, refreshToken: "refresh-7", onRotate() {} })
      : clientCredentialsGrant(client);
  // Retries would only take time: 7 s, if the endpoint says so.
  return createTokenCache({ grant, origins: [API], mintRetries: 0, clock });
}
