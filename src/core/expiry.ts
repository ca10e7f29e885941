/**
 * How long a token lives and when to replace it.
 *
 * - E1 `expires_at`, else `expires_in`, else the JWT's `exp`, else `defaultTtl`; never longer than `exp` allows, nor past
 *   a grant's `notAfter`.
 * - E2 `expires_in` counts from the moment the request was sent; `expires_at` and `exp` are compared with the server's clock.
 * - E3 Garbage says nothing; what was computed is at least a second; only `defaultTtl: 0` means "do not cache".
 * - E4 The windows before expiry are clamped to parts of the lifetime, so that short tokens are not replaced per call.
 * - E6 The soft window is up to 10 % longer at random, so that many processes do not refresh in step.
 *
 * @module
 */
import { jwtTimes, type JwtTimes } from "../base/jwt.ts";
import type { Clock } from "../base/clock.ts";
import type { AccessTokenRecord } from "./access-token.ts";
import type { TokenResponse } from "./types.ts";

/** A token's lifetime, in milliseconds, counted from the moment its request was sent. */
export interface Lifetime {
  readonly ms: number;
  /** Somebody who knows said so; otherwise it is `defaultTtl`. */
  readonly stated: boolean;
}

/** What {@link lifetimeOf} has to know beside the response. */
export interface LifetimeContext {
  /** Epoch milliseconds, local clock, at which the request was sent. */
  readonly sentAt: number;
  readonly defaultTtl: number;
  /** The response may have been received long ago, so a JWT's `iat` is no clock reading. */
  readonly seeded?: boolean;
}

/** The latest time a `Date` can hold (ECMAScript 21.4.1.1). */
const LAST_DATE = 8.64e15;
/** Whatever is computed, nothing is minted more often than this. */
const SHORTEST_LIFETIME = 1000;
/** Epoch seconds reach this in the year 5138; greater numbers are epoch milliseconds. */
const MILLISECONDS_FROM = 1e11;
/** ISO 8601 without a zone: JavaScript would read it as local time. */
const ZONELESS = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?$/;

/** The lifetime a token response gives its token (E1, E2, E3). */
export function lifetimeOf(response: TokenResponse, context: LifetimeContext): Lifetime {
  const claims = jwtTimes(response.access_token);
  const serverNow = serverClock(response, claims, context);
  const untilExp = claims.exp === undefined ? undefined : claims.exp * 1000 - serverNow;
  const seconds = positive(response.expires_in);
  const at = expiryDate(response.expires_at);

  let ms: number | undefined;
  if (at !== undefined) ms = at - serverNow;
  else if (seconds !== undefined) ms = seconds * 1000;
  // An `exp` that looks past while the server says "still good for a while" is a clock that is off, not a dead token.
  if (untilExp !== undefined && !(untilExp <= 0 && seconds !== undefined)) ms = Math.min(ms ?? untilExp, untilExp);

  const stated = ms !== undefined;
  if (!stated && context.defaultTtl === 0) return { ms: 0, stated };
  if (isTime(response.notAfter)) ms = Math.min(ms ?? context.defaultTtl, response.notAfter - serverNow);
  const shortest = context.seeded ? -Infinity : SHORTEST_LIFETIME;
  return { ms: Math.min(Math.max(ms ?? context.defaultTtl, shortest), LAST_DATE - context.sentAt), stated };
}

/** The two windows before expiry, in milliseconds (E4, E6). */
export function windowsOf(
  lifetime: number,
  refreshBuffer: number,
  minValidity: number,
  random: number = Math.random(),
): { readonly soft: number; readonly hard: number } {
  return {
    soft: Math.min(refreshBuffer, lifetime / 2) * (1 + random / 10),
    hard: Math.min(minValidity, lifetime / 4),
  };
}

/**
 * The server's clock at the moment the token was made. Its `Date` header knows best. The JWT's `iat` is only asked when
 * the local clock cannot be right (the token would be from the future, or dead on arrival): a server may hand out a
 * token it made half an hour ago, and then `iat` is no reading of its clock.
 */
