/**
 * C8 An API that says 401 to every token must not become a mint per request.
 *
 * A renewal that has to mint is charged when it starts, once per rejected token, to two keys: the origin, and
 * origin + path. A response that is not a rejection, to any other token, clears the keys it belongs to. Three charges
 * are free, then a key gets one renewal per 1, 2, 4 .. 30 s. Independent of all outcomes, at most 10 renewal mints in
 * a burst, then one per second.
 *
 * Charging at the start, and not by the outcome of the resend, is what streams, aborting callers and a single
 * "forbidden" path cannot get past.
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

/** What tells one minted token from another, even when the server hands out the same value twice. */
export interface TokenIdentity {
  readonly value: string;
  readonly flight: number;
}

/** The guard of a whole pool: what {@link StormGuard} asks beside its own keys (C13). */
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
  /** How many mints had begun when it was charged: the payment is for the next one. */
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

  /** Some charge is uncleared, so outcomes have to be reported. */
  get onTrial(): boolean {
    return this.#keys.size > 0 || this.#shared?.onTrial === true;
  }

  /** No charge of its own is uncleared. */
  get isClear(): boolean {
    return this.#keys.size === 0;
  }

  /** This site has uncleared charges. */
  doubts({ origin, path }: RequestTarget): boolean {
    return this.#keys.has(origin) || this.#keys.has(origin + path);
  }

  /** Charges a renewal that has to mint; `false`, and nothing charged, when it may not. */
  charge(token: TokenIdentity, { origin, path }: RequestTarget): boolean {
    const unpaid = [origin, origin + path].filter((key) => !this.#isPaid(this.#keys.get(key), token));
    // All paid: an earlier renewal of this very token was abandoned or its mint failed; the failure memory bounds that.
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

  /** A response that was not a rejection: clears what another token was charged with. */
  accepted(token: TokenIdentity, { origin, path }: RequestTarget): void {
    for (const key of [origin, origin + path]) {
      const charges = this.#keys.get(key);
      if (charges !== undefined && !isSameToken(charges.last, token)) this.#keys.delete(key);
    }
    this.#shared?.accepted(origin);
  }

  /** A mint has begun: what was paid is spent, and another one for the same token is to be charged again. */
  begun(): void {
    this.#begun++;
  }

  /** It came to nothing: what was paid for it pays for the next one. */
  failed(): void {
    for (const charges of this.#keys.values()) {
      if (charges.begun === this.#begun - 1) charges.begun = this.#begun;
    }
  }

  /** It turned out to need no mint, because another process of the fleet had one: nothing was to be charged. */
  refund(): void {
    const charged = [...this.#keys].filter(([, charges]) => charges.begun === this.#begun - 1);
    for (const [key, charges] of charged) {
      // The key was open when it was charged, so it is open now.
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

/** Milliseconds from one charge to the next, after so many. */
export function pauseAfter(charges: number): number {
  if (charges < FREE_CHARGES) return 0;
  return Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (charges - FREE_CHARGES));
}

/** Whether two tokens came from the same mint. */
export function isSameToken(a: TokenIdentity | undefined, b: TokenIdentity): boolean {
  return a !== undefined && a.value === b.value && a.flight === b.flight;
}
