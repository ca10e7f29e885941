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

/** A copy of a caller's headers. A plain object has a member `authorization` in any case, which the sends fill. */
export type HeaderCopy = Headers | Pair[] | Record<string, unknown>;
type Pair = [name: unknown, value?: unknown, ...rest: unknown[]];

/**
 * Copies headers as fetch reads them: of an iterable its pairs, otherwise the enumerable members of the object itself. An
 * `Authorization` header without a value is left out (Q1): fetch would send the text "undefined".
 *
 * @throws {unknown} What an iterator or a getter of the caller's throws.
 */
export function copyOfHeaders(headers: object): HeaderCopy {
  if (typeof headers !== "object") return headers; // the client judges
  if (isHeaders(headers)) {
    const copy = cloneOf(headers);
    // ofetch calls `new Headers({ authorization: undefined })`.
    if (copy.get("authorization") === "undefined") copy.delete("authorization");
    return copy;
  }
  if (isIterable(headers)) {
    const pairs = Array.from(headers, (pair) => (isIterable(pair) ? [...pair].map(asText) : pair) as Pair);
    return pairs.filter((pair) => !(isAuthorization(pair?.[0]) && pair[1] === undefined));
  }
  // `authorization` stands before the spread: adding a key to a spread copy is 50 times slower on Node 20.
  const copy: Record<string, unknown> = { authorization: undefined, ...headers };
  for (const name in copy) {
    const value = copy[name];
    if (typeof value === "string") continue;
    if (value !== undefined) copy[name] = asText(value);
    else if (name !== "authorization" && isAuthorization(name)) delete copy[name];
  }
  return copy;
}

/** An object as fetch stringifies it, because the caller may change it later. */
function asText(value: unknown): unknown {
  // oxlint-disable-next-line typescript/no-base-to-string -- fetch does the same
  return typeof value === "object" || typeof value === "function" ? String(value) : value;
}

/**
 * Whether the caller set `Authorization`. Asked before the first send.
 *
 * @throws {TypeError} When the value was made from an access token as text.
 */
export function hasAuthorization(headers: HeaderCopy): boolean {
  if (isCopyOfHeaders(headers)) return isSetAuthorization(headers.get("authorization") ?? undefined);
  if (Array.isArray(headers)) return headers.some((pair) => isAuthorization(pair?.[0]) && isSetAuthorization(pair[1]));
  for (const name in headers) if (isAuthorization(name) && isSetAuthorization(headers[name])) return true;
  return false;
}

/**
 * Returns the headers of a send with a token, for a caller who set no `Authorization`. A header of the token does not
 * replace the caller's, except a proof: only this library's proof fits the token, and a request with two proofs is refused.
 *
 * @param isFirst Whether it is the first send. If nothing but `authorization` is added to it, it gets the copy itself.
 */
export function withTokenHeaders(headers: HeaderCopy, added: TokenHeaders, isFirst: boolean): HeadersInit {
  if (typeof headers !== "object") return headers;
  const sent = isFirst && isTokenOnly(added) ? headers : unauthorizedClone(headers);
  for (const name in added) addHeader(sent, name, added[name]!);
  return bareHeaders(sent);
}

/** Returns the headers of a send without a token. */
export function bareHeaders(headers: HeaderCopy): HeadersInit {
  const record = headers as Record<string, unknown>;
  if (record["authorization"] === undefined) delete record["authorization"];
  return headers as HeadersInit;
}

/** Whether two `Headers` objects hold the same. What is none is not compared. */
export function haveSameFields(one: unknown, other: unknown): boolean {
  return !isIterable(one) || !isIterable(other) || String([...one]) === String([...other]);
}

function isTokenOnly(added: TokenHeaders): boolean {
  for (const name in added) if (name !== "authorization") return false;
  return true;
}

function unauthorizedClone(headers: HeaderCopy): HeaderCopy {
  if (Array.isArray(headers)) return headers.filter((pair) => !isAuthorization(pair?.[0]));
  if (!isCopyOfHeaders(headers)) return { ...headers, authorization: undefined };
  const clone = cloneOf(headers);
  clone.delete("authorization");
  return clone;
}

function cloneOf(headers: Headers): Headers {
  return new (classOf(headers, Headers))(headers);
}

function addHeader(headers: HeaderCopy, name: string, value: string): void {
  const isProof = name === PROOF_HEADER;
  if (isCopyOfHeaders(headers)) {
    if (isProof || !headers.has(name)) headers.set(name, value);
  } else if (Array.isArray(headers)) {
    const index = headers.findIndex((pair) => isNamed(name, pair?.[0]));
    if (index < 0) headers.push([name, value]);
    else if (isProof) headers[index] = [name, value];
  } else if (name === "authorization") {
    headers["authorization"] = value;
  } else {
    const theirs = Object.keys(headers).find((other) => isNamed(name, other));
    if (isProof && theirs !== undefined) delete headers[theirs];
    if (isProof || theirs === undefined) headers[name] = value;
  }
}

/** A `Headers` object of any implementation: old ones have no iterator. `URLSearchParams` and `FormData` are iterables. */
function isHeaders(value: object): value is Headers {
  const { append, get } = value as Partial<Headers>;
  if (typeof append !== "function" || typeof get !== "function") return false;
  return !["[object URLSearchParams]", "[object FormData]"].includes(Object.prototype.toString.call(value));
}

/** Does the same for a copy, which has no other member that is a function. */
function isCopyOfHeaders(headers: HeaderCopy): headers is Headers {
  return typeof headers["append" as never] === "function";
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === "object" && value !== null && typeof value[Symbol.iterator as never] === "function";
}

function isAuthorization(name: unknown): boolean {
  return typeof name === "string" && name.length === 13 && name.toLowerCase() === "authorization";
}

function isNamed(name: string, other: unknown): boolean {
  return String(other).toLowerCase() === name.toLowerCase();
}
