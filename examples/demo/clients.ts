import axios from "axios";
import type { TokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { createAuthFetch } from "remint/fetch";
import { createAuthOfetch } from "remint/ofetch";

/** Sends a GET and resolves to the status of the answer. */
export type Send = (path: string) => Promise<number>;

/** Creates the three clients, with one cache for all. */
export function createClients(tokens: TokenCache, origin: string): readonly Send[] {
  // oxlint-disable-next-line import/no-named-as-default-member -- axios is usually used like this
  const api = axios.create({ baseURL: origin, validateStatus: null });
  api.interceptors.request.use(createAuthInterceptor(tokens));

  const authOfetch = createAuthOfetch(tokens, { baseURL: origin, ignoreResponseError: true });

  const authFetch = createAuthFetch(tokens);

  return [
    async (path) => (await api.get(path)).status,
    async (path) => (await authOfetch.raw(path)).status,
    async (path) => {
      const response = await authFetch(origin + path);
      await response.text();
      return response.status;
    },
  ];
}
