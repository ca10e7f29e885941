/**
 * axios-cache-interceptor finds an answer by method, URL and parameters, and compares the headers that `Vary` names. It runs
 * before the token is attached, so it sees no `Authorization` header: `Vary: Authorization` does not tell users apart, and one
 * user would be served the answer of another. Each sign-in needs keys of its own. What is cached needs no token, and is served
 * after a sign-out too.
 *
 * @module
 */
import axios from "axios";
import { type AxiosCacheInstance, buildKeyGenerator, defaultKeyGenerator, setupCache } from "axios-cache-interceptor";
import type { TokenPool } from "remint";
import { createAuthInterceptor } from "remint/axios";

export function createClient(pool: TokenPool, currentSession: () => string, baseURL: string): AxiosCacheInstance {
  const client = setupCache(axios.create({ baseURL }), {
    generateKey: buildKeyGenerator((request, meta) => `${currentSession()} ${defaultKeyGenerator(request, meta)}`),
  });
  client.interceptors.request.use(createAuthInterceptor(() => pool.get(currentSession())));
  return client;
}
