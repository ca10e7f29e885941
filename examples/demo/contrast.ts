import axios, { isAxiosError } from "axios";
import type { Stage } from "./stage.ts";
import { useUsualInterceptor } from "./usual-interceptor.ts";
import type { Send } from "./clients.ts";

/** Creates an axios client with the usual interceptor. */
export function usualClient({ auth, api }: Stage): Send {
  // oxlint-disable-next-line import/no-named-as-default-member -- axios is usually used like this
  const usual = axios.create({ baseURL: api.origin });
  useUsualInterceptor(usual, auth.tokenEndpoint);
  return async (path) => {
    const { status } = await usual.get(path).catch((error: unknown) => {
      if (isAxiosError(error) && error.response !== undefined) return error.response;
      throw error;
    });
    return status;
  };
}
