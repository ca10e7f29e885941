// Creates a cache that holds a token of realistic length.
import { createTokenCache } from "remint";

export const ORIGIN = "https://api.example";

export async function warmCache() {
  const value = "x".repeat(800);
  const cache = createTokenCache({ grant: async () => ({ access_token: value, expires_in: 3600 }), origins: [ORIGIN] });
  await cache.get();
  return { cache, header: `Bearer ${value}` };
}
