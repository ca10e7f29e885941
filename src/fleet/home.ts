/**
 * The place of a record while the encryption key is being changed.
 *
 * The id of the encryption key is part of the record's name, so each key has a record of its own. Two deployments with
 * different keys never overwrite each other's record, and a change of the key costs one mint. A state cannot be minted
 * again, so a record with a state moves to the new key:
 *
 * - A process with `[new, old]` that finds no record under the new key looks under the old key. It replaces that
 *   record, by compare-and-swap, with a moved-marker (phase `M`) that still holds the state, and begins the new record
 *   with the state. From then on no process can use the state under the old key.
 * - A process with `[old, new]` uses the old key until it finds the marker there, and the new key from then on.
 * - A process with the old key alone fails when it finds the marker, because the state that it knows is used up.
 * - A process with the new key alone does not look under the old key. A state that was not moved before is lost.
 *
 * If there is no record yet, a process with `[new, old]` and one with `[old, new]` would begin two records. To prevent
 * this, both first look under the key whose id comes first as text. A process that is to begin its record under the
 * other key has to leave a marker under this key before it does so. The marker lasts as long as a lease.
 *
 * How the names of records are made is in record-name.ts. The encryption is in seal.ts.
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

/** The result of a search. */
export interface Found {
  /** Where the record is, or where it is to be written. */
  readonly place: Place;
  /** The facts that are moving to this place, if the record was not written here yet. */
  readonly moved?: Facts | undefined;
}

/** What a search needs from its flight. */
export interface Search {
  /** The facts with which the record begins if it is in none of the places. */
  readonly own: Facts;
  readonly waits: Waits;
  /** @throws {Failure} When the time of the flight is up. */
  readonly assertTime: () => void;
}

/** The format of records. It is part of their names, so that processes with different formats use different records. */
const FORMAT = 1;

/** The place of a record under each encryption key. The first place belongs to the key that encrypts. */
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
      // A moved-marker: follow it to the other key, whether the record is there already or not yet.
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
      // The holder of a lease there is about to use up the state.
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

/** Finds the newest moved-marker. Two changes of the key leave two markers, and the later one has the state. */
function newestMark(seen: readonly (SeenRecord | undefined)[]): FleetRecord | undefined {
  let newest: FleetRecord | undefined;
  for (const each of seen) {
    const record = each?.record;
    if (record?.phase === "M" && (newest === undefined || record.mints > newest.mints)) newest = record;
  }
  return newest;
}

/**
 * Writes a moved-marker that lasts `ttl` milliseconds.
 *
 * @returns `false` if the record has changed since it was read.
 */
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