function serverClock(response: TokenResponse, { exp, iat }: JwtTimes, { sentAt, seeded }: LifetimeContext): number {
  if (isTime(response.serverTime)) return response.serverTime;
  if (iat === undefined || seeded) return sentAt;
  const fromTheFuture = iat * 1000 > sentAt;
  const deadOnArrival = exp !== undefined && exp * 1000 <= sentAt;
  return fromTheFuture || deadOnArrival ? iat * 1000 : sentAt;
}

function expiryDate(value: unknown): number | undefined {
  const number = positive(value);
  if (number !== undefined) return number < MILLISECONDS_FROM ? number * 1000 : number;
  if (typeof value !== "string" || !/^\d{4}-\d\d-\d\d/.test(value)) return undefined;
  const parsed = Date.parse(ZONELESS.test(value) ? `${value.replace(" ", "T")}Z` : value);
  return Number.isNaN(parsed) ? undefined : parsed;
}

/** A positive number, or a string that is one: some servers quote theirs. */
function positive(value: unknown): number | undefined {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof number === "number" && number > 0 ? number : undefined;
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

// MERGED A token in the cache and the three moments of its life: when to refresh it in the background (`softAt`), when callers
// MERGED rather wait for a new one (`hardAt`), and its end.
// MERGED
// MERGED E5 It counts as expired when either the monotonic or the wall clock says so: machines are suspended, wall clocks are
// MERGED stepped.
/** The number of no burst. */
export const NEVER = -1;

/** Between two refreshes that brought nothing new, at least this. */
const SHORTEST_PAUSE = 1000;

/** How long before expiry the windows open, in milliseconds. */
export interface Windows {
  readonly refreshBuffer: number;
  readonly minValidity: number;
}

/** The cached token, on the time line of {@link CachedToken.now}. */
export class CachedToken {
  readonly token: AccessTokenRecord;
  /** Rejected while its origin was on trial: served until a flight lands, whatever that yields (C6). */
  doubted = false;
  /** The burst of calls in which it was found to be fresh: its other calls need not look at the clocks. */
  freshIn: number = NEVER;
  softAt: number;
  hardAt: number;
  expiresAt: number;
  readonly #clock: Clock;
  readonly #hard: number;
  /** What to add to the monotonic clock to get the wall clock's reading when the token came. */
  readonly #skew: number;

  constructor(token: AccessTokenRecord, lifetime: Lifetime, clock: Clock, windows: Windows) {
    const { soft, hard } = windowsOf(lifetime.ms, windows.refreshBuffer, windows.minValidity);
    this.token = token;
    this.expiresAt = token.expiresAt;
    this.softAt = this.expiresAt - soft;
    this.hardAt = this.expiresAt - hard;
    this.#hard = hard;
    this.#clock = clock;
    this.#skew = clock.now() - clock.monotonic();
  }

  /** Epoch milliseconds, by whichever clock is further on. */
  now(): number {
    return Math.max(this.#clock.now(), this.#clock.monotonic() + this.#skew);
  }

  /** The next `peek` refreshes it in the background. */
  doubt(): void {
    this.doubted = true;
    this.freshIn = NEVER;
    this.softAt = -Infinity;
  }

  /** Somebody else is replacing it: the next `peek` that looks for the outcome is a moment away. */
  postpone(): void {
    this.#lookAgainIn(SHORTEST_PAUSE * (1 + Math.random() / 2));
  }

  /**
   * A mint returned this very value again (E4): no window is reset. It is good for as long as the server states, and
   * the next attempt waits for half of that, so that a shrinking lifetime is not chased mint by mint.
   */
  repeated(expiresAt: number, { stated }: Lifetime): void {
    if (stated && expiresAt > this.expiresAt) {
      this.expiresAt = expiresAt;
      this.hardAt = expiresAt - this.#hard;
    }
    this.#lookAgainIn(Math.max(SHORTEST_PAUSE, (this.expiresAt - this.now()) / 2));
  }

  #lookAgainIn(ms: number): void {
    this.freshIn = NEVER;
    // Not past the end: `peek` looks at nothing else.
    this.softAt = Math.min(this.expiresAt, this.now() + ms);
  }
}
