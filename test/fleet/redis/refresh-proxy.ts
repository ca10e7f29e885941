/**
 * A proxy before the token endpoint of users' sessions. It logs what becomes of each refresh, and stops at two steps, so that a
 * test can kill the process that refreshes. Only the log can tell why a session is lost: the server has replaced the refresh
 * token, and nobody has the next one.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** One refresh, as the proxy saw it. */
export interface Refresh {
  /** The name of the process that asked (header `x-process`). */
  readonly process: string;
  readonly user: string;
  /** The refresh token that was presented. */
  readonly presented: string;
  /** What the server has done: `committed` means that it has replaced the refresh token. */
  outcome: "unknown" | "committed" | "refused";
  /** The refresh token that replaces it. Only the answer has it. */
  next: string | undefined;
  /** Whether the whole answer was handed to the system while the connection was open. */
  isAnswered: boolean;
}

/** Where a refresh stops: before the server gets it, when the server has decided, or when the answer was sent. */
export type RefreshStep = "received" | "committed" | "answered";

export interface RefreshProxy {
  readonly tokenEndpoint: string;
  /** All refreshes, oldest first. */
  readonly log: readonly Refresh[];
  /** Whose an access token or refresh token is. */
  readonly owners: Map<string, string>;
  /** Awaited at each step. */
  onStep: ((step: RefreshStep, refresh: Refresh) => Promise<void>) | undefined;
  close(): Promise<void>;
}

export async function startRefreshProxy(target: string): Promise<RefreshProxy> {
  const log: Refresh[] = [];
  const owners = new Map<string, string>();
  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk as Uint8Array);
    const body = Buffer.concat(chunks).toString();
    const presented = new URLSearchParams(body).get("refresh_token")!;
    const refresh: Refresh = {
      process: String(request.headers["x-process"]),
      user: owners.get(presented) ?? "nobody",
      presented,
      outcome: "unknown",
      next: undefined,
      isAnswered: false,
    };
    log.push(refresh);
    await proxy.onStep?.("received", refresh);
    const headers = { "content-type": request.headers["content-type"]! };
    const answer = await fetch(target, { method: "POST", headers, body });
    const text = await answer.text();
    refresh.outcome = answer.ok ? "committed" : "refused";
    if (answer.ok) {
      const { access_token, refresh_token } = JSON.parse(text) as { access_token: string; refresh_token: string };
      refresh.next = refresh_token;
      for (const token of [access_token, refresh_token]) owners.set(token, refresh.user);
    }
    await proxy.onStep?.("committed", refresh);
    if (response.destroyed) return;
    response.writeHead(answer.status, { "content-type": "application/json" });
    response.end(text, () => {
      refresh.isAnswered = true;
      void proxy.onStep?.("answered", refresh);
    });
  };
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const proxy: RefreshProxy = {
    tokenEndpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    log,
    owners,
    onStep: undefined,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
  return proxy;
}
