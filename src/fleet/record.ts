/**
 * The one record a fleet keeps per token: a letter for its phase, then its facts, sealed.
 *
 * | phase | says | `left` counts to |
 * |---|---|---|
 * | `L` | nobody has a usable token; one process, the holder of this lease, is minting | the end of the lease |
 * | `R` | the token is good, and one process is replacing it | the end of the token |
 * | `T` | the token is good | the end of the token |
 * | `F` | minting failed, for everybody | the end of the failure |
 * | `M` | the record lives on under another encryption key | nothing |
 *
 * Every record carries what must survive all phases: the counter of mints, the rejections in a row, the sealed state of
 * a stateful grant. What a record says is timed from the moment it was written, by the engine's clock: the engine
 * reports how long it still keeps the record, and the record says how long it was to be kept. So no two hosts' clocks
 * are ever compared; only an engine that does not report times makes a reader fall back on `at`.
 *
 * @module
 */
import type { Clock } from "../base/clock.ts";
import type { Lifetime } from "../core/expiry.ts";
import type { Obtained } from "../core/supply.ts";
import type { TokenResponse } from "../core/types.ts";
import type { Seal } from "./seal.ts";
import type { StoredFailure } from "./shared-failure.ts";
import type { StoreEntry } from "./store.ts";

/** What a record says; see the top of this file. */
export type Phase = "L" | "R" | "T" | "F" | "M";

/** What survives all phases. */
export interface Facts {
  /** How many mints the fleet has made of this token: its order, whatever clocks say (C7). */
  readonly mints: number;
  /** Rejections in a row that made the fleet mint (C8). */
  readonly strikes: number;
  /** Mints in a row that failed (C9). */
  readonly fails: number;
  /** What the next mint needs: a rotating refresh token. */
  readonly state?: unknown;
  /** Recognises the state the record began with: another sign-in has another one. */
  readonly seed?: string | undefined;
  /** The seeds of sign-ins before; a process that still has one of them is late, not new. */
  readonly oldSeeds?: readonly string[] | undefined;
  /** Recognise the states that were used up last: a process may begin with one that was saved elsewhere. */
  readonly spent?: readonly string[] | undefined;
}

/** A token in a record. */
export interface StoredToken {
  readonly response: TokenResponse;
  /** Of the whole of its life. */
  readonly lifetime: Lifetime;
  /** Milliseconds since its mint, when the record was written. */
  readonly age: number;
  /** It was minted because another one was rejected (C7). */
  readonly renews: boolean;
  /** Milliseconds from writing in which its rejection makes nobody mint (C8). */
  readonly quiet: number;
}

/** What is written. Times are milliseconds, counted from writing. */
export interface FleetRecord extends Facts {
  readonly phase: Phase;
  readonly left: number;
  /** `R`: the end of the lease. */
  readonly lease?: number | undefined;
  /** `T`: until then nobody refreshes it, because that has just failed. */
  readonly pause?: number | undefined;
  readonly token?: StoredToken | undefined;
  /** `F`: why; `T`: why it will never be refreshed (C9). */
  readonly failure?: StoredFailure | undefined;
}

/** A record that was read. */
export interface SeenRecord {
  readonly version: string;
  /** `undefined`: not ours, damaged, or sealed by another key. */
  readonly record: FleetRecord | undefined;
  /** Milliseconds since it was written. */
  readonly age: number;
}

/** A record as a store takes it. */
export interface Written {
  readonly text: string;
  /** Milliseconds the store is to keep it. */
  readonly ttl: number;
}

/** Where a record is, and what seals it. */
export interface Place {
  readonly key: string;
  readonly seal: Seal;
}

interface Sealed extends Omit<FleetRecord, "phase"> {
  readonly ttl: number;
  /** Epoch milliseconds on the writer's clock, for engines that do not report times. */
  readonly at: number;
  /** No two writes are the same: who finds what it has written knows that it was written. */
  readonly nonce: string;
}

/** @param now Epoch milliseconds. */
export async function write({ key, seal }: Place, record: FleetRecord, ttl: number, now: number): Promise<Written> {
  const { phase, ...rest } = record;
  const kept = Math.max(1, Math.ceil(ttl));
  const sealed: Sealed = { ...rest, ttl: kept, at: now, nonce: nonce() };
  return { text: phase + (await seal.seal(sealed, context(phase, key))), ttl: kept };
}

/** @param now Epoch milliseconds. */
export async function read({ key, seal }: Place, entry: StoreEntry, now: number): Promise<SeenRecord> {
  const { version } = entry;
  const phase = entry.value.slice(0, 1);
  const opened = isPhase(phase) ? await seal.open(entry.value.slice(1), context(phase, key)) : undefined;
  if (opened === undefined) return { version, record: undefined, age: 0 };
  const { ttl, at, nonce: _, ...rest } = opened as unknown as Sealed;
  const age = entry.ttl >= 0 ? ttl - entry.ttl : now - at;
  return { version, record: { ...rest, phase: phase as Phase }, age: Math.max(0, age) };
}

/** What a record that replaces this one has to carry on. */
export function factsOf({ mints, strikes, fails, state, seed, oldSeeds, spent }: Facts): Facts {
  return {
    mints,
    strikes,
    fails,
    ...(state !== undefined && { state }),
    ...(seed !== undefined && { seed }),
    ...(oldSeeds !== undefined && { oldSeeds }),
    ...(spent !== undefined && { spent }),
  };
}

function isPhase(letter: string): boolean {
  return letter !== "" && "LRTFM".includes(letter);
}

function nonce(): string {
  return Array.from(globalThis.crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("");
}

/** A record opens as what it was sealed as, where it was sealed for. */
function context(phase: string, key: string): string {
  return `${phase}|${key}`;
}

// MERGED What a process remembers of its record between two flights: enough to replace it by value with one call, and to know
// MERGED without a call that it may not.
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
