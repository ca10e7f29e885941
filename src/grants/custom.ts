/**
 * `customGrant`: a grant of the user's own, from an object. What a custom mint may return is in `core/custom-grant.ts`,
 * because a bare function is taken in the same way.
 *
 * @module
 */
import { assertOptions, count } from "../base/options.ts";
import { customDefinition } from "../core/custom-grant.ts";
import { GRANT_TRAITS, grantOf } from "../core/grant.ts";
import { retrying } from "./retry.ts";
import type { CustomGrantMembers, StatefulCustomGrant, StatelessCustomGrant } from "../core/custom-grant.ts";
import type { Grant } from "../core/grant.ts";

/** The permission to repeat. */
interface Repeating {
  /**
   * Permits to repeat a failed attempt, and says how often. The errors that are repeated are transient: a network error, or
   * an error with an HTTP `status` of 408, 429 or 5xx. With a `state`, only what was never sent is repeated.
   *
   * Without a `state` it also permits to abort a mint after `mintTimeout`. Say so only of a function that uses nothing up.
   *
   * @defaultValue none: an attempt is not repeated, and goes on for up to `landingTimeout` after its callers have left
   */
  readonly mintRetries?: number | undefined;
}

/** Options of {@link customGrant} for a function that keeps nothing here from one mint to the next. */
export type CustomGrantOptions = StatelessCustomGrant & Repeating;

/** Options of {@link customGrant} for a function whose every mint needs what the one before it returned. */
export type StatefulCustomGrantOptions<State> = StatefulCustomGrant<State> & Repeating;

/**
 * Creates a grant from a function that obtains a token. Time limits, sharing and the handling of 401 answers come with it.
 *
 * A function that returns `null` or `undefined` says that nobody is signed in: requests then go without a token. With `state`
 * or `onState` the grant has a state: the member `state` of what `mint` returns is what the next mint gets.
 *
 * @throws {TypeError} When an option is wrong.
 * @example
 * ```ts
 * const grant = customGrant({
 *   key: "graph",
 *   mintRetries: 2,
 *   mint: ({ signal }) => credential.getToken("https://graph.example/.default", { abortSignal: signal }),
 * });
 * ```
 */
export function customGrant(options: CustomGrantOptions): Grant;
export function customGrant<State>(options: StatefulCustomGrantOptions<State>): Grant;
export function customGrant(options: CustomGrantMembers<never> & Repeating): Grant {
  assertOptions("customGrant", options, ["mint", "state", "onState", "revoke", "mintRetries", ...GRANT_TRAITS]);
  const { mintRetries } = options;
  const definition = customDefinition(options);
  if (mintRetries === undefined) return grantOf(definition);
  const isRepeatable = definition.source === undefined;
  return grantOf({ ...definition, isRepeatable, retry: retrying, mintRetries: count("mintRetries", mintRetries, 0) });
}
