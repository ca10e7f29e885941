/**
 * Watches the body stream of a request while something is awaited before the send: a token, a proof, the choice of the
 * cache. Nobody reads the stream meanwhile, so nobody else would notice that it failed: Node ends the process for an
 * `error` event without a listener, and a client that gets a closed stream waits for ever (Q6).
 *
 * A web stream needs no watch. It keeps its failure for its reader, which is the client.
 *
 * Not here: which bodies can be sent twice (`adapters/body.ts`).
 *
 * @module
 */
import type { ClientSeam, PolicyRequest } from "./client-seam.ts";

/** The members of a Node stream that are needed here. Declared, because Node's types are not available. */
interface NodeReadable {
  readonly readableEnded?: boolean | undefined;
  on(event: string, listener: (error: Error) => void): unknown;
  off(event: string, listener: (error: Error) => void): unknown;
}

/**
 * Settles as `pending` does, or rejects as soon as the request's body stream fails.
 *
 * @throws {unknown} The stream's own error, as the client gives it to its callers.
 */
export function whileBodyLasts<Request extends PolicyRequest, Answer, T>(
  pending: Promise<T>,
  request: Request,
  client: ClientSeam<Request, Answer>,
): Promise<T> {
  const { body } = request;
  if (!isNodeReadable(body)) return pending;
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(client.errorFor?.(request, error) ?? error);
    const close = (): void => {
      if (body.readableEnded !== true) fail(prematureClose());
    };
    // Stays: a stream that was never sent, because there was no token, must not end the process when it fails later.
    body.on("error", fail);
    body.on("close", close);
    const settle = (): unknown => body.off("close", close);
    Promise.resolve(pending).then(
      (value) => {
        settle();
        resolve(value);
      },
      (error: Error) => {
        settle();
        reject(error);
      },
    );
  });
}

function isNodeReadable(body: unknown): body is NodeReadable {
  if (typeof body !== "object" || body === null) return false;
  const { on, off, pipe } = body as { on?: unknown; off?: unknown; pipe?: unknown };
  return typeof on === "function" && typeof off === "function" && typeof pipe === "function";
}

/** The error for a stream that was closed before its end, for example because the browser that sends it went away. */
function prematureClose(): Error {
  const error = new Error("the stream of the request's body was closed before it was sent");
  return Object.assign(error, { code: "ERR_STREAM_PREMATURE_CLOSE" });
}
