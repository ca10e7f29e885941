/**
 * `fakeGrant`: a grant without a server, for tests of code that uses a token cache.
 *
 * A token endpoint on loopback, for tests that need real HTTP, is in auth-server.ts.
 *
 * @module
 */
import { assertObject, assertOptions, count, optionError } from "../base/options.ts";
import { tryEach } from "../base/try-each.ts";
import { GRANT_TRAITS, grantOf } from "../core/grant.ts";
import { retrying } from "../grants/retry.ts";
import { Holds } from "./hold.ts";
import type { Grant, GrantDefinition, GrantTraits, MintContext, RevokeContext, SaveContext } from "../core/grant.ts";
import type { AccessToken, TokenResponse } from "../core/types.ts";
import type { Hold, HoldOptions } from "./hold.ts";

/**
 * Creates a grant without a server: the first mint returns the access token `fake-1`, the second `fake-2`, and so on. A
 * failed mint uses up its number.
 *
 * @throws {TypeError} When `expiresIn` is neither a number nor `null`, `response` is not an object, or an option is unknown.
 * @example
 * ```ts
 * const grant = fakeGrant();
 * const cache = createTokenCache({ grant, origins: ["https://api.example"] });
 * (await cache.get()).value; // "fake-1"
 * ```
 */
export function fakeGrant(options: FakeGrantOptions = {}): FakeGrant {
  assertOptions("fakeGrant", options, ["expiresIn", "response", "state", "onState", "revoke", ...GRANT_TRAITS]);
  const { expiresIn = 3600, response = {}, state, onState, revoke, ...members } = options;
  if (expiresIn !== null && typeof expiresIn !== "number") throw optionError("expiresIn", expiresIn, "seconds or null");
  assertObject("response", response);
  const usual = { token_type: "Bearer", ...(expiresIn === null ? {} : { expires_in: expiresIn }), ...response };
  const isStateful = state !== undefined || onState !== undefined;
  const contexts: MintContext[] = [];
  const plan = new Plan();
  const holds = new Holds();
  let last: string | undefined;
  const definition: GrantDefinition = {
    ...members,
    isRepeatable: !isStateful,
    retry: retrying,
    ...(isStateful && { source: sourceOf(state, onState) }),
    async mint(context) {
      const value = `fake-${contexts.push(context)}`;
      const answer = plan.take() ?? (() => ({ access_token: value, ...usual }));
      await holds.pass(context.signal);
      const minted = answer();
      last = minted.access_token;
      const { state: next } = minted as { state?: unknown };
      return { response: minted, ...(isStateful && next !== undefined && { next: { state: next } }) };
    },
    signIn(given) {
      const next = (given as { state?: unknown }).state ?? given.refresh_token;
      return { response: { ...given }, ...(isStateful && next !== undefined && { next: { state: next } }) };
    },
    ...(revoke && { revoke: (tokens, context) => revokeEach(revoke, tokens, context) }),
  };
  const controls: Omit<FakeGrant, keyof Grant> = {
    contexts,
    get mints() {
      return contexts.length;
    },
    get last() {
      return last;
    },
    fail(error, times = 1) {
      const failures = times === Infinity ? times : count("times", times, 1, 1);
      plan.add(failures, () => {
        throw error;
      });
    },
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a test may want a malformed answer
    respond: (answer) => plan.add(1, () => ({ ...answer }) as TokenResponse),
    recover: () => plan.clear(),
    hold: (holdOptions) => holds.begin(holdOptions),
  };
  const fake = grantOf(definition);
  Object.defineProperties(fake, Object.getOwnPropertyDescriptors(controls));
  return fake as FakeGrant;
}

type Save = (next: unknown, context: SaveContext) => unknown;
type Revoke = (token: AccessToken | undefined, context: RevokeContext) => unknown;

function sourceOf(state: unknown, save: Save | undefined): GrantDefinition["source"] {
  const given = typeof state === "function" ? { load: state as () => unknown } : { initial: () => state };
  return { names: { load: "state", save: "onState" }, ...given, ...(save && { save }), check: (value) => value };
}

async function revokeEach(
  revoke: Revoke,
  [first, ...more]: readonly AccessToken[],
  context: RevokeContext,
): Promise<void> {
  await tryEach([first, ...more], (token) => revoke(token, token === first ? context : { signal: context.signal }));
}

/** Options of {@link fakeGrant}: what a grant may declare, and what the token responses contain. */
export interface FakeGrantOptions extends GrantTraits {
  /** `expires_in` of the responses, in seconds; `null` omits it. @defaultValue 3_600 (1 hour) */
  readonly expiresIn?: number | null | undefined;
  /** Further members of the responses (`scope`, `instance_url`, ...). They replace members that the fake sets. */
  readonly response?: Readonly<Record<string, unknown>> | undefined;
  /** The first state, or a function that is asked before every mint. A member `state` of an answer is the next one. */
  readonly state?: unknown;
  /** Saves the next state. */
  readonly onState?: ((next: unknown, context: SaveContext) => unknown) | undefined;
  /** Revokes a token and the state. @defaultValue the grant cannot revoke */
  readonly revoke?: ((token: AccessToken | undefined, context: RevokeContext) => unknown) | undefined;
}

/** A {@link Grant} without a server, and the means by which a test controls it. */
export interface FakeGrant extends Grant {
  /** The number of mints that were started, including failed ones. */
  readonly mints: number;
  /** The context of each mint, in order. */
  readonly contexts: readonly MintContext[];
  /** The access token that the last successful mint returned. */
  readonly last: string | undefined;
  /**
   * Queues a failure: the next mint rejects with this error object.
   *
   * @param times The number of mints that fail, 1 by default. `Infinity`: all mints until {@link FakeGrant.recover}.
   * @throws {TypeError} When `times` is neither a positive integer nor `Infinity`.
   */
  fail(error: unknown, times?: number): void;
  /** Queues a token response: the next mint returns exactly this object, whether it is complete or not. */
  respond(response: Readonly<Record<string, unknown>>): void;
  /** Clears the queue, so that mints succeed again. */
  recover(): void;
  /**
   * Makes mints that begin from now on wait until the hold is released or failed.
   *
   * The result of a mint is decided when it begins. If the signal of a waiting mint is aborted, the mint rejects with
   * `signal.reason`, unless `ignoreSignal` is set.
   *
   * @throws {TypeError} When an option is unknown.
   */
  hold(options?: HoldOptions): Hold;
}

/** The queue of results that the next mints have instead of the usual one. */
class Plan {
  readonly #steps: { left: number; readonly answer: () => TokenResponse }[] = [];

  add(times: number, answer: () => TokenResponse): void {
    this.#steps.push({ left: times, answer });
  }

  clear(): void {
    this.#steps.length = 0;
  }

  take(): (() => TokenResponse) | undefined {
    const step = this.#steps[0];
    if (step !== undefined && --step.left === 0) this.#steps.shift();
    return step?.answer;
  }
}
