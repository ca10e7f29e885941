/**
 * What the environment says.
 *
 * @module
 */
import assert from "node:assert/strict";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, API_URL, REDIS_URL, TOKEN_KEY, SESSION_SECRET } = process.env;
assert(ISSUER, "Set ISSUER, such as https://auth.example");
assert(CLIENT_ID, "Set CLIENT_ID, the id of this program at the authorization server");
assert(CLIENT_SECRET, "Set CLIENT_SECRET, the secret of that client");
assert(API_URL, "Set API_URL, such as https://api.example/v1");
assert(REDIS_URL, "Set REDIS_URL, such as redis://127.0.0.1:6379");
assert(TOKEN_KEY, "Set TOKEN_KEY, which openssl rand -base64 32 makes");
assert(SESSION_SECRET, "Set SESSION_SECRET, which openssl rand -base64 32 makes");

export const settings = {
  issuer: ISSUER,
  clientId: CLIENT_ID,
  clientSecret: CLIENT_SECRET,
  apiUrl: API_URL,
  redisUrl: REDIS_URL,
  tokenKey: TOKEN_KEY,
  sessionSecret: SESSION_SECRET,
  port: Number(process.env["PORT"] ?? 3000),
  /** Where browsers see this server. Unless it is set, on localhost. */
  origin: process.env["ORIGIN"],
};
