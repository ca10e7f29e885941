import { cacheSettings } from "./options.ts";
import { MintingTokenCache } from "./token-cache.ts";
import type { TokenCacheOptions } from "./options.ts";
import type { TokenCache } from "../policy/choose-cache.ts";

/**
 * Creates the cache of one grant's token, to be shared by every request of every client.
 *
 * Does no I/O: the first request that needs a token mints it. One cache is one token; for a token per user or tenant
 * see {@link createTokenPool}.
 *
 * @throws {TypeError} When an option is wrong: it names the option, the kind of the value and what is expected.
 * @see [RFC 6749 section 1.4](https://www.rfc-editor.org/rfc/rfc6749.html#section-1.4)
 * @example
 * ```ts
 * const tokens = createTokenCache({
 *   grant: clientCredentials({ tokenEndpoint: "https://auth.example/token", clientId, clientSecret }),
 *   origins: ["https://api.example"],
 * });
 * ```
 */
export function createTokenCache(options: TokenCacheOptions): TokenCache {
  return new MintingTokenCache(cacheSettings(options));
}
