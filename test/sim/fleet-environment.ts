/** The environment of the model's processes: time passes, tokens are revoked, and the store loses data. */
import { isSame } from "./fleet-state.ts";
import type { Transition } from "./explore.ts";
import type { Scenario } from "./fleet-scenario.ts";
import type { Stored, StoreRecord, World } from "./fleet-state.ts";

/** Returns every step of a state that no process makes. */
export function* environment(world: World, scenario: Scenario): Generator<Transition<World>> {
  yield* time(world, scenario);
  const { stateful = false } = scenario;
  const { left, store, replica, spare } = world;
  const knows = (token: number): boolean => token > world.dead;
  if (
    left.revocations > 0 &&
    (knows(store?.token ?? 0) || world.processes.some(({ token, flight }) => knows(token) || knows(flight?.token ?? 0)))
  ) {
    const next = {
      ...world,
      left: { ...left, revocations: left.revocations - 1 },
      dead: world.minted,
      spare: spare + 1,
    };
    yield canHappen("every token is revoked", next);
  }
  for (const [index, process] of world.processes.entries()) {
    if (left.sicknesses === 0 || process.sick || !process.alive) continue;
    const processes = world.processes.with(index, { ...process, sick: true });
    const next = { ...world, left: { ...left, sicknesses: left.sicknesses - 1 }, processes };
    yield canHappen(`${index} becomes sick`, next);
  }
  const excused = world.excused || stateful;
  if (left.losses > 0 && store !== undefined) {
    const lost = { left: { ...left, losses: left.losses - 1 }, store: undefined, replica: undefined };
    yield canHappen("the store loses the record", { ...world, ...lost, spare: spare + 1, excused });
  }
  if (left.failovers === 0) return;
  if (!isSame(store, replica)) {
    const failovers = left.failovers - 1;
    const kept = failovers > 0 ? replica : undefined;
    const next = { ...world, left: { ...left, failovers }, store: replica, replica: kept, spare: spare + 1, excused };
    yield canHappen("failover to the replica", next);
    yield canHappen("the replica catches up", { ...world, replica: store });
  }
}

function* time(world: World, { stateful = false, mutant }: Scenario): Generator<Transition<World>> {
  const { store, left, soft, spare } = world;
  if (store === undefined) return;
  const { token, lease } = store;
  if (store.phase === "failure" && !store.lapsed) {
    yield willHappen("the failure is forgotten", { ...world, store: lapsed(store, stateful) });
  }
  if (lease !== 0 && !store.lapsed) {
    const isHeld = world.processes.some(({ flight, late }) => flight?.lease === lease || late?.lease === lease);
    const after: World = { ...world, store: lapsed(store, stateful) };
    if (!isHeld) {
      if (mutant !== "leaveLease") yield willHappen("an abandoned lease lapses", after);
    } else if (left.pauses > 0) {
      const paused = { left: { ...left, pauses: left.pauses - 1 }, spare: spare + 1, excused: stateful };
      yield canHappen("a lease lapses while its holder pauses", { ...after, ...paused });
    }
  }
  if (token === 0 || store.expired) return;
  const isSoft = token === soft;
  const spent: Partial<World> = { left: { ...left, expiries: left.expiries - 1 }, spare: spare + 1 };
  if (left.expiries > 0 && !isSoft && store.phase === "token") {
    yield canHappen(`${token} will expire soon`, { ...world, ...spent, soft: token });
  }
  // The cause of a mint was counted when the soft window began. A refresh that comes too late is a second cause.
  const cost: Partial<World> = isSoft ? { spare: spare + (store.phase === "refreshing" ? 1 : 0) } : spent;
  if (isSoft || left.expiries > 0) yield canHappen(`${token} expires`, { ...expire(world, token, stateful), ...cost });
}

/** Returns the record after its lease or failure has lapsed. The record of a stateful grant stays in the store. */
function lapsed(record: StoreRecord, stateful: boolean): Stored {
  if (stateful || record.phase === "refreshing") return { ...record, lapsed: true };
  return undefined;
}

function expire(world: World, token: number, stateful: boolean): World {
  const over = (record: Stored): Stored => {
    if (record === undefined || record.token === 0 || record.token > token) return record;
    return stateful ? { ...record, expired: true } : undefined;
  };
  const processes = world.processes.map((process) => (process.token > token ? process : { ...process, token: 0 }));
  return { ...world, store: over(world.store), replica: over(world.replica), processes };
}

function canHappen(label: string, next: World): Transition<World> {
  return { label, next, optional: true, breaks: [] };
}

function willHappen(label: string, next: World): Transition<World> {
  return { label, next, optional: false, breaks: [] };
}
