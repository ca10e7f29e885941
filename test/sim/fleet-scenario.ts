/** The scenarios of the fleet's model: its size, its misfortunes, and a deliberate fault in the protocol. */
import type { Misfortunes } from "./fleet-state.ts";

/** A deliberate fault in the protocol, which must break an invariant. */
export type Mutant =
  /** Publishes over any record. */
  | "noFence"
  /** Deletes the record without comparing it, before it takes the lease. */
  | "blindInvalidate"
  /** Publishes also if the record is absent. */
  | "writeIfAbsent"
  /** Never renews a second time. */
  | "oneRetry"
  /** Adopts the token that was just rejected. */
  | "publishRejected"
  /** Adopts any token at a second renewal. */
  | "trustAny"
  /** Never gives back a lease whose mint failed, and leases do not lapse. */
  | "leaveLease"
  /** Publishes a refreshed token although another process has taken over the refresh. */
  | "overwriteFresh"
  /** Deletes the record after a failed refresh. */
  | "dropRefreshing"
  /** Undoes a late swap without comparing. */
  | "blindUndo"
  /** The failure of one process binds all. */
  | "shareOneFailure"
  /** The holder of a lease keeps it while the server does not answer. */
  | "keepSilentLease"
  /** Gives the lease away without comparing it. */
  | "blindGiveAway"
  /** Sends the refresh token that the process remembers, not the one in the record. */
  | "staleState"
  /** Writes a lease without the refresh token. */
  | "forgetState";

export interface Scenario {
  readonly processes: number;
  /** The number of requests of every process. */
  readonly requests: number;
  /** The grant has a rotating refresh token. */
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
  sicknesses: 0,
  silences: 0,
  lostAnswers: 0,
  expiries: 0,
};
