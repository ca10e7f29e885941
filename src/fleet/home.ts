/**
 * Where a record is when the encryption key has changed.
 *
 * The key's id is part of the record's name, so another key is another record: two deployments never overwrite what the
 * other can not read, and a change of keys costs one mint. A state can not be minted again, so it moves:
 *
 * - With `[new, old]` a process that finds nothing under the new key takes what is under the old one: it replaces it, by
 *   compare-and-swap, with a mark (`M`) that still holds the state, and begins the new record from that. From then on
 *   nobody can use the state under the old key.
 * - With `[old, new]` a process uses the old key until it finds the mark, and the new one from then on.
 * - With the old key alone it stops there, because all it could present is used up.
 *
 * @module
 */
import { digest } from "../digest.ts";
import { factsOf, read, write, type Facts, type Place, type SeenRecord } from "./record.ts";
import { pollDelay } from "./polling.ts";
import type { StoreEntry } from "../stores/store.ts";
import type { Fleet } from "./fleet.ts";
import type { Waits } from "./waits.ts";

/** Where a record is to be looked for. */
export interface Found {
  readonly place: Place;
  /** What moved here, if the record is not here yet. */
  readonly moved?: Facts | undefined;
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
export async function findState(fleet: Fleet, places: readonly Place[], waits: Waits): Promise<Found> {
  for (let polls = 0; ;) {
    const seen = await Promise.all(places.map((place) => look(fleet, place)));
    const [first, ...others] = seen;
    if (first !== undefined && first.record?.phase !== "M") return { place: places[0]! };
    const at = 1 + others.findIndex((other) => other?.record !== undefined);
    const other = seen[at]?.record;
    // It was moved from the first place: to the one that has it now, or is to have it.
    if (first !== undefined && (other === undefined || other.phase === "M"))
      return { place: places[1]!, moved: factsOf(first.record!) };
    if (first !== undefined) return { place: places[at]! };
    if (other === undefined) return { place: places[0]! };
    if (other.phase === "M") return { place: places[0]!, moved: factsOf(other) };
    // Whoever holds a lease there is about to use the state up.
    if (isBusy(seen[at]!)) await waits.sleep(pollDelay(polls++));
    else if (await leave(fleet, places[at]!, seen[at]!)) return { place: places[0]!, moved: factsOf(other) };
  }
}

async function look(fleet: Fleet, place: Place): Promise<SeenRecord | undefined> {
  const { current } = (await fleet.link.read(place.key)) as { current: StoreEntry | undefined };
  return current === undefined ? undefined : read(place, current, fleet.clock.now());
}

function isBusy({ record, age }: SeenRecord): boolean {
  const { phase, left, lease = 0 } = record!;
  return (phase === "L" && age < left) || (phase === "R" && age < lease);
}

/** Leaves the mark. `false`: the record has changed meanwhile. */
async function leave({ link, clock, stateTtl }: Fleet, place: Place, seen: SeenRecord): Promise<boolean> {
  const mark = await write(place, { ...factsOf(seen.record!), phase: "M", left: stateTtl }, stateTtl, clock.now());
  return (await link.swap(place.key, seen.version, mark)).ok;
}
