import { describe, expect, test } from "vitest";
import { createClient } from "../openapi-fetch.ts";
import { carriesTokens, startStage } from "./stage.ts";

describe("openapi-fetch", () => {
  carriesTokens(({ tokens, api }) => {
    const client = createClient(tokens, api.origin);
    return async () => {
      const { data } = await client.GET("/orders");
      expect(data).toEqual({ ok: true, path: "/orders" });
    };
  });

  test("when no token can be had, the caller's branch for bad answers gets 503 with the Retry-After of the token endpoint", async () => {
    const { auth, api, tokens } = await startStage({ mintRetries: 0 });
    auth.respond({ status: 503, headers: { "retry-after": "7" } });
    const { data, response } = await createClient(tokens, api.origin).GET("/orders");
    expect([data, response.status, response.headers.get("retry-after")]).toEqual([undefined, 503, "7"]);
  });

  test("with the usual middleware that sets Authorization, that header is sent and the token is not", async () => {
    const { auth, api, tokens } = await startStage();
    const client = createClient(tokens, api.origin);
    client.use({ onRequest: ({ request }) => request.headers.set("authorization", "Bearer mine") });
    expect((await client.GET("/orders")).response.status).toBe(401);
    expect([api.requests.map(({ token }) => token), auth.mints]).toEqual([["mine"], 0]);
  });
});
