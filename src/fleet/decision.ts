/**
 * `decide`: what a process does about the record that it finds in place of the one that it expected.
 *
 * The decision depends on the record that was read and on what the process needs, and on nothing else. flight.ts acts
 * on it; the phases of a record are in record.ts.
 *
 * @module
 */
import { windowsOf } from "../core/expiry.ts";
import type { FleetRecord, SeenRecord } from "./record.ts";

/** Decides about a record. `seen` is `undefined` when there is none. A record that cannot be decrypted is replaced. */
export function decide(seen: SeenRecord | undefined, demand: TokenDemand): Decision {
  const record = seen?.record;
  if (seen === undefined || record === undefined) return CLAIM;
  const isOver = seen.age >= record.left;
  switch (record.phase) {
    case "L":
      return isHeld(record, seen.age, demand) ? unlessBackground(demand, "wait") : CLAIM;
    case "F":
      return isOver ? CLAIM : unlessBackground(demand, "fail");
    case "M":
      return { act: "follow" };
    default:
      return decideOnToken(record, seen.age, demand);
  }
}

/** What a process needs, as far as the decision depends on it. */
export interface TokenDemand {
  /** The valid token that the process holds. */
  readonly held: string | undefined;
  /** No caller waits: the held token serves them while it is refreshed in the background. */
  readonly isBackground: boolean;
  /** Whether this token was rejected or invalidated. */
  readonly isUnwanted: (value: string) => boolean;
  /** The token that the process last had from the fleet, and how many mints the fleet had then made. */
  readonly known: { readonly value: string; readonly mints: number } | undefined;
  /** Accept only a token that was minted because of a rejection (Q5). */
  readonly mustBeFresh: boolean;
  /** Milliseconds before its expiry from which a token is not worth adopting (C4). */
  readonly minValidity: number;
  /** Milliseconds for which this process has seen the record unchanged. */
  readonly unchangedFor: number;
  /** Milliseconds without a change after which the holder of a lease counts as dead. */
  readonly stuckAfter: number;
}

/** What the process does next. */
type Decision =
  /**
   * Try to replace the record that was read. `L`: with a lease alone. `R`: with a lease that keeps the token, which
   * stays valid while it is refreshed.
   */
  | { readonly act: "claim"; readonly phase: "L" | "R" }
  /** Use the token that another process minted. */
  | { readonly act: "adopt" }
  /** Use the rejected token again: the fleet has just minted it again, or does not replace it yet (C8). */
  | { readonly act: "reuse" }
  /** Go on with the held token. */
  | { readonly act: "keep" }
  /** Wait: another process is minting. */
  | { readonly act: "wait" }
  /** Fail with the error of the record: a mint has failed a moment ago (C9). */
  | { readonly act: "fail" }
  /** Look under the other encryption key: the record has moved there. */
  | { readonly act: "follow" };

const CLAIM: Decision = { act: "claim", phase: "L" };

/** Milliseconds in which a holder that could not reach the store writes its state: several of its tries (lead.ts). */
const GRACE = 2500;

/**
 * Whether a process still holds the lease of a record.
 *
 * A lease on a state counts as held for some time after its end. Its holder may be alive with the next state while the
 * store is only just back, and writes as soon as it can.
 *
 * @param age Milliseconds since the record was written.
 */
export function isHeld(
  { phase, left, lease = 0, state }: FleetRecord,
  age: number,
  { unchangedFor, stuckAfter }: Pick<TokenDemand, "unchangedFor" | "stuckAfter">,
): boolean {
  const length = phase === "L" ? left : phase === "R" ? lease : 0;
  // The length is zero when the holder gave the lease back.
  if (length <= 0 || unchangedFor > stuckAfter) return false;
  return age < length || (state !== undefined && unchangedFor < GRACE);
}

function decideOnToken(record: FleetRecord, age: number, demand: TokenDemand): Decision {
  const decision = decideOnTokenAlone(record, age, demand);
  // A failure beside the token makes a mint useless: the refresh token was refused, so the user has to sign in again.
  return decision.act === "claim" && record.failure !== undefined ? unlessBackground(demand, "fail") : decision;
}

function decideOnTokenAlone(record: FleetRecord, age: number, demand: TokenDemand): Decision {
  const { token } = record;
  if (token === undefined) return CLAIM;
  const value = token.response.access_token;
  const isBeingReplaced = isHeld(record, age, demand);
  if (demand.isUnwanted(value)) {
    if (isBeingReplaced) return { act: "wait" };
    const { known } = demand;
    const isMintedAgain = known?.value === value && record.mints > known.mints;
    return isMintedAgain || age < token.quiet ? { act: "reuse" } : CLAIM;
  }
  const left = record.left - age;
  if (value === demand.held) {
    if (isBeingReplaced) return unlessBackground(demand, "wait");
    if (age < (record.pause ?? 0)) return { act: "keep" };
    return left > 0 ? { act: "claim", phase: "R" } : CLAIM;
  }
  const { hard } = windowsOf(token.lifetime.ms, 0, demand.minValidity);
  if (left > hard) return demand.mustBeFresh && !token.renews ? CLAIM : { act: "adopt" };
  return isBeingReplaced ? unlessBackground(demand, "wait") : CLAIM;
}

/** In the background no caller waits or fails: the process goes on with the held token. */
function unlessBackground({ isBackground }: TokenDemand, act: "wait" | "fail"): Decision {
  return { act: isBackground ? "keep" : act };
}
