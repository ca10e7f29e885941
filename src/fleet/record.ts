/**
 * The record: the one entry that a fleet keeps per token. Its text is a letter for the phase and the encrypted content.
 *
 * | phase | meaning | `left` is the time until |
 * |---|---|---|
 * | `L` | no process has a usable token; the holder of this lease is minting | the end of the lease |
 * | `R` | the token is valid, and the holder of this lease is replacing it | the expiry of the token |
 * | `T` | the token is valid | the expiry of the token |
 * | `F` | a mint has failed, for all processes | the end of the failure |
 * | `M` | the record was moved to another encryption key | - |
 *
 * Every record also carries the facts that survive all phases: the number of mints, the rejections in a row, and the
 * state of a stateful grant. All times in a record count from the moment at which it was written, by the clock of the
 * engine: the engine reports how long it still keeps the record, and the record says how long it was to be kept. So the
 * clocks of two hosts are never compared. Only with an engine that does not report times does a reader use `at`.
 *
 * The encryption is in seal.ts, the failure in shared-failure.ts, the facts of a sign-in in sign-in.ts.
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

/** The phase of a record; the table at the top of this file explains it. */
type Phase = "L" | "R" | "T" | "F" | "M";

/** The part of a record that survives all phases. */
export interface Facts {
  /** How many mints the fleet has made for this record. It orders the tokens without any clock (C7). */
  readonly mints: number;
  /** Rejections in a row that made the fleet mint (C8). */
  readonly strikes: number;
  /** Mints in a row that failed (C9). */
  readonly fails: number;
  /** What the next mint needs, such as a rotating refresh token. */
  readonly state?: unknown;
  /** The digest of the state with which the record began. Another sign-in has another one. */
  readonly seed?: string | undefined;
  /** The seeds of earlier sign-ins. A process that still has one of them is late, and has no new sign-in. */
  readonly oldSeeds?: readonly string[] | undefined;
  /** The digests of the states that were used up last. A process may begin with one that was saved elsewhere. */
  readonly spent?: readonly string[] | undefined;
}

/** A token in a record. */
export interface StoredToken {
  readonly response: TokenResponse;
  /** The whole lifetime, from the mint on. */
  readonly lifetime: Lifetime;
  /** Milliseconds from the mint of the token to the writing of the record. */
  readonly age: number;
  /** Whether it was minted because another token was rejected (C7). */
  readonly renews: boolean;
  /** Milliseconds from the writing of the record in which a rejection of the token causes no mint (C8). */
  readonly quiet: number;
}

/** The content of a record. Times are milliseconds, counted from the moment of writing. */
export interface FleetRecord extends Facts {
  readonly phase: Phase;
  readonly left: number;
  /** In phase `R`: the time until the end of the lease. */
  readonly lease?: number | undefined;
  /** In phase `T`: the time in which no process refreshes the token, because a refresh has just failed. */
  readonly pause?: number | undefined;
  readonly token?: StoredToken | undefined;
  /** In phase `F`: why the mint failed. In phase `T`: why the token will never be refreshed (C9). */
  readonly failure?: StoredFailure | undefined;
}

/** A record that was read. */
export interface SeenRecord {
  readonly version: string;
  /** `undefined`: the text is not a record, is damaged, or was encrypted with another key. */
  readonly record: FleetRecord | undefined;
  /** Milliseconds since it was written. */
  readonly age: number;
}

/** A record as it is written to a store. */
export interface Written {
  readonly text: string;
  /** Milliseconds for which the store keeps it. */
  readonly ttl: number;
}

/** The key of a record in the store, and the seal that encrypts it. */
export interface Place {
  readonly key: string;
  readonly seal: Seal;
}

interface Sealed extends Omit<FleetRecord, "phase"> {
  readonly ttl: number;
  /** Epoch milliseconds on the writer's clock, for engines that do not report times. */
  readonly at: number;
  /** Makes every text unique, so that a process recognizes its own write in the store. */
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

/** Returns the facts of a record, for the record that replaces it. */
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

/** Binds a record to its phase and its key: under another phase or key it cannot be decrypted. */
function context(phase: string, key: string): string {
  return `${phase}|${key}`;
}

/**
 * What a process remembers of its record between two flights: the token that it last took from the record or published
 * in it. This is enough to replace the record by value with one call, and to know without a call that it must not.
 */
export interface Known {
  readonly value: string;
  /** The version of the record; `undefined`: the token was minted without the store, or the version is not known. */
  readonly version: string | undefined;
  /** No lease and no recent failure: this process may replace the record without reading it first. */
  readonly isFree: boolean;
  readonly facts: Facts;
  readonly token: StoredToken;
  /** The monotonic milliseconds at which the record was written. Its times count from there. */
  readonly writtenAt: number;
  /** The monotonic milliseconds at which the token expires. */
  readonly until: number;
}

/** A record with a token. */
export type TokenRecord = FleetRecord & { readonly token: StoredToken };

/** Returns what a process remembers of a record with a token. @param writtenAt Monotonic milliseconds. */
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

/** Returns the token of a record that another process wrote, with its expiry by the clock of this process. */
export function adopted({ token, until }: Known, clock: Clock): Obtained {
  const { response, lifetime } = token;
  const expiresAt = Math.floor(clock.now() + until - clock.monotonic());
  return { response, lifetime, expiresAt, adopted: true, freshness: token.renews ? "renewed" : "taken" };
}
