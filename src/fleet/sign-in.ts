/**
 * Whose session a record holds. Two processes with one refresh token share its record; a new sign-in brings another refresh
 * token, and its record replaces the old session's.
 *
 * The record keeps a digest of the state it began with, of the last ones that were used up since, and of the sign-ins
 * before. A process may begin with any of them and is of this session: it was configured with the first refresh token,
 * or read a later one where `onRotate` had saved it. A state that the record does not know belongs to a newer sign-in,
 * but only the first time this process looks: after that the fleet has been told, and another session there is
 * somebody's who came later.
 *
 * Digests without a key: they lie sealed beside the state itself, and have to be known again after a change of the key.
 *
 * @module
 */
import { digest } from "../base/digest.ts";
import type { Facts } from "./record.ts";

/** Sign-ins, and used up states, that a record remembers, to know a late process from a new one. */
const REMEMBERED = 8;
/** Hexadecimal digits of a digest; 96 bits. */
const DIGITS = 24;

/** The sign-in of one cache. */
export class SignIn {
  readonly #state: unknown;
  readonly #seed: string | undefined;
  #isKnown = false;

  /** @param state What the grant began with; `undefined`: there is no session. */
  constructor(state: unknown) {
    this.#state = state;
    this.#seed = markOf(state);
  }

  /** The part of a new record's facts. */
  get facts(): Pick<Facts, "state" | "seed"> {
    return this.#seed === undefined ? {} : { state: this.#state, seed: this.#seed };
  }

  /** The fleet has a record with these facts. */
  met({ seed }: Facts): void {
    if (seed === this.#seed) this.#isKnown = true;
  }

  /** What a record has to become, when it is of an older sign-in than this. */
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

/** The facts of a record whose state was used up, and what came of it. */
export function rotated(facts: Facts, state: unknown): Facts {
  if (isSame(state, facts.state)) return facts;
  return { ...facts, state, spent: spentWith(facts) };
}

/** Whether a state was used up, as far as these facts go back. */
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
