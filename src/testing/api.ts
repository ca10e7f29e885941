import { assertOptions, optionError } from "../base/options.ts";
import { ScriptedServer } from "./scripted-server.ts";
import type { AuthServer } from "./auth-server.ts";
import type { Answer, ReceivedRequest, Scripted } from "./scripted-server.ts";

/** How a {@link startApi} behaves when no script says otherwise. */
export interface ApiOptions {
  /** Which tokens are let in: those an auth server handed out and did not revoke, or those a function says. */
  readonly accepts: Pick<AuthServer, "isLive"> | ((token: string) => boolean);
  /** Milliseconds from a request to its answer. @defaultValue 0 */
  readonly latency?: number | undefined;
}

/** A request to the API. */
export interface ApiRequest extends ReceivedRequest {
  /** The body as text (UTF-8). */
  readonly text: string;
  /** What followed `Bearer` in the `Authorization` header. */
  readonly token: string | undefined;
  /** The status that was answered; `undefined` before that, and when none ever was. */
  readonly status: number | undefined;
}

/** An API on loopback that wants a Bearer token, and the controls a test has over it. */
export interface Api extends Scripted<ApiRequest>, AsyncDisposable {
  /** How many requests were answered 401, by scripts too. */
  readonly unauthorized: number;
}

class LoopbackApi extends ScriptedServer<ApiRequest> implements Api {
  unauthorized = 0;
  readonly #accepts: (token: string) => boolean;

  constructor({ accepts, latency }: ApiOptions) {
    super(latency);
    if (typeof accepts === "function") this.#accepts = accepts;
    else if (typeof accepts?.isLive === "function") this.#accepts = (token) => accepts.isLive(token);
    else throw optionError("accepts", accepts, "an auth server or a function of the token");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  protected override record(received: ReceivedRequest): ApiRequest {
    const [, token] = /^Bearer +(\S+) *$/i.exec(received.headers.authorization ?? "") ?? [];
    return { ...received, text: new TextDecoder().decode(received.body), token, status: undefined };
  }

  protected override normalAnswer({ token, url }: ApiRequest): Answer {
    // RFC 6750 section 3.1: a request without a token is not told an error.
    if (token === undefined) return { status: 401, headers: { "www-authenticate": "Bearer" }, body: { ok: false } };
    if (this.#accepts(token)) return { body: { ok: true, path: url.replace(/\?.*$/s, "") } };
    return {
      status: 401,
      headers: { "www-authenticate": 'Bearer error="invalid_token"' },
      body: { ok: false, error: "invalid_token" },
    };
  }

  protected override answering(request: ApiRequest, answer: Answer): Answer {
    const { status = 200 } = answer;
    Object.assign(request, { status });
    if (status === 401) this.unauthorized++;
    return answer;
  }
}

/**
 * Starts an API on 127.0.0.1 that answers `{ ok: true, path }` to a Bearer token it accepts, and 401 otherwise.
 *
 * Whether a token is accepted is decided when the answer is sent: requests held back by `holdAnswers` while their token
 * is revoked get a 401.
 *
 * @throws {TypeError} When `accepts` is neither an auth server nor a function, or `latency` is not milliseconds.
 * @see [RFC 6750 section 3](https://www.rfc-editor.org/rfc/rfc6750.html#section-3)
 * @example
 * ```ts
 * const api = await startApi({ accepts: auth });
 * const release = api.holdAnswers();
 * const answers = Promise.all(paths.map((path) => authFetch(api.origin + path)));
 * await api.waitFor(paths.length);
 * auth.revokeAll();
 * release();
 * ```
 */
export async function startApi(options: ApiOptions): Promise<Api> {
  assertOptions("startApi", options);
  return new LoopbackApi(options).listen();
}
