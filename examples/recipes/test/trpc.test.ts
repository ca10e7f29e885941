import { createTRPCClient, httpBatchStreamLink } from "@trpc/client";
import { fetchRequestHandler } from "@trpc/server/adapters/fetch";
import { findRemintError } from "remint";
import { createAuthFetch } from "remint/fetch";
import { describe, expect, test } from "vitest";
import { createClient } from "../trpc.ts";
import { answeredBy, answerOf, carriesTokens, rejectionOf, type Stage, startStage } from "./stage.ts";
import { type AppRouter, appRouter } from "./trpc-router.ts";

const handle = (isLive: boolean) => (req: Request) =>
  fetchRequestHandler({ endpoint: "", req, router: appRouter, createContext: () => ({ isLive }) });

/** The server checks the token before the router. */
function guarded({ auth, api, tokens }: Stage): ReturnType<typeof createClient> {
  api.respondAlways(answeredBy(auth, handle(true)));
  return createClient(tokens, api.origin);
}

describe("tRPC", () => {
  carriesTokens((stage) => {
    const client = guarded(stage);
    return () => client.orders.query();
  }, true);

  test("a batch of which one call is UNAUTHORIZED and another is not (207) is sent again with a new token", async () => {
    const { auth, api, tokens } = await startStage();
    api.respondAlways((request) => answerOf(request, handle(auth.isLive(request.token ?? ""))));
    const client = createClient(tokens, api.origin);
    const batch = () => Promise.all([client.version.query(), client.orders.query()]);
    expect(await batch()).toEqual(["1.0", ["apples"]]);
    auth.revokeAll();
    expect(await batch()).toEqual(["1.0", ["apples"]]);
    expect(api.requests.map(({ status, token }) => [status, token])).toEqual([
      [200, auth.issued[0]],
      [207, auth.issued[0]],
      [200, auth.issued[1]],
    ]);
  });

  test("a streamed batch is sent again when the server checks the token before the router, and not otherwise", async () => {
    const { auth, api, tokens } = await startStage();
    const link = httpBatchStreamLink({ url: api.origin, fetch: createAuthFetch(tokens) });
    const client = createTRPCClient<AppRouter>({ links: [link] });
    api.respondAlways(answeredBy(auth, handle(true)));
    await client.orders.query();
    auth.revokeAll();
    expect(await client.orders.query()).toEqual(["apples"]);
    api.respondAlways((request) => answerOf(request, handle(auth.isLive(request.token ?? ""))));
    auth.revokeAll();
    expect(await rejectionOf(client.orders.query())).toMatchObject({ data: { code: "UNAUTHORIZED" } });
    expect(api.requests.map(({ status }) => status)).toEqual([200, 401, 200, 200]);
  });

  test("when no token can be had, the error of tRPC has that of this package as its cause", async () => {
    const stage = await startStage({ mintRetries: 0 });
    stage.auth.respondAlways({ status: 401, body: { error: "invalid_client" } });
    const error = await rejectionOf(guarded(stage).orders.query());
    expect(findRemintError(error)).toMatchObject({ code: "ERR_TOKEN_ENDPOINT", retryable: false });
  });
});
