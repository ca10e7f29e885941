/**
 * C13 What the caches of a pool share: 10,000 users must not become 30,000 requests at a dead server.
 *
 * An origin that rejected the tokens of three keys and has accepted nothing since gets one renewal a second for the
 * whole pool. Failures of a token endpoint count for every key that depends on it.
 *
 * @module
 */
import { LruMap } from "../base/lru.ts";
import { FailureMemory } from "./failures.ts";
import type { Clock } from "../base/clock.ts";
import type { SharedGuard } from "./storm-guard.ts";
import type { PoolShare } from "./token-cache.ts";

const KEYS_UNTIL_DOUBT = 3;
const PAUSE = 1000;
const MOST_ORIGINS = 256;
const MOST_ENDPOINTS = 256;

interface Doubt {
  /** The guards of up to three keys that were charged here; more change nothing. */
  readonly charged: Set<object>;
  until: number;
}

/** {@link PoolShare} of one pool. */
export class PoolGuard implements PoolShare, SharedGuard {
  readonly #clock: Clock;
  readonly #origins = new LruMap<string, Doubt>(MOST_ORIGINS);
  readonly #failures = new LruMap<string, FailureMemory>(MOST_ENDPOINTS);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get guard(): SharedGuard {
    return this;
  }

  failuresOf(endpoint: string): FailureMemory {
    let memory = this.#failures.get(endpoint);
    if (memory === undefined) {
      this.#failures.set(endpoint, (memory = new FailureMemory(this.#clock)));
    }
    return memory;
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
