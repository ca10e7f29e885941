/**
 * A failed mint as a record shares it: the other processes of the fleet fail with the same error and do not mint (C9).
 *
 * lead.ts writes a failure into the record, flight.ts throws it in the other processes.
 *
 * @module
 */
import { Failure } from "../core/failures.ts";
import type { RemintErrorCode } from "../base/errors.ts";

/** A failure as a record stores it. */
export interface StoredFailure {
  readonly code: RemintErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  readonly hint?: string | undefined;
  /** The HTTP status. This and the following members are set only if the token endpoint refused. */
  readonly status?: number | undefined;
  readonly error?: string | undefined;
  readonly errorDescription?: string | undefined;
  readonly retryAfter?: number | undefined;
  readonly terminal?: boolean | undefined;
}

/** Returns the part of a failure that a record stores. The cause is left out, because it can be any value. */
export function storedFailure(failure: Failure): StoredFailure {
  const {
    code,
    message,
    hint,
    retryable,
    endpointStatus: status,
    error,
    errorDescription,
    retryAfter,
    terminal,
  } = failure;
  if (status === undefined) return { code, message, hint, retryable, terminal };
  return { code, message, hint, retryable, status, error, errorDescription, retryAfter, terminal };
}

/**
 * Creates the failure that another process has stored. It stays with the key whose record it stands in.
 *
 * @param holdsFor Milliseconds for which it binds this process, where the record says so.
 */
export function failureOf(stored: StoredFailure, holdsFor?: number): Failure {
  const { status: endpointStatus, hint, ...facts } = stored;
  const reported = "reported by another process of the fleet";
  return new Failure("key", {
    ...facts,
    endpointStatus,
    holdsFor,
    hint: hint === undefined ? reported : `${hint} (${reported})`,
  });
}
