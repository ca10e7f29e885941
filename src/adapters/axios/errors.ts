/**
 * What an axios error may show, and a failed mint's error for versions of axios that write to it.
 *
 * @module
 */
import { isRemintError } from "../../base/errors.ts";
import { isNodeStream } from "../body.ts";

/** Q11: axios keeps the header it sent inside `request`; hidden from JSON and `inspect`, it can still be read. */
export function hideRequest(error: Error): void {
  hide(error, "request");
  // axios' fetch adapter wraps its own errors.
  if (error.cause instanceof Error) hideRequest(error.cause);
  const { response } = error as { response?: { data?: unknown } };
  if (response === undefined) return;
  hide(response, "request");
  // A response handed out as a stream leads to the request and to its socket.
  if (isNodeStream(response.data)) for (const name of ["req", "socket", "client"]) hide(response.data, name);
}

function hide(holder: object, name: string): void {
  if (!Object.hasOwn(holder, name)) return;
  const value = (holder as Record<string, unknown>)[name];
  Object.defineProperty(holder, name, { value, enumerable: false, configurable: true, writable: true });
}

/**
 * The error of a failed mint is shared and frozen (C9), but axios from 1.6.3 to 1.7.2 writes to the stack of what it
 * throws, and fails when it can not: there each caller gets a copy.
 */
export function throwCopy(error: unknown): never {
  if (!isRemintError(error) || !Object.isFrozen(error)) throw error;
  const copy = Object.setPrototypeOf(new Error(error.message), Object.getPrototypeOf(error) as object) as Error;
  for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(error))) {
    const { enumerable = false } = property;
    const value = (error as unknown as Record<string, unknown>)[name];
    Object.defineProperty(copy, name, { value, enumerable, configurable: true, writable: true });
  }
  throw copy;
}
