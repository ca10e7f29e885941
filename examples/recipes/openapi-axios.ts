/**
 * A client that @hey-api/openapi-ts generates for axios (`npm run generate`). Do not give it `auth`: with it, the client sets
 * `Authorization`, and such a request is sent unchanged. With `throwOnError` an error is thrown; by default the client returns it,
 * and `data` is undefined.
 *
 * @module
 */
import axios from "axios";
import { type AxiosTokenSource, createAuthInterceptor } from "remint/axios";
import { type Client, createClient as createGeneratedClient, createConfig } from "./generated/client/index.ts";

export function createClient(tokens: AxiosTokenSource, baseURL: string): Client {
  const instance = axios.create();
  instance.interceptors.request.use(createAuthInterceptor(tokens));
  return createGeneratedClient(createConfig({ baseURL, axios: instance, throwOnError: true }));
}
