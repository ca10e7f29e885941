/**
 * What may be shown of objects that hold credentials.
 *
 * @module
 */

/** Names of members of a token response that are, or may be, credentials. */
const CREDENTIAL_MEMBER = /(^|_)(token|secret|assertion|password)$/i;
/** Members of a token response that this package sets itself. */
const OWN_MEMBERS = new Set(["serverTime", "receivedAt", "notAfter", "state"]);

/** Returns the members of a token response that are no credentials, frozen. */
export function withoutCredentials(response: object): Readonly<Record<string, unknown>> {
  const rest: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(response)) {
    if (!CREDENTIAL_MEMBER.test(name) && !OWN_MEMBERS.has(name)) rest[name] = value;
  }
  return Object.freeze(rest);
}

/** Node's hook for `util.inspect` and `console.log`, reachable without importing Node. */
const inspectHook = Symbol.for("nodejs.util.inspect.custom");

/**
 * Makes an object print as `<name> [redacted]`, and as `[redacted]` in JSON.
 *
 * The two methods are enumerable: a copy made by spreading has them too.
 */
export function redacted<T extends object>(object: T, name: string): T {
  return Object.assign(object, { [inspectHook]: () => `${name} [redacted]`, toJSON: () => "[redacted]" });
}

/** {@link redacted} for all objects of a class. */
export function redactedClass(prototype: object, name: string): void {
  for (const [key, value] of [
    [inspectHook, () => `${name} [redacted]`],
    ["toJSON", () => "[redacted]"],
  ] as const) {
    Object.defineProperty(prototype, key, { value, configurable: true, writable: true });
  }
}
