import { isAxiosError } from "axios";
import { isRemintError } from "remint";
import { describe, expect, test } from "vitest";
import { listOrders } from "../generated/index.ts";
import { createClient } from "../openapi-axios.ts";
import { carriesTokens, rejectionOf, startStage } from "./stage.ts";

describe("a generated axios client", () => {
  carriesTokens(({ tokens, api }) => {
    const client = createClient(tokens, api.origin);
    return async (page) => {
      const { data } = await listOrders({ client, query: { page } });
      expect(data).toEqual({ ok: true, path: "/orders" });
    };
  });

  test("when no token can be had, the error is thrown", async () => {
    const { auth, api, tokens } = await startStage({ mintRetries: 0 });
    auth.respond({ status: 503, headers: { "retry-after": "7" } });
    const error = await rejectionOf(listOrders({ client: createClient(tokens, api.origin) }));
    expect([isAxiosError(error), isRemintError(error)]).toEqual([true, true]);
    expect(error).toMatchObject({ status: 503, retryAfter: 7000 });
  });

  test("with throwOnError: false the same error is returned", async () => {
    const { auth, api, tokens } = await startStage({ mintRetries: 0 });
    auth.respondAlways({ status: 400, body: { error: "invalid_scope" } });
    const client = createClient(tokens, api.origin);
    const result = await listOrders({ client, throwOnError: false });
    expect(isRemintError(result)).toBe(true);
    expect(result.data).toBeUndefined();
  });

  test("with `auth`, the client's own Authorization is sent and the token is not", async () => {
    const { auth, api, tokens } = await startStage();
    const client = createClient(tokens, api.origin);
    await rejectionOf(listOrders({ client, auth: "mine" }));
    expect([api.requests.map(({ token }) => token), auth.mints]).toEqual([["mine"], 0]);
  });
});
