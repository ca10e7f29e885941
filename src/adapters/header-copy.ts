/**
 * The headers of a call of fetch: a copy that is made when the call is made (Q14), and the headers of a send with a token.
 *
 * A copy has one of the three forms that fetch takes: a `Headers` object, a list of pairs, or a plain object. It keeps the
 * form that the caller chose, and so the case of the names (Q15). What is wrong in it is left for the client to judge.
 *
 * @module
 */
import { isSetAuthorization, PROOF_HEADER } from "../policy/client-seam.ts";
import { classOf } from "./body.ts";
import type { TokenHeaders } from "../policy/client-seam.ts";

/** A copy of a caller's headers. */
export type HeaderCopy = Headers | Pair[] | Record<string, unknown>;
type Pair = [name: unknown, value?: unknown, ...rest: unknown[]];

/**
 * Copies headers as fetch reads them: of an iterable its pairs, otherwise the enumerable members of the object itself. An
 * `Authorization` header without a value counts as not set (Q1): fetch would send the text "undefined".
 *
 * @returns `undefined` when there are none.
 * @throws {unknown} What an iterator or a getter of the caller's throws.
 */
export function copyOfHeaders(headers: object | null | undefined): HeaderCopy | undefined {
  if (headers === undefined || headers === null) return undefined;
  if (typeof headers !== "object") return headers; // the client judges
  if (isHeaders(headers)) {
    const copy = new (classOf(headers, Headers))(headers);
    // ofetch calls `new Headers({ authorization: undefined })`.
    if (copy.get("authorization") === "undefined") copy.delete("authorization");
    return copy;
  }
  if (isIterable(headers)) {
    const pairs = Array.from(headers, (pair) => (isIterable(pair) ? [...pair].map(asText) : pair) as Pair);
    return pairs.filter((pair) => !isUnsetAuthorization(pair?.[0], pair?.[1]));
  }
  const copy: Record<string, unknown> = { ...headers };
  for (const name in copy) {
    const value = copy[name];
    if (typeof value === "object") copy[name] = asText(value);
    else if (value === undefined && isUnsetAuthorization(name, value)) delete copy[name];
  }
  return copy;
}

/** An object as fetch stringifies it, because the caller may change it later. */
function asText(value: unknown): unknown {
  return typeof value === "object" && value !== null ? String(value) : value;
}

/**
 * Whether the caller set `Authorization`.
 *
 * @throws {TypeError} When the value was made from an access token as text.
 */
export function hasAuthorization(headers: HeaderCopy | undefined): boolean {
  if (headers === undefined) return false;
  if (isHeaders(headers)) return isSetAuthorization(headers.get("authorization") ?? undefined);
  if (Array.isArray(headers)) return headers.some((pair) => isAuthorization(pair?.[0]) && isSetAuthorization(pair[1]));
  for (const name in headers) if (isAuthorization(name)) return isSetAuthorization(headers[name]);
  return false;
}

/**
 * Returns the headers of a send with a token, for a caller who set no `Authorization`. A header of the token does not
 * replace the caller's, except a proof: only this library's proof fits the token, and a request with two proofs is refused.
 */
export function withTokenHeaders(headers: HeaderCopy | undefined, added: TokenHeaders): HeadersInit {
  if (headers === undefined) return added;
  if (typeof headers !== "object") return headers;
  if (isHeaders(headers)) {
    const copy = new (classOf(headers, Headers))(headers);
    for (const name in added) if (name === PROOF_HEADER || !copy.has(name)) copy.set(name, added[name]!);
    return copy;
  }
  if (Array.isArray(headers)) {
    const pairs = headers.filter((pair) => !(PROOF_HEADER in added && isNamed(PROOF_HEADER, pair)));
    const own = Object.entries(added).filter(([name]) => !pairs.some((pair) => isNamed(name, pair)));
    return [...pairs, ...own] as [string, string][];
  }
  // `authorization` stands before the spread and is assigned after it: adding a key to a spread copy is 50 times slower on
  // Node 20.
  const copy: Record<string, unknown> =
    "authorization" in added ? { authorization: undefined, ...headers } : { ...headers };
  for (const name in added) {
    if (name !== "authorization") {
      const theirs = Object.keys(copy).find((other) => isNamed(name, [other]));
      if (theirs !== undefined && name !== PROOF_HEADER) continue;
      if (theirs !== undefined) delete copy[theirs];
    }
    copy[name] = added[name];
  }
  return copy as Record<string, string>;
}

/** A `Headers` object of any implementation: old ones have no iterator. `URLSearchParams` and `FormData` are iterables. */
function isHeaders(value: object): value is Headers {
  if (value instanceof Headers) return true;
  const { append, get } = value as Partial<Headers>;
  if (typeof append !== "function" || typeof get !== "function") return false;
  return !["[object URLSearchParams]", "[object FormData]"].includes(Object.prototype.toString.call(value));
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof Object(value)[Symbol.iterator] === "function" && typeof value === "object";
}

function isUnsetAuthorization(name: unknown, value: unknown): boolean {
  return value === undefined && isAuthorization(name);
}

function isAuthorization(name: unknown): boolean {
  return typeof name === "string" && name.length === 13 && name.toLowerCase() === "authorization";
}

function isNamed(name: string, pair: Pair): boolean {
  return String(pair?.[0]).toLowerCase() === name.toLowerCase();
}
