/**
 * tRPC sends the calls of a moment as one batch. If one of them answers UNAUTHORIZED and another does not, the status of the
 * batch is 207. `isRejected` says that the token was rejected then too.
 *
 * A batch is sent again as a whole, and what was accepted runs twice. Let the server check the token before the router, which
 * makes the status 401, or send mutations by `httpLink`. With `httpBatchStreamLink` the status is always 200, and only that check
 * helps.
 *
 * @module
 */
import { createTRPCClient, httpBatchLink, type TRPCClient } from "@trpc/client";
import { createAuthFetch, type FetchTokenSource } from "remint/fetch";
import type { AppRouter } from "./test/trpc-router.ts";

export function createClient(tokens: FetchTokenSource, url: string): TRPCClient<AppRouter> {
  const authFetch = createAuthFetch(tokens, {
    inspectStatuses: [207],
    isRejected: async ({ status, text }) =>
      (status === 207 && (await text(65_536)).includes('"code":"UNAUTHORIZED"')) || undefined,
  });
  return createTRPCClient<AppRouter>({ links: [httpBatchLink({ url, fetch: authFetch })] });
}
