/**
 * The record: the one entry that a fleet keeps per session, or per token of a grant without sessions.
 *
 * In clear are the version of the format, the phase and the id of the encryption key, as in `1Tkdk3n2Qd.<sealed>`. All the
 * rest is encrypted:
 *
 * | member | meaning |
 * |---|---|
 * | `nonce`, `ttl`, `at` | unique per write; how long the engine keeps it; the writer's wall clock |
 * | `gen`, `sid` | the session: a number that grows with every sign-in, and a random id |
 * | `state`, `used` | what the next mint presents; digests of the last states that were used up |
 * | `rotated` | how often the state was replaced since the record of this session was begun |
 * | `refused` | the digest of the state that the server does not accept any more, and what it said |
 * | `lease`, `holder` | phase `L`: milliseconds until the lease ends; who has it |
 * | `tokens` | by fingerprint of scope, resource and the like: the token, its counts, its last failure |
 * | `failed` | the processes whose mints have failed since the last success |
 *
 * | phase | meaning |
 * |---|---|
 * | `T` | at rest |
 * | `L` | a process holds the lease and is minting; tokens that are still valid may be used |
 * | `R` | refused: the server does not accept the state, the user has to sign in again |
 * | `E` | ended: the user has signed out; only a sign-in begins another session |
 *
 * Times in a stored record count from the moment at which it was written, by the clock of the engine: the engine reports how
 * long it still keeps the record, and the record says how long it was to be kept. So the clocks of two hosts are never
 * compared. Only with an engine that does not report times does a reader use `at`. In memory, times are monotonic
 * milliseconds of this process.
 *
 * Members that this version does not know are carried on. A record of a newer version, or of an unknown encryption key, is
 * not damaged: it is replaced by a sign-in and a sign-out only. Text that is no record is replaced by any mint.
 *
 * The encryption is in seal.ts, a failure as it is stored in shared-failure.ts.
 *
 * @module
 */
import { withoutCredentials } from "../base/redacted.ts";
import { checkResponse } from "../core/mint.ts";
import type { Lifetime } from "../core/expiry.ts";
import type { Minted } from "../core/mint.ts";
import type { Obtained } from "../core/supply.ts";
import type { Session, TokenResponse } from "../core/types.ts";
import type { Clock } from "../base/clock.ts";
import type { Seal } from "./seal.ts";
import type { StoredFailure } from "./shared-failure.ts";
import type { StoreEntry } from "./store.ts";

/** The version of the format that is written. */
const VERSION = 1;
/** Milliseconds for which it is kept which processes have failed, in a record with nothing else of use. */
const FAILED_TTL = 10_000;
/** How many access tokens of one session a record keeps. */
const MOST_TOKENS = 8;

/** The phase of a record; the table at the top of this file explains it. */
export type Phase = "T" | "L" | "R" | "E";
const PHASES = "TLRE";

/** A token in a record. */
export interface StoredToken {
  readonly response: TokenResponse;
  /** The whole lifetime, from the mint on. */
  readonly lifetime: Lifetime;
  /** When it was minted, and when it expires. */
  readonly mintedAt: number;
  readonly until: number;
  /** Whether it was minted because another token was rejected (C7). */
  readonly renews: boolean;
  /** Until when a rejection of the token causes no mint (C8). */
  readonly quietUntil: number;
}

/** One target of a session in a record. */
export interface TargetRecord {
  readonly token?: StoredToken | undefined;
  /** How many mints the fleet has made for it. It orders the tokens without any clock (C7). */
  readonly mints: number;
  /** Rejections in a row that made the fleet mint (C8). */
  readonly strikes: number;
  /** Mints in a row that failed (C9). */
  readonly fails: number;
  /** Why and when the last mint failed, and until when those who have failed do not mint. */
  readonly failure?: StoredFailure | undefined;
  readonly failedAt: number;
  readonly pauseUntil: number;
  /** Members that this version does not know. */
  readonly unknown?: Readonly<Record<string, unknown>> | undefined;
}

/** A state that the server does not accept any more. */
export interface RefusedState {
  readonly digest: string;
  readonly failure: StoredFailure;
}

