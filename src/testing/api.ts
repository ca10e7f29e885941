/**
 * `startApi`: an API on loopback that requires an access token, and answers as a test says.
 *
 * Scripts, holds and records of requests are in scripted-server.ts. The token endpoint is in auth-server.ts.
 *
 * @module
 */
import { assertOptions, optionError } from "../base/options.ts";
import { ScriptedServer } from "./scripted-server.ts";
import type { AuthServer } from "./auth-server.ts";
import type { Answer, ReceivedRequest, Scripted } from "./scripted-server.ts";

/**
 * Starts an API on 127.0.0.1 that answers `{ ok: true, path }` to a request with a Bearer token it accepts, and 401 to
 * every other request.
 *
 * The API decides whether it accepts a token when it sends the answer: if `holdAnswers` holds requests back while their
 * token is revoked, they get a 401.
 *
 * @throws {TypeError} When `accepts` is neither an auth server nor a function, `latency` is not a duration, or an option is
 *   unknown.
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
  assertOptions("startApi", options, ["accepts", "latency"]);
  return new LoopbackApi(options).listen();
}

/** Options of {@link startApi}: how the API answers requests that no script answers. */
export interface ApiOptions {
  /** The tokens that the API accepts: the live tokens of an auth server, or the tokens for which a function is true. */
  readonly accepts: Pick<AuthServer, "isLive"> | ((token: string) => boolean);
  /** Milliseconds from a request to its answer. @defaultValue 0 */
  readonly latency?: number | undefined;
}

/** An API on loopback that requires a Bearer token, and the means by which a test controls it. */
export interface Api extends Scripted<ApiRequest>, AsyncDisposable {
  /** The number of requests that were answered 401, including scripted answers. */
  readonly unauthorized: number;
}

/** A request that the API received. */
export interface ApiRequest extends ReceivedRequest {
  /** The body, decoded as UTF-8. */
  readonly text: string;
  /** The token of the `Authorization` header; `undefined` if the header is missing or does not begin with `Bearer`. */
  readonly token: string | undefined;
  /** The status of the answer; `undefined` until an answer is sent. */
  readonly status: number | undefined;
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
    // RFC 6750 section 3.1: the challenge to a request without a token contains no error code.
    if (token === undefined) return { status: 401, headers: { "www-authenticate": "Bearer" }, body: { ok: false } };
    const isAccepted: unknown = this.#accepts(token);
    // A promise would count as true, whatever it brings.
    if (typeof isAccepted !== "boolean")
      throw optionError("accepts", isAccepted, "a function that returns true or false");
    if (isAccepted) return { body: { ok: true, path: url.replace(/\?.*$/s, "") } };
    return {
      status: 401,
      headers: { "www-authenticate": 'Bearer error="invalid_token"' },
      body: { ok: false, error: "invalid_token" },
    };
  }

  protected override beforeAnswer(request: ApiRequest, answer: Answer): Answer {
    const { status = 200 } = answer;
    Object.assign(request, { status });
    if (status === 401) this.unauthorized++;
    return answer;
  }
}
