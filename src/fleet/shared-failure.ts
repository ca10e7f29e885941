/**
 * C9 across processes: a mint that failed is told to the fleet, so that not every process has to find out for itself.
 *
 * @module
 */
import { RemintError, TokenEndpointError, type RemintErrorCode } from "../base/errors.ts";

/** A failure as a record keeps it. */
export interface StoredFailure {
  readonly code: RemintErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  /** The rest is there for refusals of the token endpoint. */
  readonly status?: number | undefined;
  readonly error?: string | undefined;
  readonly errorDescription?: string | undefined;
  readonly retryAfter?: number | undefined;
  readonly terminal?: boolean | undefined;
}

/** What others have to know of an error of ours; no cause, which may be anything. */
export function storedFailure(failure: RemintError): StoredFailure {
  const { code, message, retryable } = failure;
  if (!(failure instanceof TokenEndpointError)) return { code, message, retryable };
  const { status, error, errorDescription, retryAfter, terminal } = failure;
  return { code, message, retryable, status, error, errorDescription, retryAfter, terminal };
}

/** The error another process had. */
export function failureOf(stored: StoredFailure): RemintError {
  const { code, status, retryable, ...rest } = stored;
  const message = `${stored.message} (another process of the fleet was told so)`;
  if (status !== undefined) return new TokenEndpointError(status, message, { ...rest, retryable });
  return new RemintError(code, message, { retryable });
}