/** The content of a record. Times are monotonic milliseconds of this process. */
export interface FleetRecord {
  readonly phase: Phase;
  /** Absent for a grant without sessions. */
  readonly session?: Session | undefined;
  readonly state?: unknown;
  readonly used: readonly string[];
  /**
   * How often the state was replaced since the record of this session was begun. It only grows, so it tells an old copy. Absent
   * for good where a version that does not count has begun the record.
   */
  readonly rotated?: number | undefined;
  readonly refused?: RefusedState | undefined;
  /** Phase `L`: when the lease ends. */
  readonly leaseUntil: number;
  readonly holder?: string | undefined;
  readonly tokens: Readonly<Record<string, TargetRecord>>;
  readonly failed: readonly string[];
  readonly unknown?: Readonly<Record<string, unknown>> | undefined;
}

/** What was read under a key. */
export type SeenRecord = {
  readonly version: string;
  /** When it was written. */
  readonly writtenAt: number;
} & (
  | { readonly kind: "record"; readonly record: FleetRecord }
  /** Written by a newer version of this package, or encrypted with a key that this process does not have. */
  | { readonly kind: "unreadable"; readonly why: string }
  /** No record: text of others, damaged, or of another place. */
  | { readonly kind: "rubbish" }
);

/** A record as it is written to a store. */
export interface Written {
  readonly text: string;
  /** Milliseconds for which the store keeps it. */
  readonly ttl: number;
}

/** A record with nothing in it. */
export const EMPTY: FleetRecord = { phase: "T", used: [], leaseUntil: -Infinity, tokens: {}, failed: [] };

/** A target of which nothing is known. */
export const NO_TARGET: TargetRecord = { mints: 0, strikes: 0, fails: 0, failedAt: -Infinity, pauseUntil: -Infinity };

/** A record that goes on from another one with the next state. Its own state is used up then. */
export function withNextState(record: FleetRecord, state: unknown, used: readonly string[]): FleetRecord {
  const { rotated } = record;
  return { ...record, state, used, ...(rotated !== undefined && { rotated: rotated + 1 }) };
}

/** Returns what a record has of a target. */
export function targetIn({ tokens }: FleetRecord, fingerprint: string): TargetRecord {
  return Object.hasOwn(tokens, fingerprint) ? tokens[fingerprint]! : NO_TARGET;
}

/** Replaces what a record has of a target. Of too many targets, those go that were written first. */
export function withTargetRecord(record: FleetRecord, fingerprint: string, target: TargetRecord): FleetRecord {
  const others = Object.entries(record.tokens).filter(([name]) => name !== fingerprint);
  return { ...record, tokens: Object.fromEntries([...others.slice(1 - MOST_TOKENS), [fingerprint, target]]) };
}

/** Composes the token of a record from a mint. */
export function storedToken(
  { response, lifetime, expiresAt }: Minted,
  { now, clock, renews, quiet }: { now: number; clock: Clock; renews: boolean; quiet: number },
): StoredToken {
  const { access_token } = response;
  return {
    response: { ...withoutCredentials(response), access_token },
    lifetime,
    mintedAt: now,
    until: now + expiresAt - clock.now(),
    renews,
    quietUntil: now + quiet,
  };
}

/** Returns the token of a record that another process wrote, with its expiry by the clock of this process. */
export function adopted(
  { response, lifetime, until, renews }: StoredToken,
  session: Session | undefined,
  clock: Clock,
): Obtained {
  const expiresAt = Math.floor(clock.now() + until - clock.monotonic());
  return { response, lifetime, expiresAt, session, adopted: true, freshness: renews ? "renewed" : "taken" };
}

/** How long records are kept, in milliseconds. */
export interface RecordTtls {
  readonly stateTtl: number;
  readonly refusedTtl: number;
  readonly endedTtl: number;
}

/** The members of a sealed record. */
const KNOWN = [
  "nonce",
  "ttl",
  "at",
  "gen",
  "sid",
  "state",
  "used",
  "rotated",
  "refused",
  "lease",
  "holder",
  "tokens",
  "failed",
];
const KNOWN_OF_TARGET = ["token", "mints", "strikes", "fails", "failure", "failedAgo", "pause"];

