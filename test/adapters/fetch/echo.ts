/** A server that records what arrives as it is on the wire, with the case of the header names. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as it arrived. */
export interface Arrived {
  readonly method: string | undefined;
  readonly url: string | undefined;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: string;
}

export class Echo implements AsyncDisposable {
  readonly arrived: Arrived[] = [];
  /** The status of each answer, by the number of the request. @defaultValue 200 */
  status: (index: number) => number = () => 200;
  readonly #server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString("latin1");
      this.arrived.push({ method: request.method, url: request.url, headers: request.rawHeaders, body });
      response.statusCode = this.status(this.arrived.length - 1);
      response.end("echo");
    });
  });

  static async start(): Promise<Echo> {
    const echo = new Echo();
    await new Promise<void>((resolve) => echo.#server.listen(0, "127.0.0.1", resolve));
    return echo;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** What of a request does not come from this package: all but `Authorization`, with random boundaries made equal. */
export function withoutToken({ method, url, headers, body }: Arrived): Arrived {
  const boundary = /^--(\S+)\r\n/.exec(body)?.[1];
  const normal = (text: string): string => (boundary === undefined ? text : text.replaceAll(boundary, "BOUNDARY"));
  const pairs = Array.from({ length: headers.length / 2 }, (_, index) => headers.slice(2 * index, 2 * index + 2));
  // The order of the names says nothing.
  const others = pairs.filter(([name]) => name?.toLowerCase() !== "authorization").map((pair) => pair.join(": "));
  return { method, url, headers: others.map(normal).toSorted(), body: normal(body) };
}

/** The value of the `Authorization` header. */
export function tokenOf({ headers }: Arrived): string | undefined {
  const index = headers.findIndex((name, at) => at % 2 === 0 && name.toLowerCase() === "authorization");
  return index < 0 ? undefined : headers[index + 1];
}
