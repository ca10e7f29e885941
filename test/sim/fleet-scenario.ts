/** What is to happen to a fleet of the model, and which fault its protocol has. */
import type { Misfortunes } from "./fleet-state.ts";

/** A protocol with a fault in it, which an invariant has to notice. */
export type Mutant =
  /** Publishes over whatever is there. */
  | "noFence"
  /** Deletes what is there without comparing it, before it takes the lease. */
  | "blindInvalidate"
  /** Publishes as well when the lease is gone and nobody has another. */
  | "writeIfAbsent"
  /** Never renews a second time. */
  | "oneRetry"
  /** Adopts the value it has just reported as rejected. */
  | "publishRejected"
  /** Adopts whatever there is on a second renewal. */
  | "trustAny"
  /** Never lets go of a lease whose mint failed, and leases do not lapse. */
  | "leaveLease"
  /** Publishes what it refreshed ahead although somebody has taken the refreshing over. */
  | "overwriteFresh"
  /** Deletes the record when a refresh ahead has failed. */
  | "dropRefreshing"
  /** Undoes a late swap without comparing. */
  | "blindUndo"
  /** Presents the refresh token it remembers, not the one in the record. */
  | "staleState"
  /** Its lease does not carry the refresh token. */
  | "forgetState";

export interface Scenario {
  readonly processes: number;
  /** Requests of every process. */
  readonly requests: number;
  /** A grant with a rotating refresh token. */
  readonly stateful?: boolean;
  readonly misfortunes: Partial<Misfortunes>;
  readonly mutant?: Mutant;
}

export const NO_MISFORTUNES: Misfortunes = {
  revocations: 0,
  crashes: 0,
  pauses: 0,
  losses: 0,
  failovers: 0,
  storeFaults: 0,
  mintFailures: 0,
  lostAnswers: 0,
  expiries: 0,
};
