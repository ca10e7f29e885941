import axios, { isAxiosError } from "axios";
import type { Stage } from "./stage.ts";
import { useUsualInterceptor } from "./usual-interceptor.ts";
import type { Send } from "./clients.ts";

/** An axios with the interceptor everybody writes, as a client to send with. */
export function usualClient({ auth, api }: Stage): Send {
  // oxlint-disable-next-line import/no-named-as-default-member -- the way axios is used everywhere
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
