/**
 * What all caches that share a store have in common.
 *
 * @module
 */
import type { Clock } from "../base/clock.ts";
import type { Seal } from "./seal.ts";
import type { StoreLink } from "./link.ts";

/** One store and how it is used, as seen from one cache. */
export interface Fleet {
  readonly link: StoreLink;
  readonly clock: Clock;
  /** The first seals; the others only open what they sealed once. */
  readonly seals: readonly Seal[];
  /** Milliseconds after which a holder that gives no sign of life is replaced. */
  readonly duration: number;
  /** Milliseconds one call may take. */
  readonly callTimeout: number;
  /** Milliseconds a state is kept after its last use. */
  readonly stateTtl: number;
  /** What the keys of its records begin with. */
  readonly prefix: string;
}
