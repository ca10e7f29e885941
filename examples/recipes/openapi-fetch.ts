/**
 * openapi-fetch returns the answers of the API, also the bad ones, and throws what its fetch throws. A middleware turns an error
 * of this package into the answer that the caller's own `error` branch handles: 401 when the user has to sign in again, 503 with
 * `Retry-After` otherwise. Leave out the usual middleware that sets `Authorization`: such a request is sent unchanged.
 *
 * @module
 */
import createOpenapiClient, { type Client } from "openapi-fetch";
import { isRemintError } from "remint";
import { createAuthFetch, type FetchTokenSource } from "remint/fetch";

/** What openapi-typescript makes of `openapi.json`. */
export interface paths {
  "/orders": {
    get: {
      responses: {
        200: { content: { "application/json": { ok: boolean; path: string } } };
        default: { content: { "application/json": { ok: boolean; error?: string } } };
      };
    };
  };
}

export function createClient(tokens: FetchTokenSource, baseUrl: string): Client<paths> {
  const client = createOpenapiClient<paths>({ baseUrl, fetch: createAuthFetch(tokens) });
  client.use({ onError: ({ error }) => (isRemintError(error) ? error.getResponse() : undefined) });
  return client;
}
