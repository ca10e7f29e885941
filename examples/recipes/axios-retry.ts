/**
 * axios-retry repeats every error that has a code, also those that will not get better, and reads `Retry-After` of an API's
 * answer only. The errors of this package say themselves whether the same call may succeed later, and when.
 *
 * @module
 */
import axios, { type AxiosInstance } from "axios";
import axiosRetry, { exponentialDelay, type IAxiosRetryConfig, isNetworkOrIdempotentRequestError } from "axios-retry";
import { isRemintError } from "remint";
import { type AxiosTokenSource, createAuthInterceptor } from "remint/axios";

const retryOptions: IAxiosRetryConfig = {
  retries: 3,
  retryCondition: (error) => (isRemintError(error) ? error.retryable : isNetworkOrIdempotentRequestError(error)),
  retryDelay: (count, error) => (isRemintError(error) && error.retryAfter) || exponentialDelay(count, error),
};

export function createClient(tokens: AxiosTokenSource, baseURL: string): AxiosInstance {
  const client = axios.create({ baseURL });
  axiosRetry(client, retryOptions);
  client.interceptors.request.use(createAuthInterceptor(tokens));
  return client;
}
