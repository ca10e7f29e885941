/**
 * An MCP client that acts for a service. Do not give the transport an `authProvider`: it would answer a 401 with a sign-in of its
 * own, and it sets `Authorization`, so that the requests are sent unchanged. `origins` of the cache must have the MCP server.
 *
 * @module
 */
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { createAuthFetch, type FetchTokenSource } from "remint/fetch";

export async function connect(tokens: FetchTokenSource, url: URL): Promise<Client> {
  const client = new Client({ name: "orders", version: "1.0.0" });
  await client.connect(new StreamableHTTPClientTransport(url, { fetch: createAuthFetch(tokens) }));
  return client;
}
