/**
 * `decide`: what a process does about the record that it finds in place of the one that it expected.
 *
 * The decision depends on the record that was read and on what the process needs, and on nothing else. Which session a
 * record belongs to was settled before (known-session.ts). flight.ts acts on the decision; the phases are in record.ts.
 *
 * @module
 */
import { windowsOf } from "../core/expiry.ts";
import { targetIn } from "./record.ts";
import type { FleetRecord, StoredToken } from "./record.ts";
import type { StoredFailure } from "./shared-failure.ts";

/** What a process needs, as far as the decision depends on it. */
export interface TokenDemand {
  /** What the token is for. */
  readonly fingerprint: string;
  /** Monotonic milliseconds. */
  readonly now: number;
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
  /** Whether a mint uses something up: the holder of a lease gets more time then. */
  readonly isStateful: boolean;
  /** Whether mints of this process fail: it then waits for longer than those whose mints may succeed (C9). */
  readonly hasFailed: boolean;
  /** Whether a token is so near to its expiry that the one who holds it replaces it. */
  readonly isDue: (token: StoredToken) => boolean;
}

/** What the process does next. */
type Decision =
  /** Try to take the lease. */
  | "claim"
  /** Use the token that another process minted. */
  | "adopt"
  /** Use the rejected token again: the fleet has just minted it again, or does not replace it yet (C8). */
  | "reuse"
  /** Go on with the held token. */
  | "keep"
  /** Wait: another process is minting. */
  | "wait"
  /** Fail with the error of the record: a mint has failed a moment ago (C9). */
  | "fail"
  /** Find out whether there is another state: the server does not accept the one in the record. */
  | "refused";

/** Milliseconds in which a holder that could not reach the store writes its state: several of its tries (lead.ts). */
const GRACE = 2500;
/** Milliseconds for which the failures of other processes bind a process that has not failed itself. */
const LONGEST_FOR_OTHERS = 1000;

/**
 * Whether a process still holds the lease of a record.
 *
 * A lease on a state counts as held for some time after its end. Its holder may be alive with the next state while the
 * store is only just back, and writes as soon as it can.
 */
export function isHeld({ phase, leaseUntil, state }: FleetRecord, demand: TokenDemand): boolean {
  const { now, unchangedFor, stuckAfter, isStateful } = demand;
  if (phase !== "L" || unchangedFor > stuckAfter) return false;
  return now < leaseUntil || (isStateful && state !== undefined && unchangedFor < GRACE);
}

/** Decides about a record of the session that the process serves. */
export function decide(record: FleetRecord, demand: TokenDemand): Decision {
  const target = targetIn(record, demand.fingerprint);
  const { token, failure, mints } = target;
  const isBeingReplaced = isHeld(record, demand);
  const isUsable = token !== undefined && token.until > demand.now;
  const decision = isUsable ? decideOnToken(token, mints, isBeingReplaced, demand) : isBeingReplaced ? "wait" : "claim";
  if (decision === "wait") return unlessBackground(demand, "wait");
  if (decision !== "claim") return decision;
  if (record.phase === "R") return unlessBackground(demand, "refused");
  const isPaused = failure !== undefined && demand.now < boundUntil(record, demand) && bindsNow(failure, token, demand);
  return isPaused ? unlessBackground(demand, "fail") : "claim";
}

/**
 * Until when the last failure binds this process. One sick process must not harm the others: what one process meets alone, a
 * wrong secret or no way out, says nothing to those who have not failed, and what several meet binds those for a moment. A
 * pause that the server itself asked for holds for everybody (C9).
 */
export function boundUntil(record: FleetRecord, { fingerprint, hasFailed }: TokenDemand): number {
  const { failure, failedAt, pauseUntil } = targetIn(record, fingerprint);
  if (hasFailed || failure?.retryAfter !== undefined) return pauseUntil;
  return record.failed.length > 1 ? Math.min(pauseUntil, failedAt + LONGEST_FOR_OTHERS) : -Infinity;
}

/**
 * Whether the failure of a mint a moment ago binds this process. A token that has expired or was rejected since that mint is
 * worth another one, unless the server asked to wait (C9).
 */
function bindsNow({ retryAfter }: StoredFailure, token: StoredToken | undefined, demand: TokenDemand): boolean {
  if (token === undefined || retryAfter !== undefined) return true;
  const value = token.response.access_token;
  return value === demand.held && !demand.isUnwanted(value);
}

function decideOnToken(
  token: StoredToken,
  mints: number,
  isBeingReplaced: boolean,
  demand: TokenDemand,
): "claim" | "wait" | "adopt" | "reuse" {
  const value = token.response.access_token;
  if (demand.isUnwanted(value)) {
    if (isBeingReplaced) return "wait";
    const { known } = demand;
    const isMintedAgain = known?.value === value && mints > known.mints;
    return isMintedAgain || demand.now < token.quietUntil ? "reuse" : "claim";
  }
  // Held, and only looked up: nobody has signed out meanwhile.
  if (value === demand.held && !demand.isDue(token)) return "adopt";
  if (value === demand.held) return isBeingReplaced ? "wait" : "claim";
  const { hard } = windowsOf(token.lifetime.ms, 0, demand.minValidity);
  if (token.until - demand.now > hard) return demand.mustBeFresh && !token.renews ? "claim" : "adopt";
  return isBeingReplaced ? "wait" : "claim";
}

/** In the background no caller waits or fails: the process goes on with the held token. */
function unlessBackground({ isBackground }: TokenDemand, act: "wait" | "fail" | "refused"): Decision {
  return isBackground ? "keep" : act;
}
