/**
 * TanStack Query repeats every error three times. The errors of this package say themselves whether the same call may succeed
 * later, and when. `findRemintError` also finds those that a client has wrapped, such as tRPC's.
 *
 * @module
 */
import { QueryClient } from "@tanstack/query-core";
import { findRemintError } from "remint";

export function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        retry: (count, error) => count < 3 && (findRemintError(error)?.retryable ?? true),
        retryDelay: (count, error) => findRemintError(error)?.retryAfter ?? Math.min(1000 * 2 ** count, 30_000),
      },
    },
  });
}
