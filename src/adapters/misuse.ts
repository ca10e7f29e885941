/**
 * Mistakes in the arguments of `createAuthFetch` and `createAuthOfetch` that would otherwise be noticed at the first request,
 * or never: a client, which is a function too, where the source of tokens belongs.
 *
 * @module
 */
import { isTokenCache } from "../policy/choose-cache.ts";

/**
 * @param where The public function that was called.
 * @param line What to write instead.
 * @param source Its first argument.
 * @param second Its second argument.
 * @throws {TypeError} When the first argument is an HTTP client, or the second a token cache.
 */
export function assertNotSwapped(where: string, line: string, source: unknown, second: unknown): void {
  if (typeof source === "function" && "interceptors" in source) {
    const own = "instance.interceptors.request.use(createAuthInterceptor(tokens))";
    throw new TypeError(`${where} got a client with interceptors, which has no fetch to replace. Write ${own}`);
  }
  if (isTokenCache(second) || isClient(source)) {
    throw new TypeError(
      `${where} takes the token cache first, and got an HTTP client or its options there. Write ${line}`,
    );
  }
}

/** Whether a function is the runtime's fetch, or a client that is called like one: ofetch, ky, got. */
function isClient(source: unknown): boolean {
  return typeof source === "function" && (source === globalThis.fetch || "create" in source || "extend" in source);
}
