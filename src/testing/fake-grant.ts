import { assertOptions, count, optionError } from "../base/options.ts";
import { Holds } from "./hold.ts";
import type { Grant, GrantDefinition, GrantTraits, MintContext } from "../core/grant.ts";
import type { TokenResponse } from "../core/types.ts";
import type { Hold, HoldOptions } from "./hold.ts";

/** What a grant may say beside how it mints, and what the fake puts into its token responses. */
export interface FakeGrantOptions extends GrantTraits {
  /** `expires_in` of the responses, in seconds; `null` leaves it out. @defaultValue 3600 */
  readonly expiresIn?: number | null | undefined;
  /** Further members of the responses (`scope`, `instance_url`, ...); they win over the fake's own. */
  readonly response?: Readonly<Record<string, unknown>> | undefined;
}

/** A {@link Grant} that reaches no server, and the controls a test has over it. */
export interface FakeGrant extends Grant {
  /** How many mints were started, failed ones included. */
  readonly mints: number;
  /** What each mint was called with, in order. */
  readonly contexts: readonly MintContext[];
  /** The access token that was handed out last. */
  readonly last: string | undefined;
  /**
   * Queues a failure: the next mint rejects with exactly this error.
   *
   * @param times How many mints fail so; `Infinity` until {@link FakeGrant.recover}. @defaultValue 1
   * @throws {TypeError} When `times` is not a positive integer or `Infinity`.
   */
  fail(error: unknown, times?: number): void;
  /** Queues a token response: the next mint answers exactly this, complete or not. */
  respond(response: Readonly<Record<string, unknown>>): void;
  /** Drops what is queued, so that mints succeed again. */
  recover(): void;
  /**
   * Makes mints that begin from now on wait until the hold is released or failed.
   *
   * What a mint will answer is decided when it begins. A held mint rejects with `signal.reason` when its signal fires,
   * unless `ignoreSignal` is set.
   */
  hold(options?: HoldOptions): Hold;
}

/** What the next mints do instead of the usual, first come first served. */
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

/**
 * Makes a grant without a server: the first mint answers `fake-1`, the second `fake-2`, and so on; a failed mint uses
 * up its number.
 *
 * @throws {TypeError} When `expiresIn` is neither a number nor `null`, or `response` is not an object.
 * @example
 * ```ts
 * const grant = fakeGrant();
 * const cache = createTokenCache({ grant, origins: ["https://api.example"] });
 * (await cache.get()).value; // "fake-1"
 * ```
 */
export function fakeGrant(options: FakeGrantOptions = {}): FakeGrant {
  assertOptions("fakeGrant", options);
  const { expiresIn = 3600, response = {}, ...members } = options;
  if (expiresIn !== null && typeof expiresIn !== "number") throw optionError("expiresIn", expiresIn, "seconds or null");
  assertOptions("response", response);
  const usual = { token_type: "Bearer", ...(expiresIn === null ? {} : { expires_in: expiresIn }), ...response };
  const contexts: MintContext[] = [];
  const plan = new Plan();
  const holds = new Holds();
  let last: string | undefined;
  const fake: GrantDefinition & Omit<FakeGrant, keyof Grant> = {
    ...members,
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
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- answers that are no token responses are the point
    respond: (answer) => plan.add(1, () => ({ ...answer }) as TokenResponse),
    recover: () => plan.clear(),
    hold: (holdOptions) => holds.begin(holdOptions),
    async mint(context) {
      const value = `fake-${contexts.push(context)}`;
      const answer = plan.take() ?? (() => ({ access_token: value, ...usual }));
      await holds.pass(context.signal);
      const minted = answer();
      last = minted.access_token;
      return minted;
    },
  };
  return fake as unknown as FakeGrant;
}
