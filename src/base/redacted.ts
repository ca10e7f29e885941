/**
 * Keeps credentials out of printed objects: token responses without their credentials, objects that print as
 * `[redacted]` (S5, S8).
 *
 * Texts of servers are redacted in `oauth/redaction.ts`, errors of grants in `errors.ts`.
 *
 * @module
 */
import { isPlain } from "./bytes.ts";

/**
 * The names of credentials, in lower case and with `_` before what was a capital letter: those that end with a word for one,
 * and `code`.
 */
const CREDENTIAL =
  /(token|secret|assertion|passwd|pass(word|code|phrase)|jwt|credential|signature|cookie|(api|session|private|access)[^a-z\d]?key|session([^a-z\d]?id)?)s?$|(^|[^a-z\d])(pwd|key|sid|verifier|authorization|ticket|otp)s?$|^code$/;

/**
 * Whether a parameter, header or member of this name is a credential, or may be: `refresh_token`, `idToken`, `X-Api-Key`,
 * `lightning_sid`.
 */
export function isCredentialName(name: string): boolean {
  return CREDENTIAL.test(name.replace(/([a-z\d])([A-Z])/g, "$1_$2").toLowerCase());
}

/** Members of a token response that a grant adds for the cache. The server did not send them. */
const OWN_MEMBERS = new Set(["serverTime", "receivedAt", "notAfter", "state"]);

/**
 * Returns a copy of a token response without its credentials, at any depth. The copy has no prototype, so that a member of
 * any name is a member and nothing else, and is frozen in depth, because many requests share it.
 */
export function withoutCredentials(response: object): Readonly<Record<string, unknown>> {
  return copyOf(response, 0, (name) => OWN_MEMBERS.has(name));
}

function copyOf(object: object, depth: number, isOwn?: (name: string) => boolean): Readonly<Record<string, unknown>> {
  const copy = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of Object.entries(object)) {
    if (!isCredentialName(name) && isOwn?.(name) !== true) copy[name] = frozenCopy(value, depth + 1);
  }
  return Object.freeze(copy);
}

/** A frozen copy of JSON data. What is no JSON data, such as a Date, stays as it is. */
function frozenCopy(value: unknown, depth: number): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (depth > DEEPEST) return undefined;
  if (Array.isArray(value)) return Object.freeze(value.map((item: unknown) => frozenCopy(item, depth + 1)));
  return isPlain(value) ? copyOf(value, depth) : value;
}

/** Deeper data is left out: a recursion must end, also where the data has a circle. */
export const DEEPEST = 16;

/**
 * The methods that `util.inspect` and `console.log` of Node call, and those of Deno, which prints a `Request` of its own in
 * full unless it has the second one. The symbols are registered, so nothing is imported.
 */
const inspectHook = Symbol.for("nodejs.util.inspect.custom");
const denoHook = Symbol.for("Deno.customInspect");

/**
 * Makes an object print as `<name> [redacted]`, and as `[redacted]` in JSON. Returns the object itself.
 *
 * The methods it adds are enumerable, so that a copy made by spreading (`{ ...object }`) has them too.
 */
export function redacted<T extends object>(object: T, name: string): T {
  return Object.assign(object, hooksOf(name));
}

/** By name: objects of one kind share the methods. */
const hooks = new Map<string, object>();

function hooksOf(name: string): object {
  let found = hooks.get(name);
  if (found === undefined) {
    const print = (): string => `${name} [redacted]`;
    hooks.set(name, (found = { [inspectHook]: print, [denoHook]: print, toJSON: () => "[redacted]" }));
  }
  return found;
}

/** What an access token is as text. A header made of it is refused: {@link isTokenText}. */
export const TOKEN_TEXT = "[AccessToken: use .header]";

/** Whether a header's value was made from an access token as text, as in `Bearer ${token}`. */
export function isTokenText(value: unknown): boolean {
  if (typeof value === "string") return value.includes(TOKEN_TEXT);
  return typeof value === "object" && value !== null && tokenTextOf in value;
}

/** Marks access tokens, also those of another copy of this package. */
export const tokenTextOf: unique symbol = Symbol.for("remint.access-token") as typeof tokenTextOf;

/** Does the same as {@link redacted} for every object of a class, given the prototype of the class. */
export function redactedClass(prototype: object, name: string): void {
  for (const [key, value] of [
    [inspectHook, () => `${name} [redacted]`],
    ["toJSON", () => "[redacted]"],
  ] as const) {
    Object.defineProperty(prototype, key, { value, configurable: true, writable: true });
  }
}
