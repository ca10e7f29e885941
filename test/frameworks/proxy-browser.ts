/** What stands for the browser: requests over connections of their own, as they are written. */
import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { connect } from "node:net";

/** The headers of a request that the application's own page sends, while Alice is signed in. */
export const PAGE = { "x-bff": "1", cookie: "theme=dark; __Host-session=the-random-id-of-alices-session" } as const;

/** An answer as it came. */
export interface Answered {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

/** Begins a request. The body is the caller's to end. */
export function begin(url: string, method = "GET", headers: Readonly<Record<string, string>> = {}): ClientRequest {
  const sent = request(url, { method, agent: false, headers: { ...PAGE, ...headers } });
  // A test that breaks a connection knows it.
  sent.on("error", () => {});
  return sent;
}

/** Sends a request and reads the answer. */
export async function call(
  url: string,
  method = "GET",
  headers: Readonly<Record<string, string>> = {},
  body?: string,
): Promise<Answered> {
  const sent = begin(url, method, body === undefined ? headers : { "content-length": `${body.length}`, ...headers });
  sent.end(body);
  return read(await answerTo(sent));
}

export async function answerTo(sent: ClientRequest): Promise<IncomingMessage> {
  const failed = once(sent, "close").then(() =>
    Promise.reject(new Error("the connection was closed without an answer")),
  );
  failed.catch(() => {});
  const [answer] = (await Promise.race([once(sent, "response"), failed])) as [IncomingMessage];
  return answer;
}

/** Reads an answer to its end. Rejects when the connection breaks before. */
export async function read(answer: IncomingMessage): Promise<Answered> {
  let text = "";
  for await (const chunk of answer.setEncoding("utf8")) text += chunk as string;
  return { status: answer.statusCode ?? 0, headers: answer.headers, text };
}

/** Sends bytes as they are, and returns what comes until the server closes the connection. */
export async function exchange(origin: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(origin);
  const socket = connect({ host: hostname, port: Number(port) });
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
  socket.on("error", () => {});
  socket.write(bytes, "latin1");
  await once(socket, "close");
  return text;
}
