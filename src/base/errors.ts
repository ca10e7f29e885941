/**
 * The errors of this package, and what may be kept of the errors of others.
 *
 * An error of this package is what a server may let escape: it says which status to answer, and its message is public. What
 * an operator needs to know (a URL, an OAuth error, what to check) is the `hint`, which is a line of the stack and no part
 * of the message. No message and no printed property holds a token, a secret, an assertion or a response body (S5).
 *
 * Not here: wrong options, which are a `TypeError` (`options.ts`). A caller's abort is not an error of this package
 * either: the call rejects with `signal.reason` itself. What is remembered of a failed mint is in `core/failures.ts`.
 *
 * @module
 */

/** The codes of {@link RemintError}. They are stable, messages are not: compare codes. */
export type RemintErrorCode =
  /**
   * The token endpoint answered with an error. The error is a {@link TokenEndpointError}.
   *
   * See [docs/errors.md#err_token_endpoint](../../docs/errors.md#err_token_endpoint).
   */
  | "ERR_TOKEN_ENDPOINT"
  /**
   * A server's answer, or what a grant function returned, cannot be used: most often it holds no usable token.
   *
   * See [docs/errors.md#err_token_response](../../docs/errors.md#err_token_response).
   */
  | "ERR_TOKEN_RESPONSE"
  /**
   * The server of the grant could not be reached.
   *
   * See [docs/errors.md#err_token_network](../../docs/errors.md#err_token_network).
   */
  | "ERR_TOKEN_NETWORK"
  /**
   * The grant took longer than `mintTimeout`, or a function that was given to a client did not settle in 10 s.
   *
   * See [docs/errors.md#err_token_timeout](../../docs/errors.md#err_token_timeout).
   */
  | "ERR_TOKEN_TIMEOUT"
  /**
   * The grant failed for another reason, most often because a function that was given to it threw.
   *
   * See [docs/errors.md#err_grant](../../docs/errors.md#err_grant).
   */
  | "ERR_GRANT"
  /**
   * A request was not sent, because its token may not go to its URL or because the URL names no origin.
   *
   * See [docs/errors.md#err_origin](../../docs/errors.md#err_origin).
   */
  | "ERR_ORIGIN"
  /**
   * The store that a fleet shares failed, or other processes did not deliver a token in time.
   *
   * See [docs/errors.md#err_store](../../docs/errors.md#err_store).
   */
  | "ERR_STORE"
  /**
   * The session that the request belonged to has ended, or another sign-in took its place.
   *
   * See [docs/errors.md#err_session](../../docs/errors.md#err_session).
   */
  | "ERR_SESSION"
  /**
   * Nobody is signed in: the grant's function returned `null` or `undefined`.
   *
   * See [docs/errors.md#err_no_session](../../docs/errors.md#err_no_session).
   */
  | "ERR_NO_SESSION"
  /**
   * The cache or the pool was closed.
   *
   * See [docs/errors.md#err_closed](../../docs/errors.md#err_closed).
   */
  | "ERR_CLOSED";

/** The API's answer that made a renewal necessary. */
export interface Rejection {
  /** The HTTP status. */
  readonly status: number;
  /** The URL of the request, without its query, which may hold secrets. */
  readonly url: string;
}

/** What a {@link RemintError} may have beside its code and message. */
export interface RemintErrorOptions {
  /** The error underneath. */
  readonly cause?: unknown;
  /** Whether the same call may succeed later. @defaultValue false */
  readonly retryable?: boolean | undefined;
  /** No later mint of this grant can succeed: the user has to sign in again. @defaultValue false */
  readonly terminal?: boolean | undefined;
  /** Milliseconds after which the call may be repeated. */
  readonly retryAfter?: number | undefined;
  /** What the operator should look at. May name URLs and OAuth errors; never a secret. */
  readonly hint?: string | undefined;
  /** The API's answer that made another token necessary. */
  readonly rejected?: Rejection | undefined;
}

/** What a {@link TokenEndpointError} may have beside its status and message. */
export interface TokenEndpointErrorOptions extends RemintErrorOptions {
  /** The `error` member of the answer. */
  readonly error?: string | undefined;
  /** The `error_description` of the answer, without the secrets of the request. */
  readonly errorDescription?: string | undefined;
}

/** Marks the errors of this package, so that two copies of the package recognize each other's errors. */
const brand = Symbol.for("remint.error");

/**
 * An error of this package. It may leave a server as it is: frameworks that look at `status` or `statusCode` answer 503, or
 * 401 when the user has to sign in again, and those that look at `headers` add `Retry-After`. Where a framework looks at
 * none of them, return {@link RemintError.getResponse}.
 *
 * The message may be shown to anybody. Properties may be added and changed: every caller has an error object of its own.
 * See [docs/errors.md#reminterror](../../docs/errors.md#reminterror).
 */
