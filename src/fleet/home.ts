/**
 * Where a record is when the encryption key has changed.
 *
 * The key's id is part of the record's name, so another key is another record: two deployments never overwrite what the
 * other cannot read, and a change of keys costs one mint. A state cannot be minted again, so it moves:
 *
 * - With `[new, old]` a process that finds nothing under the new key takes what is under the old one: it replaces it, by
 *   compare-and-swap, with a mark (`M`) that still holds the state, and begins the new record from that. From then on
 *   nobody can use the state under the old key.
 * - With `[old, new]` a process uses the old key until it finds the mark, and the new one from then on.
 * - With the old key alone it stops there, because all it could present is used up.
 * - With the new key alone it does not look back: what was not moved by then is left behind.
 *
 * Where there is nothing yet, `[new, old]` and `[old, new]` would each begin under their own first key. So they meet under
 * one of the two, whichever comes first as text: who does not begin there leaves a mark there, for as long as a lease.
 *
 * @module
 */
import { digest } from "../base/digest.ts";
import { isHeld } from "./decision.ts";
import { factsOf, read, write } from "./record.ts";
import { pollDelay } from "./waits.ts";
import type { Fleet } from "./link.ts";
import type { Facts, FleetRecord, Place, SeenRecord } from "./record.ts";
import type { StoreEntry } from "./store.ts";
import type { Waits } from "./waits.ts";

/** Where a record is to be looked for. */
export interface Found {
  readonly place: Place;
  /** What moved here, if the record is not here yet. */
  readonly moved?: Facts | undefined;
}

/** What a search needs of its flight. */
export interface Search {
  /** What the record begins with if it is nowhere. */
  readonly own: Facts;
  readonly waits: Waits;
  /** @throws {RemintError} When the time of the flight is up. */
  readonly assertTime: () => void;
}

/** The format of records, in their names: another format never meets these. */
const FORMAT = 1;

/** The place of a record under each key, the one that seals first. */
export async function placesOf({ seals, prefix }: Fleet, name: string): Promise<readonly Place[]> {
  const hash = digest(name).slice(0, 40);
  return Promise.all(seals.map(async (seal) => ({ key: `${prefix}${FORMAT}:{${hash}}:${await seal.id()}`, seal })));
}

/**
 * Finds the record of a stateful grant among the places it may be in.
 *
 * @throws {StoreFault} When the store fails.
 */
export async function findState(fleet: Fleet, places: readonly Place[], search: Search): Promise<Found> {
  const first = places[0]!;
  let watched: string | undefined;
  let since = 0;
  for (let polls = 0; ; polls++) {
    search.assertTime();
    const seen = await Promise.all(places.map((place) => look(fleet, place)));
    const live = seen.findIndex((each) => each?.record !== undefined && each.record.phase !== "M");
    if (live === 0) return { place: first };
    const mark = newestMark(seen);
    if (seen[0]?.record?.phase === "M") {
      // It was moved away from here: to where it is now, or is to be.
      return live > 0 ? { place: places[live]! } : { place: places[1]!, moved: factsOf(mark!) };
    }
    const found = seen[live];
    if (found === undefined) {
      if (mark !== undefined) return { place: first, moved: factsOf(mark) };
      const meeting = places.reduce((one, other) => (other.key < one.key ? other : one));
      if (meeting === first) return { place: first };
      const there = seen[places.indexOf(meeting)];
      if (await leave(fleet, meeting, there, search.own, fleet.duration)) return { place: first, moved: search.own };
    } else {
      if (found.version !== watched) [watched, since] = [found.version, fleet.clock.monotonic()];
      const patience = { unchangedFor: fleet.clock.monotonic() - since, stuckAfter: 2 * fleet.duration };
      const facts = factsOf(found.record!);
      // Whoever holds a lease there is about to use the state up.
      const isBusy = isHeld(found.record!, found.age, patience);
      if (!isBusy && (await leave(fleet, places[live]!, found, facts, fleet.stateTtl))) {
        return { place: first, moved: facts };
      }
    }
    await search.waits.sleep(pollDelay(polls));
  }
}

async function look(fleet: Fleet, place: Place): Promise<SeenRecord | undefined> {
  const { current } = (await fleet.link.read(place.key)) as { current: StoreEntry | undefined };
  return current === undefined ? undefined : read(place, current, fleet.clock.now());
}

/** Two changes of the key leave two marks; the later one has the state. */
function newestMark(seen: readonly (SeenRecord | undefined)[]): FleetRecord | undefined {
  let newest: FleetRecord | undefined;
  for (const each of seen) {
    const record = each?.record;
    if (record?.phase === "M" && (newest === undefined || record.mints > newest.mints)) newest = record;
  }
  return newest;
}

/** Leaves a mark for so many milliseconds. `false`: the record has changed meanwhile. */
async function leave(
  { link, clock }: Fleet,
  place: Place,
  seen: SeenRecord | undefined,
  facts: Facts,
  ttl: number,
): Promise<boolean> {
  const mark = await write(place, { ...facts, phase: "M", left: ttl }, ttl, clock.now());
  return (await link.swap(place.key, seen?.version, mark)).ok;
}
