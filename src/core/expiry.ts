/**
 * Expiry: how long a token lives, when to replace it, and a cached token's place in time.
 *
 * Not here: what the cache does in the soft and in the hard window (`token-cache.ts`).
 *
 * @module
 */
import { jwtTimes, type JwtTimes } from "../base/jwt.ts";
import type { Clock } from "../base/clock.ts";
import type { AccessTokenRecord } from "./access-token.ts";
import type { TokenResponse } from "./types.ts";

/** A token's lifetime, counted from the moment its request was sent. */
export interface Lifetime {
  /** Milliseconds. */
  readonly ms: number;
  /** `true` if the server stated the lifetime, `false` if it is `defaultTtl`. */
  readonly stated: boolean;
}

/** What {@link lifetimeOf} has to know beside the response. */
export interface LifetimeContext {
  /** When the request was sent. Epoch milliseconds, on the local clock. */
  readonly sentAt: number;
  /** Milliseconds. */
  readonly defaultTtl: number;
  /**
   * The response is the user's `initial` and may be old. Its token may have expired, and its JWT's `iat` is no clock
   * reading.
   */
  readonly seeded?: boolean;
}

/** The latest time a `Date` can hold, in epoch milliseconds (ECMAScript 21.4.1.1). */
const LAST_DATE = 8.64e15;
/**
 * Milliseconds. A new token counts as living at least this long, so that a wrong time in a response cannot cause a mint
 * per call.
 */
const SHORTEST_LIFETIME = 1000;
/** Numbers from here on are epoch milliseconds, smaller ones epoch seconds. As seconds, this is the year 5138. */
const MILLISECONDS_FROM = 1e11;
/** ISO 8601 without a time zone, which JavaScript would read as local time. */
const WITHOUT_ZONE = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?$/;

/**
 * Returns the lifetime of the token in a token response:
 * - It is what `expires_at` says, else `expires_in`, else the `exp` of a JWT, else `defaultTtl`. It never exceeds the
 *   `exp` of a JWT or the grant's `notAfter` (E1).
 * - `expires_in` counts from the moment the request was sent. `expires_at` and `exp` are compared with the server's
 *   clock (E2).
 * - A value that is not a positive time is ignored. A new token lives at least a second; only `defaultTtl: 0` means
 *   that the token is not cached (E3).
 */
export function lifetimeOf(response: TokenResponse, context: LifetimeContext): Lifetime {
  const claims = jwtTimes(response.access_token);
  const serverNow = serverClock(response, claims, context);
  const untilExp = claims.exp === undefined ? undefined : claims.exp * 1000 - serverNow;
  const seconds = positiveNumber(response.expires_in);
  const at = expiryDate(response.expires_at);

  let ms: number | undefined;
  if (at !== undefined) ms = at - serverNow;
  else if (seconds !== undefined) ms = seconds * 1000;
  // An `exp` in the past beside a positive `expires_in` means that a clock is wrong, not that the token has expired.
  if (untilExp !== undefined && !(untilExp <= 0 && seconds !== undefined)) ms = Math.min(ms ?? untilExp, untilExp);

  const stated = ms !== undefined;
  if (!stated && context.defaultTtl === 0) return { ms: 0, stated };
  if (isTime(response.notAfter)) ms = Math.min(ms ?? context.defaultTtl, response.notAfter - serverNow);
  const shortest = context.seeded ? -Infinity : SHORTEST_LIFETIME;
  return { ms: Math.min(Math.max(ms ?? context.defaultTtl, shortest), LAST_DATE - context.sentAt), stated };
}

/**
 * Returns the server's clock at the moment the token was made, in epoch milliseconds. The `Date` header is the best
 * source. The JWT's `iat` is used only if the local clock must be wrong: if the token would be from the future, or
 * expired on arrival. Otherwise `iat` is no clock reading, because a server may hand out a token that it made half an
 * hour ago.
 */
function serverClock(response: TokenResponse, { exp, iat }: JwtTimes, { sentAt, seeded }: LifetimeContext): number {
  if (isTime(response.serverTime)) return response.serverTime;
  if (iat === undefined || seeded) return sentAt;
  const fromTheFuture = iat * 1000 > sentAt;
  const expiredOnArrival = exp !== undefined && exp * 1000 <= sentAt;
  return fromTheFuture || expiredOnArrival ? iat * 1000 : sentAt;
}

