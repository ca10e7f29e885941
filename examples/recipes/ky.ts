/**
 * ky repeats whatever its fetch throws. The errors of this package say themselves whether the same call may succeed later, and
 * when.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import ky, { type KyInstance } from "ky";
import { isRemintError } from "remint";
import { createAuthFetch, type FetchTokenSource } from "remint/fetch";

export function createClient(tokens: FetchTokenSource, prefixUrl: string): KyInstance {
  return ky.create({
    prefixUrl,
    fetch: createAuthFetch(tokens),
    retry: { shouldRetry: ({ error }) => (isRemintError(error) ? error.retryable : undefined) },
    hooks: {
      beforeRetry: [
        async ({ error }) => {
          if (isRemintError(error) && error.retryAfter !== undefined) await sleep(error.retryAfter);
        },
      ],
    },
  });
}
