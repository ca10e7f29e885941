import type { Grant } from "../core/types.ts";

/**
 * A grant that does not print: its `state` is a refresh token, its key names a client (S5).
 *
 * The two methods are enumerable, so that a copy (`{ ...grant, origins }`) does not print either.
 */
export function redactedGrant<State>(grant: Grant<State>): Grant<State> {
  // Node's hook for `util.inspect` and `console.log`, reachable without importing Node.
  const inspect = Symbol.for("nodejs.util.inspect.custom");
  return Object.assign(grant, { [inspect]: () => "Grant [redacted]", toJSON: () => "[redacted]" });
}
