import axios, { type AxiosInstance, type InternalAxiosRequestConfig, isAxiosError } from "axios";
import { AUDIENCE, CLIENT } from "./auth-server.ts";

/** Adds the interceptor that most services write. It is no example to follow: the demo compares remint with it. */
export function useUsualInterceptor(api: AxiosInstance, tokenEndpoint: string): void {
  let token: string | undefined;

  async function fetchToken(): Promise<string> {
    const form = new URLSearchParams({ grant_type: "client_credentials", scope: "orders:read", resource: AUDIENCE });
    const auth = { username: CLIENT.clientId, password: CLIENT.clientSecret };
    const { data } = await axios.post<{ access_token: string }>(tokenEndpoint, form, { auth });
    return data.access_token;
  }

  api.interceptors.request.use(async (config) => {
    token ??= await fetchToken();
    config.headers.set("Authorization", `Bearer ${token}`);
    return config;
  });

  api.interceptors.response.use(undefined, async (error: unknown) => {
    if (!isAxiosError(error) || error.response?.status !== 401) throw error;
    const config = error.config as InternalAxiosRequestConfig & { retried?: boolean };
    if (config.retried) throw error;
    config.retried = true;
    token = await fetchToken();
    return api.request(config);
  });
}