/** Encrypts a record for its key in the store. */
export async function encode(
  key: string,
  seal: Seal,
  record: FleetRecord,
  { clock, ttls }: { readonly clock: Clock; readonly ttls: RecordTtls },
): Promise<Written> {
  const now = clock.monotonic();
  const ttl = Math.max(1, Math.ceil(ttlOf(record, now, ttls)));
  const { phase, session, state, used, rotated, refused, holder, failed } = record;
  const tokens = Object.entries(record.tokens).map(([name, target]) => [name, relativeTarget(target, now)] as const);
  const sealed = {
    ...record.unknown,
    nonce: nonce(),
    ttl,
    at: clock.now(),
    ...(session && { gen: session.generation, sid: session.id }),
    ...(state !== undefined && { state }),
    ...(used.length > 0 && { used }),
    ...(rotated !== undefined && { rotated }),
    ...(refused !== undefined && { refused }),
    ...(phase === "L" && { lease: Math.max(0, record.leaseUntil - now), holder }),
    tokens: Object.fromEntries(tokens),
    ...(failed.length > 0 && { failed }),
  };
  const id = await seal.id();
  return { text: `${VERSION}${phase}${id}.${await seal.seal(sealed, contextOf(phase, id, key))}`, ttl };
}

const CLEAR = /^([1-9]\d{0,3})([A-Z])([\w-]{1,16})\.([\w-]+)$/;

/** Decrypts what is stored under a key. @param readAt When the read began: monotonic milliseconds. */
export async function decode(
  key: string,
  seals: readonly Seal[],
  entry: StoreEntry,
  { clock, readAt }: { readonly clock: Clock; readonly readAt: number },
): Promise<SeenRecord> {
  const { version } = entry;
  const seen = { version, writtenAt: readAt };
  const [, format, phase, id, text] = CLEAR.exec(entry.value) ?? [];
  if (format === undefined) return { ...seen, kind: "rubbish" };
  if (Number(format) > VERSION) {
    const why = `the record was written by a newer version of this package (record version ${format}): update this process`;
    return { ...seen, kind: "unreadable", why };
  }
  if (!PHASES.includes(phase!)) return { ...seen, kind: "rubbish" };
  const seal = await sealOf(seals, id!);
  if (seal === undefined) {
    const why =
      `the record is encrypted with a key that this process does not have (key id ${id}): give both keys, ` +
      `"encryptionKey": [this process's key, the other key]`;
    return { ...seen, kind: "unreadable", why };
  }
  const opened = await seal.open(text!, contextOf(phase!, id!, key));
  if (opened === undefined) return { ...seen, kind: "rubbish" };
  const { ttl, at } = opened as { ttl?: unknown; at?: unknown };
  const age = entry.ttl >= 0 ? numberOr(ttl, 0) - entry.ttl : clock.now() - numberOr(at, clock.now());
  const writtenAt = readAt - Math.max(0, age);
  const record = recordFrom(phase as Phase, opened, writtenAt);
  return record === undefined ? { ...seen, kind: "rubbish" } : { version, writtenAt, kind: "record", record };
}

async function sealOf(seals: readonly Seal[], id: string): Promise<Seal | undefined> {
  for (const seal of seals) if ((await seal.id()) === id) return seal;
  return undefined;
}

function ttlOf(record: FleetRecord, now: number, { stateTtl, refusedTtl, endedTtl }: RecordTtls): number {
  const targets = Object.values(record.tokens);
  const useful = Math.max(
    0,
    ...targets.map(({ token }) => (token === undefined ? 0 : token.until - now)),
    ...targets.map(({ pauseUntil }) => pauseUntil - now),
    record.phase === "L" ? record.leaseUntil - now : 0,
    record.failed.length > 0 ? FAILED_TTL : 0,
  );
  if (record.phase === "E") return Math.max(endedTtl, useful);
  if (record.phase === "R") return Math.max(refusedTtl, useful);
  return record.state === undefined ? useful : Math.max(stateTtl, useful);
}

function relativeTarget(
  { token, failure, failedAt, pauseUntil, unknown, ...counts }: TargetRecord,
  now: number,
): object {
  return {
    ...unknown,
    ...counts,
    // What has expired is of no use to anybody.
    ...(token && token.until > now && { token: relativeToken(token, now) }),
    ...(failure && { failure, failedAgo: now - failedAt }),
    ...(pauseUntil > now && { pause: pauseUntil - now }),
  };
}

function relativeToken({ response, lifetime, mintedAt, until, renews, quietUntil }: StoredToken, now: number): object {
  return { response, lifetime, age: now - mintedAt, left: until - now, renews, quiet: Math.max(0, quietUntil - now) };
}

