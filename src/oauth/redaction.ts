/**
 * Removes secrets from texts of a server, or of a custom `fetch`, before they become part of an error (S5).
 *
 * Not here: objects that hold credentials and must not print them (`base/redacted.ts`).
 *
 * @module
 */
import { isRemintError, safeCause } from "../base/errors.ts";

/** Replaces certain secrets in a text. {@link redactor} makes it. */
export type Redact = (text: string) => string;

/** Names of parameters and headers whose values are credentials: `refresh_token`, `X-Api-Key`, ... */
export const CREDENTIAL_NAME: RegExp =
  /^(code|apikey|authorization|cookie)$|(^|[_-])(token|secret|assertion|password|passcode|verifier|signature|key)$/i;

/**
 * Makes the function that replaces each of the secrets with `[redacted]`. It finds a secret in every spelling a server
 * may use: as it is, form-encoded, percent-encoded, escaped for JSON or HTML, or in another case.
 */
export function redactor(secrets: readonly string[]): Redact {
  const known = secrets.map((secret) => secret.trim()).filter((secret) => secret !== "");
  if (known.length === 0) return (text) => text;
  known.sort((a, b) => b.length - a.length); // Longest first: one secret may be the start of another.
  const pattern = new RegExp(known.map((secret) => Array.from(secret, spellingsOf).join("")).join("|"), "gi");
  return (text) => text.replace(pattern, "[redacted]");
}

/** Returns the pattern for all spellings of one character of a secret. */
function spellingsOf(character: string): string {
  if (/^[a-z\d]$/i.test(character)) return character;
  const bytes = Array.from(new TextEncoder().encode(character));
  const spellings = [
    ...(bytes.length > 1 ? [literal(String.fromCharCode(...bytes))] : []), // The server read UTF-8 as Latin-1.
    bytes.map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join(""),
    "&#?\\w{2,8};",
    "(?:\\\\u[\\da-f]{4}){1,2}",
    `\\\\?${literal(character)}`,
  ];
  if (character === " ") spellings.push("\\+");
  // `shown` replaces a run of unprintable characters by one space, and trims the text.
  if (character.search(UNPRINTABLE) === 0) spellings.push(" ?");
  return `(?:${spellings.join("|")})`;
}

function literal(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}

/** Makes a text of the server safe to show: printable, without secrets, at most {@link LONGEST_TEXT} characters. */
export function shown(text: unknown, redact: Redact): string | undefined {
  if (typeof text !== "string" || text === "" || text.length > LONGEST_INPUT) return undefined;
  return redact(text.replace(UNPRINTABLE, " ").trim()).slice(0, LONGEST_TEXT);
}

/** Control and format characters, and line ends of any kind. They could forge log lines. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]+/gu;

/** In characters. A longer text of a server makes a message no clearer. */
const LONGEST_TEXT = 200;
/** In characters. Longer texts are dropped whole. A cut before the redaction could leave half a secret. */
const LONGEST_INPUT = 8192;

/**
 * Returns the {@link safeCause} of an error, without the secrets that were sent: a custom `fetch` may quote the request
 * in its message.
 */
export function redactedCause(error: unknown, redact: Redact): unknown {
  const cause = safeCause(error);
  for (let link = cause; link instanceof Error && !isRemintError(link); link = link.cause) {
    link.message = redact(link.message);
    if (link.stack !== undefined) link.stack = redact(link.stack);
  }
  return cause;
}
