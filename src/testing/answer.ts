/** What a test server is to do with one request. */
export interface Answer {
  /** @defaultValue 200 */
  readonly status?: number | undefined;
  /** Beside the server's own, and before them; `undefined` leaves one out that would be sent (`date`, for one). */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>> | undefined;
  /**
   * A string or bytes as they are, a Node.js `Readable` or another async iterable of them chunk by chunk, anything else
   * as JSON. A stream that fails cuts the connection off in the middle of the body.
   *
   * @defaultValue an empty body
   */
  readonly body?: string | Uint8Array | AsyncIterable<string | Uint8Array> | object | undefined;
  /** Milliseconds to wait before answering. @defaultValue the server's `latency` */
  readonly delay?: number | undefined;
  /** Never answers. */
  readonly hang?: true | undefined;
  /** Destroys the connection instead of answering. */
  readonly reset?: true | undefined;
}

/**
 * An {@link Answer}, or a function of the request that returns one, or `undefined` for the server's normal answer.
 *
 * An answer with neither `status` nor `body` is the normal one with those headers and that delay.
 */
export type Script<Request> = Answer | ((request: Request) => Answer | undefined | Promise<Answer | undefined>);

/** The normal answer, as far as the scripted one does not replace it. */
export function withScript(scripted: Answer | undefined, normal: () => Answer): Answer {
  if (scripted === undefined) return normal();
  if (scripted.status !== undefined || scripted.body !== undefined) return scripted;
  const usual = normal();
  return { ...usual, headers: { ...usual.headers, ...scripted.headers } };
}
