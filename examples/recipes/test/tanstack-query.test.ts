import type { TokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";
import { describe } from "vitest";
import { createQueryClient } from "../tanstack-query.ts";
import { type Call, carriesTokens, leavesRefusalsAlone, type Stage, waitsAsLongAsAsked } from "./stage.ts";

function querying({ tokens, api }: Stage, source: () => TokenCache = () => tokens, options = {}): Call {
  const client = createQueryClient();
  const authFetch = createAuthFetch(source);
  return (number) =>
    client.fetchQuery({
      ...options,
      queryKey: ["order", number],
      queryFn: async ({ signal }) => (await authFetch(`${api.origin}/orders/${number}`, { signal })).json(),
    });
}

describe("TanStack Query", () => {
  carriesTokens(querying);
  leavesRefusalsAlone(querying);
  // TanStack Query's own first pause is a second.
  waitsAsLongAsAsked((stage) => querying(stage, undefined, { retry: 1 }));
});
