/**
 * The storm guard of one cache: an API that answers 401 to every token must not cause a mint per request (C8).
 *
 * A renewal that has to mint is charged when it starts, once per rejected token, to two keys: the origin, and origin +
 * path. An answer that is not a rejection, to any other token, clears the keys of its URL. Three charges are free.
 * After that a key gets one renewal per 1, 2, 4 .. 30 s. Whatever the outcomes, there are at most 10 renewal mints in a
 * burst, and then one per second.
 *
 * The charge is made at the start and does not depend on the outcome of the resend. Otherwise it would be avoided by
 * streams, by callers that abort, and by a single path that is always forbidden.
 *
 * What the caches of a pool share is in `pool-guard.ts`.
 *
 * @module
 */
import { LruMap } from "../base/lru.ts";
import type { Clock } from "../base/clock.ts";
import type { RequestTarget } from "./types.ts";

const FREE_CHARGES = 3;
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 30_000;
const MOST_KEYS = 256;
const BURST = 10;
const REFILL_PER_MS = 1 / 1000;

/** Identifies a minted token, also when the server hands out the same value twice. */
export interface TokenIdentity {
  readonly value: string;
  readonly flight: number;
}

/** The guard of a whole pool, which {@link StormGuard} asks in addition to its own keys (C13). */
export interface SharedGuard {
  readonly onTrial: boolean;
  charge(origin: string, who: object): boolean;
  accepted(origin: string): void;
}

interface Charges {
  count: number;
  /** Monotonic milliseconds from which the next renewal is allowed. */
  until: number;
  readonly last: TokenIdentity;
  /** How many mints had begun when it was charged. The charge is for the next one. */
  begun: number;
}

/** Decides whether a rejected token may cost a mint. */
export class StormGuard {
  readonly #clock: Clock;
  readonly #shared: SharedGuard | undefined;
  /** In order of use: the first key is the least recently used. */
  readonly #keys = new LruMap<string, Charges>(MOST_KEYS);
  #begun = 0;
  #budget = BURST;
  #refilledAt: number;

  constructor(clock: Clock, shared?: SharedGuard) {
    this.#clock = clock;
    this.#shared = shared;
    this.#refilledAt = clock.monotonic();
  }

  /** There are uncleared charges, so accepted tokens have to be reported. */
  get onTrial(): boolean {
    return this.#keys.size > 0 || this.#shared?.onTrial === true;
  }

  /** This cache has no uncleared charge; other caches of the pool may. */
  get isClear(): boolean {
    return this.#keys.size === 0;
  }

  /** This origin or path has uncleared charges. */
  doubts({ origin, path }: RequestTarget): boolean {
    return this.#keys.has(origin) || this.#keys.has(origin + path);
  }

  /** Charges a renewal that has to mint. `false` when the renewal is refused; nothing is charged then. */
  charge(token: TokenIdentity, { origin, path }: RequestTarget): boolean {
    const unpaid = [origin, origin + path].filter((key) => !this.#isPaid(this.#keys.get(key), token));
    // All keys are charged for this token already: an earlier renewal was abandoned, or its mint failed. The memory of
    // failures limits how often that happens.
    if (unpaid.length === 0) return true;
    const now = this.#clock.monotonic();
    const open = unpaid.every((key) => {
      const charges = this.#keys.get(key);
      return charges === undefined || charges.count < FREE_CHARGES || now >= charges.until;
    });
    if (!open || !this.#affords(now)) return false;
    if (this.#shared?.charge(origin, this) === false) return false;
    this.#budget--;
    for (const key of unpaid) this.#add(key, token, now);
    return true;
  }

  /** Reports an answer that was not a rejection. Clears the charges that were made for other tokens. */
  accepted(token: TokenIdentity, { origin, path }: RequestTarget): void {
    for (const key of [origin, origin + path]) {
      const charges = this.#keys.get(key);
      if (charges !== undefined && !isSameToken(charges.last, token)) this.#keys.delete(key);
    }
    this.#shared?.accepted(origin);
  }

  /** Reports that a mint has begun: its charge is used, and another mint for the same token is charged again. */
  begun(): void {
    this.#begun++;
  }

  /** Reports that the mint failed: its charge carries over to the next attempt. */
  failed(): void {
    for (const charges of this.#keys.values()) {
      if (charges.begun === this.#begun - 1) charges.begun = this.#begun;
    }
  }

  /** Takes the charge back: no mint was needed, because another process of the fleet had a token. */
  refund(): void {
    const charged = [...this.#keys].filter(([, charges]) => charges.begun === this.#begun - 1);
    for (const [key, charges] of charged) {
      // A renewal was allowed for this key when it was charged, so one is allowed again now.
      charges.until = 0;
      if (--charges.count === 0) this.#keys.delete(key);
    }
    if (charged.length > 0) this.#budget++;
  }

  #isPaid(charges: Charges | undefined, token: TokenIdentity): boolean {
    return charges?.begun === this.#begun && isSameToken(charges.last, token);
  }

  #affords(now: number): boolean {
    this.#budget = Math.min(BURST, this.#budget + (now - this.#refilledAt) * REFILL_PER_MS);
    this.#refilledAt = now;
    return this.#budget >= 1;
  }

  #add(key: string, token: TokenIdentity, now: number): void {
    const count = (this.#keys.get(key)?.count ?? 0) + 1;
    const last = { value: token.value, flight: token.flight };
    this.#keys.set(key, { count, until: now + pauseAfter(count), last, begun: this.#begun });
  }
}

/** Returns the milliseconds that have to pass before the next charge, after this many charges. */
export function pauseAfter(charges: number): number {
  if (charges < FREE_CHARGES) return 0;
  return Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (charges - FREE_CHARGES));
}

/** Whether two tokens came from the same mint. */
export function isSameToken(a: TokenIdentity | undefined, b: TokenIdentity): boolean {
  return a !== undefined && a.value === b.value && a.flight === b.flight;
}
