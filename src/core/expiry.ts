/**
 * Expiry: how long a token lives, when to replace it, and a cached token's place in time.
 *
 * Not here: what the cache does in the soft and in the hard window (`token-cache.ts`).
 *
 * @module
 */
import { dateOf, epochMs, isNumeric, isReadableDate, positiveNumber } from "../base/dates.ts";
import { jwtTimes, type JwtTimes } from "../base/jwt.ts";
import { optionError } from "../base/options.ts";
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
  /** Milliseconds that no token is kept longer than. @defaultValue Infinity */
  readonly maxTtl?: number | undefined;
  /**
   * The response is the user's `initial` and may be old. Its token may have expired, and its JWT's `iat` is no clock
   * reading.
   */
  readonly seeded?: boolean | undefined;
  /** The user made the response: a time that cannot be read is a mistake to be told about. */
  readonly isOwn?: boolean | undefined;
  /** The option that a token is given as which exists already. @defaultValue "initial" */
  readonly name?: string | undefined;
}

/** The latest time a `Date` can hold, in epoch milliseconds (ECMAScript 21.4.1.1). */
const LAST_DATE = 8.64e15;
/**
 * Milliseconds. A new token counts as living at least this long, so that a wrong time in a response cannot cause a mint
 * per call.
 */
const SHORTEST_LIFETIME = 1000;
/** What libraries call the two members of a token response (RFC 6749 section 5.1) that say how long a token lives. */
const DURATIONS = ["expires_in", "expiresIn"] as const;
const DATES = [
  "expires_at",
  "expiresAt",
  "expires_on",
  "expiresOn",
  "expiresOnTimestamp",
  "expiry_date",
  "expiryDate",
] as const;
/** What only a function of the user's can say. */
const OWN_TIMES = ["serverTime", "notAfter"] as const;
/** Seconds to some, milliseconds to others, a date to others again. */
const AMBIGUOUS = ["expires", "expiry", "expiration"] as const;

/**
 * Returns the lifetime of the token in a token response:
 * - It is the earliest of what a positive `expires_in`, an `expires_at` in the future and the `exp` of a JWT say, under any
 *   of their names. Without them it is `defaultTtl`. It never exceeds the grant's `notAfter` or `maxTtl` (E1).
 * - `expires_in` counts from the moment the request was sent. `expires_at` and `exp` are compared with the server's
 *   clock (E2).
 * - A value that is not a positive time is ignored, and so is a date in the past in a fresh answer: a clock is wrong then.
 *   A new token lives at least a second, if `maxTtl` allows. `defaultTtl: 0` and `maxTtl: 0` mean that the token is not
 *   cached (E3).
 *
 * @throws {TypeError} When the user made the response, and one of its times cannot be read.
 */
export function lifetimeOf(response: TokenResponse, context: LifetimeContext): Lifetime {
  const { defaultTtl, maxTtl = Infinity, seeded = false } = context;
  if (context.isOwn === true) assertReadable(response, seeded ? (context.name ?? "initial") : undefined);
  const claims = jwtTimes(response.access_token);
  const serverNow = serverClock(response, claims, context);
  /** A date in the past says that a token has expired only if the token may be old. */
  const until = (date: number | undefined): number | undefined => {
    const left = date === undefined ? undefined : Math.min(date, LAST_DATE) - serverNow;
    return left !== undefined && left <= 0 && !seeded ? undefined : left;
  };
  const said = [
    ...DURATIONS.map((name) => milliseconds(response[name])),
    ...DATES.map((name) => until(dateOf(response[name]))),
    until(milliseconds(claims.exp)),
  ].filter((ms) => ms !== undefined);

  const stated = said.length > 0;
  if ((!stated && defaultTtl === 0) || maxTtl === 0) return { ms: 0, stated };
  let ms = stated ? Math.min(...said) : defaultTtl;
  const notAfter = epochMs(response.notAfter);
  if (notAfter !== undefined) ms = Math.min(ms, notAfter - serverNow);
  if (!seeded) ms = Math.max(ms, SHORTEST_LIFETIME);
  return { ms: Math.min(ms, maxTtl, LAST_DATE - context.sentAt), stated };
}

/**
 * Returns when a token that exists already was received, in epoch milliseconds; `undefined` when it does not say.
 *
 * @throws {TypeError} When `receivedAt` is given and no time.
 */
export function receivedAtOf({ receivedAt }: { readonly receivedAt?: unknown }): number | undefined {
  if (receivedAt === undefined || receivedAt === null) return undefined;
  const date = epochMs(receivedAt);
  if (date !== undefined && date >= 0) return date;
  throw optionError("initial.receivedAt", receivedAt, "epoch milliseconds, a Date or an ISO 8601 date");
}

