/**
 * Reads and extends the headers of a fetch without touching the caller's object (Q1, Q10).
 *
 * @module
 */
import { PROOF_HEADER } from "./proof-header.ts";
import type { ExtraHeaders } from "../policy/request-policy.ts";

type Entries = Iterable<readonly [string, string]>;

/** Q1: whether the caller set `Authorization`, in any spelling. `undefined` is not set; `null` and `false` are. */
export function hasAuthorization(headers: HeadersInit | undefined): boolean {
  if (headers === undefined || headers === null) return false;
  if (headers instanceof Headers) {
    const value = headers.get("authorization");
    // What `new Headers({ authorization: undefined })` makes of it, which is what ofetch does with its headers.
    return value !== null && value !== "undefined";
  }
  if (isIterable(headers)) {
    for (const [name] of headers) if (isAuthorization(name)) return true;
    return false;
  }
  for (const name in headers) {
    if (isAuthorization(name) && (headers as Record<string, unknown>)[name] !== undefined) return true;
  }
  return false;
}

/**
 * The caller's headers with ours added: `Authorization`, and the grant's own unless the caller set them, but for a proof:
 * no other than ours fits our token, and two are none.
 *
 * @returns `undefined` when the caller set `Authorization` himself (Q1): found on the way, so that plain headers are
 * gone through once.
 */
export function withHeaders(
  headers: HeadersInit | undefined,
  authorization: string,
  extra: ExtraHeaders | undefined,
): HeadersInit | undefined {
  if (headers === undefined || headers === null) return { authorization, ...extra };
  if (extra !== undefined || isIterable(headers)) {
    return hasAuthorization(headers) ? undefined : withPairs(headers, authorization, extra);
  }
  // The new key last; `{ ...headers, authorization }` is 20 times slower on Node 20.
  const copy: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    if (!isAuthorization(name)) copy[name] = value as string;
    else if (value !== undefined) return undefined;
  }
  copy["authorization"] = authorization;
  return copy;
}

function withPairs(headers: HeadersInit, authorization: string, extra: ExtraHeaders | undefined): HeadersInit {
  if (extra === undefined && Array.isArray(headers)) return [...headers, ["authorization", authorization]];
  const pairs =
    isIterable(headers) && !(headers instanceof Headers)
      ? [...headers].map(([name, value]): [string, string] => [name, value])
      : undefined;
  const all = new Headers(headers instanceof Headers ? headers : (pairs ?? withoutUndefined(headers as never)));
  for (const [name, value] of Object.entries(extra ?? {})) {
    if (name === PROOF_HEADER || !all.has(name)) all.set(name, value);
  }
  all.set("authorization", authorization);
  return all;
}

/** `new Headers({ authorization: undefined })` would send the word. */
function withoutUndefined(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name, value]) => value !== undefined || !isAuthorization(name)),
  );
}

function isIterable(headers: unknown): headers is Entries {
  return typeof (headers as Partial<Entries> | undefined)?.[Symbol.iterator] === "function";
}

function isAuthorization(name: unknown): boolean {
  return typeof name === "string" && name.length === 13 && name.toLowerCase() === "authorization";
}
