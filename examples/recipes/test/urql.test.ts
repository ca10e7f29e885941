import { isRemintError } from "remint";
import { describe, expect, test } from "vitest";
import { createClient } from "../urql.ts";
import { graphqlApi, ORDER } from "./graphql-api.ts";
import { answeredBy, answerOf, carriesTokens, startStage } from "./stage.ts";

describe("urql", () => {
  carriesTokens(({ auth, api, tokens }) => {
    api.respondAlways(answeredBy(auth, graphqlApi(true)));
    const client = createClient(tokens, api.origin);
    return async (number) =>
      expect((await client.query(ORDER, { number })).data).toEqual({ order: `apples ${number}` });
  });

  test("a server that answers 200 with UNAUTHENTICATED gets the request again with a new token", async () => {
    const { auth, api, tokens } = await startStage();
    api.respondAlways((request) => answerOf(request, graphqlApi(auth.isLive(request.token ?? ""))));
    const client = createClient(tokens, api.origin);
    await client.query(ORDER, { number: 1 });
    auth.revokeAll();
    expect((await client.query(ORDER, { number: 2 })).data).toEqual({ order: "apples 2" });
    expect(api.requests.map(({ status, token }) => [status, token])).toEqual([
      [200, auth.issued[0]],
      [200, auth.issued[0]],
      [200, auth.issued[1]],
    ]);
  });

  test("when no token can be had, the networkError of the result is the error of this package", async () => {
    const { auth, api, tokens } = await startStage({ mintRetries: 0 });
    auth.respondAlways({ status: 401, body: { error: "invalid_client" } });
    const { error } = await createClient(tokens, api.origin).query(ORDER, { number: 1 });
    expect(isRemintError(error?.networkError)).toBe(true);
  });
});