/** @throws {TypeError} When a member that says how long the token lives cannot be read. */
function assertReadable(response: TokenResponse, option: string | undefined): void {
  const isGiven = (name: string): boolean => response[name] !== undefined && response[name] !== null;
  const check = (name: string, isReadable: boolean, expected: string): void => {
    if (isReadable || !isGiven(name)) return;
    if (option !== undefined) throw optionError(`${option}.${name}`, response[name], expected);
    throw optionError(name, response[name], `${expected}, in what the grant's function returns`);
  };
  for (const name of DURATIONS) check(name, isNumeric(response[name]), "a number of seconds");
  for (const name of DATES) check(name, isReadableDate(response[name]), "a Date, epoch seconds or an ISO 8601 date");
  for (const name of OWN_TIMES)
    check(name, isReadableDate(response[name]), "a Date, epoch milliseconds or an ISO 8601 date");
  const isAlone = ![...DURATIONS, ...DATES].some(isGiven);
  for (const name of AMBIGUOUS) {
    check(name, !isAlone, "left out: return expires_in (seconds) or expires_at (a date), which cannot be misread");
  }
}

/**
 * Returns the server's clock at the moment the token was made, in epoch milliseconds. The `Date` header is the best
 * source. The JWT's `iat` is used only if the local clock must be wrong: if the token would be from the future, or
 * expired on arrival. Otherwise `iat` is no clock reading, because a server may hand out a token that it made half an
 * hour ago.
 */
function serverClock(response: TokenResponse, claims: JwtTimes, { sentAt, seeded }: LifetimeContext): number {
  const stated = epochMs(response.serverTime);
  if (stated !== undefined) return stated;
  const issuedAt = milliseconds(claims.iat);
  if (issuedAt === undefined || issuedAt > LAST_DATE || seeded === true) return sentAt;
  const fromTheFuture = issuedAt > sentAt;
  const expiredOnArrival = claims.exp !== undefined && claims.exp * 1000 <= sentAt;
  return fromTheFuture || expiredOnArrival ? issuedAt : sentAt;
}

/** Reads a positive number of seconds. */
function milliseconds(value: unknown): number | undefined {
  const seconds = positiveNumber(value);
  return seconds === undefined ? undefined : seconds * 1000;
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
  const hard = Math.min(minValidity, lifetime / 4);
  return {
    // Each holds whatever the other is: without a soft window the refresh begins with the hard one.
    soft: Math.max(Math.min(refreshBuffer, lifetime / 2) * (1 + random / 10), hard),
    hard,
  };
}

/** The options that set the windows, in milliseconds before expiry. */
interface WindowOptions {
  readonly refreshBuffer: number;
  readonly minValidity: number;
}

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
  softAt: number;
  hardAt: number;
  expiresAt: number;
  readonly #clock: Clock;
  /** The length of the hard window, in milliseconds. */
  readonly #hard: number;
  /** When the token itself expires, and when its own soft window begins. Kept where it is served for less long. */
  #whole: { end: number; softAt: number } | undefined;
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

  /**
   * Limits for how long the token is served before its supply is asked again. Callers are served by the token itself until
   * half of that time is over, and wait for the answer in its last quarter at most.
   */
  serveUntil(until: number): void {
    const { end, softAt } = (this.#whole ??= { end: this.expiresAt, softAt: this.softAt });
    const left = until - this.now();
    this.expiresAt = Math.min(end, until);
    this.hardAt = Math.min(end - this.#hard, until - Math.min(this.#hard, left / 4));
    this.softAt = Math.min(softAt, until - left / 2);
  }

  /** Keeps the token although it was rejected. The next `peek` starts to replace it in the background. */
  keepAfterRejection(): void {
    this.keptAfterRejection = true;
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
    if (this.#whole !== undefined) this.expiresAt = this.#whole.end;
    this.#whole = undefined;
    if (stated && expiresAt > this.expiresAt) {
      this.expiresAt = expiresAt;
      this.hardAt = expiresAt - this.#hard;
    }
    this.#refreshAfter(Math.max(SHORTEST_PAUSE, (this.expiresAt - this.now()) / 2));
  }

  #refreshAfter(ms: number): void {
    // `peek` compares the time with `softAt` first, so `softAt` must not lie after the expiry.
    this.softAt = Math.min(this.expiresAt, this.now() + ms);
  }
}
