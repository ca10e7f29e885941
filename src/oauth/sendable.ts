/**
 * Credentials that the user gives, checked before they are sent: a text that no server could accept is refused, because the
 * answer would say less of what is wrong. No message shows any of it (S5).
 *
 * @module
 */
import { isVisibleAscii } from "../base/bytes.ts";
import { assertString, assertStringSource, optionError } from "../base/options.ts";
import { callUserFunction } from "../base/user-function.ts";
import { warn } from "../base/warn.ts";
import { SHORTEST_SECRET } from "./redaction.ts";
import type { StringSource } from "../base/options.ts";

/** In characters. No server takes longer ones. */
const LONGEST = 1024 * 1024;

/**
 * What a credential may consist of: a `token` of visible ASCII, a `secret` of any characters but control characters.
 *
 * @see [RFC 6749 appendix A](https://www.rfc-editor.org/rfc/rfc6749.html#appendix-A)
 */
export type CredentialKind = "token" | "secret";

/** @throws {TypeError} When the value of an option cannot be such a credential. */
export function assertSendable(name: string, value: unknown, kind: CredentialKind): asserts value is string {
  if (typeof value !== "string" || value === "") throw optionError(name, value, "a non-empty string");
  const expected = (what: string, found: string): TypeError =>
    new TypeError(`"${name}" must be ${what}, got a string ${found}`);
  if (value.length > LONGEST) throw expected(`at most ${LONGEST} characters long`, "that is longer");
  if (kind === "token" && !isVisibleAscii(value)) {
    throw expected(
      "visible ASCII without spaces, as every token is",
      "with other characters (a line end, for example)",
    );
  }
  assertText(name, value);
  if (value.length < SHORTEST_SECRET && !warned.has(name)) {
    warned.add(name);
    warn(`"${name}" has less than ${SHORTEST_SECRET} characters: errors may show it when a server repeats it`);
  }
}

/**
 * @throws {TypeError} When the value of an option is no text, or has a character that no server expects: a control character,
 *   or half of a surrogate pair, which has no encoding.
 */
export function assertText(name: string, value: unknown): asserts value is string {
  assertString(name, value);
  if (!/[\p{Cc}\p{Cs}]/u.test(value)) return;
  throw new TypeError(
    `"${name}" must be text without control characters, got a string with some: a file often ends with a line end`,
  );
}

/** The options of which a warning has told. */
const warned = new Set<string>();

/** Does the same for an option that may be a function, whose results are checked when they come. */
export function assertSendableSource(name: string, value: unknown, kind: CredentialKind): void {
  assertStringSource(name, value);
  if (typeof value !== "function") assertSendable(name, value, kind);
}

/**
 * Returns the current credential of a source that {@link assertSendableSource} has checked.
 *
 * @throws {RemintError} `ERR_GRANT` when the source is a function that fails, or that returns no such credential. When the
 *   signal has aborted: its reason.
 */
export async function sendable<Context extends readonly unknown[]>(
  name: string,
  source: StringSource<Context>,
  kind: CredentialKind,
  signal: AbortSignal,
  ...context: Context
): Promise<string> {
  if (typeof source !== "function") return source;
  return callUserFunction(name, signal, async () => {
    const value: unknown = await source(...context);
    assertStringSource(name, typeof value === "function" ? null : value);
    assertSendable(name, value, kind);
    return value;
  });
}
