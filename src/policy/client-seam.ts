/**
 * The client seam: what an HTTP client implements so that the request policy can send its requests. Below it, the few
 * functions with which the policy calls a client.
 *
 * Not here: the policy itself (`request-policy.ts`). The implementations are in `adapters/`.
 *
 * @module
 */
import { isRemintError } from "../base/errors.ts";
import { assertFunction, assertStatuses, optionError } from "../base/options.ts";
import { isTokenText } from "../base/redacted.ts";
import type { RejectionRule } from "../core/types.ts";

/** How one client sends requests and how its answers are read. One object serves all requests of a client. */
export interface ClientSeam<Request extends PolicyRequest, Answer> {
  /**
   * Sends the request once, with these headers; as the caller made it when they are `undefined`. Called again for every
   * resend.
   *
   * @param how How the request got its token; `undefined` when it has none.
   * @param judged The statuses for which the grant is asked whether an answer rejects the token. For a client that hands an
   *   answer to its caller while it arrives: it may do so at once, unless the status is one of these, one of
   *   {@link ClientSeam.inspectStatuses}, or 401. `canResend` is `false` from then on.
   * @returns `undefined` when nothing was sent because the caller set an `Authorization` header. The policy then calls
   *   `send` again without headers.
   */
  send(
    request: Request,
    headers: TokenHeaders | undefined,
    how?: TokenObtained,
    judged?: readonly number[],
  ): Promise<Answer> | undefined;
  /**
   * Whether the caller set an `Authorization` header. The policy then sends the request without a token, and waits
   * neither for a token nor for a proof. Needed where tokens are sent with a proof (DPoP). Elsewhere it may be absent:
   * `send` then reports such a request when it returns `undefined`.
   */
  isAuthorized?(request: Request): boolean;
  /** Returns the HTTP status. A client of another protocol maps its own codes: gRPC's `UNAUTHENTICATED` is 401. */
  status(answer: Answer): number;
  /** Returns a response header, or `null` when the answer does not have it. The name may have any case. */
  header(answer: Answer, name: string): string | null;
  /** Returns the answer inside an error that `send` rejected with. Needed by clients that throw on a 401. */
  answerOf?(error: unknown): Answer | undefined;
  /**
   * Reads the start of the body as text, and leaves the body readable for the caller. Needed for `isRejected` rules
   * that look at the body.
   */
  text?(answer: Answer, maxBytes: number): Promise<string>;
  /** Returns the URL that the answer came from, after redirects. `undefined` when it is not known. */
  finalUrl?(answer: Answer): string | undefined;
  /** Whether the request can be sent again with the same body. Called only after a rejection. */
  canResend(request: Request): boolean;
  /**
   * Frees the connection of an answer that may not reach the caller. The policy waits for it up to one second. A failure
   * is ignored.
   *
   * @returns The answer with the part of its body that was read, for a caller who gets it after all because no token can
   *   be had. Not needed where the given answer can still be read.
   */
  discard?(answer: Answer): void | Answer | Promise<void | Answer>;
  /**
   * Returns the error that the caller gets in place of an error that the client did not throw itself, for a client whose
   * callers expect errors of the client's own class. The error is one of this package, most often because there is no
   * token, or that of a body stream which failed before the request was sent.
   *
   * @defaultValue the error itself
   */
  errorFor?(request: Request, error: Error): Error;
  /**
   * Cleans up after the last send, or when there was none. Called once, directly before the caller gets the answer or the
   * error.
   */
  finish?(request: Request, outcome: unknown): void;
  /**
   * What the caller gets when an answer rejected the token and no other one can be had: the answer, or the error of this
   * package.
   *
   * @defaultValue the answer when nobody is signed in or the session is over, otherwise the error
   */
  readonly failedRenewal?: FailedRenewal | undefined;
  /**
   * Decides whether an answer rejects the token. Asked before the grant's own rule and the `WWW-Authenticate` header.
   */
  readonly isRejected?: RejectionRule | undefined;
  /** HTTP statuses for which `isRejected` is asked, besides 401. @defaultValue none */
  readonly inspectStatuses?: readonly number[] | undefined;
}

/** The members of a seam that are options of a client. */
export type SeamOptions = Pick<ClientSeam<never, never>, "isRejected" | "inspectStatuses" | "failedRenewal">;

/** @throws {TypeError} When one of the options is wrong. */
export function assertSeamOptions({ isRejected, inspectStatuses, failedRenewal }: SeamOptions): void {
  assertFunction("isRejected", isRejected);
  assertStatuses("inspectStatuses", inspectStatuses);
  if (failedRenewal === undefined || failedRenewal === "throw" || failedRenewal === "response") return;
  throw optionError("failedRenewal", failedRenewal, '"throw" or "response"');
}

/**
 * How a request got its token: it was there (`cached`), the request waited for a mint that had begun before (`waited`), a mint
 * was begun for it, here or in another process of the fleet (`minted`), or its first token was rejected (`renewed`).
 */
