/**
 * What a process remembers of its record between two flights: enough to replace it by value with one call, and to know
 * without a call that it may not.
 *
 * @module
 */
import type { Clock } from "../base/clock.ts";
import type { Obtained } from "../core/supply.ts";
import { factsOf, type Facts, type FleetRecord, type StoredToken } from "./record.ts";

/** The token that was last had from the fleet, or for it. */
export interface Known {
  readonly value: string;
  /** Of the record it came from; `undefined`: minted beside the store. */
  readonly version: string | undefined;
  /** It may be replaced without another look: nobody was replacing it, and that had not just failed. */
  readonly isFree: boolean;
  readonly facts: Facts;
  readonly token: StoredToken;
  /** Monotonic milliseconds at which the record was written: what it says counts from there. */
  readonly writtenAt: number;
  /** Monotonic milliseconds of the token's end. */
  readonly until: number;
}

/** A record with a token. */
export type TokenRecord = FleetRecord & { readonly token: StoredToken };

/** What a record with a token says, for later. @param writtenAt Monotonic milliseconds. */
export function knownFrom(record: TokenRecord, version: string | undefined, writtenAt: number): Known {
  const { token } = record;
  const until = writtenAt + record.left;
  const isFree = record.phase === "T" && record.pause === undefined && record.failure === undefined;
  return { value: token.response.access_token, version, isFree, facts: factsOf(record), token, writtenAt, until };
}

/** Milliseconds since the token was minted, at a monotonic time. */
export function ageOf({ token, writtenAt }: Known, now: number): number {
  return token.age + now - writtenAt;
}

/** The token of a record that another process wrote, on the local clocks. */
export function adopted({ token, until }: Known, clock: Clock): Obtained {
  const { response, lifetime } = token;
  const expiresAt = Math.floor(clock.now() + until - clock.monotonic());
  return { response, lifetime, expiresAt, adopted: true, freshness: token.renews ? "renewed" : "taken" };
}
