/**
 * Everything this package throws on purpose, apart from `TypeError` for wrong options.
 *
 * No message, and nothing an error prints, carries a token, a secret, an assertion or a response body (S5).
 * A caller's abort is not an error of ours: it rejects with `signal.reason`, unwrapped.
 *
 * @module
 */

/** Every stable code; switch on {@link RemintError.code}, never on message text. */
export type RemintErrorCode =
  | "ERR_TOKEN_ENDPOINT"
  | "ERR_TOKEN_RESPONSE"
  | "ERR_TOKEN_NETWORK"
  | "ERR_TOKEN_TIMEOUT"
  | "ERR_GRANT"
  | "ERR_ORIGIN"
  | "ERR_STORE"
  | "ERR_CLOSED";

/** The API answer that made a renewal necessary; the URL without its query, which may hold secrets. */
export interface Rejection {
  readonly status: number;
  readonly url: string;
}

/** What a {@link RemintError} may carry beside its code and message. */
export interface RemintErrorOptions {
  readonly cause?: unknown;
  readonly retryable?: boolean | undefined;
  readonly rejected?: Rejection | undefined;
}

/** What a {@link TokenEndpointError} may carry beside its status. */
export interface TokenEndpointErrorOptions extends RemintErrorOptions {
  readonly error?: string | undefined;
  readonly errorDescription?: string | undefined;
  readonly retryAfter?: number | undefined;
  readonly terminal?: boolean | undefined;
}

const brand = Symbol.for("remint.error");

/** Base of every error below. `cause` holds what went wrong underneath, reduced to what is safe to print. */
export class RemintError extends Error {
  static {
    Object.defineProperty(this.prototype, brand, { value: true });
    // On the prototype, not an own property: a printed error then starts "RemintError: ...", not with a second name.
    Object.defineProperty(this.prototype, "name", { value: "RemintError", configurable: true, writable: true });
  }

  /** Stable discriminant: switch on this, not on the message. */
  readonly code: RemintErrorCode;
  /** Whether asking again later, unchanged, may succeed. */
  readonly retryable: boolean;
  /** Set when a request was answered 401 and the token to send it again could not be had (Q8). */
  declare readonly rejected?: Rejection;

  constructor(code: RemintErrorCode, message: string, options: RemintErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
    if (options.rejected !== undefined) this.rejected = Object.freeze({ ...options.rejected });
  }
}

/**
 * The token endpoint refused the grant, or failed.
 *
 * @see [RFC 6749 section 5.2](https://www.rfc-editor.org/rfc/rfc6749.html#section-5.2)
 */
export class TokenEndpointError extends RemintError {
  static {
    Object.defineProperty(this.prototype, "name", { value: "TokenEndpointError", configurable: true, writable: true });
  }

  /** HTTP status of the answer. */
  readonly status: number;
  /** The `error` parameter, for example `invalid_client`; `undefined` when the body had none. */
  readonly error: string | undefined;
  /** Milliseconds the server asked to wait (`Retry-After`); `undefined` when it did not say. */
  readonly retryAfter: number | undefined;
  /** No later mint of this grant can succeed: the user has to sign in again. */
  readonly terminal: boolean;
  /** The `error_description`, capped, sent secrets removed. Not enumerable and not in the message: servers echo input in it. */
  declare readonly errorDescription: string | undefined;

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

/** Statuses that say nothing about the grant: the same request may succeed later (C11). */
export function isTransientStatus(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/** Like `instanceof RemintError`, but true across two copies of this package. */
export function isRemintError(value: unknown): value is RemintError {
  return typeof value === "object" && value !== null && brand in value;
}

/** The first {@link RemintError} in `value` and its chain of causes: ofetch, for one, wraps what its fetch throws. */
export function findRemintError(value: unknown): RemintError | undefined {
  let current = value;
  for (let depth = 0; depth < 16 && typeof current === "object" && current !== null; depth++) {
    if (isRemintError(current)) return current;
    current = (current as { cause?: unknown }).cause;
  }
  return undefined;
}

/** The same failure, told to one request that had been answered 401: own object, shared `cause` (Q8). */
export function withRejection(shared: RemintError, rejected: Rejection): RemintError {
  const message = `${shared.message} (while renewing the token that ${rejected.url} answered ${rejected.status} to)`;
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
 * What may be kept of a foreign error: name, message, code and stack, without the properties in which HTTP clients
 * keep configs, headers and bodies.
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
  // fetch hides the socket error one level down: "fetch failed" alone helps nobody.
  const inner = depth < 4 ? safeCause(value.cause, depth + 1) : undefined;
  if (inner !== undefined)
    Object.defineProperty(summary, "cause", { value: inner, configurable: true, writable: true });
  return summary;
}

function redactCredentials(text: string): string {
  return text.replace(/\b(Bearer|Basic|DPoP)\s+[^\s"',]+/gi, "$1 [redacted]");
}

/** A response that would be the same if it were asked for again. */
export function tokenResponseError(message: string, cause?: unknown): RemintError {
  return new RemintError("ERR_TOKEN_RESPONSE", message, { cause });
}
