/**
 * Apollo's `RetryLink` repeats every error by default, and knows no `Retry-After`. The errors of this package say themselves
 * whether the same call may succeed later, and when. If the server answers 200 to a rejected token: see `urql.ts`.
 *
 * @module
 */
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { RetryLink } from "@apollo/client/link/retry";
import { isRemintError } from "remint";
import { createAuthFetch, type FetchTokenSource } from "remint/fetch";

export function createClient(tokens: FetchTokenSource, uri: string): ApolloClient {
  const retry = new RetryLink({
    attempts: (count, _operation, error) => count < 3 && (!isRemintError(error) || error.retryable),
    delay: (count, _operation, error) => (isRemintError(error) && error.retryAfter) || 300 * 2 ** count,
  });
  const http = new HttpLink({ uri, fetch: createAuthFetch(tokens) });
  return new ApolloClient({ link: ApolloLink.from([retry, http]), cache: new InMemoryCache() });
}
