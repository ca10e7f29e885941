// Creates a cache that holds a token of realistic length.
import { createTokenCache } from "remint";

export const ORIGIN = "https://api.example";

/**
 * What every cache has to do at every call: look whether the token has expired, by the wall clock and by the monotonic
 * clock. Either may be wrong: one is set, the other stands still while a machine sleeps.
 */
export function expiryCheck() {
  const offset = Date.now() - performance.now();
  const end = Date.now() + 3_600_000;
  return () => {
    if (Math.max(Date.now(), performance.now() + offset) >= end) throw new Error("not in this bench");
  };
}

export async function warmCache(options) {
  const value = "x".repeat(800);
  const grant = async () => ({ access_token: value, expires_in: 3600 });
  const cache = createTokenCache({ grant, origins: [ORIGIN], ...options });
  await cache.get();
  return { cache, header: `Bearer ${value}` };
}
