/**
 * The errors of this package, and what may be kept of the errors of others.
 *
 * No message and no printed property holds a token, a secret, an assertion or a response body (S5).
 *
 * Not here: wrong options, which are a `TypeError` (`options.ts`). A caller's abort is not an error of this package
 * either: the call rejects with `signal.reason` itself.
 *
 * @module
 */

/** The codes of {@link RemintError}. They are stable, messages are not: compare codes. */
export type RemintErrorCode =
  /** The token endpoint answered with an error. The error is a {@link TokenEndpointError}. */
  | "ERR_TOKEN_ENDPOINT"
  /** A server's answer, or what a grant function returned, cannot be used: most often it holds no usable token. */
  | "ERR_TOKEN_RESPONSE"
  /** The server of the grant could not be reached. */
  | "ERR_TOKEN_NETWORK"
  /** The grant took longer than `mintTimeout`. */
  | "ERR_TOKEN_TIMEOUT"
  /** The grant failed for another reason, most often because a function that was given to it threw. */
  | "ERR_GRANT"
  /** A request was not sent, because its token may not go to its URL or because the URL names no origin. */
  | "ERR_ORIGIN"
  /** The store that a fleet shares failed, or other processes did not deliver a token in time. */
  | "ERR_STORE"
  /** The cache or the pool was closed. */
  | "ERR_CLOSED";

/** The API's answer that made a renewal necessary. */
export interface Rejection {
  /** The HTTP status. */
  readonly status: number;
  /** The URL of the request, without its query, which may hold secrets. */
  readonly url: string;
}

/** What a {@link RemintError} may have beside its code and message. */
interface RemintErrorOptions {
  /** The error underneath, reduced with {@link safeCause} where it is not an error of this package. */
  readonly cause?: unknown;
  /** @defaultValue false */
  readonly retryable?: boolean | undefined;
  /** The API's answer that made another token necessary. */
  readonly rejected?: Rejection | undefined;
}

/** What a {@link TokenEndpointError} may have beside its status and message. */
export interface TokenEndpointErrorOptions extends RemintErrorOptions {
  /** The `error` member of the answer. */
  readonly error?: string | undefined;
  /** The `error_description` of the answer, without the secrets of the request. */
  readonly errorDescription?: string | undefined;
  /** Milliseconds. */
  readonly retryAfter?: number | undefined;
  /** No later mint of this grant can succeed. @defaultValue false */
  readonly terminal?: boolean | undefined;
}

/** Marks the errors of this package, so that two copies of the package recognize each other's errors. */
const brand = Symbol.for("remint.error");

/**
 * An error of this package. `cause` is the error underneath. What an HTTP client attached to that error (configs,
 * headers, bodies) is left out, because it may hold secrets.
 */
export class RemintError extends Error {
  static {
    Object.defineProperty(this.prototype, brand, { value: true });
    // On the prototype, because Node would print an own property `name` beside the stack.
    Object.defineProperty(this.prototype, "name", { value: "RemintError", configurable: true, writable: true });
  }

  /** What kind of error this is. Stable: compare this and not the message. */
  readonly code: RemintErrorCode;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /**
   * The API's answer that made another token necessary. Set when an API answered 401 and no other token was obtained.
   */
  declare readonly rejected?: Rejection;

  /** Creates an error, for example one that a grant of your own throws. */
  constructor(code: RemintErrorCode, message: string, options: RemintErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
    if (options.rejected !== undefined) this.rejected = Object.freeze({ ...options.rejected });
  }
}

/**
 * An error that a token endpoint answered with: it refused the grant, or failed.
 *
 * @see [RFC 6749 section 5.2](https://www.rfc-editor.org/rfc/rfc6749.html#section-5.2)
 */
export class TokenEndpointError extends RemintError {
  static {
    Object.defineProperty(this.prototype, "name", { value: "TokenEndpointError", configurable: true, writable: true });
  }

