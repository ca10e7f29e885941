/**
 * What the caches of a pool share, so that 10,000 users do not become 30,000 requests to a server that is down (C13).
 *
 * - When an origin has rejected tokens of three keys and accepted none since, the whole pool gets one renewal a second
 *   for it.
 * - What concerns several keys of the failures of token endpoints is in {@link PoolFailures}.
 *
 * The guard of one cache is in `storm-guard.ts`, the memory of failures in `failures.ts`.
 *
 * @module
 */
import { LruMap } from "../base/lru.ts";
import { PoolFailures } from "./failures.ts";
import type { Clock } from "../base/clock.ts";
import type { SharedGuard } from "./storm-guard.ts";
import type { PoolShare } from "./token-cache.ts";

const KEYS_UNTIL_DOUBT = 3;
const PAUSE = 1000;
const MOST_ORIGINS = 256;

interface Doubt {
  /** The guards of up to three keys that charged this origin. Further keys make no difference. */
  readonly charged: Set<object>;
  /** Monotonic milliseconds from which the next renewal is allowed. */
  until: number;
}

/** {@link PoolShare} of one pool. */
export class PoolGuard implements PoolShare, SharedGuard {
  readonly #clock: Clock;
  readonly #origins = new LruMap<string, Doubt>(MOST_ORIGINS);
  readonly failures: PoolFailures;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.failures = new PoolFailures(clock);
  }

  get guard(): SharedGuard {
    return this;
  }

  get onTrial(): boolean {
    return this.#origins.size > 0;
  }

  charge(origin: string, who: object): boolean {
    const now = this.#clock.monotonic();
    const doubt = this.#origins.get(origin) ?? { charged: new Set(), until: 0 };
    if (doubt.charged.size >= KEYS_UNTIL_DOUBT) {
      if (now < doubt.until) return false;
      doubt.until = now + PAUSE;
    } else {
      doubt.charged.add(who);
      if (doubt.charged.size === KEYS_UNTIL_DOUBT) doubt.until = now + PAUSE;
    }
    this.#origins.set(origin, doubt);
    return true;
  }

  accepted(origin: string): void {
    this.#origins.delete(origin);
  }
}
