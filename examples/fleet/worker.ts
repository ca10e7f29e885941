/** One process of the fleet. Only the option `store` differs from a service without a fleet. */
import { Redis } from "ioredis";
import { clientCredentialsGrant, createTokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";
import { redisStore } from "remint/redis";

const { REDIS_URL = "", TOKEN_ENDPOINT, API = "" } = process.env;
const redis = new Redis(REDIS_URL);
// 32 bytes, the same in every process. In production they come from a secret, not from the code: openssl rand -base64
// 32
const encryptionKey = new Uint8Array(32).fill(7);

const tokens = createTokenCache({
  grant: clientCredentialsGrant({ tokenEndpoint: TOKEN_ENDPOINT, clientId: "worker", clientSecret: "s3cret" }),
  origins: [API],
  // The default is 500 ms. On a machine that is busy with tests an answer may take longer.
  store: redisStore(redis, { encryptionKey, callTimeout: 5000 }),
});
const authFetch = createAuthFetch(tokens);

process.on("message", (calls: number) => {
  void Promise.all(Array.from({ length: calls }, async () => (await authFetch(`${API}/orders`)).status)).then(
    (statuses) => process.send?.(statuses),
  );
});
process.once("disconnect", () => redis.disconnect());
