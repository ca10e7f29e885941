/**
 * What a process does about the record it finds instead of the one it expected: a function of what it read and what it
 * needs, and of nothing else.
 *
 * @module
 */
import { windowsOf } from "../core/expiry.ts";
import type { FleetRecord, SeenRecord } from "./record.ts";

/** What a process wants, as far as the decision goes. */
export interface TokenDemand {
  /** The valid token it has. */
  readonly held: string | undefined;
  /** Callers need not wait: the held token serves them. */
  readonly isPatient: boolean;
  /** Whether this value was rejected, or forgotten on purpose. */
  readonly refuses: (value: string) => boolean;
  /** What it last had from the fleet. */
  readonly known: { readonly value: string; readonly mints: number } | undefined;
  /** Only a token that was minted for a rejection will do (Q5). */
  readonly isOwed: boolean;
  /** Milliseconds before expiry from which a token is not worth taking over (C4). */
  readonly minValidity: number;
  /** Milliseconds for which this process has seen the record unchanged. */
  readonly unchangedFor: number;
  /** Milliseconds after which no living holder would have let it be. */
  readonly stuckAfter: number;
}

/** What to do next. */
export type Decision =
  /** Try to replace what was read: with a lease (`L`), or with a note that the token is being refreshed (`R`). */
  | { readonly act: "claim"; readonly phase: "L" | "R" }
  /** Use the token that another process minted. */
  | { readonly act: "adopt" }
  /** Use the rejected token again: the fleet has just replaced it, or will not yet (C8). */
  | { readonly act: "repeat" }
  /** Go on with the held token for a moment. */
  | { readonly act: "keep" }
  /** Somebody is minting. */
  | { readonly act: "wait" }
  /** Minting failed a moment ago (C9). */
  | { readonly act: "fail" }
  /** The record is under another encryption key now. */
  | { readonly act: "follow" };

const claim: Decision = { act: "claim", phase: "L" };

/** Milliseconds in which a holder that could not reach the store writes what it has: some of its tries (lead.ts). */
const GRACE = 2500;

/** Decides about what was read; `undefined` is nothing, and a record that does not open is replaced. */
export function decide(seen: SeenRecord | undefined, wish: TokenDemand): Decision {
  const record = seen?.record;
  if (seen === undefined || record === undefined) return claim;
  const isOver = seen.age >= record.left;
  switch (record.phase) {
    case "L":
      return isHeld(record, seen.age, wish) ? patiently(wish, "wait") : claim;
    case "F":
      return isOver ? claim : patiently(wish, "fail");
    case "M":
      return { act: "follow" };
    default:
      return decideOnToken(record, seen.age, wish);
  }
}

/**
 * Whether a lease is still somebody's. One on a state that has just been found run out is: its holder may be alive, with
 * the next state, and the store just back; it writes as soon as it can.
 *
 * @param age Milliseconds since the record was written.
 */
export function isHeld(
  { phase, left, lease = 0, state }: FleetRecord,
  age: number,
  { unchangedFor, stuckAfter }: Pick<TokenDemand, "unchangedFor" | "stuckAfter">,
): boolean {
  const length = phase === "L" ? left : phase === "R" ? lease : 0;
  // Zero: given back.
  if (length <= 0 || unchangedFor > stuckAfter) return false;
  return age < length || (state !== undefined && unchangedFor < GRACE);
}

function decideOnToken(record: FleetRecord, age: number, wish: TokenDemand): Decision {
  const decision = onToken(record, age, wish);
  // The user has to sign in again: what a claim would present has been refused for good.
  return decision.act === "claim" && record.failure !== undefined ? patiently(wish, "fail") : decision;
}

function onToken(record: FleetRecord, age: number, wish: TokenDemand): Decision {
  const { token } = record;
  if (token === undefined) return claim;
  const value = token.response.access_token;
  const isBeingReplaced = isHeld(record, age, wish);
  if (wish.refuses(value)) {
    if (isBeingReplaced) return { act: "wait" };
    const { known } = wish;
    const isNewer = known?.value === value && record.mints > known.mints;
    return isNewer || age < token.quiet ? { act: "repeat" } : claim;
  }
  const left = record.left - age;
  if (value === wish.held) {
    if (isBeingReplaced) return patiently(wish, "wait");
    if (age < (record.pause ?? 0)) return { act: "keep" };
    return left > 0 ? { act: "claim", phase: "R" } : claim;
  }
  const { hard } = windowsOf(token.lifetime.ms, 0, wish.minValidity);
  if (left > hard) return wish.isOwed && !token.renews ? claim : { act: "adopt" };
  return isBeingReplaced ? patiently(wish, "wait") : claim;
}

function patiently({ isPatient }: TokenDemand, act: "wait" | "fail"): Decision {
  return { act: isPatient ? "keep" : act };
}