export type TokenObtained = "cached" | "waited" | "minted" | "renewed";

/** What a caller gets when no token can be had after a 401: an error of this package, or the 401 itself. */
export type FailedRenewal = "throw" | "response";

/** What the request policy reads of a request. Clients add members of their own. */
export interface PolicyRequest {
  /** The URL the client will send the request to. */
  readonly url: string;
  /**
   * The HTTP method as the client will send it. Read only where tokens are sent with a proof (DPoP).
   *
   * @defaultValue "GET"
   */
  readonly method?: string | undefined;
  /**
   * A URL with the same origin that costs less to determine, such as the client's base URL.
   *
   * @defaultValue {@link PolicyRequest.url}
   */
  readonly base?: string | undefined;
  /** Ends the caller's waiting. Read only when there is something to wait for. */
  readonly signal?: AbortSignal | undefined;
  /** The body, if it is a stream that exists already. Read only when there is something to wait for. */
  readonly body?: unknown;
  /**
   * Whether the request may be sent again after a 401. A rejected token is reported to its cache in any case.
   *
   * @defaultValue true
   */
  readonly retry?: boolean | undefined;
}

/**
 * The headers of a send with a token: `authorization` in lower case, unless the grant has another way to carry its token,
 * then those that the grant adds, and a proof. The client sets each of them unless the caller set it. A `DPoP` header
 * replaces the caller's.
 */
export type TokenHeaders = Readonly<Record<string, string>>;

/**
 * The header of a DPoP proof. The caller's own is replaced: a proof fits only the token it was made for.
 *
 * @see [RFC 9449 section 4.1](https://www.rfc-editor.org/rfc/rfc9449.html#section-4.1)
 */
export const PROOF_HEADER = "DPoP";

/** The result of a send that was answered. */
export interface Outcome<Answer> {
  readonly answer: Answer;
  /** What the client threw. Present only when the answer came inside an error. */
  readonly thrown?: unknown;
}

/** Sends a request once. An error that the client throws synchronously becomes a rejected promise. */
export function sendOnce<Request extends PolicyRequest, Answer>(
  request: Request,
  client: ClientSeam<Request, Answer>,
  headers?: TokenHeaders,
  how?: TokenObtained,
  judged?: readonly number[],
): Promise<Answer> | undefined {
  try {
    return client.send(request, headers, how, judged);
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * Whether the policy judges an answer with this status to a request with a token. Any other answer goes to the caller.
 *
 * @param judged The statuses of the grant, as {@link ClientSeam.send} got them.
 */
export function isJudged(
  { inspectStatuses }: Pick<ClientSeam<never, never>, "inspectStatuses">,
  judged: readonly number[] | undefined,
  status: number,
): boolean {
  return status === 401 || inspectStatuses?.includes(status) === true || judged?.includes(status) === true;
}

/** Waits for the answer of a send, also where it comes inside an error. An error without an answer is thrown. */
export async function outcomeOf<Answer>(
  sent: Promise<Answer>,
  client: Pick<ClientSeam<never, Answer>, "answerOf">,
): Promise<Outcome<Answer>> {
  try {
    return { answer: await sent };
  } catch (error) {
    const answer = client.answerOf?.(error);
    if (answer === undefined) throw error;
    return { answer, thrown: error };
  }
}

/** Returns the answer of a send, or throws the error that the client wrapped around it. */
export function answerOrThrow<Answer>(outcome: Outcome<Answer>): Answer {
  if ("thrown" in outcome) throw outcome.thrown;
  return outcome.answer;
}

/**
 * Ends a request with an error; one of this package in the form that suits the client. An async function, so that what the
 * client throws meanwhile is a rejection too.
 */
export async function rejectWith<Request extends PolicyRequest, Answer>(
  request: Request,
  client: ClientSeam<Request, Answer>,
  error: unknown,
): Promise<never> {
  let own = error;
  try {
    if (isRemintError(error)) own = client.errorFor?.(request, error) ?? error;
  } finally {
    client.finish?.(request, own);
  }
  throw own;
}

/** Whether a request may be sent again: the caller allows it, and the client can. */
export function mayResend<Request extends PolicyRequest, Answer>(
  request: Request,
  client: ClientSeam<Request, Answer>,
): boolean {
  return request.retry !== false && client.canResend(request);
}

/**
 * Whether the caller set an `Authorization` header, by the value that the header has (Q1). `undefined` counts as not set,
 * `null` and `false` say that none is wanted.
 *
 * @throws {TypeError} When the value was made from an access token as text.
 */
export function isSetAuthorization(value: unknown): boolean {
  if (isTokenText(value)) {
    throw new TypeError(
      'the "Authorization" header was made from an AccessToken as text: use its property "header". ' +
        "A client of this package sets the header itself",
    );
  }
  return value !== undefined;
}
