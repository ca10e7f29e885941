import { describe, expect, test } from "vitest";
import { createClient } from "../ky.ts";
import { carriesTokens, leavesRefusalsAlone, startStage, waitsAsLongAsAsked } from "./stage.ts";

describe("ky", () => {
  carriesTokens(({ tokens, api }) => {
    const client = createClient(tokens, api.origin);
    return (number) => client.get(`orders/${number}`).json();
  });

  leavesRefusalsAlone(
    ({ api }, source) =>
      () =>
        createClient(source, api.origin).get("orders").json(),
  );

  // ky's own first pause is a second.
  waitsAsLongAsAsked(({ tokens, api }) => {
    const client = createClient(tokens, api.origin).extend({ retry: { limit: 1 } });
    return () => client.get("orders").json();
  });

  test("a POST with a JSON body is sent again after a 401", async () => {
    const { auth, api, tokens } = await startStage();
    const client = createClient(tokens, api.origin);
    await client.get("orders");
    auth.revokeAll();
    await client.post("orders", { json: { item: "apples" } });
    expect(api.requests.slice(1).map(({ status, text }) => [status, text])).toEqual([
      [401, '{"item":"apples"}'],
      [200, '{"item":"apples"}'],
    ]);
  });
});
