import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import type { Answer } from "./answer.ts";

/** A real HTTP server that only this machine reaches. */
export interface Loopback {
  /** For example `http://127.0.0.1:40123`. */
  readonly origin: string;
  /** Ends every connection, answered or not, and frees the port. */
  close(): Promise<void>;
}

/** Thousands of clients may connect at once; with the usual 511 the rest would wait a second for their next attempt. */
const BACKLOG = 4096;

/** Starts a server on 127.0.0.1, at a port the system picks. */
export async function listenOnLoopback(listener: RequestListener): Promise<Loopback> {
  const server = createServer(listener);
  // An idle connection stays open: closing it after 5 s, Node's default, races with a client that just reused it.
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: "127.0.0.1", port: 0, backlog: BACKLOG }, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  let closed: Promise<void> | undefined;
  return {
    origin: `http://127.0.0.1:${address.port}`,
    close: () =>
      (closed ??= new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      })),
  };
}

/** The exact bytes of a request's body. Rejects when the client leaves before it has sent all. */
export async function readBody(incoming: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of incoming) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

/**
 * Sends an answer; resolves when the last byte was handed to the system.
 *
 * Rejects when the answer can not be sent, or its stream fails; the connection is then destroyed if the client has got
 * a part of it.
 */
export async function send(response: ServerResponse, answer: Answer): Promise<void> {
  const { body = "" } = answer;
  response.statusCode = answer.status ?? 200;
  setHeaders(response, { "content-type": contentType(body), ...answer.headers });
  if (isStream(body)) {
    response.flushHeaders();
    await pipeline(body, response);
    return;
  }
  const bytes = typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
  await new Promise<void>((resolve) => response.end(bytes, resolve));
}

function setHeaders(response: ServerResponse, headers: NonNullable<Answer["headers"]>): void {
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) response.setHeader(name, value);
    else if (name.toLowerCase() === "date") response.sendDate = false;
    else response.removeHeader(name);
  }
}

function contentType(body: NonNullable<Answer["body"]>): string | undefined {
  if (body === "") return undefined;
  if (typeof body === "string") return "text/plain; charset=utf-8";
  return body instanceof Uint8Array || isStream(body) ? "application/octet-stream" : "application/json";
}

function isStream(body: NonNullable<Answer["body"]>): body is AsyncIterable<string | Uint8Array> {
  return typeof body === "object" && Symbol.asyncIterator in body;
}
