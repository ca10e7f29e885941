/**
 * A copy of the options of fetch, made when the call is made (Q14).
 *
 * Not here: the headers among them (`header-copy.ts`), and which bodies are copied (`body.ts`).
 *
 * @module
 */
import { copyOfBody } from "./body.ts";

/**
 * What fetch itself reads: inherited members too, and those of a class, such as the getters of a `Request`.
 *
 * @see [Fetch, RequestInit](https://fetch.spec.whatwg.org/#requestinit)
 */
const MEMBERS = [
  "body",
  "cache",
  "credentials",
  "duplex",
  "headers",
  "integrity",
  "keepalive",
  "method",
  "mode",
  "priority",
  "redirect",
  "referrer",
  "referrerPolicy",
  "signal",
  "window",
] as const;

/**
 * Copies init. What fetch itself reads is read here, once. What only one client or framework knows (`dispatcher`, `next`,
 * `cf`) is copied too if it is a member of the object itself; otherwise it stays readable behind the copy.
 *
 * @throws {unknown} What a getter throws.
 */
export function copyOfInit(init: RequestInit): RequestInit {
  // `headers` stands before the spread: adding a key to a spread copy is 50 times slower on Node 20.
  const copy: Record<string, unknown> = { headers: undefined, ...init };
  if (!isPlain(init)) addInherited(copy, init as Record<string, unknown>);
  if (copy["body"] !== undefined) copy["body"] = copyOfBody(copy["body"]);
  return copy;
}

function addInherited(copy: Record<string, unknown>, init: Record<string, unknown>): void {
  for (const name of MEMBERS) {
    const value = copy[name] === undefined ? init[name] : undefined;
    if (value !== undefined) copy[name] = value;
  }
  // Through a proxy, so that a getter is called on the object that has it: that of a class may read private members.
  Object.setPrototypeOf(copy, new Proxy(init, { get: (target, name) => Reflect.get(target, name) as unknown }));
}

/** Whether an object inherits nothing. */
function isPlain(init: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(init);
  return prototype === Object.prototype || prototype === null;
}

/**
 * Returns a clone of the copy for one send.
 *
 * @param fallback Members for those that init does not have.
 * @param changes Members in place of those that init has.
 */
export function cloneOfInit(
  copy: RequestInit | null | undefined,
  fallback?: RequestInit,
  changes?: RequestInit,
): RequestInit {
  const clone = { headers: undefined as never, ...fallback, ...copy, ...changes };
  if (copy === undefined || copy === null || isPlain(copy)) return clone;
  return Object.setPrototypeOf(clone, Object.getPrototypeOf(copy) as object) as RequestInit;
}
