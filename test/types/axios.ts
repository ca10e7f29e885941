// The types of `remint/axios`, with whatever version of axios is installed.
import axios from "axios";
import { createTokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";
import type { TokenCache } from "remint";
import type { AuthInterceptorOptions } from "remint/axios";
import { fromEnvironment, known, same } from "./expect.ts";

declare const maybeCache: TokenCache | undefined;
const tokens = createTokenCache({ grant: async () => ({ access_token: "a" }), origins: ["https://api.example"] });
const authInterceptor = createAuthInterceptor(tokens);
known<typeof authInterceptor>(true);

// The line that every user writes, and its variations.
const id = axios.interceptors.request.use(authInterceptor);
same<typeof id, number>(true);
axios.interceptors.request.use(authInterceptor, null, { synchronous: true });
axios.interceptors.request.use(authInterceptor, undefined, { runWhen: () => true });
axios.interceptors.request.eject(id);
const instance = axios.create({ baseURL: "https://api.example", remint: { retry: false } });
instance.interceptors.request.use(authInterceptor);
instance.interceptors.request.use(createAuthInterceptor(tokens, { axios }));

// Mistakes of users of other libraries.
// @ts-expect-error the interceptor is for requests
axios.interceptors.response.use(authInterceptor);
// @ts-expect-error the same, for an instance
instance.interceptors.response.use(createAuthInterceptor(tokens));
// @ts-expect-error axios is no source
createAuthInterceptor(axios);
// @ts-expect-error nor is an instance
createAuthInterceptor(instance, tokens);
// @ts-expect-error several caches are an array
createAuthInterceptor(tokens, tokens);
// @ts-expect-error axios is an option
createAuthInterceptor(tokens, axios);
// @ts-expect-error the function returns a cache, not a token
createAuthInterceptor(() => tokens.get());

// The options of one request, wherever axios takes a config.
void axios.get("/a", { remint: false });
void axios.get<string>("/a", { remint: tokens }).then(({ data }) => same<typeof data, string>(true));
void instance.post("/a", { b: 1 }, { remint: { retry: false } });
void instance.request({ url: "/a", remint: { cache: maybeCache, body: () => "b" } });
void instance({ url: "/a", remint: undefined });
instance.defaults.remint = tokens;
// @ts-expect-error `true` has no meaning here
void axios.get("/a", { remint: true });
// @ts-expect-error not one of the keys
void axios.get("/a", { remint: { retries: 3 } });
instance.interceptors.response.use(({ config }) => {
  known<typeof config.remint>(true);
  return Promise.reject(new Error(String(config.remint === false)));
});

// Sources, and the arguments of a function source.
createAuthInterceptor([tokens, tokens]);
createAuthInterceptor(() => undefined);
createAuthInterceptor(() => null);
createAuthInterceptor(async (config) => {
  known<typeof config>(true);
  same<typeof config.url, string | undefined>(true);
  return config.baseURL === fromEnvironment ? tokens : maybeCache;
});
// @ts-expect-error a token is not a source of tokens
createAuthInterceptor(fromEnvironment);

// Options, every one of which may be undefined.
createAuthInterceptor(tokens, {
  axios: undefined,
  isRejected: undefined,
  inspectStatuses: undefined,
  failedRenewal: undefined,
});
createAuthInterceptor(tokens, { failedRenewal: "throw" });
// @ts-expect-error another word
createAuthInterceptor(tokens, { failedRenewal: "answer" });
createAuthInterceptor(tokens, { inspectStatuses: [400], isRejected: ({ status }) => status === 400 || undefined });
// @ts-expect-error a misspelt option is an error
createAuthInterceptor(tokens, { retry: false });
known<AuthInterceptorOptions["axios"]>(true);