/** Reads `expires_at` as epoch milliseconds. */
function expiryDate(value: unknown): number | undefined {
  const number = positiveNumber(value);
  if (number !== undefined) return number < MILLISECONDS_FROM ? number * 1000 : number;
  if (typeof value !== "string" || !/^\d{4}-\d\d-\d\d/.test(value)) return undefined;
  const parsed = Date.parse(WITHOUT_ZONE.test(value) ? `${value.replace(" ", "T")}Z` : value);
  return Number.isNaN(parsed) ? undefined : parsed;
}

/** Reads a positive number, or a string that holds one: some servers quote their numbers. */
function positiveNumber(value: unknown): number | undefined {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof number === "number" && number > 0 ? number : undefined;
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/**
 * Returns the lengths of the soft and of the hard window, in milliseconds before expiry. They are at most a half and a
 * quarter of the lifetime, so that a short-lived token is not replaced at every call (E4). The soft window is up to
 * 10 % longer at random, so that many processes do not refresh at the same moment (E6).
 *
 * @param random From 0 to 1.
 */
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

/** The options that set the windows, in milliseconds before expiry. */
interface WindowOptions {
  readonly refreshBuffer: number;
  readonly minValidity: number;
}

/**
 * The value of {@link CachedToken.freshIn} that equals no burst's number, and not the 0 that means "no burst" either.
 */
export const NO_BURST = -1;

/** Milliseconds from a refresh that yielded no other token to the next refresh, at least. */
const SHORTEST_PAUSE = 1000;

/**
 * The token in a cache and the three moments of its life: its soft window begins (`softAt`), its hard window begins
 * (`hardAt`), it expires (`expiresAt`). All three are times of {@link CachedToken.now}.
 */
export class CachedToken {
  readonly token: AccessTokenRecord;
  /** The token was rejected and is served on until the next flight ends, whatever that yields (C6). */
  keptAfterRejection = false;
  /**
   * The burst of calls in which the token was found to be fresh. The other calls of that burst do not read the clocks.
   */
  freshIn: number = NO_BURST;
  softAt: number;
  hardAt: number;
  expiresAt: number;
  readonly #clock: Clock;
  /** The length of the hard window, in milliseconds. */
  readonly #hard: number;
  /** Wall clock minus monotonic clock, at the moment the token was cached. */
  readonly #wallOffset: number;

  constructor(token: AccessTokenRecord, lifetime: Lifetime, clock: Clock, windows: WindowOptions) {
    const { soft, hard } = windowsOf(lifetime.ms, windows.refreshBuffer, windows.minValidity);
    this.token = token;
    this.expiresAt = token.expiresAt;
    this.softAt = this.expiresAt - soft;
    this.hardAt = this.expiresAt - hard;
    this.#hard = hard;
    this.#clock = clock;
    this.#wallOffset = clock.now() - clock.monotonic();
  }

  /**
   * Returns the time in epoch milliseconds, by the clock that is further ahead. So the token counts as expired as soon
   * as either clock says so: the wall clock may be set back, and the monotonic clock stands still while a machine
   * sleeps (E5).
   */
  now(): number {
    return Math.max(this.#clock.now(), this.#clock.monotonic() + this.#wallOffset);
  }

  /** Keeps the token although it was rejected. The next `peek` starts to replace it in the background. */
  keepAfterRejection(): void {
    this.keptAfterRejection = true;
    this.freshIn = NO_BURST;
    this.softAt = -Infinity;
  }

  /** Delays the next refresh by a moment, because another process is replacing the token. */
  postponeRefresh(): void {
    this.#refreshAfter(SHORTEST_PAUSE * (1 + Math.random() / 2));
  }

  /**
   * Records that a mint returned the same token again (E4). The windows stay as they are. A longer lifetime counts only
   * if the server stated it. The next refresh waits for half of the time that is left, so that a lifetime which shrinks
   * with every answer does not cause a mint per call.
   */
  mintedAgain(expiresAt: number, { stated }: Lifetime): void {
    if (stated && expiresAt > this.expiresAt) {
      this.expiresAt = expiresAt;
      this.hardAt = expiresAt - this.#hard;
    }
    this.#refreshAfter(Math.max(SHORTEST_PAUSE, (this.expiresAt - this.now()) / 2));
  }

  #refreshAfter(ms: number): void {
    this.freshIn = NO_BURST;
    // `peek` compares the time with `softAt` first, so `softAt` must not lie after the expiry.
    this.softAt = Math.min(this.expiresAt, this.now() + ms);
  }
}