export class RemintError extends Error {
  static {
    Object.defineProperty(this.prototype, brand, { value: true });
    // On the prototype, because Node would print an own property `name` beside the stack.
    Object.defineProperty(this.prototype, "name", { value: "RemintError", configurable: true, writable: true });
    recognizeOtherCopies(this, isRemintError);
  }

  /** What kind of error this is. Stable: compare this and not the message. */
  readonly code: RemintErrorCode;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** Whether no later mint of this grant can succeed: the user has to sign in again. */
  readonly terminal: boolean;
  /** Milliseconds after which the call may be repeated (`Retry-After`). Absent when no server has asked to wait. */
  declare readonly retryAfter?: number;
  /** The HTTP status with which the token endpoint answered. Absent when it did not answer. */
  declare readonly endpointStatus?: number;
  /** The `error` member of the token endpoint's answer, for example `invalid_client`. */
  declare readonly error?: string;
  /**
   * The `error_description` of the token endpoint's answer, shortened, and without the secrets of the request. Not
   * enumerable and not in the message, because servers repeat input in it.
   */
  declare readonly errorDescription?: string;
  /** What the operator should look at. Not enumerable; one line of {@link Error.stack} shows it. */
  declare readonly hint?: string;
  /** The API's answer that made another token necessary. Not enumerable. */
  declare readonly rejected?: Rejection;

  /** The HTTP status to answer with: 503, or 401 when the user has to sign in again. Not enumerable. */
  declare status: number;
  /** The same as {@link RemintError.status}, for frameworks that read this name. Not enumerable. */
  declare statusCode: number;
  /** The headers to answer with: `retry-after` in seconds, `www-authenticate` beside 401. Not enumerable. */
  declare headers: Record<string, string>;
  /** `false`: frameworks must not show the message as it is. Not enumerable. */
  declare expose: boolean;

  /** Creates an error, for example one that a grant of your own throws. */
  constructor(code: RemintErrorCode, message: string, options: RemintErrorOptions = {}) {
    const { cause, hint, retryAfter, rejected } = options;
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.terminal = options.terminal ?? false;
    if (retryAfter !== undefined) this.retryAfter = retryAfter;
    hide(this, httpAnswer(this.terminal, retryAfter));
    if (hint !== undefined) hide(this, { hint, stack: stackWithHint(this.stack, hint) });
    if (rejected !== undefined) hide(this, { rejected: { status: rejected.status, url: rejected.url } });
  }

  /** Returns the answer to send where a framework wants a `Response`: the status and the headers, without a body. */
  getResponse(): Response {
    return new Response(null, { status: this.status, headers: this.headers });
  }

  /** The same as {@link RemintError.getResponse}, for frameworks that call this name. */
  toResponse(): Response {
    return this.getResponse();
  }
}

/**
 * An error that a token endpoint answered with: it refused the grant, or failed.
 * See [docs/errors.md#tokenendpointerror](../../docs/errors.md#tokenendpointerror).
 *
 * @see [RFC 6749 section 5.2](https://www.rfc-editor.org/rfc/rfc6749.html#section-5.2)
 */
export class TokenEndpointError extends RemintError {
  static {
    Object.defineProperty(this.prototype, "name", { value: "TokenEndpointError", configurable: true, writable: true });
    recognizeOtherCopies(this, (value) => isRemintError(value) && value.code === "ERR_TOKEN_ENDPOINT");
  }

  /** The HTTP status with which the token endpoint answered. */
  declare readonly endpointStatus: number;

  /**
   * Creates the error for an answer with this HTTP status. A status of 408, 429, or 500 and above makes it retryable.
   */
  constructor(endpointStatus: number, message: string, options: TokenEndpointErrorOptions = {}) {
    super("ERR_TOKEN_ENDPOINT", message, {
      ...options,
      retryable: options.retryable ?? isTransientStatus(endpointStatus),
    });
    this.endpointStatus = endpointStatus;
    if (options.error !== undefined) Object.assign(this, { error: options.error });
    if (options.errorDescription !== undefined) hide(this, { errorDescription: options.errorDescription });
  }
}

/** The stack with the hint as a line after the message: many servers log the stack and nothing else. */
function stackWithHint(stack: unknown, hint: string): unknown {
  // With an `Error.prepareStackTrace` of the application it may be anything, such as a list of call sites.
  if (typeof stack !== "string") return stack;
  const frames = stack.search(/\n\s+at /);
  const end = frames < 0 ? stack.length : frames;
  return `${stack.slice(0, end)}\n    hint: ${hint}${stack.slice(end)}`;
}

