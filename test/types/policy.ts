// The types of `remint/policy`, for any other client.
import { createTokenCache, isRemintError } from "remint";
import { withToken } from "remint/policy";
import type { ClientSeam, PolicyRequest } from "remint/policy";
import { same } from "./expect.ts";

declare const signal: AbortSignal | undefined;
const cache = createTokenCache({ grant: async () => ({ access_token: "a" }), origins: ["https://api.example"] });

interface Call extends PolicyRequest {
  readonly payload: number;
}
const seam: ClientSeam<Call, { readonly code: number }> = {
  async send(call, headers) {
    same<typeof call.payload, number>(true);
    same<typeof headers, Readonly<Record<string, string>> | undefined>(true);
    return { code: 16 };
  },
  status: ({ code }) => (code === 16 ? 401 : 200),
  header: () => null,
  errorFor(call, error) {
    same<typeof call.payload, number>(true);
    same<typeof error, Error>(true);
    return new Error(isRemintError(error) ? error.code : "the stream failed", { cause: error });
  },
  canResend: () => true,
};
const answer = withToken(cache, { url: "https://api.example/call", payload: 1, signal }, seam);
same<typeof answer, Promise<{ readonly code: number }>>(true);
