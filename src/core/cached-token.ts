/**
 * A token in the cache and the three moments of its life: when to refresh it in the background (`softAt`), when callers
 * rather wait for a new one (`hardAt`), and its end.
 *
 * E5 It counts as expired when either the monotonic or the wall clock says so: machines are suspended, wall clocks are
 * stepped.
 *
 * @module
 */
import { windowsOf } from "./expiry.ts";
import type { AccessTokenRecord } from "./access-token.ts";
import type { Clock } from "../base/clock.ts";
import type { Lifetime } from "./expiry.ts";

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
