/**
 * Many GraphQL servers answer 200 to a rejected token, with an error `UNAUTHENTICATED` in the body. `isRejected` says so. What
 * fetch throws is the `networkError` of urql's error.
 *
 * @module
 */
import { Client, fetchExchange } from "@urql/core";
import { createAuthFetch, type FetchTokenSource } from "remint/fetch";

export function createClient(tokens: FetchTokenSource, url: string): Client {
  return new Client({
    url,
    exchanges: [fetchExchange],
    fetch: createAuthFetch(tokens, {
      inspectStatuses: [200],
      isRejected: async ({ text }) => /"code":\s*"UNAUTHENTICATED"/.test(await text(10_000)) || undefined,
    }),
  });
}
