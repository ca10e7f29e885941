/**
 * The invariants of the fleet's protocol, checked at every step of the model. Liveness is a property of the whole graph, so
 * explore.ts checks it.
 */
import type { Scenario } from "./fleet-scenario.ts";
import type { LateSwap, Process, Stored, StoreRecord, World } from "./fleet-state.ts";

export const INVARIANTS = {
  causes: "processes that reach the store mint no more often than there are causes",
  order: "tokens are published in the order in which they were minted",
  fence: "a token is published only over the publisher's own lease",
  alive: "no process removes a live token, except one that it refreshed itself or replaces at a second renewal",
  noSurfaced: "with at most one revocation no caller gets a 401",
  notAgain: "no request is resent with a token that it was rejected with",
  isolation: "no request fails because one other process is sick or gets no answer",
  presentedOnce: "a refresh token is sent once, unless its holder paused or died, or the store lost data",
} as const;

/** The effect of a step of a process. */
export interface Effect {
  readonly next: World;
  /** The step minted a token, which uses up a cause. */
  readonly minted?: boolean;
  /** The caller got a 401. */
  readonly surfaced?: boolean;
  /** The token with which a request is sent or resent. */
  readonly resent?: number;
  /** A refresh token was sent for the second time without an excuse. */
  readonly replayed?: boolean;
  /** The late swap that the step concerns. */
  readonly late?: LateSwap;
}

/** Returns the names of the invariants that a step breaks. */
export function brokenBy(world: World, index: number, effect: Effect, scenario: Scenario): readonly string[] {
  const { revocations = 0 } = scenario.misfortunes;
  const before = world.store;
  const after = effect.next.store;
  const process = world.processes[index]!;
  const broken: string[] = [];
  if (effect.minted && effect.next.spare < 0) broken.push(INVARIANTS.causes);
  if (effect.surfaced && revocations <= 1) broken.push(INVARIANTS.noSurfaced);
  if (effect.resent !== undefined && process.rejected.includes(effect.resent)) broken.push(INVARIANTS.notAgain);
  if (effect.replayed) broken.push(INVARIANTS.presentedOnce);
  const { waits, sent, alive } = effect.next.processes[index]!;
  const fails = process.waits && alive && !waits && sent === 0;
  if (fails && !process.sick && isOneSick(scenario)) broken.push(INVARIANTS.isolation);
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

/** Returns whether nothing else can make a request fail than that one process is sick, or gets no answer. */
function isOneSick({ misfortunes, stateful = false }: Scenario): boolean {
  const { sicknesses = 0, silences = 0, mintFailures = 0, storeFaults = 0, lostAnswers = 0 } = misfortunes;
  const { pauses = 0, crashes = 0, losses = 0, failovers = 0 } = misfortunes;
  const mayLoseSession = stateful && pauses + crashes + losses + failovers > 0;
  return sicknesses + silences === 1 && mintFailures + storeFaults + lostAnswers === 0 && !mayLoseSession;
}

/** Returns whether a second renewal replaces a live token. The process cannot know that the token is live. */
export function isDoubted(world: World, process: Process, store: Stored): boolean {
  return isAlive(world, store) && process.rejected.length === 2 && !store.renewal;
}

function isAlive(world: World, record: StoreRecord | undefined): record is StoreRecord {
  return record !== undefined && record.token > world.dead && !record.expired;
}
