/**
 * What a process tries to replace, and what it carries over from it.
 *
 * @module
 */
import { ageOf } from "./known.ts";
import { factsOf, type Facts, type SeenRecord } from "./record.ts";
import type { KeptToken } from "./lease.ts";
import type { Known } from "./known.ts";

/** One attempt to take the lease. */
export interface Claim {
  /** The version to replace; `undefined`: there must be nothing. */
  readonly expected: string | undefined;
  readonly facts: Facts;
  /** The record's token, which stays good while it is being refreshed. */
  readonly kept?: KeptToken | undefined;
}

/** Milliseconds a token has to be good for its rejection not to be one of a row (C8). */
const LONG_ENOUGH = 60_000;

/** There must be nothing: this reads what there is, and begins the record if there is nothing indeed. */
export function claimNothing(facts: Facts): Claim {
  return { expected: undefined, facts };
}

/** C5: replaces by value what this process last had. */
export function claimKnown(known: Known, now: number, options: { rejects: boolean; keeps: boolean }): Claim {
  const { version: expected, token, writtenAt: at, until } = known;
  const facts = counted(known.facts, ageOf(known, now), options.rejects);
  return { expected, facts, kept: options.keeps ? { token, at, until } : undefined };
}

/** Replaces what was read. @param readAt Monotonic milliseconds at which it was asked for. */
export function claimSeen(
  seen: SeenRecord & { readonly record: object },
  readAt: number,
  options: { rejects: boolean; keeps: boolean },
): Claim {
  const { version: expected, record, age } = seen;
  const { token } = record;
  // Without a token it is a lease, or a failure: who took that has counted.
  if (token === undefined) return { expected, facts: factsOf(record) };
  const at = readAt - age;
  const facts = counted(factsOf(record), token.age + age, options.rejects);
  return { expected, facts, kept: options.keeps ? { token, at, until: at + record.left } : undefined };
}

/** C8: the rejections in a row, this one included. */
function counted(facts: Facts, age: number, rejects: boolean): Facts {
  const strikes = age >= LONG_ENOUGH ? 0 : facts.strikes;
  return { ...facts, strikes: rejects ? strikes + 1 : strikes };
}