  /** The HTTP status of the answer. */
  readonly status: number;
  /** The `error` member of the answer, for example `invalid_client`. `undefined` when the body had none. */
  readonly error: string | undefined;
  /** Milliseconds that the server asked to wait (`Retry-After`). `undefined` when it did not ask. */
  readonly retryAfter: number | undefined;
  /** Whether no later mint of this grant can succeed: the user has to sign in again. */
  readonly terminal: boolean;
  /**
   * The `error_description` of the answer, shortened, and without the secrets of the request. Neither enumerable nor
   * part of the message, because servers repeat input in it.
   */
  declare readonly errorDescription: string | undefined;

  /**
   * Creates the error for an answer with this HTTP status. A status of 408, 429, or 500 and above makes it retryable.
   */
  constructor(status: number, message: string, options: TokenEndpointErrorOptions = {}) {
    super("ERR_TOKEN_ENDPOINT", message, {
      ...options,
      retryable: options.retryable ?? isTransientStatus(status),
    });
    this.status = status;
    this.error = options.error;
    this.retryAfter = options.retryAfter;
    this.terminal = options.terminal ?? false;
    Object.defineProperty(this, "errorDescription", { value: options.errorDescription, enumerable: false });
  }
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
 * a client wraps the errors of others in its own, as ofetch does.
 */
export function findRemintError(value: unknown): RemintError | undefined {
  let current = value;
  for (let depth = 0; depth < 16 && typeof current === "object" && current !== null; depth++) {
    if (isRemintError(current)) return current;
    current = (current as { cause?: unknown }).cause;
  }
  return undefined;
}

/**
 * Returns the error of one request that was answered 401 and for which no other token could be obtained (Q8). Requests
 * share the failure of a mint, so each gets an error object of its own, whose `cause` is the shared one.
 */
export function withRejection(shared: RemintError, rejected: Rejection): RemintError {
  const message = `${shared.message} (another token was needed because ${rejected.url} answered ${rejected.status})`;
  if (!(shared instanceof TokenEndpointError)) {
    return new RemintError(shared.code, message, { cause: shared, retryable: shared.retryable, rejected });
  }
  const { error, errorDescription, retryAfter, retryable, terminal } = shared;
  return new TokenEndpointError(shared.status, message, {
    cause: shared,
    error,
    errorDescription,
    retryAfter,
    retryable,
    terminal,
    rejected,
  });
}

/**
 * Returns what may be kept of an error that is not of this package: name, message, code, stack and causes. The
 * properties in which HTTP clients keep configs, headers and bodies are left out. An error of this package is returned
 * as it is.
 */
export function safeCause(value: unknown, depth = 0): unknown {
  if (isRemintError(value)) return value;
  if (!(value instanceof Error)) return value === undefined ? undefined : new Error(`a ${typeof value} was thrown`);
  const summary = new Error(redactCredentials(value.message));
  Object.defineProperty(summary, "name", { value: value.name, configurable: true, writable: true });
  if (value.stack !== undefined) {
    Object.defineProperty(summary, "stack", {
      value: redactCredentials(value.stack),
      configurable: true,
      writable: true,
    });
  }
  const { code } = value as { code?: unknown };
  if (typeof code === "string" || typeof code === "number") Object.assign(summary, { code });
  // The message of fetch is only "fetch failed"; what failed is in its cause, the socket's error.
  const inner = depth < 4 ? safeCause(value.cause, depth + 1) : undefined;
  if (inner !== undefined)
    Object.defineProperty(summary, "cause", { value: inner, configurable: true, writable: true });
  return summary;
}

function redactCredentials(text: string): string {
  return text.replace(/\b(Bearer|Basic|DPoP)\s+[^\s"',]+/gi, "$1 [redacted]");
}

/**
 * Returns the error for a server's response that cannot be used. Not retryable: the server would send the same again.
 */
export function tokenResponseError(message: string, cause?: unknown): RemintError {
  return new RemintError("ERR_TOKEN_RESPONSE", message, { cause });
}
