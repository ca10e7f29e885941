/** An API behind the proxy, and a server that nobody may be sent to. Each knows what reached it. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { AuthServer } from "remint/testing";

/** A request that reached the API. */
export interface Arrived {
  readonly method: string;
  /** As it was sent. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** How many bytes of the body have come. */
  readonly received: number;
  /** The body so far. */
  readonly body: Buffer;
  /** Whether the connection was closed before the answer was complete. */
  readonly isGone: boolean;
  /** The answer, to be written by the test. Only at the paths `/held`, which are not answered otherwise. */
  readonly response: ServerResponse;
}

/** The API: its base path is `/v1`, and it accepts the tokens of the authorization server. */
export interface ProxiedApi {
  readonly origin: string;
  /** What has arrived, in order. */
  readonly arrived: readonly Arrived[];
  close(): Promise<void>;
}

/** Starts the API. It answers what arrived as JSON, with headers that a browser must not get. */
export async function startProxiedApi(auth: AuthServer): Promise<ProxiedApi> {
  const arrived: Arrived[] = [];
  const server = createServer((request, response) => {
    const record = recordOf(request, response);
    arrived.push(record);
    const [, token = ""] = /^Bearer (.+)$/.exec(request.headers.authorization ?? "") ?? [];
    if (!auth.isLive(token)) {
      request.resume();
      response.writeHead(401, { "www-authenticate": 'Bearer error="invalid_token"', connection: "close" });
      response.end();
      return;
    }
    if (!record.url.startsWith("/v1/held")) request.once("end", () => answer(record));
  });
  const origin = await listen(server);
  return { origin, arrived, close: () => closed(server) };
}

/** Starts a server that no request may reach. */
export async function startForbidden(): Promise<{ origin: string; urls: string[]; close(): Promise<void> }> {
  const urls: string[] = [];
  const server = createServer(({ url = "" }, response) => {
    urls.push(url);
    response.end();
  });
  return { origin: await listen(server), urls, close: () => closed(server) };
}

function recordOf(request: IncomingMessage, response: ServerResponse): Arrived {
  const chunks: Buffer[] = [];
  const record = {
    method: request.method ?? "",
    url: request.url ?? "",
    headers: request.headers,
    received: 0,
    get body() {
      return Buffer.concat(chunks);
    },
    isGone: false,
    response,
  };
  request.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    record.received += chunk.byteLength;
  });
  response.once("close", () => (record.isGone = !response.writableFinished));
  // What a broken connection says is no error of the API.
  request.on("error", () => {});
  response.on("error", () => {});
  return record;
}

function answer({ method, url, headers, body, response }: Arrived): void {
  response.writeHead(200, {
    "content-type": "application/json",
    "set-cookie": ["api=1; Path=/", "other=2"],
    "access-control-allow-origin": "*",
    "x-powered-by": "the API",
  });
  response.end(JSON.stringify({ method, url, headers, body: body.toString() }));
}

async function listen(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function closed(server: Server): Promise<void> {
  const ended = once(server, "close");
  server.close();
  server.closeAllConnections();
  await ended;
}
