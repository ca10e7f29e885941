import { describe, expect, test } from "vitest";
import { createClient } from "../axios-retry.ts";
import { carriesTokens, leavesRefusalsAlone, startStage, waitsAsLongAsAsked } from "./stage.ts";

describe("axios-retry", () => {
  carriesTokens(({ tokens, api }) => {
    const client = createClient(tokens, api.origin);
    return (number) => client.get(`/orders/${number}`);
  });

  leavesRefusalsAlone(
    ({ api }, source) =>
      () =>
        createClient(source, api.origin).get("/orders"),
  );

  // axios-retry's own pauses are 0.2, 0.4 and 0.8 seconds.
  waitsAsLongAsAsked(({ tokens, api }) => {
    const client = createClient(tokens, api.origin);
    return () => client.get("/orders");
  });

  test("an API that answers 503 once is asked again, with the same token", async () => {
    const { auth, api, tokens } = await startStage();
    api.respond({ status: 503 });
    await createClient(tokens, api.origin).get("/orders");
    expect(api.requests.map(({ status, token }) => [status, token])).toEqual([
      [503, auth.issued[0]],
      [200, auth.issued[0]],
    ]);
  });
});
