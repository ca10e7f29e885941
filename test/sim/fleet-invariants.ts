/**
 * What must be true of every step of the fleet's protocol. The numbers are those of the protocol's own list of
 * invariants; liveness (I10) is a property of the whole graph and is checked by `explore`.
 */
import type { LateSwap, Process, Stored, StoreRecord, World } from "./fleet-state.ts";

export const INVARIANTS = {
  causes: "I1 processes that reach the store mint no more often than there are causes",
  order: "I2 tokens are published in the order in which they were minted",
  fence: "I3 a token is published over the publisher's own lease or refreshing and nothing else",
  alive: "I4 no process removes a token that is alive, but for what it has refreshed itself or doubts (second renewal)",
  noSurfaced: "I6 with at most one revocation no 401 surfaces",
  notAgain: "I7 no request is sent again with a token it was rejected with",
  presentedOnce: "I18 a refresh token is presented once, unless its holder paused or died, or the store forgot",
} as const;

/** What a step of a process does. */
export interface Effect {
  readonly next: World;
  /** It used up a cause. */
  readonly minted?: boolean;
  /** Its caller got a 401. */
  readonly surfaced?: boolean;
  /** The token a waiting request is sent with. */
  readonly resent?: number;
  /** It presented a refresh token for the second time, and nothing excuses that. */
  readonly replayed?: boolean;
  /** It is about a swap from before. */
  readonly late?: LateSwap;
}

/** The names of the invariants that a process breaks. */
export function brokenBy(world: World, index: number, effect: Effect, revocations: number): readonly string[] {
  const before = world.store;
  const after = effect.next.store;
  const process = world.processes[index]!;
  const broken: string[] = [];
  if (effect.minted && effect.next.spare < 0) broken.push(INVARIANTS.causes);
  if (effect.surfaced && revocations <= 1) broken.push(INVARIANTS.noSurfaced);
  if (effect.resent !== undefined && process.rejected.includes(effect.resent)) broken.push(INVARIANTS.notAgain);
  if (effect.replayed) broken.push(INVARIANTS.presentedOnce);
  if (before === after) return broken;

  const lease = effect.late?.lease ?? process.flight?.lease;
  const isOwn = before !== undefined && before.lease !== 0 && before.lease === lease;
  const isPublished = after?.phase === "token" && after.token !== before?.token;
  if (isPublished && after.token <= world.published) broken.push(INVARIANTS.order);
  if (isPublished && !isOwn) broken.push(INVARIANTS.fence);
  if (!isAlive(world, before) || after?.token === before.token) return broken;
  const isRefreshed = isPublished && isOwn && before.phase === "refreshing";
  const doubts = after?.phase === "lease" && (effect.late?.doubts ?? process.rejected.length === 2) && !before.renewal;
  if (!isRefreshed && !doubts) broken.push(INVARIANTS.alive);
  return broken;
}

/** Whether a request that renews for the second time replaces a token that is good: it cannot know. */
export function isDoubted(world: World, process: Process, store: Stored): boolean {
  return isAlive(world, store) && process.rejected.length === 2 && !store.renewal;
}

function isAlive(world: World, record: StoreRecord | undefined): record is StoreRecord {
  return record !== undefined && record.token > world.dead && !record.expired;
}
