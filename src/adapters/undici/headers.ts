/**
 * The headers of an undici request: a copy that is made when the request is dispatched (Q14), and the headers of a send with
 * a token.
 *
 * undici takes a list of names and values in turn, a plain object, and an iterable of pairs, which becomes a list here. What
 * is wrong in them is left for undici to judge.
 *
 * @module
 */
import { isSetAuthorization, PROOF_HEADER } from "../../policy/client-seam.ts";
import type { TokenHeaders } from "../../policy/client-seam.ts";

/** A copy of a caller's headers: names and values in turn, or a plain object. Anything else is what undici refuses. */
export type HeaderCopy = unknown[] | Record<string, unknown>;

/** Copies headers. Those without a value are left out, as undici does. */
export function copyOfHeaders(headers: unknown): HeaderCopy | undefined {
  if (headers === undefined || headers === null || typeof headers !== "object") return headers as undefined;
  if (Array.isArray(headers)) return headers.length % 2 === 0 ? listWith(headers, () => true) : [...headers];
  if (typeof headers[Symbol.iterator as never] === "function") {
    const pairs = [...(headers as Iterable<unknown>)];
    const isList = pairs.every((pair) => Array.isArray(pair) && pair.length === 2);
    // A set of what was no pair: undici says so itself.
    return isList ? listWith(pairs.flat(), () => true) : (new Set(pairs) as unknown as unknown[]);
  }
  return Object.fromEntries(Object.entries(headers).filter(([name, value]) => hasValue(name, value)));
}

function listWith(list: readonly unknown[], isWanted: (name: string) => boolean): unknown[] {
  return list.filter((_, index) => {
    const name = String(list[index - (index % 2)]);
    return hasValue(name, list[index - (index % 2) + 1]) && isWanted(name.toLowerCase());
  });
}

/** Whether a header is sent. `Headers` makes the text "undefined" of an `Authorization` that is undefined (Q1). */
function hasValue(name: string, value: unknown): boolean {
  return value !== undefined && !(value === "undefined" && name.toLowerCase() === "authorization");
}

/** Returns the value of a header, in any case. */
export function valueOf(headers: HeaderCopy | undefined, name: string): unknown {
  if (Array.isArray(headers)) {
    const index = headers.findIndex((key, place) => place % 2 === 0 && String(key).toLowerCase() === name);
    return index < 0 ? undefined : headers[index + 1];
  }
  return Object.entries(Object(headers) as object).find(([key]) => key.toLowerCase() === name)?.[1];
}

/**
 * Whether the caller set `Authorization`.
 *
 * @throws {TypeError} When the value was made from an access token as text.
 */
export function hasAuthorization(headers: HeaderCopy | undefined): boolean {
  return isSetAuthorization(valueOf(headers, "authorization"));
}

/**
 * Returns the headers of a send with a token. A header of the token does not replace the caller's, except a proof: only this
 * library's proof fits the token.
 */
export function withTokenHeaders(headers: HeaderCopy | undefined, added: TokenHeaders): unknown {
  if (headers === undefined || headers === null) return { ...added };
  if (typeof headers !== "object" || headers instanceof Set || (Array.isArray(headers) && headers.length % 2 === 1)) {
    return headers; // undici judges
  }
  const missing = Object.entries(added).filter(
    ([name]) => name === PROOF_HEADER || valueOf(headers, name.toLowerCase()) === undefined,
  );
  const isReplaced = (name: string): boolean => name.toLowerCase() === "dpop" && PROOF_HEADER in added;
  if (Array.isArray(headers)) return [...listWith(headers, (name) => !isReplaced(name)), ...missing.flat()];
  const kept = Object.entries(headers).filter(([name]) => !isReplaced(name));
  return Object.fromEntries([...kept, ...missing]);
}