/** What an HTTP server that lets the error escape should answer. */
function httpAnswer(terminal: boolean, retryAfter: number | undefined): object {
  const status = terminal ? 401 : 503;
  const headers: Record<string, string> = {};
  if (retryAfter !== undefined) headers["retry-after"] = String(Math.ceil(retryAfter / 1000));
  // RFC 9110 section 15.5.2: an answer with status 401 has to carry a challenge.
  if (terminal) headers["www-authenticate"] = "Bearer";
  return { status, statusCode: status, headers, expose: false };
}

/** Sets properties that loggers do not copy and that frameworks may overwrite. */
export function hide(error: object, members: object): void {
  for (const [name, value] of Object.entries(members)) {
    Object.defineProperty(error, name, { value, enumerable: false, configurable: true, writable: true });
  }
}

/** Makes `instanceof` work for the errors of another copy of this package. Subclasses of a user's keep their own meaning. */
function recognizeOtherCopies(
  own: typeof RemintError | typeof TokenEndpointError,
  test: (value: unknown) => boolean,
): void {
  Object.defineProperty(own, Symbol.hasInstance, {
    value(this: unknown, value: unknown) {
      if (this === own) return test(value);
      return typeof this === "function" && Object.prototype.isPrototypeOf.call(this.prototype as object, Object(value));
    },
  });
}

/** Makes an error of another library one of ours too: `isRemintError` is true for it. */
export function adopt(error: object): void {
  Object.defineProperty(error, brand, { value: true });
}

/** Whether a status says nothing about the grant, so that the same request may succeed later (C11). */
export function isTransientStatus(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/** Returns whether a value is a {@link RemintError}, also one of another copy of this package. */
export function isRemintError(value: unknown): value is RemintError {
  return typeof value === "object" && value !== null && brand in value;
}

/**
 * Returns the first {@link RemintError} among an error and its causes, or `undefined` when there is none. Needed where
 * another library wraps the errors it gets in its own.
 */
export function findRemintError(value: unknown): RemintError | undefined {
  return findAmongCauses(value, isRemintError);
}

/** Returns the first value that fits among an error and its causes. Ends on a chain of causes that leads to itself. */
export function findAmongCauses<T>(value: unknown, fits: (value: unknown) => value is T): T | undefined {
  let current = value;
  for (let depth = 0; depth < 16 && typeof current === "object" && current !== null; depth++) {
    if (fits(current)) return current;
    current = (current as { cause?: unknown }).cause;
  }
  return undefined;
}

/**
 * Returns what may be kept of an error that is not of this package: name, message, code, stack and causes. The
 * properties in which HTTP clients keep configs, headers and bodies are left out.
 */
export function safeCause(value: unknown): unknown {
  try {
    return summaryOf(value, 0);
  } catch {
    // A getter of the error has thrown, and what it threw may be anything.
    return new Error("an error was thrown that cannot be read");
  }
}

/** Whether a value is an error, also one of another realm: Jest runs its tests in one, and Node's own errors in another. */
export function isError(value: unknown): value is Error {
  return value instanceof Error || Object.prototype.toString.call(value) === "[object Error]";
}

function summaryOf(value: unknown, depth: number): unknown {
  if (isRemintError(value)) return value;
  if (!isError(value)) return value === undefined ? undefined : new Error(`a ${typeof value} was thrown`);
  const summary = new Error(redactCredentials(value.message));
  hide(summary, { name: value.name });
  if (value.stack !== undefined) hide(summary, { stack: redactCredentials(value.stack) });
  const { code } = value as { code?: unknown };
  if (typeof code === "string" || typeof code === "number") Object.assign(summary, { code });
  // The message of fetch is only "fetch failed"; what failed is in its cause, the socket's error.
  const inner = depth < 4 ? summaryOf(value.cause, depth + 1) : undefined;
  if (inner !== undefined) hide(summary, { cause: inner });
  return summary;
}

/** @param text A text, or whatever an application has put in its place. */
function redactCredentials(text: unknown): string {
  return String(text).replace(/\b(Bearer|Basic|DPoP)\s+[^\s"',]+/gi, "$1 [redacted]");
}

/**
 * Returns the error for a server's response that cannot be used. Not retryable: the server would send the same again.
 *
 * @param message Public.
 * @param hint For the operator.
 */
export function tokenResponseError(message: string, hint?: string, cause?: unknown): RemintError {
  return new RemintError("ERR_TOKEN_RESPONSE", message, { hint, cause });
}