/** Checks what was decrypted. @returns `undefined` when it is no record. */
function recordFrom(phase: Phase, opened: Record<string, unknown>, writtenAt: number): FleetRecord | undefined {
  const { gen, sid, state, used = [], rotated, refused, lease = 0, holder, tokens, failed = [] } = opened;
  if (!isTextList(used) || !isTextList(failed) || !isObject(tokens) || !isFinite(lease)) return undefined;
  if (rotated !== undefined && !isFinite(rotated)) return undefined;
  if (
    refused !== undefined &&
    !(isObject(refused) && typeof refused["digest"] === "string" && isFailure(refused["failure"]))
  ) {
    return undefined;
  }
  if (phase === "R" && refused === undefined) return undefined;
  const hasSession = gen !== undefined || sid !== undefined;
  if (hasSession && (!isFinite(gen) || typeof sid !== "string")) return undefined;
  const targets: [string, TargetRecord][] = [];
  for (const [name, given] of Object.entries(tokens)) {
    const target = targetFrom(given, writtenAt);
    if (target === undefined) return undefined;
    targets.push([name, target]);
  }
  return {
    phase,
    ...(hasSession && { session: { generation: gen as number, id: sid as string } }),
    ...(state !== undefined && { state }),
    used,
    ...(rotated !== undefined && { rotated }),
    ...(refused !== undefined && { refused: refused as unknown as RefusedState }),
    leaseUntil: phase === "L" ? writtenAt + lease : -Infinity,
    ...(typeof holder === "string" && { holder }),
    tokens: Object.fromEntries(targets),
    failed,
    ...unknownIn(opened, KNOWN),
  };
}

function targetFrom(given: unknown, writtenAt: number): TargetRecord | undefined {
  if (!isObject(given)) return undefined;
  const { token, mints = 0, strikes = 0, fails = 0, failure, failedAgo, pause } = given;
  if (!isFinite(mints) || !isFinite(strikes) || !isFinite(fails)) return undefined;
  const stored = token === undefined ? undefined : tokenFrom(token, writtenAt);
  if (token !== undefined && stored === undefined) return undefined;
  if (failure !== undefined && !isFailure(failure)) return undefined;
  return {
    ...(stored && { token: stored }),
    mints,
    strikes,
    fails,
    ...(failure !== undefined && { failure: failure as unknown as StoredFailure }),
    failedAt: isFinite(failedAgo) ? writtenAt - failedAgo : -Infinity,
    pauseUntil: isFinite(pause) ? writtenAt + pause : -Infinity,
    ...unknownIn(given, KNOWN_OF_TARGET),
  };
}

function tokenFrom(given: unknown, writtenAt: number): StoredToken | undefined {
  if (!isObject(given)) return undefined;
  const { response, lifetime, age, left, renews, quiet } = given;
  if (!isObject(response) || !isUsable(response) || !isObject(lifetime)) return undefined;
  if (!isFinite(lifetime["ms"]) || !isFinite(age) || !isFinite(left)) return undefined;
  return {
    response,
    lifetime: { ms: lifetime["ms"], stated: lifetime["stated"] === true },
    mintedAt: writtenAt - age,
    until: writtenAt + left,
    renews: renews === true,
    quietUntil: writtenAt + numberOr(quiet, 0),
  };
}

function unknownIn(given: Record<string, unknown>, known: readonly string[]): { unknown?: Record<string, unknown> } {
  const rest = Object.entries(given).filter(([name]) => !known.includes(name));
  return rest.length === 0 ? {} : { unknown: Object.fromEntries(rest) };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether requests can carry the token of a response. */
function isUsable(response: Record<string, unknown>): response is TokenResponse & Record<string, unknown> {
  try {
    checkResponse(response);
    return true;
  } catch {
    return false;
  }
}

function isFailure(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { code, message, retryable, terminal, hint, status, error, errorDescription, retryAfter } = value;
  const texts = [hint, error, errorDescription].every((text) => text === undefined || typeof text === "string");
  const numbers = [status, retryAfter].every((number) => number === undefined || isFinite(number));
  const flags = typeof retryable === "boolean" && (terminal === undefined || typeof terminal === "boolean");
  return typeof code === "string" && typeof message === "string" && texts && numbers && flags;
}

function isFinite(value: unknown): value is number {
  return Number.isFinite(value);
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function numberOr(value: unknown, fallback: number): number {
  return isFinite(value) ? value : fallback;
}

function nonce(): string {
  return Array.from(globalThis.crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("");
}

/** Binds a record to its version, key id, phase and key: elsewhere it cannot be decrypted. */
function contextOf(phase: string, id: string, key: string): string {
  return `${VERSION}|${id}|${phase}|${key}`;
}
