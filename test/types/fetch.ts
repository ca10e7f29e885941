// The types of `remint/fetch`, and of clients with a `fetch` option.
import ky from "ky";
import { ofetch } from "ofetch";
import createClient from "openapi-fetch";
import { createTokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";
import type { TokenCache } from "remint";
import type { AuthFetch, AuthFetchOptions, AuthRequestInit } from "remint/fetch";
import { fromEnvironment, known, same } from "./expect.ts";

declare const maybeCache: TokenCache | undefined;
declare const stream: ReadableStream<Uint8Array>;
const tokens = createTokenCache({ grant: async () => ({ access_token: "a" }), origins: ["https://api.example"] });
const authFetch = createAuthFetch(tokens);
known<typeof authFetch>(true);
same<typeof authFetch, AuthFetch>(true);
same<ReturnType<typeof authFetch>, Promise<Response>>(true);

// A drop-in replacement: it is assignable to `typeof fetch` and takes what fetch takes.
export const dropIn: typeof fetch = authFetch;
void authFetch("https://api.example/a");
void authFetch(new URL("https://api.example/a"), { method: "POST", body: "b" });
void authFetch(new Request("https://api.example/a"), { signal: null });
// @ts-expect-error a number is no URL
void authFetch(1);

// Clients with a `fetch` option.
export const clients = [
  ky.create({ fetch: authFetch }),
  createClient<Record<string, never>>({ baseUrl: "https://api.example", fetch: authFetch }),
  ofetch.create({}, { fetch: authFetch }),
];

// The options of one request.
void authFetch("/a", { remint: false });
void authFetch("/a", { remint: tokens });
void authFetch("/a", { remint: undefined });
void authFetch("/a", { remint: { retry: false, cache: maybeCache, body: undefined } });
void authFetch("/a", { method: "PUT", remint: { body: () => stream } });
// @ts-expect-error `true` has no meaning here
void authFetch("/a", { remint: true });
// @ts-expect-error not one of the keys
void authFetch("/a", { remint: { retries: 3 } });
// @ts-expect-error a body that fetch does not take
void authFetch("/a", { remint: { body: () => 42 } });

// Sources, and the arguments of a function source.
createAuthFetch([tokens, tokens]);
createAuthFetch(() => undefined);
createAuthFetch(async (url, init) => {
  same<typeof url, string>(true);
  same<typeof init, AuthRequestInit | undefined>(true);
  return maybeCache;
});
// @ts-expect-error a token is not a source of tokens
createAuthFetch(fromEnvironment);

// Options, every one of which may be undefined.
declare const maybe: { readonly fetch: typeof fetch | undefined; readonly statuses: number[] | undefined };
createAuthFetch(tokens, { fetch: maybe.fetch, inspectStatuses: maybe.statuses, isRejected: undefined });
createAuthFetch(tokens, {
  fetch: authFetch,
  inspectStatuses: [400, 500] as const,
  isRejected: async ({ status, header, text }) => {
    same<typeof status, number>(true);
    same<ReturnType<typeof header>, string | null>(true);
    return status === 500 && (await text(1024)).includes("INVALID_SESSION_ID");
  },
});
known<AuthFetchOptions["isRejected"]>(true);
createAuthFetch(tokens, { failedRenewal: "response" });
createAuthFetch(tokens, { failedRenewal: undefined });
// @ts-expect-error neither "throw" nor "response"
createAuthFetch(tokens, { failedRenewal: true });
// @ts-expect-error the arguments are swapped
createAuthFetch(fetch, tokens);
