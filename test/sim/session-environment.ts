/** What happens to the processes of the model of sessions from outside: time, the store, the user's table. */
import { isOnTheWire } from "./session-protocol.ts";
import { copyOf, copyOfRecord, familyOf, newFamily } from "./session-state.ts";
import type { Transition } from "./explore.ts";
import type { Scenario } from "./session-scenario.ts";
import type { Chances, Process, World } from "./session-state.ts";

/** Returns every step of a state that no process makes. */
export function* environment(world: World, { source }: Scenario): Generator<Transition<World>> {
  const { store, copy, left, processes, families, row } = world;
  if (store?.phase === "L" && !store.lapsed) yield* timeOfLease(world);
  if (left.expiries > 0 && (processes.some(hasToken) || store?.tokens.some((family) => family !== 0) === true)) {
    yield canHappen(world, "the access tokens expire", "expiries", expire);
  }
  if (left.losses > 0 && store !== undefined)
    yield canHappen(world, "the store loses the record", "losses", (next) => lose(next, source));
  if (left.replays > 0 && store !== undefined && copy === undefined) {
    yield canHappen(world, "somebody copies the record", undefined, (next) => (next.copy = copyOfRecord(next.store!)));
  }
  if (left.replays > 0 && copy !== undefined) yield canHappen(world, "the copy is put back", "replays", putBack);
  // The record of a sign-out is kept for so long that the user's table has forgotten the session by then.
  const isQuiet = processes.every(({ mint, unpublished }) => mint === undefined && unpublished === 0);
  if (left.days > 0 && isQuiet && !families.some(({ ended }, family) => ended && familyOf(row) === family)) {
    yield canHappen(world, "a day passes", "days", passDay);
  }
  if (left.ticks > 0) yield canHappen(world, "the clock moves on", "ticks", (next) => next.time++);
  if (row !== 0 && families[familyOf(row)]?.ended === true) {
    yield {
      ...canHappen(world, "the table forgets the session", undefined, (next) => (next.row = 0)),
      optional: false,
    };
  }
  const isSignedOut = row === 0 || families[familyOf(row)]?.dead === true;
  if (left.rowSignIns > 0 && isSignedOut && source === "function") {
    yield canHappen(world, "the user signs in elsewhere", "rowSignIns", signInElsewhere);
  }
}

function hasToken({ tokens }: Process): boolean {
  return tokens.some((token) => token !== undefined);
}

function canHappen(
  world: World,
  label: string,
  chance: keyof Chances | undefined,
  change: (next: World) => unknown,
): Transition<World> {
  const next = copyOf(world);
  if (chance !== undefined) next.left[chance]--;
  change(next);
  return { label, next, optional: true, breaks: [] };
}

function lapse(next: World): void {
  next.store!.lapsed = true;
}

/** A lease lapses when its holder is gone, or is held up for so long. */
function* timeOfLease(world: World): Generator<Transition<World>> {
  const lease = world.store!.lease;
  const holds = ({ mint, pending }: Process): boolean => mint?.lease === lease || pending?.lease === lease;
  const isHeld = world.processes.some(holds);
  if (!isHeld) {
    yield { ...canHappen(world, "an abandoned lease lapses", undefined, lapse), optional: false };
  } else if (world.left.pauses > 0) {
    yield canHappen(world, "a lease lapses while its holder is held up", "pauses", (next) => {
      lapse(next);
      for (const process of next.processes) {
        if (!holds(process)) continue;
        const { mint, unpublished } = process;
        if (mint?.lease === lease) mint.late = true;
        const state = mint !== undefined && isOnTheWire(mint) ? mint.state : unpublished;
        if (state !== 0) next.families[familyOf(state)]!.excused = true;
      }
    });
  }
}

function expire(next: World): void {
  next.store?.tokens.fill(0);
  if (next.copy !== undefined) next.copy = { ...next.copy, tokens: next.copy.tokens.map(() => 0) };
  for (const { tokens } of next.processes) tokens.fill(undefined);
}

/**
 * What was on the wire, and what the table does not have yet, is known to one process only then. A holder that is about to send
 * does not know that its lease is gone.
 */
function lose(next: World, source: Scenario["source"]): void {
  next.store = undefined;
  for (const { mint, unsaved, saving } of next.processes) {
    for (const state of [unsaved, ...saving, ...(mint === undefined ? [] : [mint.state, mint.record?.state ?? 0])]) {
      if (state !== 0) next.families[familyOf(state)]!.excused = true;
    }
  }
  // The string of a configuration is used up.
  for (const family of next.families) family.excused ||= family.stale || source === "string";
}

function putBack(next: World): void {
  next.store = { ...copyOfRecord(next.copy!), replayed: true };
  for (const { mint } of next.processes) {
    for (const state of mint === undefined ? [] : [mint.state, mint.record?.state ?? 0]) {
      if (state !== 0) next.families[familyOf(state)]!.excused = true;
    }
  }
}

/** The notes of refusals and sign-outs are gone. */
function passDay(next: World): void {
  if (next.store?.phase === "E" || next.store?.phase === "R") next.store = undefined;
  for (const process of next.processes) if (process.seen === "recently") process.seen = "long ago";
  next.store?.tokens.fill(0);
  for (const { tokens } of next.processes) tokens.fill(undefined);
  for (const family of next.families) family.noted = false;
}

function signInElsewhere(next: World): void {
  const state = next.families.length * 100 + 1;
  const user = next.families[familyOf(next.row)]?.user ?? next.families.at(-1)!.user;
  next.families.push(newFamily(state, user));
  next.row = state;
}
