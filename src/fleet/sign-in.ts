/**
 * Which sign-in a record belongs to. Two processes with the same refresh token share its record. A new sign-in has
 * another refresh token, and its record replaces the record of the old session.
 *
 * A record keeps digests of the state it began with, of the states that were used up last, and of earlier sign-ins. A
 * process whose first state is among them belongs to the session of the record, or to an earlier one: it was configured
 * with the first refresh token, or with a later one that `onRotate` had saved. A process whose first state the record
 * does not know has a newer sign-in. This holds only until the process has seen its own session in the record: if the
 * record then changes to another session, that session is newer still.
 *
 * The digests need no secret key: they are encrypted together with the state itself, and they have to be the same after
 * a change of the encryption key.
 *
 * What a record contains is in record.ts.
 *
 * @module
 */
import { digest } from "../base/digest.ts";
import type { Facts } from "./record.ts";

/** How many sign-ins, and how many used-up states, a record remembers, to tell a late process from a new sign-in. */
const REMEMBERED = 8;
/** The length of a digest in hexadecimal digits: 96 bits. */
const DIGITS = 24;

/** The sign-in of one cache. */
export class SignIn {
  readonly #state: unknown;
  readonly #seed: string | undefined;
  #isKnown = false;

  /** @param state The state with which the grant began; `undefined`: there is no session. */
  constructor(state: unknown) {
    this.#state = state;
    this.#seed = markOf(state);
  }

  /** The part of a new record's facts that belongs to this sign-in. */
  get facts(): Pick<Facts, "state" | "seed"> {
    return this.#seed === undefined ? {} : { state: this.#state, seed: this.#seed };
  }

  /** Notes that the fleet has a record with these facts. */
  met({ seed }: Facts): void {
    if (seed === this.#seed) this.#isKnown = true;
  }

  /** Returns the facts that have to replace those of a record, if the record belongs to an older sign-in than this. */
  replaces(facts: Facts): Facts | undefined {
    if (this.#seed === undefined || this.#isKnown) return undefined;
    const { mints, seed, oldSeeds = [], state } = facts;
    const isOwn = [seed, ...oldSeeds, ...(facts.spent ?? [])].includes(this.#seed) || isSame(state, this.#state);
    if (isOwn) {
      this.#isKnown = true;
      return undefined;
    }
    const before = seed === undefined ? oldSeeds : remembered(oldSeeds, seed);
    return { ...this.facts, mints, strikes: 0, fails: 0, oldSeeds: before, spent: spentWith(facts) };
  }
}

/** Returns the facts of a record after a mint has used up its state and returned the next one. */
export function rotated(facts: Facts, state: unknown): Facts {
  if (isSame(state, facts.state)) return facts;
  return { ...facts, state, spent: spentWith(facts) };
}

/** Whether a state is among the used-up states that these facts remember. */
export function isSpent(state: unknown, { spent = [] }: Facts): boolean {
  return state !== undefined && spent.length > 0 && spent.includes(markOf(state)!);
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function spentWith({ state, spent = [] }: Facts): readonly string[] {
  const mark = markOf(state);
  return mark === undefined ? spent : remembered(spent, mark);
}

function remembered(marks: readonly string[], mark: string): readonly string[] {
  return [...marks, mark].slice(-REMEMBERED);
}

function markOf(state: unknown): string | undefined {
  return state === undefined ? undefined : digest(JSON.stringify(state)).slice(0, DIGITS);
}
