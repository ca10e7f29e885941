/** A token endpoint for tests whose answers the test writes itself, on the level of `node:http`. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { Server } from "node:net";
import { expect, onTestFinished } from "vitest";

export interface ReceivedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly form: URLSearchParams;
}

export interface TokenServer {
  readonly origin: string;
  readonly requests: ReceivedRequest[];
  /** Returns the first request, and fails the test if there was none. */
  first(): ReceivedRequest;
}

/** Starts a server that answers with this function. The server is closed when the test ends. */
export async function startTokenServer(
  answer: (response: ServerResponse, request: ReceivedRequest) => void,
): Promise<TokenServer> {
  const requests: ReceivedRequest[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (chunk: string) => (body += chunk));
    request.on("end", () => {
      const { method = "", url = "", headers } = request;
      const received = { method, url, headers, form: new URLSearchParams(body) };
      requests.push(received);
      answer(response, received);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    origin: originOf(server),
    requests,
    first: () => requests[0] ?? expect.fail("no request was sent"),
  };
}

export function originOf(server: Server): string {
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the server does not listen");
  return `http://127.0.0.1:${address.port}`;
}

export function json(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

/** Returns the context that a cache gives to a mint. */
export function context(signal: AbortSignal = new AbortController().signal): { signal: AbortSignal } {
  return { signal };
}
