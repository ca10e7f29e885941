/**
 * The client seam for axios: how the request policy sends a request and reads its answer.
 *
 * Not here: what is changed in a request for a send (`call.ts`), and which cache it uses (`interceptors.ts`).
 *
 * @module
 */
import { DRAIN_BYTES, drained, isNodeStream } from "../body.ts";
import { hideSecrets } from "./secrets.ts";
import type { RejectionRule } from "../../core/types.ts";
import type { ClientSeam, FailedRenewal, SeamOptions, TokenHeaders } from "../../policy/client-seam.ts";
import type { AxiosCall, AxiosCallConfig } from "./call.ts";

/** An answer, as an adapter of axios returns it: `data` is not transformed yet. */
interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  data: unknown;
  readonly config?: AxiosCallConfig;
  readonly request?: SentRequest;
}

/** What an adapter of axios reports of a request: Node's, that of `follow-redirects`, or an XMLHttpRequest. */
interface SentRequest {
  readonly responseURL?: string;
  readonly res?: { readonly responseUrl?: string };
  /** The request of `follow-redirects`, around Node's. */
  readonly _redirectable?: SentRequest;
  readonly _redirectCount?: number;
}

/** The client seam of one interceptor. */
export class AxiosSeam implements ClientSeam<AxiosCall, Answer> {
  readonly isRejected: RejectionRule | undefined;
  readonly inspectStatuses: readonly number[] | undefined;
  readonly failedRenewal: FailedRenewal | undefined;

  constructor(options: SeamOptions) {
    this.isRejected = options.isRejected;
    this.inspectStatuses = options.inspectStatuses;
    this.failedRenewal = options.failedRenewal;
  }

  send(call: AxiosCall, headers: TokenHeaders | undefined): Promise<Answer> | undefined {
    return call.send(headers) as Promise<Answer> | undefined;
  }

  isAuthorized(call: AxiosCall): boolean {
    return call.isAuthorized;
  }

  status(answer: Answer): number {
    return answer.status;
  }

  header({ headers }: Answer, name: string): string | null {
    const wanted = name.toLowerCase();
    for (const key in headers) {
      const value = headers[key] as { toString(): string } | null | undefined;
      if (key.toLowerCase() === wanted && value !== undefined && value !== null) return value.toString();
    }
    return null;
  }

  answerOf(error: unknown): Answer | undefined {
    const { response } = Object(error) as { response?: Answer };
    return typeof response?.status === "number" ? response : undefined;
  }

  /**
   * The http adapter counts redirects. What it reports as the URL of a request without one need not be that of the request:
   * over a socket path there is no host. An XMLHttpRequest reports the URL. axios' fetch adapter reports neither, so a
   * renewal that is needless because of a redirect is then limited by the storm guard (C8).
   */
  finalUrl({ request, config }: Answer): string | undefined {
    if (config?.socketPath) return undefined;
    // oxlint-disable-next-line no-underscore-dangle -- the names are those of another package
    const count = (request?._redirectable ?? request)?._redirectCount;
    if (count === undefined) return request?.responseURL;
    return count > 0 ? request?.res?.responseUrl : undefined;
  }

  canResend(call: AxiosCall): boolean {
    return call.canResend;
  }

  discard(answer: Answer): Promise<void> {
    return keepStart(answer);
  }

  text({ data }: Answer, maxBytes: number): Promise<string> {
    return Promise.resolve(textOf(data).slice(0, maxBytes));
  }

  errorFor(call: AxiosCall, error: Error): Error {
    return call.errorFor(error);
  }

  finish(call: AxiosCall, outcome: unknown): void {
    call.finish(outcome);
    hideSecrets(call.config, outcome);
  }
}

function textOf(data: unknown): string {
  if (typeof data === "string") return data;
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) return new TextDecoder().decode(data);
  return "";
}

/**
 * Frees the connection of an answer that is a stream, and puts the start of its body in the stream's place. A body that was
 * cut loses its length.
 */
async function keepStart(answer: Answer): Promise<void> {
  const start = await drained(answer.data);
  if (start === undefined) return;
  if (!start.isWhole) {
    for (const name in answer.headers) if (name.toLowerCase() === "content-length") delete answer.headers[name];
  }
  const bytes = start.bytes.subarray(0, DRAIN_BYTES);
  answer.data = isNodeStream(answer.data) ? (nodeStreamOf(bytes) ?? answer.data) : new Blob([bytes]).stream();
}

function nodeStreamOf(bytes: Uint8Array): unknown {
  const { process } = globalThis as { process?: { getBuiltinModule?(name: "stream"): NodeStreams } };
  return process?.getBuiltinModule?.("stream").Readable.from([bytes], { objectMode: false });
}

/** The members of `node:stream` that are needed here. Declared, because Node's types are not available. */
interface NodeStreams {
  readonly Readable: { from(chunks: readonly Uint8Array[], options: { objectMode: boolean }): unknown };
}
