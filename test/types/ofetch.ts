// The types of `remint/ofetch`, with whatever version of ofetch is installed.
import { ofetch } from "ofetch";
import { createTokenCache } from "remint";
import { createAuthOfetch } from "remint/ofetch";
import type { $Fetch } from "ofetch";
import type { TokenCache } from "remint";
import type { AuthRequestInit } from "remint/fetch";
import type { AuthOfetchOptions } from "remint/ofetch";
import { fromEnvironment, known, same } from "./expect.ts";

declare const maybeCache: TokenCache | undefined;
declare const stream: ReadableStream<Uint8Array>;
const tokens = createTokenCache({ grant: async () => ({ access_token: "a" }), origins: ["https://api.example"] });
const api = createAuthOfetch(tokens, { baseURL: fromEnvironment ?? "https://api.example", retry: 0 });
known<typeof api>(true);
same<typeof api, $Fetch>(true);
void api<{ readonly id: number }>("/a").then(({ id }) => same<typeof id, number>(true));
void api.raw("/a").then(({ status }) => same<typeof status, number>(true));

// The options of one request.
void api("/a", { remint: false });
void api("/a", { remint: tokens, query: { b: 1 } });
void api("/a", { remint: { retry: false, cache: maybeCache } });
void api("/a", { method: "PUT", remint: { body: () => stream } });
createAuthOfetch(tokens, { remint: { retry: false } });
// @ts-expect-error `true` has no meaning here
void api("/a", { remint: true });
// @ts-expect-error not one of the keys
void api("/a", { remint: { retries: 3 } });

// Sources, options, and a `$fetch` to build on, whose type is that of the result.
declare const theirs: $Fetch & { readonly routes: "typed" };
same<ReturnType<typeof createAuthOfetch<typeof theirs>>, typeof theirs>(true);
const built = createAuthOfetch(tokens, {}, { ofetch: theirs, failedRenewal: "throw" });
same<typeof built, typeof theirs>(true);
declare const maybe: typeof theirs | undefined;
const maybeBuilt = createAuthOfetch(tokens, {}, { ofetch: maybe });
same<typeof maybeBuilt, typeof theirs>(true);
// @ts-expect-error a fetch is no $fetch
createAuthOfetch(tokens, {}, { ofetch: fetch });
createAuthOfetch([tokens, tokens]);
createAuthOfetch((url, init) => {
  same<typeof url, string>(true);
  same<typeof init, AuthRequestInit | undefined>(true);
  return maybeCache;
});
createAuthOfetch(tokens, {}, { ofetch, fetch: undefined, isRejected: undefined, inspectStatuses: undefined });
createAuthOfetch(tokens, undefined, { ofetch: api });
// @ts-expect-error a token is not a source of tokens
createAuthOfetch(fromEnvironment);
known<AuthOfetchOptions["ofetch"]>(true);
