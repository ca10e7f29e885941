/**
 * The tokens of each sign-in: in Redis, encrypted, so that any number of processes can serve any user.
 *
 * @module
 */
import { createClient } from "redis";
import { createTokenCache, createTokenPool, refreshTokenGrant } from "remint";
import { redisStore } from "remint/redis";
import { settings } from "./settings.ts";

export const redis = createClient({ url: settings.redisUrl });
redis.on("error", (error: Error) => console.warn("redis:", error.message));

const store = redisStore(redis, { encryptionKey: settings.tokenKey });

export const pool = createTokenPool({
  create: () =>
    createTokenCache({
      grant: refreshTokenGrant({
        issuer: settings.issuer,
        clientId: settings.clientId,
        clientSecret: settings.clientSecret,
        refreshToken: () => null, // the store has it, from the sign-in on
      }),
      origins: [new URL(settings.apiUrl).origin],
      store,
      onEvent(event) {
        if (event.name === "store-failed") console.warn(event.error.hint, event.error.cause);
      },
    }),
});
