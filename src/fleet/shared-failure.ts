/**
 * A failed mint as a record shares it: the other processes of the fleet fail with the same error and do not mint (C9).
 *
 * lease.ts writes a failure into the record, flight.ts throws it in the other processes.
 *
 * @module
 */
import { RemintError, TokenEndpointError, type RemintErrorCode } from "../base/errors.ts";

/** A failure as a record stores it. */
export interface StoredFailure {
  readonly code: RemintErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  /** The HTTP status. This and the following members are set only if the token endpoint refused. */
  readonly status?: number | undefined;
  readonly error?: string | undefined;
  readonly errorDescription?: string | undefined;
  readonly retryAfter?: number | undefined;
  readonly terminal?: boolean | undefined;
}

/** Returns the part of an error that a record stores. The cause is left out, because it can be any value. */
export function storedFailure(failure: RemintError): StoredFailure {
  const { code, message, retryable } = failure;
  if (!(failure instanceof TokenEndpointError)) return { code, message, retryable };
  const { status, error, errorDescription, retryAfter, terminal } = failure;
  return { code, message, retryable, status, error, errorDescription, retryAfter, terminal };
}

/** Creates the error for a failure that another process has stored. */
export function failureOf(stored: StoredFailure): RemintError {
  const { code, status, retryable, ...rest } = stored;
  const message = `${stored.message} (reported by another process of the fleet)`;
  if (status !== undefined) return new TokenEndpointError(status, message, { ...rest, retryable });
  return new RemintError(code, message, { retryable });
}
