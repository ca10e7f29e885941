import type { OAuthClientProvider } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import { isRemintError } from "remint";
import { createAuthFetch } from "remint/fetch";
import { describe, expect, test } from "vitest";
import { connect } from "../mcp.ts";
import { answeredBy, carriesTokens, rejectionOf, type Stage, startStage } from "./stage.ts";

/** An MCP server with one tool and no sessions. It answers with events, and 405 to a request for those of nobody's call. */
async function mcpServer(request: Request): Promise<Response> {
  if (request.method === "GET") return new Response(null, { status: 405 });
  const server = new McpServer({ name: "orders", version: "1.0.0" });
  server.registerTool("orders", { description: "Lists the orders." }, () => ({
    content: [{ type: "text", text: "apples" }],
  }));
  const transport = new WebStandardStreamableHTTPServerTransport();
  await server.connect(transport);
  return transport.handleRequest(request);
}

function connected({ auth, api, tokens }: Stage): ReturnType<typeof connect> {
  api.respondAlways(answeredBy(auth, mcpServer));
  return connect(tokens, new URL("/mcp", api.origin));
}

describe("an MCP client", () => {
  carriesTokens(async (stage) => {
    const client = await connected(stage);
    return async () => {
      const { content } = await client.callTool({ name: "orders" });
      expect(content).toEqual([{ type: "text", text: "apples" }]);
    };
  });

  test("when no token can be had, connecting fails with the error of this package, and no sign-in is begun", async () => {
    const stage = await startStage({ mintRetries: 0 });
    stage.auth.respondAlways({ status: 401, body: { error: "invalid_client" } });
    const error = await rejectionOf(connected(stage));
    expect(isRemintError(error)).toBe(true);
    expect(stage.api.requests).toEqual([]);
    expect(stage.auth.requests).toHaveLength(1);
  });

  test("with an authProvider its token is sent and that of the cache is not", async () => {
    const { auth, api, tokens } = await startStage();
    api.respondAlways(answeredBy(auth, mcpServer));
    const { access_token: own } = auth.signIn("alice");
    const authProvider = { tokens: () => ({ access_token: own, token_type: "Bearer" }) } as OAuthClientProvider;
    const options = { authProvider, fetch: createAuthFetch(tokens) };
    const client = new Client({ name: "orders", version: "1.0.0" });
    await client.connect(new StreamableHTTPClientTransport(new URL("/mcp", api.origin), options));
    expect(new Set(api.requests.map(({ token }) => token))).toEqual(new Set([own]));
    expect(auth.requests).toEqual([]);
  });

  test("a server on an origin that the cache does not have gets no token", async () => {
    const { tokens } = await startStage();
    const { auth, api } = await startStage();
    api.respondAlways(answeredBy(auth, mcpServer));
    expect(await rejectionOf(connect(tokens, new URL("/mcp", api.origin)))).toMatchObject({ code: 401 });
    expect(api.requests.map(({ token }) => token)).toEqual([undefined]);
  });
});
