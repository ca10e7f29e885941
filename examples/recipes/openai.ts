/**
 * The OpenAI SDK behind a gateway that takes your tokens. The SDK sends its own key as `Authorization` unless that header is set
 * to `null`. It repeats whatever its fetch throws, so it is given an answer instead, and told whether a repetition makes sense.
 *
 * @module
 */
import OpenAI from "openai";
import { isRemintError } from "remint";
import { createAuthFetch, type FetchTokenSource } from "remint/fetch";

export function createClient(tokens: FetchTokenSource, baseURL: string): OpenAI {
  const authFetch = createAuthFetch(tokens);
  return new OpenAI({
    baseURL,
    apiKey: "none",
    defaultHeaders: { Authorization: null },
    fetch: (input, init) =>
      authFetch(input, init).catch((error: unknown) => {
        if (!isRemintError(error)) throw error;
        const response = error.getResponse();
        response.headers.set("x-should-retry", String(error.retryable));
        return response;
      }),
  });
}
