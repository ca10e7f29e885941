/**
 * The target of an access token: what `TokenCache.for` asks for.
 *
 * @module
 */
import { digest } from "../base/digest.ts";
import { ABSOLUTE_URI, scopeList, stringList } from "../base/options.ts";
import type { Target } from "./grant.ts";
import type { TargetParameters } from "./types.ts";

/** Hexadecimal digits: 96 bits. */
const DIGITS = 24;

/**
 * Checks what `TokenCache.for` was given. Two targets with the same parameters, in any order, have the same fingerprint.
 *
 * @throws {TypeError} When a parameter is wrong, or when there is none.
 */
export function targetOf(given: TargetParameters): Target {
  const scope = scopeList(given.scope ?? undefined);
  const resource = stringList("resource", given.resource ?? undefined);
  const audience = stringList("audience", given.audience ?? undefined);
  if (resource.some((uri) => !ABSOLUTE_URI.test(uri))) {
    throw new TypeError(`"resource" must be absolute URIs without a fragment (RFC 8707), got a string that is not one`);
  }
  if (scope.length + resource.length + audience.length === 0) {
    throw new TypeError(`for() must be given "resource", "scope" or "audience": what the token is for`);
  }
  const sorted = [scope, resource, audience].map(sortedSet);
  return {
    fingerprint: digest(JSON.stringify(sorted)).slice(0, DIGITS),
    parameters: Object.freeze({
      ...(resource.length > 0 && { resource: Object.freeze(resource) }),
      ...(scope.length > 0 && { scope: scope.join(" ") }),
      ...(audience.length > 0 && { audience: Object.freeze(audience) }),
    }),
  };
}

function sortedSet(list: readonly string[]): readonly string[] {
  const copy = [...new Set(list)];
  copy.sort();
  return copy;
}
