/**
 * Removes secrets from what a server says, before it gets into an error (S5).
 *
 * @module
 */
import { isRemintError, safeCause } from "../base/errors.ts";

/** Takes the secrets it was made for out of a text. */
export type Redact = (text: string) => string;

/** Names of parameters and headers whose values are credentials: `refresh_token`, `X-Api-Key`, ... */
export const CREDENTIAL_NAME: RegExp =
  /^(code|apikey|authorization|cookie)$|(^|[_-])(token|secret|assertion|password|passcode|verifier|signature|key)$/i;

/** Control and format characters, and line ends of any kind: they would forge log lines. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]+/gu;

/** More than a human reads. */
const LONGEST_TEXT = 200;
/** Longer texts are dropped whole: cutting before the secrets are out could leave half of one. */
const LONGEST_INPUT = 8192;

/**
 * Makes the function that replaces every one of `secrets` with `[redacted]`, however the server spelled it: as it is,
 * form-encoded, percent-encoded, escaped for JSON or HTML, or in another case.
 */
export function redactor(secrets: readonly string[]): Redact {
  const known = secrets.map((secret) => secret.trim()).filter((secret) => secret !== "");
  if (known.length === 0) return (text) => text;
  known.sort((a, b) => b.length - a.length); // one may be the start of another
  const pattern = new RegExp(known.map((secret) => Array.from(secret, spellingsOf).join("")).join("|"), "gi");
  return (text) => text.replace(pattern, "[redacted]");
}

/** The pattern of one character of a secret. */
function spellingsOf(character: string): string {
  if (/^[a-z\d]$/i.test(character)) return character;
  const bytes = Array.from(new TextEncoder().encode(character));
  const spellings = [
    ...(bytes.length > 1 ? [literal(String.fromCharCode(...bytes))] : []), // UTF-8 that was read as Latin-1
    bytes.map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join(""),
    "&#?\\w{2,8};",
    "(?:\\\\u[\\da-f]{4}){1,2}",
    `\\\\?${literal(character)}`,
  ];
  if (character === " ") spellings.push("\\+");
  // What is unprintable reaches this pattern as one space for a whole run, or at the end of the text not at all.
  if (character.search(UNPRINTABLE) === 0) spellings.push(" ?");
  return `(?:${spellings.join("|")})`;
}

function literal(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}

/** A text of the server that is safe to show: printable, without secrets, at most 200 characters. */
export function shown(text: unknown, redact: Redact): string | undefined {
  if (typeof text !== "string" || text === "" || text.length > LONGEST_INPUT) return undefined;
  return redact(text.replace(UNPRINTABLE, " ").trim()).slice(0, LONGEST_TEXT);
}

/** {@link safeCause}, and without the secrets that were sent: a custom fetch may put the request in its message. */
export function redactedCause(error: unknown, redact: Redact): unknown {
  const cause = safeCause(error);
  for (let link = cause; link instanceof Error && !isRemintError(link); link = link.cause) {
    link.message = redact(link.message);
    if (link.stack !== undefined) link.stack = redact(link.stack);
  }
  return cause;
}
