/**
 * A proxy before a token endpoint that logs what becomes of each request, and lets a test kill the client at a step. The log
 * shows why a session is lost: the server has replaced the refresh token, and nobody has the next one.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { onTestFinished } from "vitest";
import { originOf } from "./token-server.ts";

/**
 * One line of the log:
 *
 * - `received`: the whole request is at the proxy.
 * - `committed`: the server has decided, and has replaced the refresh token.
 * - `refused`: the server has answered with an error.
 * - `answered`: the whole answer was handed to the system.
 * - `unanswered`: the connection was gone before the answer was sent.
 *
 * The test adds what the process says, and `killed`.
 */
export type Log = string[];

/** A step at which the proxy stops. */
export type ProxyStep = "received" | "committed";

export interface KillingProxy {
  readonly tokenEndpoint: string;
  /** Stops at the next request's step, where the function kills the client. It returns whether the request goes on. */
  stopAt(step: ProxyStep, what: () => Promise<boolean>): void;
}

export async function startKillingProxy(target: string, log: Log): Promise<KillingProxy> {
  let stop: { readonly step: ProxyStep; readonly what: () => Promise<boolean> } | undefined;
  const reach = async (step: ProxyStep, closed: Promise<unknown>): Promise<boolean> => {
    const reached = stop;
    if (reached?.step !== step) return true;
    stop = undefined;
    const goesOn = await reached.what();
    // The client is gone, and the system tells it a moment later.
    await closed;
    return goesOn;
  };
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const closed = new Promise<void>((resolve) => response.once("close", resolve));
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk as Uint8Array);
    log.push("received");
    if (!(await reach("received", closed))) {
      response.destroy();
      return;
    }
    const { authorization = "", "content-type": type = "" } = request.headers;
    const headers = { authorization, "content-type": type };
    const answer = await fetch(target, { method: "POST", headers, body: Buffer.concat(chunks) });
    const body = Buffer.from(await answer.arrayBuffer());
    log.push(answer.ok ? "committed" : "refused");
    const goesOn = await reach("committed", closed);
    if (!goesOn || response.destroyed) {
      log.push("unanswered");
      response.destroy();
      return;
    }
    response.writeHead(answer.status, { "content-type": "application/json" });
    response.end(body, () => void log.push("answered"));
    await closed;
  };
  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      log.push(`the proxy failed: ${String(error)}`);
      response.destroy();
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { tokenEndpoint: originOf(server), stopAt: (step, what) => void (stop = { step, what }) };
}
